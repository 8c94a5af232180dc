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

from benchmarks.engine import EXAMPLES, made_up_data, print_ratios
from jaxreg.config import Experiment, Hparams
from jaxreg.config.sweeps import make_sweep
from jaxreg.hardware import use_all_cores
from jaxreg.runs.history import Block
from jaxreg.runs.runner import Crew, Runner
from jaxreg.training.batches import Cursor
from jaxreg.training.problem import Problem

STEPS = 100
NOW = Cursor(np.uint32(0), np.uint32(0))


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
    return {
        "steps and check": _hundred_steps(*_everyone(data, 7), checked=True),
        "with diagnostics": _hundred_steps(*_everyone(data, 7, diagnostics=True), checked=True),
        "with histograms": _hundred_steps(*_everyone(data, 7, histograms=True), checked=True),
    }


def stopping(data: Any) -> dict[str, Callable[[], None]]:
    """100 steps after half of the settings have stopped in every seed: masked, and taken out."""
    runner, everyone, state = _everyone(data, 8)
    stopped = np.broadcast_to(np.where(np.arange(8) % 2, 1, -1), state.stopped_check.shape).astype(np.int32)
    states = jax.device_get(state._replace(stopped_check=stopped))
    masked = jax.device_put(states, everyone.programs.members)
    left = Block(0, configs=tuple(range(0, 8, 2)), seeds=everyone.block.seeds)
    return {
        "half of the members masked": _hundred_steps(runner, everyone, masked),
        "half of the members taken out": _hundred_steps(runner, *runner._fewer(everyone, left, states)),
    }


def _everyone(data: Any, rates: int, **asked: Any) -> tuple[Runner, Crew, Any]:
    shared = Hparams(hidden_sizes=(11,), batch_size=1000, num_steps=100 * STEPS, patience=100)
    axes = {"learning_rate": np.geomspace(1e-3, 1, rates).tolist()}
    experiment = Experiment(hparams=shared, axes=axes, seeds=10, eval_every=STEPS, **asked)
    runner = Runner(experiment, make_sweep(experiment, EXAMPLES), data, Problem())
    programs, compiled = runner._compile(0, shrink=False)
    block = runner._blocks(0)[0]
    crew = Crew(block, programs, compiled, runner._place(programs, block))
    return runner, crew, compiled.init(crew.population)


def _hundred_steps(runner: Runner, crew: Crew, state: Any, *, checked: bool = False) -> Callable[[], None]:
    compiled, population, chunk = crew.compiled, crew.population, crew.programs.layout.chunk_steps
    train, validation, test, probe = runner._on_devices(crew.programs.layout.devices)
    held: dict[str, Any] = {"state": state}

    def run() -> None:
        state = held["state"]
        measured: list[Any] = []
        for step in range(0, STEPS, chunk):
            stop = np.int32(min(step + chunk, STEPS))
            state, metrics = compiled.train(state, population, train, NOW, np.int32(step), stop)
        if checked and compiled.diagnose:
            measured.append(compiled.diagnose(state, population, probe, np.int32(0)))
        if checked:
            state, check = compiled.check(state, population, validation, test, NOW, np.int32(1))
            measured.append(check)
        held["state"] = jax.block_until_ready(state)
        jax.device_get((metrics, measured))

    return run


if __name__ == "__main__":
    sys.exit(main(sys.argv))
