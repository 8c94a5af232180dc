"""How far a run is, and what it has cost so far."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import jax


class Progress(Protocol):
    """Is told how many member-steps have been taken, of how many, and in which group."""

    def __call__(self, done: int, total: int, doing: str) -> None: ...  # noqa: D102


@dataclasses.dataclass(frozen=True)
class Position:
    """How far a run has come: `step` steps into block `block` of group `group`."""

    group: int = 0
    block: int = 0
    step: int = 0


class Cost:
    """The time that a run has used, in seconds by activity, over all sessions of a resumed run."""

    def __init__(self) -> None:
        self.seconds = {"compile": 0.0, "train": 0.0, "evaluate": 0.0, "write": 0.0}

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Adds the time that the block takes to `seconds[what]`, and names it in a trace of the profiler."""
        start = time.perf_counter()
        try:
            with jax.profiler.TraceAnnotation(what):
                yield
        finally:
            self.seconds[what] += time.perf_counter() - start
