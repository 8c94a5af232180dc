"""What a member-step of jaxreg costs as a sweep grows in one direction: members, hidden units, batch, checks.

Each point is a process of its own, for its memory and the time to its first step. The points of one direction stay
until all are ready, and are then timed in turn.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax

from benchmarks.engine import first_block
from benchmarks.peers import ours
from benchmarks.peers.loops import Loop, Seconds, repeated, timed
from benchmarks.peers.processes import Remote
from benchmarks.peers.rounds import Readings, Ready, interleave, readings
from benchmarks.workloads import Workload, made_up_arrays
from jaxreg.hardware import use_all_cores
from jaxreg.population.planning import make_plan
from jaxreg.runs.provenance import peak_memory_bytes

BASE = Workload("base", 64, 1, 32)
NUM_VALIDATION, NUM_TEST = 5000, 10_000
GRID: dict[str, tuple[int, ...]] = {
    "members": (1, 4, 16, 64, 256, 1024, 4096),
    "hidden": (11, 32, 100, 512),
    "batch": (1, 10, 32, 100, 1000),
    "eval_every": (0, 1000, 100),
}
"""Values by direction; the other numbers are those of `BASE`. 0 is no check."""


@dataclasses.dataclass(frozen=True)
class Start:
    """What the start of a run takes.

    Attributes:
      ready: its layout, and what a timed call trains.
      compile_seconds: tracing and compiling all programs, with an empty cache.
      first_step_seconds: from the start of Python until a first step is done, without making up the data.
      planned_bytes: on all devices, as `--dry_run` counts them.
    """

    ready: Ready
    compile_seconds: float
    first_step_seconds: float
    planned_bytes: int


@dataclasses.dataclass(frozen=True)
class Cost:
    """One point of the grid.

    Attributes:
      direction, value: where it is.
      start: what came before the timed calls.
      peak_bytes: the most memory of the process, that of Python and all libraries with it.
      readings: of the timed calls.
    """

    direction: str
    value: int
    start: Start
    peak_bytes: int
    readings: Readings


class Point:
    """A sweep in its own process."""

    def __init__(self, direction: str, value: int, begun: float, base: Workload) -> None:
        self._workload, self._eval_every = sweep_of(direction, value, base)
        self._begun = begun
        self._loop: Loop | None = None

    def start(self, seconds: float) -> Start:
        """Everything until the first step, and a warm-up."""
        use_all_cores()
        making = time.time()
        arrays = made_up_arrays(self._workload.examples, self._workload.features)
        made = time.time()
        data = ours.data_of(arrays, NUM_VALIDATION, NUM_TEST)
        experiment = ours.experiment_of(self._workload, self._eval_every or ours.NEVER)
        placement, members = first_block(make_plan(experiment, data))
        state, measured = placement.train(placement.init(members), members, 0, 1)
        jax.block_until_ready(measured)
        first = time.time() - self._begun - (made - making)
        del state
        loop = ours.chunks(placement, members, self._workload.members, self._eval_every)
        loop.run()
        self._loop = repeated(loop, max(1, round(seconds / timed(loop.run).wall)))
        ready = Ready(str(placement.layout), self._loop.member_steps)
        planned = placement.compiled.bytes * placement.layout.devices
        return Start(ready, placement.seconds, first, planned)

    def time(self) -> Seconds:
        """One timed call."""
        assert self._loop is not None, "start comes first"
        return timed(self._loop.run)

    def peak_bytes(self) -> int:
        """The most memory so far."""
        return peak_memory_bytes()


def sweep_of(direction: str, value: int, base: Workload) -> tuple[Workload, int]:
    """The sweep at a value of one direction, and the steps between its checks, 0 for none."""
    if direction == "eval_every":
        return base, value
    changed: dict[str, Any] = {{"members": "rates"}.get(direction, direction): value}
    return dataclasses.replace(base, **changed), 0


def measure(grid: Mapping[str, Sequence[int]], base: Workload, rounds: int, seconds: float) -> Iterator[Cost]:
    """All points, direction by direction."""
    for direction, values in grid.items():
        print(f"\ncosts: {direction} {', '.join(map(str, values))}", flush=True)
        with contextlib.ExitStack() as stack:
            points: dict[int, Remote] = {}
            starts: dict[int, Start] = {}
            for value in values:
                points[value] = Remote(Point, direction, value, time.time(), base)
                stack.callback(points[value].close)
                starts[value] = points[value].ask("start", seconds)
            taken = interleave({value: functools.partial(points[value].ask, "time") for value in values}, rounds)
            for value, start in starts.items():
                peak = points[value].ask("peak_bytes")
                yield Cost(direction, value, start, peak, readings(start.ready, taken[value]))
