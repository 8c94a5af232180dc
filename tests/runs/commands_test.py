"""Command lines that can be typed again."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from jaxreg.runs.commands import command_line, resuming


@pytest.mark.parametrize(
    ("spec", "program", "begun", "goes_on"),
    [
        (
            ModuleSpec("experiments.lr_sweep", None),
            "lr_sweep.py",
            "python -m experiments.lr_sweep --learning_rate=0.1,1 '--workdir=my run'",
            "python -m experiments.lr_sweep '--workdir=my run' --resume",
        ),
        (
            None,
            "studies/mine.py",
            "python studies/mine.py --learning_rate=0.1,1 '--workdir=my run'",
            "python studies/mine.py '--workdir=my run' --resume",
        ),
        (
            None,
            ".venv/bin/jaxreg",
            "jaxreg --learning_rate=0.1,1 '--workdir=my run'",
            "jaxreg resume 'my run'",
        ),
    ],
)
def test_each_way_to_begin(
    spec: ModuleSpec | None, program: str, begun: str, goes_on: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = ModuleType("__main__")
    main.__spec__ = spec
    monkeypatch.setitem(sys.modules, "__main__", main)
    monkeypatch.setattr(sys, "argv", [program, "--learning_rate=0.1,1", "--workdir=my run"])
    monkeypatch.chdir(tmp_path)
    assert command_line() == begun
    assert resuming(tmp_path / "my run") == goes_on
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert str(tmp_path / "my run") in resuming(tmp_path / "my run")
