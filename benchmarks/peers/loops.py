"""What is timed: loops that train, and how long a call of them takes by the clock and by the processor."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple


class Loop(NamedTuple):
    """A piece of training.

    Attributes:
      run: trains on from where it left off, and returns when that is done.
      member_steps: how many steps of how many members that is.
    """

    run: Callable[[], None]
    member_steps: int


class Seconds(NamedTuple):
    """What a call took."""

    wall: float  # by the clock
    cpu: float  # of the processor, all threads of the process together


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def timed(run: Callable[[], None]) -> Seconds:
    """Calls `run` once."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return Seconds(time.perf_counter() - wall, time.process_time() - cpu)


def fastest(loops: Mapping[str, Loop], seconds: float) -> tuple[str, float]:
    """The name of the loop with the most member-steps per second, and how long a call of it takes.

    Each runs once to warm up and is then timed for so many seconds, and twice at least; its shortest time counts.
    """
    shortest = {}
    for name, loop in loops.items():
        loop.run()
        times = [timed(loop.run).wall, timed(loop.run).wall]
        while sum(times) < seconds:
            times.append(timed(loop.run).wall)
        shortest[name] = min(times)
    name = min(loops, key=lambda name: shortest[name] / loops[name].member_steps)
    return name, shortest[name]


def repeated(loop: Loop, times: int) -> Loop:
    """The loop so many times over, as one."""

    def run() -> None:
        for _ in range(times):
            loop.run()

    return Loop(run, times * loop.member_steps)
