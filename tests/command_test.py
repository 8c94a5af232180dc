"""How commands begin and end: exit codes, one line for an error, and what a process inherits."""

from __future__ import annotations

import errno
import io
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from absl import flags

from jaxreg import command
from jaxreg.errors import ConfigError, JaxregError, RunFolderError, Stopped, one_line


def raising(error: BaseException) -> Callable[[], int]:
    def body() -> int:
        raise error

    return body


@pytest.mark.parametrize(
    ("error", "exit_code", "line"),
    [
        (ConfigError("seeds", 0, "must be a whole number from 1"), 1, "--seeds=0: must be a whole number from 1"),
        (RunFolderError("w: holds\nsomething\x1b[31m"), 1, "w: holds\\nsomething\\x1b[31m"),
        (Stopped("stopped at step 3", 75), 75, "stopped at step 3; go on with: --resume"),
        (FileNotFoundError(errno.ENOENT, "No such file", "a.csv"), 1, "a.csv: cannot be used (No such file)"),
    ],
)
def test_errors_are_one_line_and_an_exit_code(
    error: Exception, exit_code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.run(raising(error)) == exit_code
    assert capsys.readouterr() == ("", f"{line}\n")


def test_a_fault_of_the_program_stays_a_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        command.run(raising(ZeroDivisionError()))


class Full(io.StringIO):
    """A standard output on which nothing can be written."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__()

    def write(self, _: str) -> int:
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize(
    ("number", "exit_code", "err"),
    [
        (errno.EPIPE, 0, ""),  # the reader has seen enough
        (errno.ENOSPC, 1, "standard output: could not be written (No space left on device)\n"),
    ],
)
def test_standard_output_that_fails(
    number: int, exit_code: int, err: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", Full(number))
    monkeypatch.setattr(sys, "__stdout__", None)  # the real one is not to be discarded

    def body() -> int:
        print("a table")
        return 0

    assert command.run(body) == exit_code
    assert capsys.readouterr().err == err


def test_characters_that_an_output_lacks_are_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)

    def body() -> int:
        print("91 % \u00b1 2")
        return 0

    assert command.run(body) == 0
    assert stream.errors == "strict"
    buffer: Any = stream.buffer
    assert buffer.getvalue() == b"91 % \\xb1 2\n"


@pytest.mark.parametrize(("number", "exit_code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_signals_end_a_command_in_order(number: str, exit_code: int) -> None:
    handlers = {each: signal.getsignal(each) for each in signal.Signals if each not in (signal.SIGKILL, signal.SIGSTOP)}
    left_in_order = []

    def body() -> int:
        try:
            os.kill(os.getpid(), signal.SIGUSR1)  # nothing is trained: ignored
            os.kill(os.getpid(), signal.Signals[number])
            signal.pause()
        finally:
            left_in_order.append(signal.getsignal(signal.SIGTERM))
        return 0

    assert command.run(body) == exit_code
    assert left_in_order == [signal.SIG_DFL]  # the second one ends the process at once
    assert {each: signal.getsignal(each) for each in handlers} == handlers


def test_what_nohup_turned_off_stays_off() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:

        def body() -> int:
            os.kill(os.getpid(), signal.SIGHUP)
            return 0

        assert command.run(body) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_figures_are_drawn_without_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    seen = []

    def body() -> int:
        seen.append(os.environ["MPLBACKEND"])
        return 0

    assert command.run(body) == 0
    assert seen == ["agg"]
    assert os.environ["MPLBACKEND"] == "module://matplotlib_inline.backend_inline"


def test_messages_go_to_standard_error_while_a_command_runs(capsys: pytest.CaptureFixture[str]) -> None:
    log = logging.getLogger("jaxreg")
    before = log.level, log.propagate, list(log.handlers)

    def body() -> int:
        log.info("a remark")
        return 0

    assert command.run(body) == 0
    assert capsys.readouterr() == ("", "a remark\n")
    assert (log.level, log.propagate, log.handlers) == before


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--sedes=3"], "--sedes: no such flag; did you mean --seeds?"),
        (["--quite_other"], "--quite_other: no such flag; see --help"),
        (["--seeds"], "--seeds: needs a value"),
        (["--report=perhaps"], "--report=perhaps: must be true or false"),
        (["--noreport=true"], "--noreport=true: takes no value; leave it out"),
        (["--noreport="], "--noreport=: takes no value; leave it out"),
    ],
)
def test_arguments_that_are_no_flags_are_refused(arguments: list[str], line: str) -> None:
    values = flags.FlagValues()
    flags.DEFINE_string("seeds", "", "", flag_values=values)
    flags.DEFINE_flag(command.switch("report", True, ""), flag_values=values)
    with pytest.raises(JaxregError) as refusal:
        command.words(values, ["program", *arguments])
    assert str(refusal.value) == line


def test_a_flagfile_of_something_else_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.cfg").write_bytes(b"\xff\xfe")
    with pytest.raises(JaxregError, match=r"^--flagfile=a\.cfg: holds something else than text"):
        command.words(flags.FlagValues(), ["program", "--flagfile=a.cfg"])


def test_words_are_what_is_no_flag() -> None:
    values = flags.FlagValues()
    flags.DEFINE_string("out", "", "", flag_values=values)
    assert command.words(values, ["program", "a", "--out=b", "c"]) == ["a", "c"]


def test_one_line_shows_what_a_terminal_cannot() -> None:
    assert one_line("a\nb\x1b[0m \u00e9\u00b1 \udcff\u2028") == "a\\nb\\x1b[0m \u00e9\u00b1 \\udcff\\u2028"


def test_a_message_repeats_the_beginning_of_a_long_value() -> None:
    line = str(ConfigError("layout", "x" * 100_000, "too long"))
    assert line.startswith("--layout=xxx")
    assert line.endswith("x... (100000 characters): too long")
    assert len(line) < 500
