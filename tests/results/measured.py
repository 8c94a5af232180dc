"""Made-up measurements of sweeps on a data set of three classes, and their labelled results."""

from __future__ import annotations

import numpy as np
import xarray as xr

from jaxreg.config.experiment import Experiment
from jaxreg.config.sweeps import Group, Sweep
from jaxreg.data import Data, from_arrays
from jaxreg.population.planning import Plan, make_plan
from jaxreg.results.dataset import make_dataset
from jaxreg.runs.history import History

RATES, SIZES, STEPS, SEEDS = (0.1, 0.2, 0.3), (5, 10), (10, 25), 4


def small_data(num_train: int = 200, classes: int = 3) -> Data:
    def split(count: int) -> tuple[np.ndarray, np.ndarray]:
        return np.ones((count, 2), np.float32), np.arange(count) % classes

    return from_arrays(split(num_train), split(9), split(12), name="threes")


def filled(plan: Plan, group: Group, rng: np.random.Generator) -> History:
    """A history of made-up measurements, every member at its end."""
    history = History(plan, group)
    for values in history.arrays.values():
        if values.dtype.kind == "f":
            values[...] = rng.uniform(0.1, 2, values.shape)
    history.arrays["best_check"][...] = history.arrays["validation_loss"].argmin(-1)
    history.arrays["checks_done"][...] = len(group.check_steps)
    return history


def measured(experiment: Experiment, key: int = 0) -> tuple[Sweep, list[History], xr.Dataset]:
    plan, rng = make_plan(experiment, small_data()), np.random.default_rng(key)
    histories = [filled(plan, group, rng) for group in plan.sweep.groups]
    return plan.sweep, histories, make_dataset(plan, histories)
