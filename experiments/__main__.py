"""`python -m experiments`: the experiments, a line each."""

from __future__ import annotations

import ast
import contextlib
import os
import sys
from pathlib import Path

_SHARED = {"__init__", "__main__", "cli", "flags", "source", "startup"}


def main() -> int:
    """Prints name, first line of the module's header, and its flagfiles."""
    here, lines = Path(__file__).parent, []
    for path in sorted(here.glob("*.py")):
        if path.stem not in _SHARED:
            header = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            lines.append(f"{path.stem:16} {header.splitlines()[0]}")
    lines.append("\nRun one with  python -m experiments.NAME --flagfile=experiments/flagfiles/FILE.cfg ; flagfiles:")
    lines.append("  " + "  ".join(path.name for path in sorted((here / "flagfiles").glob("*.cfg"))))
    text = (
        "\n".join(lines)
        .encode(sys.stdout.encoding or "utf-8", "backslashreplace")
        .decode(sys.stdout.encoding or "utf-8")
    )
    try:
        print(text, flush=True)
    except BrokenPipeError:  # the reader has seen enough; what is left goes nowhere
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
