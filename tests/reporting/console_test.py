"""The progress bar of a terminal, with messages above it."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import pytest

from experiments import cli, lr_sweep

SMALL = ("--dataset=moons", "--hidden_sizes=4", "--num_steps=20", "--tensorboard=false", "--workdir=run")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_messages_stand_in_lines_of_their_own_and_the_bar_says_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")
    assert cli.main(lr_sweep.STUDY, ["", *SMALL]) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())  # without colours and movements
    (message,) = [line for line in re.split(r"[\r\n]+", text) if "members at once" in line]
    assert message.startswith("group 1 of 1: ")
    assert "member-steps" not in message
    assert text.index("compiling") < text.index("group 1 of 1 ") < text.index("drawing the report")


def test_quiet_says_nothing_but_keeps_it_in_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(lr_sweep.STUDY, ["", *SMALL, "--report=false", "--quiet", "--progress=true"]) == 0
    assert capsys.readouterr() == ("", "")
    assert "members at once" in (tmp_path / "run" / "log.txt").read_text()
