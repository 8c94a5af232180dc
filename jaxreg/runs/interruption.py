"""When a run stops before its end: a signal came, or its time is up."""

from __future__ import annotations

import time

from jaxreg import processes
from jaxreg.errors import Stopped
from jaxreg.runs.progress import Position
from jaxreg.runs.signals import SignalGuard

TIME_LIMIT_EXIT_CODE = 75


class Interruption:
    """Asked between chunks of steps whether the run shall stop, or save.

    The time limit counts from the first chunk of steps, compilation not included. Of several processes each asks at the
    same steps, and what one of them has heard all of them do.
    """

    def __init__(self, experiment: str, guard: SignalGuard | None = None, max_minutes: float = 0.0) -> None:
        """For the experiment of that name; without a guard no signal is heeded, with 0 minutes there is no limit."""
        self._experiment, self._guard, self._max_minutes = experiment, guard, max_minutes
        self._first_chunk: float | None = None

    def start(self) -> None:
        """A chunk of steps begins; of several calls the first one counts."""
        if self._first_chunk is None:
            self._first_chunk = time.monotonic()

    def at(self, position: Position) -> Stopped | None:
        """How the run stops here; None where it goes on."""
        if stop := self._by_a_signal(f"at step {position.step}"):
            return stop
        if self._is_late():
            reason = f"stopped after --max_minutes={self._max_minutes:g} at step {position.step} of {self._experiment}"
            return Stopped(reason, TIME_LIMIT_EXIT_CODE)
        return None

    def after_the_last_step(self) -> Stopped | None:
        """How the run stops once all is trained and saved, before results are written; None where it goes on."""
        return self._by_a_signal("after the last step")

    def take_save_request(self) -> bool:
        """Whether a signal asked for a checkpoint since the last call."""
        return processes.any_of(self._guard is not None and self._guard.take_save_request())

    def _by_a_signal(self, when: str) -> Stopped | None:
        exit_code = processes.largest(0 if self._guard is None else self._guard.exit_code)
        return Stopped(f"stopped by a signal {when} of {self._experiment}", exit_code) if exit_code else None

    def _is_late(self) -> bool:
        if self._max_minutes <= 0:
            return False
        started = self._first_chunk
        return processes.any_of(started is not None and time.monotonic() - started > 60 * self._max_minutes)
