"""Real signals, sent to this process and to a child."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable

import pytest

from jaxreg.runs.signals import Interrupted, SignalGuard, leaving_in_order


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.001)


def run_child(body: str) -> subprocess.CompletedProcess[str]:
    script = "import os, signal, time\nfrom jaxreg.runs.signals import SignalGuard\n" + textwrap.dedent(body)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_first_signal_sets_stop_and_says_so(
    number: signal.Signals, exit_code: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "jaxreg"), SignalGuard() as guard:
        assert guard.exit_code == 0
        os.kill(os.getpid(), number)
        wait_until(lambda: guard.stop)
    assert guard.stop == number
    assert guard.exit_code == exit_code
    assert caplog.messages == [f"{number.name}: saving, then leaving; again to leave at once"]


def test_a_terminal_that_is_closed_sends_sighup_twice_and_the_run_still_saves() -> None:
    with SignalGuard() as guard:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGHUP)
            wait_until(lambda: guard.stop)
        os.kill(os.getpid(), signal.SIGUSR1)  # which is read after them
        wait_until(guard.take_save_request)
    assert guard.exit_code == 129


def test_what_nohup_turned_off_stays_off() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with SignalGuard() as guard:
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGUSR1)
            wait_until(guard.take_save_request)
            assert guard.stop is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_save_request_is_taken_once() -> None:
    with SignalGuard() as guard:
        assert not guard.take_save_request()
        os.kill(os.getpid(), signal.SIGUSR1)
        wait_until(guard.take_save_request)
        assert not guard.take_save_request()
        assert guard.stop is None


def test_a_signal_before_the_end_is_not_lost() -> None:
    for _ in range(20):
        with SignalGuard() as guard:
            os.kill(os.getpid(), signal.SIGTERM)
        assert guard.stop == signal.SIGTERM


def test_previous_handlers_come_back() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
    before = [signal.getsignal(number) for number in numbers]
    open_files = len(os.listdir("/dev/fd"))  # noqa: PTH208
    with SignalGuard():
        assert all(signal.getsignal(n) is not handler for n, handler in zip(numbers, before, strict=True))
    assert [signal.getsignal(number) for number in numbers] == before
    assert signal.set_wakeup_fd(-1) == -1
    assert len(os.listdir("/dev/fd")) == open_files  # noqa: PTH208


def test_in_another_thread_it_does_nothing() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[object] = []

    def enter() -> None:
        with SignalGuard() as guard:
            seen.extend((signal.getsignal(signal.SIGINT), guard.stop, guard.take_save_request()))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [before, None, False]


@pytest.mark.parametrize(("number", "exit_code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_second_signal_leaves_at_once(number: str, exit_code: int) -> None:
    child = run_child(f"""
        with SignalGuard() as guard:
            os.kill(os.getpid(), signal.{number})
            while guard.stop is None:
                time.sleep(0.001)
            os.kill(os.getpid(), signal.{number})
            time.sleep(30)
    """)
    assert child.returncode == exit_code
    assert "again to leave at once" in child.stderr


def test_second_signal_does_not_wait_for_compiled_code() -> None:
    # The main thread sits in one call into C, where Python's own handlers would wait for the end of the call.
    child = run_child("""
        import hashlib, threading
        def interrupt():
            for _ in range(2):
                time.sleep(0.2)
                os.kill(os.getpid(), signal.SIGINT)
        with SignalGuard():
            threading.Thread(target=interrupt, daemon=True).start()
            started = time.monotonic()
            hashlib.pbkdf2_hmac("sha256", b"", b"", 50_000_000)
    """)
    assert child.returncode == 130


def test_a_signal_inside_a_destructor_is_not_lost(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No exception gets out of one: the process ends at once, and prints no traceback."""
    codes: list[int] = []
    monkeypatch.setattr("os._exit", codes.append)

    class Destroyed:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            wait_until(lambda: False)

    hook = sys.unraisablehook
    with leaving_in_order():
        Destroyed()
    assert codes == [143]
    assert sys.unraisablehook is hook
    assert capsys.readouterr().err == ""


def test_a_hook_that_a_failed_save_left_for_its_threads_outlasts_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def quiet(_: sys.UnraisableHookArgs) -> None: ...

    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)  # put back after the test
    with leaving_in_order():
        sys.unraisablehook = quiet
    assert sys.unraisablehook is quiet


def test_what_is_cut_off_half_made_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    class HalfMade:
        def __del__(self) -> None:
            raise AttributeError

    def interrupt() -> None:
        half_made = HalfMade()
        os.kill(os.getpid(), signal.SIGTERM)
        wait_until(lambda: half_made is None)

    with leaving_in_order(), pytest.raises(Interrupted, match="SIGTERM"):
        interrupt()
    assert capsys.readouterr().err == ""
