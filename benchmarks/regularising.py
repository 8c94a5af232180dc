"""What regularisers cost, in one run: `python -m benchmarks.regularising`.

Workload: 7 rates x 10 seeds, 784-32-10 ReLU, batch 32, 55 000 images, 500 steps; without any term, with each of them in
every member, and with all five. The variants are timed in turn and compared pair by pair, because a shared machine
drifts. A term that no member needs is not compiled in, so that its cost is that of the first row.
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
from jaxreg.data import Data
from jaxreg.hardware import use_all_cores
from jaxreg.population.planning import make_plan

STEPS = 500
STRENGTHS = {
    "l1": {"l1_strength": 1e-4},
    "l2": {"l2_strength": 1e-3},
    "kl": {"kl_strength": 1e-3},
    "max_norm": {"max_norm": 3.0},
    "dropout": {"dropout_rate": 0.5},
}


def main(argv: list[str]) -> int:
    """Prints the ratios; returns 0."""
    values = flags.FlagValues()
    flags.DEFINE_integer("repeats", 7, "Timed repeats of every variant, in turn.", 2, flag_values=values)
    values(argv)
    use_all_cores()
    data = made_up_data(100, 100)
    everything = {name: value for strengths in STRENGTHS.values() for name, value in strengths.items()}
    variants = {"no term": _steps(data)}
    variants |= {name: _steps(data, **strengths) for name, strengths in STRENGTHS.items()}
    variants["all five"] = _steps(data, **everything)
    print_ratios([variants], int(values["repeats"].value or 0), f"{STEPS} steps")
    return 0


def _steps(data: Data, **strengths: Any) -> Callable[[], None]:
    """STEPS steps of all members."""
    shared = Hparams(activation="relu", init="torch", batch_size=32, num_steps=100 * STEPS, **strengths)
    axes = {"learning_rate": np.geomspace(0.01, 0.1, 7).tolist()}
    experiment = Experiment(hparams=shared, axes=axes, seeds=10, eval_every=STEPS)
    placement, members = first_block(make_plan(experiment, data))
    chunk = placement.layout.chunk_steps
    held: dict[str, Any] = {"state": placement.init(members)}

    def run() -> None:
        state = held["state"]
        for step in range(0, STEPS, chunk):
            state, metrics = placement.train(state, members, step, min(step + chunk, STEPS))
        held["state"] = jax.block_until_ready(state)
        jax.device_get(metrics)

    return run


if __name__ == "__main__":
    sys.exit(main(sys.argv))
