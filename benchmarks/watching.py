"""What watching costs and what stopping saves, in one run: `python -m benchmarks.watching`.

Workload: lr_sweep at full size (7 rates x 10 seeds, 784-11-10, batch 1000, 55 000 images), 100 steps and the check that
ends them. Beside it the same with diagnostics, and with histograms too. Then 8 rates x 10 seeds of which half of the
settings have stopped in every seed: 100 steps with the halted members masked, and with them taken out. The variants are
timed in turn and compared pair by pair, because a shared machine drifts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from absl import flags

from benchmarks.engine import first_block, made_up_data, print_ratios
from jaxreg.config.experiment import Experiment
from jaxreg.config.hparams import Hparams
from jaxreg.hardware import use_all_cores
from jaxreg.population import compaction
from jaxreg.population.blocks import Block, make_blocks
from jaxreg.population.placement import Members, Placement, Placements
from jaxreg.population.planning import Plan, make_plan

STEPS = 100


def main(argv: list[str]) -> int:
    """Prints the ratios; returns 0."""
    values = flags.FlagValues()
    flags.DEFINE_integer("repeats", 7, "Timed repeats of every variant, in turn.", 2, flag_values=values)
    values(argv)
    use_all_cores()
    data = made_up_data(5000, 10_000)
    print_ratios([watching(data), stopping(data)], int(values["repeats"].value or 0), "100 steps")
    return 0


def watching(data: Any) -> dict[str, Callable[[], None]]:
    """100 steps and a check: plain, with diagnostics, with histograms too."""
    variants: dict[str, dict[str, Any]] = {
        "steps and check": {},
        "with diagnostics": {"diagnostics": True},
        "with histograms": {"histograms": True},
    }
    placed = {name: first_block(_plan(data, 7, **asked)) for name, asked in variants.items()}
    return {
        name: _hundred_steps(placement, members, placement.init(members), checked=True)
        for name, (placement, members) in placed.items()
    }


def stopping(data: Any) -> dict[str, Callable[[], None]]:
    """100 steps after half of the settings have stopped in every seed: masked, and taken out."""
    plan = _plan(data, 8)
    placements, layout = Placements(plan), plan.layouts[0]
    block = make_blocks(0, layout, 8, len(plan.sweep.seeds))[0]
    remaining = Block(0, configs=tuple(range(0, 8, 2)), seeds=block.seeds)
    narrow = compaction.narrowed(layout, remaining)
    wide, narrower = placements.get(0, layout), placements.get(0, narrow)
    members = wide.members(block)
    state = wide.init(members)
    stopped = np.broadcast_to(np.where(np.arange(8) % 2, 1, -1), state.stopped_check.shape).astype(np.int32)
    states = jax.device_get(state)._replace(stopped_check=stopped)
    fewer = narrower.put(compaction.take(states, block, remaining, narrow))
    return {
        "half of the members masked": _hundred_steps(wide, members, wide.put(states)),
        "half of the members taken out": _hundred_steps(narrower, narrower.members(remaining), fewer),
    }


def _plan(data: Any, rates: int, **asked: Any) -> Plan:
    shared = Hparams(hidden_sizes=(11,), batch_size=1000, num_steps=100 * STEPS, patience=100)
    axes = {"learning_rate": np.geomspace(1e-3, 1, rates).tolist()}
    return make_plan(Experiment(hparams=shared, axes=axes, seeds=10, eval_every=STEPS, **asked), data)


def _hundred_steps(placement: Placement, members: Members, state: Any, *, checked: bool = False) -> Callable[[], None]:
    chunk = placement.layout.chunk_steps
    held: dict[str, Any] = {"state": state}

    def run() -> None:
        state = held["state"]
        measured: list[Any] = []
        for step in range(0, STEPS, chunk):
            state, metrics = placement.train(state, members, step, min(step + chunk, STEPS))
        if checked:
            measured += [placement.watch(name, state, members, 0) for name in placement.compiled.watch]
            state, check = placement.check(state, members, 1)
            measured.append(check)
        held["state"] = jax.block_until_ready(state)
        jax.device_get((metrics, measured))

    return run


if __name__ == "__main__":
    sys.exit(main(sys.argv))
