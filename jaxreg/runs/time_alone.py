"""How long a member takes to train when it has the machine to itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from jaxreg.config.experiment import Experiment
from jaxreg.config.methods import effective_hparams
from jaxreg.config.validation import MAX_STEPS
from jaxreg.data import Data
from jaxreg.population.placement import Placements
from jaxreg.population.planning import make_plan
from jaxreg.runs.runner import Runner
from jaxreg.slow_imports import xr

_DESCRIPTION = "training time of a member that trains alone, without compilation; with checks where patience needs them"


def training_time_alone(members: Mapping[str, Experiment], data: Data, repeats: int) -> xr.DataArray:
    """Training time of single members that train one after another, [method, repeat], in seconds.

    Everything is compiled before, and each member is trained once before time is taken. The repeats are interleaved,
    one of every method and then the next, so that what else the machine does falls on all of them alike. Repeat r
    trains the r-th seed. A member without patience is not checked on the way, and its time is that of its steps; that
    of a member with patience is that of its steps until it stops, and of its checks.

    Args:
      members: by method, experiments of one setting; of seeds only the first counts.
      data: what they are trained on.
      repeats: how often each is timed.
    """
    warm: dict[str, Placements] = {}

    def train(method: str, seed: int) -> float:
        asked = members[method]
        patient = effective_hparams(asked.hparams).patience > 0
        alone = dataclasses.replace(
            asked,
            seeds=1,
            first_seed=asked.first_seed + seed,
            eval_every=asked.eval_every if patient else MAX_STEPS,
            diagnostics=False,
            histograms=False,
            surfaces=False,
            compaction=False,
        )
        plan = make_plan(alone, data)
        # The seed is an argument of the programs, so those of the first one serve all repeats.
        runner = Runner(plan, warm.setdefault(method, Placements(plan)))
        runner.run()
        spent = runner.record.cost.seconds
        return spent["train"] + (spent["evaluate"] if patient else 0.0)

    for method in members:
        train(method, 0)
    seconds = np.array([[train(method, repeat) for method in members] for repeat in range(repeats)])
    return xr.DataArray(
        seconds.T,
        dims=("method", "repeat"),
        coords={"method": list(members)},
        name="training_time_alone",
        attrs={"units": "s", "description": _DESCRIPTION},
    )
