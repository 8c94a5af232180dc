"""Made-up measurements of sweeps on a data set of three classes, and their labelled results."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from jaxreg.config.hparams import Experiment
from jaxreg.config.sweeps import Sweep, make_sweep
from jaxreg.data import Data, from_arrays
from jaxreg.results import make_dataset
from jaxreg.runs.history import History

RATES, SIZES, STEPS, SEEDS = (0.1, 0.2, 0.3), (5, 10), (10, 25), 4


def small_data(num_train: int = 200) -> Data:
    def split(count: int) -> tuple[np.ndarray, np.ndarray]:
        return np.ones((count, 2), np.float32), np.arange(count) % 3

    return from_arrays(split(num_train), split(9), split(12), name="threes")


def filled(group: Any, seeds: int, record_every: int, rng: np.random.Generator) -> History:
    """A history of made-up measurements, every member at its end."""
    history = History(group, seeds, record_every, num_classes=3)
    for values in history.arrays.values():
        if values.dtype.kind == "f":
            values[...] = rng.uniform(0.1, 2, values.shape)
    history.arrays["best_check"][...] = history.arrays["validation_loss"].argmin(-1)
    history.arrays["checks_done"][...] = len(group.check_steps)
    return history


def measured(experiment: Experiment, key: int = 0) -> tuple[Sweep, list[History], xr.Dataset]:
    data, rng = small_data(), np.random.default_rng(key)
    sweep = make_sweep(experiment, len(data.train.labels))
    histories = [filled(group, len(sweep.seeds), sweep.record_every, rng) for group in sweep.groups]
    return sweep, histories, make_dataset(sweep, histories, data, experiment)
