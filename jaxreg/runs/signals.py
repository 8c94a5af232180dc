"""SIGINT, SIGTERM, SIGHUP: the first asks to save and stop, the second ends the process. SIGUSR1: save and go on."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Iterator
from types import FrameType, TracebackType

from jaxreg.portable import SIGHUP, SIGUSR1

LEAVING = (signal.SIGINT, signal.SIGTERM, *([SIGHUP] if SIGHUP else []))
SAVING = (SIGUSR1,) if SIGUSR1 else ()

_log = logging.getLogger("jaxreg")


class Interrupted(KeyboardInterrupt):
    """A signal asked the process to leave while nothing was trained. `exit_code` is 128 + its number."""

    def __init__(self, number: int) -> None:
        self.exit_code = 128 + number
        super().__init__(signal.Signals(number).name)


@contextlib.contextmanager
def leaving_in_order() -> Iterator[None]:
    """For the whole of a command: the first signal to leave raises `Interrupted`, the second ends the process at once.

    Python raises it wherever it is, which may be inside a destructor, where no exception gets out: then the process
    ends at once. What other libraries say of objects that were cut off half-made is left out.

    SIGUSR1 is ignored, for there is nothing to save. `SignalGuard` takes over while a run is trained. In any other
    thread than the main one nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _: FrameType | None) -> None:
        for each in _heeded():
            signal.signal(each, signal.SIG_IGN if each == SIGHUP else signal.SIG_DFL)
        sys.unraisablehook = _leave_if_lost
        warnings.simplefilter("ignore")  # coroutines that are not awaited any more
        raise Interrupted(number)

    numbers, hook = (*_heeded(), *SAVING), sys.unraisablehook
    previous = {number: signal.getsignal(number) for number in numbers}
    try:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN if number in SAVING else leave)
        with warnings.catch_warnings():
            yield
    finally:
        if sys.unraisablehook is _leave_if_lost:  # else it is as before, or as a failed save left it for its threads
            sys.unraisablehook = hook
        for number, handler in previous.items():
            signal.signal(number, handler)


def _leave_if_lost(unraisable: sys.UnraisableHookArgs) -> None:
    if isinstance(unraisable.exc_value, Interrupted):
        os._exit(unraisable.exc_value.exit_code)


def _heeded() -> list[signal.Signals]:
    """The signals to leave, but for a SIGHUP that `nohup` has turned off."""
    return [each for each in LEAVING if each != SIGHUP or signal.getsignal(each) != signal.SIG_IGN]


class SignalGuard:
    """Context manager that turns signals into flags which the host loop reads between chunks.

    The first SIGINT, SIGTERM or SIGHUP sets `stop`. The second one ends the process at once with exit code 128 +
    number, in the middle of a compiled program too: signals are read by a thread of their own, because Python's
    handlers have to wait until XLA returns to the main thread. Previous handlers are restored on exit.

    SIGHUP is left alone where it is ignored (`nohup`), and never is the second signal: a terminal that is closed sends
    it twice, by the kernel and by the shell.

    Only the main thread receives signals: entered in any other thread, the guard does nothing and `stop` stays None.

    Attributes:
      stop: None until the first SIGINT, SIGTERM or SIGHUP, then its number.
    """

    def __init__(self) -> None:
        self.stop: int | None = None
        self._save_requested = threading.Event()
        self._previous: dict[int, signal._HANDLER] = {}

    @property
    def exit_code(self) -> int:
        """128 + the signal's number (130 for SIGINT, 143 for SIGTERM, 129 for SIGHUP), 0 while none has come."""
        return 0 if self.stop is None else 128 + self.stop

    def take_save_request(self) -> bool:
        """Whether SIGUSR1 came since the last call; clears the request."""
        requested = self._save_requested.is_set()
        self._save_requested.clear()
        return requested

    def __enter__(self) -> SignalGuard:
        if threading.current_thread() is not threading.main_thread():
            return self
        self._reader, self._writer = socket.socketpair()  # Windows writes the numbers of signals to sockets only
        self._writer.setblocking(False)  # a C handler must never wait
        self._watcher = threading.Thread(target=self._watch, name="jaxreg signals", daemon=True)
        self._watcher.start()
        # The C handler writes each signal's number into the socket as soon as it comes.
        self._previous_wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._previous = {number: signal.signal(number, _leave_to_watcher) for number in (*_heeded(), *SAVING)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._previous:
            return
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._previous_wakeup)
        self._previous = {}
        self._writer.close()  # ends the watcher, after it has read what is left
        self._watcher.join()
        self._reader.close()

    def _watch(self) -> None:
        while numbers := self._reader.recv(64):
            for number in numbers:
                self._receive(number)

    def _receive(self, number: int) -> None:
        if number in SAVING:
            self._save_requested.set()
        elif number in LEAVING and self.stop is None:
            self.stop = number
            _log.warning("%s: saving, then leaving; again to leave at once", signal.Signals(number).name)
        elif number in LEAVING and number != SIGHUP:
            with contextlib.suppress(OSError):
                os.write(2, b"leaving at once\n")
            os._exit(128 + number)


def _leave_to_watcher(number: int, frame: FrameType | None) -> None:
    """Stands in as Python's handler, so that the C handler is installed; the watcher does the work."""
