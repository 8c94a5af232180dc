"""Command lines that a run names: the one that began this session, and the one that goes on with it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

CONSOLE = "jaxreg"  # the command that the package installs


def command_line() -> str:
    """The command line of this process, as it can be typed again."""
    return shlex.join([*program(), *sys.argv[1:]])


def resuming(folder: Path) -> str:
    """The command that goes on with the run in a folder, for a process that was started by a command of ours."""
    with_less_to_type = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    if program() == [CONSOLE]:
        return shlex.join([CONSOLE, "resume", str(with_less_to_type)])
    return shlex.join([*program(), f"--workdir={with_less_to_type}", "--resume"])


def program() -> list[str]:
    """The words that start this program again, without its arguments."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec:
        return ["python", "-m", spec.name]
    return [CONSOLE] if Path(sys.argv[0]).stem == CONSOLE else ["python", sys.argv[0]]
