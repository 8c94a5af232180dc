"""jaxreg's own step loop, through the interface that its runs use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from benchmarks.engine import first_block, matrix_products
from benchmarks.peers.loops import Loop
from benchmarks.workloads import Arrays, Workload
from jaxreg.config.experiment import Experiment
from jaxreg.config.hparams import Hparams
from jaxreg.data import Data, from_arrays
from jaxreg.hardware import use_all_cores
from jaxreg.population.placement import Members, Placement
from jaxreg.population.planning import make_plan

NEVER = 10**6  # steps to a check that does not come


def jaxreg(workload: Workload, arrays: Arrays) -> Mapping[str, Loop]:
    """A chunk of steps, as a run trains it between two checks."""
    use_all_cores()
    placement, members = first_block(make_plan(experiment_of(workload), data_of(arrays)))
    return {str(placement.layout): chunks(placement, members, workload.members)}


def products(workload: Workload, _: Arrays) -> Mapping[str, Loop]:
    """The two large matrix products of a step, as in `benchmarks.engine`; "member-steps" are those they would be."""
    use_all_cores()
    about = 1e9 * min(20, workload.batch)  # a fifth of a second: small batches are limited by memory
    functions, operations = matrix_products(workload.batch, workload.rates * workload.hidden, about)
    ways = ("JAX, one device", "JAX, one device per core", "NumPy")
    return {way: Loop(run, round(operations / workload.operations)) for way, run in zip(ways, functions, strict=True)}


def experiment_of(workload: Workload, eval_every: int = NEVER, layout: str | None = None, **changed: Any) -> Experiment:
    """The sweep of a workload; `changed` are other hyperparameters that all members share."""
    shared: dict[str, Any] = {"hidden_sizes": (workload.hidden,), "batch_size": workload.batch, "num_steps": NEVER}
    return Experiment(
        hparams=Hparams(**shared | changed),
        axes={"learning_rate": workload.learning_rates},
        seeds=workload.seeds,
        eval_every=eval_every,
        layout=layout,
    )


def data_of(arrays: Arrays, num_validation: int = 1000, num_test: int = 1000) -> Data:
    """Arrays as jaxreg takes them; what is held out is a part of them."""
    inputs, labels = arrays
    validation, test = ((inputs[:n], labels[:n]) for n in (num_validation, num_test))
    return from_arrays(arrays, validation, test)


def chunks(placement: Placement, members: Members, num_members: int, eval_every: int = 0) -> Loop:
    """A chunk of steps; with `eval_every` so many steps and the check that ends them. A call goes on from the last."""
    steps, layout = eval_every or placement.layout.chunk_steps, placement.layout
    state, first, number = placement.init(members), 0, 0

    def run() -> None:
        nonlocal state, first, number
        for begin in range(first, first + steps, layout.chunk_steps):
            stop = min(begin + layout.chunk_steps, first + steps)
            state, measured = placement.train(state, members, begin, stop)
        if eval_every:
            state, check = placement.check(state, members, number)
            jax.device_get(check)
        jax.block_until_ready((state, measured))
        if (np.asarray(state.diverged_step) >= 0).any():
            raise RuntimeError("members have diverged, and a tile of them takes no time")
        first, number = first + steps, number + 1

    return Loop(run, steps * min(num_members, layout.width))
