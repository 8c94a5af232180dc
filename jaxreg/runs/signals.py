"""SIGINT and SIGTERM: the first asks to save and stop, the second ends the process at once. SIGUSR1: save and go on."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from types import FrameType, TracebackType

LEAVING = (signal.SIGINT, signal.SIGTERM)
SAVING = signal.SIGUSR1

_log = logging.getLogger("jaxreg")


class SignalGuard:
    """Context manager that turns signals into flags which the host loop reads between chunks.

    The first SIGINT or SIGTERM sets `stop`. The second one ends the process at once with exit code 128 + number, in the
    middle of a compiled program too: signals are read by a thread of their own, because Python's handlers have to wait
    until XLA returns to the main thread. Previous handlers are restored on exit.

    Only the main thread receives signals: entered in any other thread, the guard does nothing and `stop` stays None.

    Attributes:
      stop: None until the first SIGINT or SIGTERM, then its number.
    """

    def __init__(self) -> None:
        self.stop: int | None = None
        self._save_requested = threading.Event()
        self._previous: dict[int, signal._HANDLER] = {}

    @property
    def exit_code(self) -> int:
        """128 + the signal's number (130 for SIGINT, 143 for SIGTERM), 0 while none has come."""
        return 0 if self.stop is None else 128 + self.stop

    def take_save_request(self) -> bool:
        """Whether SIGUSR1 came since the last call; clears the request."""
        requested = self._save_requested.is_set()
        self._save_requested.clear()
        return requested

    def __enter__(self) -> SignalGuard:
        if threading.current_thread() is not threading.main_thread():
            return self
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)  # a C handler must never wait
        self._watcher = threading.Thread(target=self._watch, name="jaxreg signals", daemon=True)
        self._watcher.start()
        # The C handler writes each signal's number into the pipe as soon as it comes.
        self._previous_wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._previous = {number: signal.signal(number, _leave_to_watcher) for number in (*LEAVING, SAVING)}
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
        os.close(self._writer)  # ends the watcher, after it has read what is left in the pipe
        self._watcher.join()
        os.close(self._reader)

    def _watch(self) -> None:
        while numbers := os.read(self._reader, 64):
            for number in numbers:
                self._receive(number)

    def _receive(self, number: int) -> None:
        if number == SAVING:
            self._save_requested.set()
        elif number in LEAVING and self.stop is None:
            self.stop = number
            _log.warning("%s: saving, then leaving; again to leave at once", signal.Signals(number).name)
        elif number in LEAVING:
            with contextlib.suppress(OSError):
                os.write(2, b"leaving at once\n")
            os._exit(128 + number)


def _leave_to_watcher(number: int, frame: FrameType | None) -> None:
    """Stands in as Python's handler, so that the C handler is installed; the watcher does the work."""
