"""`python -m experiments`: the experiments, a line each."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

_SHARED = {"__init__", "__main__", "cli", "flags", "source"}


def main() -> int:
    """Prints name, first line of the module's header, and its flagfiles."""
    here = Path(__file__).parent
    for path in sorted(here.glob("*.py")):
        if path.stem not in _SHARED:
            header = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            print(f"{path.stem:16} {header.splitlines()[0]}")
    print("\nRun one with  python -m experiments.NAME --flagfile=experiments/flagfiles/FILE.cfg ; flagfiles:")
    print("  " + "  ".join(path.name for path in sorted((here / "flagfiles").glob("*.cfg"))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
