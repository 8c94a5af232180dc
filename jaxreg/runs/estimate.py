"""What a run will take, from two chunks of steps of each group: what `--dry_run` prints."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import jax

from jaxreg.population.planning import Plan
from jaxreg.runs.runner import Runner


def estimate(plan: Plan) -> Iterator[str]:
    """Lines for the terminal: how many members there are, and of each group its members, memory and training time."""
    sweep = plan.sweep
    settings, seeds, groups = len(sweep.settings), len(sweep.seeds), len(sweep.groups)
    yield f"{sweep.num_members} members: {settings} settings x {seeds} seeds, {groups} group(s)"
    runner = Runner(plan)
    for number, group in enumerate(sweep.groups):
        placement = runner.fit(number)
        layout, blocks = placement.layout, runner.record.blocks(number)
        population = placement.population(blocks[0], sweep.seeds)
        state, start = placement.init(population), 0.0
        for step in (0, layout.chunk_steps):  # the first one warms up
            start = time.perf_counter()
            state, metrics = placement.train(state, population, step, step + layout.chunk_steps)
            jax.block_until_ready(metrics)
        seconds = (time.perf_counter() - start) * len(blocks) * math.ceil(group.num_steps / layout.chunk_steps)
        yield (
            f"group {number + 1}: {len(group.configs)} settings x {seeds} seeds x {group.num_steps}"
            f" steps in {len(blocks)} block(s) of {layout.width} on {layout.devices} device(s), "
            f"{placement.compiled.bytes / 2**20:.0f} MiB on each, about {seconds:.0f} s of training"
        )
