from __future__ import annotations

import pytest
import xarray as xr

from jaxreg.config.experiment import DataConfig, Experiment
from jaxreg.config.hparams import Hparams
from jaxreg.config.sweeps import Sweep
from jaxreg.runs.history import History
from tests.results.measured import RATES, SEEDS, SIZES, STEPS, measured


@pytest.fixture(scope="module")
def unequal() -> tuple[Sweep, list[History], xr.Dataset]:
    """Groups of unequal length and batch size: rate x batch_size x num_steps, checks every 5 steps."""
    return measured(
        Experiment(
            name="lengths",
            hparams=Hparams(hidden_sizes=(8, 4)),
            axes={"learning_rate": RATES, "batch_size": SIZES, "num_steps": STEPS},
            data=DataConfig(downsample=2),
            seeds=SEEDS,
            first_seed=3,
            eval_every=5,
            record_every=4,
        )
    )
