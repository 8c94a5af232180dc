"""What a run will take, from short measurements of each group: what `--dry_run` prints."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxreg.population.placement import Placement
from jaxreg.population.planning import Plan, measured_bytes, state_shapes
from jaxreg.runs.checkpoints.arrays import PORTION
from jaxreg.runs.provenance import peak_memory_bytes
from jaxreg.runs.runner import Runner

_MIB = 2**20


class Seconds(NamedTuple):
    """What a group, or all groups, will take, by activity."""

    training: float
    checks: float  # watches and what is measured after the last step included
    compilation: float

    def __str__(self) -> str:
        """`about 4.2 min: training 3.1 min, checks 50 s, compilation 8 s`, what takes longest first."""
        parts = sorted(zip(self._fields, self, strict=True), key=lambda part: -part[1])
        return f"about {_in_words(sum(self))}: {', '.join(f'{name} {_in_words(value)}' for name, value in parts)}"


def estimate(plan: Plan) -> Iterator[str]:
    """Lines for the terminal: how many members there are, what each group will take, and all of them together.

    A chunk of steps, a check and what follows the last step are timed for each group. Members that halt will take less;
    reading, judging and drawing the results comes after.
    """
    sweep = plan.sweep
    seeds, groups = len(sweep.seeds), len(sweep.groups)
    settings = sum(len(group.configs) for group in sweep.groups)
    yield f"{sweep.num_members} members: {settings} settings x {seeds} seeds, {groups} group(s)"
    runner, total, kept = Runner(plan), Seconds(0.0, 0.0, 0.0), 0
    for number, group in enumerate(sweep.groups):
        placement = runner.fit(number)
        layout, blocks = placement.layout, runner.record.blocks(number)
        seconds = _measure(runner, number, placement)
        total = Seconds(*np.add(total, seconds))
        runner.placements.forget(number)
        kept += len(group.configs) * seeds * _kept_bytes(plan, number) + measured_bytes(plan, group)
        yield (
            f"group {number + 1}: {len(group.configs)} settings x {seeds} seeds x {group.num_steps} steps"
            f" in {len(blocks)} block(s) of {layout.width} on {layout.devices} device(s),"
            f" {placement.compiled.bytes / _MIB:.0f} MiB on each, {seconds}"
        )
    writing = min(2 * kept, 2 * PORTION)  # Orbax holds what it writes at once, and compressed again
    memory = f"{(peak_memory_bytes() + kept + writing) / _MIB:.0f} MiB of memory"
    yield f"all: {total}; {memory}; the results are read and drawn after that"


def _measure(runner: Runner, number: int, placement: Placement) -> Seconds:
    """What group `number` will take."""
    plan, group, layout = runner.plan, placement.group, placement.layout
    blocks = runner.record.blocks(number)
    members = placement.members(blocks[0])
    state = placement.init(members)

    def steps(count: int) -> None:
        nonlocal state
        state, metrics = placement.train(state, members, 0, count)
        jax.block_until_ready((state, metrics))

    def check() -> None:
        nonlocal state
        for watch in plan.watches:
            if watch.at == "checks":
                jax.block_until_ready(placement.watch(watch.name, state, members, 0))
        state, measured = placement.check(state, members, 0)
        jax.block_until_ready((state, measured))

    steps(1)
    step = _timed(lambda: steps(layout.chunk_steps)) / layout.chunk_steps
    finish = placement.compiled.finish
    compilation = placement.seconds + _timed(lambda: finish.program)
    check()
    checks = group.num_checks * _timed(check) + _timed(lambda: jax.block_until_ready(placement.finish(state, members)))
    return Seconds(len(blocks) * group.num_steps * step, len(blocks) * checks, compilation)


def _kept_bytes(plan: Plan, number: int) -> int:
    """What is kept of a member of a group on the host: its last and its best parameters.

    They are taken to be the same, and so held once, where the only check after the start is at the end.
    """
    group = plan.sweep.groups[number]
    params: Any = state_shapes(group, plan.data, plan.problem).params
    copies = 1 if group.num_checks <= 2 else 2
    return copies * sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(params))


def _timed(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def _in_words(seconds: float) -> str:
    """`8 s`, `3.4 min`, `2.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.2g} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
