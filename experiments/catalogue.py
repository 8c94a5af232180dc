"""The experiments that come with the package, with their flagfiles: what there is, and where."""

from __future__ import annotations

import ast
import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

FLAGFILES = Path(__file__).parent / "flagfiles"
REFERENCES = Path(__file__).parent / "references"
_HELPERS = {"__init__", "__main__", "catalogue", "cli", "console", "flags", "published", "source", "startup", "submit"}
_ON_DIGITS = {"lr_sweep": "quickstart.cfg"}  # where it is not called NAME_digits.cfg


def names() -> list[str]:
    """The names of the experiments, those about published numbers last."""
    return [path.stem for path in _paths()]


def path_of(name: str) -> Path:
    """The module of an experiment, as a file."""
    return next(path for path in _paths() if path.stem == name)


def module_of(name: str) -> str:
    """The module of an experiment, as Python imports it."""
    return f"experiments.references.{name}" if path_of(name).parent == REFERENCES else f"experiments.{name}"


def _paths() -> list[Path]:
    folders = (Path(__file__).parent, REFERENCES)
    return [path for folder in folders for path in sorted(folder.glob("*.py")) if path.stem not in _HELPERS]


def on_digits(name: str) -> Path | None:
    """The flagfile of an experiment for scikit-learn's digits, if it has one."""
    path = FLAGFILES / _ON_DIGITS.get(name, f"{name}_digits.cfg")
    return path if path.is_file() else None


def shipped(flagfile: str) -> str:
    """Where a flagfile is: as it is given, or where it came with the package if there is none here.

    Looked for there are `NAME.cfg` and `experiments/flagfiles/NAME.cfg`, as one writes in a clone.
    """
    given = Path(flagfile)
    came_with_it = FLAGFILES / given.name
    within = given.parent in (Path(), Path("experiments", "flagfiles"))
    return str(came_with_it) if within and not given.exists() and came_with_it.is_file() else flagfile


def print_list() -> int:
    """Prints each experiment with its first line, and the flagfiles; returns 0."""
    return say("\n".join(_lines()))


def say(text: str) -> int:
    """Prints a text on whatever standard output is, before anything slow is imported; returns 0."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except BrokenPipeError:  # the reader has seen enough; what is left goes nowhere
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _lines() -> Iterator[str]:
    for name in names():
        source = path_of(name).read_text(encoding="utf-8")
        yield f"{name:16} {(ast.get_docstring(ast.parse(source)) or '').partition(chr(10))[0]}"
    yield "\nRun one with  jaxreg run NAME --digits  for its small version, which downloads nothing, or with"
    yield "--flagfile=FILE.cfg ; python -m experiments.NAME does the same (experiments.references.NAME of published"
    yield "numbers). Flagfiles:"
    yield "  " + "  ".join(path.name for path in sorted(FLAGFILES.glob("*.cfg")))
