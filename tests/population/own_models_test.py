"""What a sweep promises holds for models of one's own: drawing, carrying statistics, and taking images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from jaxreg.config.experiment import Experiment
from jaxreg.errors import Stopped
from jaxreg.runs.block_training import Hooks
from jaxreg.runs.checkpoints.store import Checkpoints
from jaxreg.runs.interruption import Interruption
from jaxreg.training.flax_models import from_linen, from_nnx
from jaxreg.training.problem import Problem
from tests.flax_modules import BatchNormed, Convolutional, NnxBatchNormed
from tests.training_run import (
    StopAfter,
    assert_same_bits,
    assert_within_tolerance,
    dataset_of,
    experiment,
    restored,
    runner,
    train,
)

OWN: dict[str, tuple[Problem, dict[str, Any]]] = {
    "convolutional with dropout": (Problem(from_linen(Convolutional(), flat=False)), {"dropout_rate": 0.3}),
    "batch norm in Linen": (Problem(from_linen(BatchNormed())), {}),
    "batch norm in NNX": (Problem(from_nnx(NnxBatchNormed)), {}),
}


@pytest.fixture(scope="module", params=OWN)
def own(request: pytest.FixtureRequest) -> tuple[Problem, Experiment, xr.Dataset]:
    """A model, a sweep of two rates and two seeds, and its results on one device."""
    problem, hparams = OWN[request.param]
    asked = experiment({"learning_rate": [0.1, 0.3]}, seeds=2, num_steps=12, eval_every=4, **hparams)
    return problem, asked, train(asked, problem=problem)


def test_a_member_alone_follows_its_curve_and_has_its_bits_beside_others(
    own: tuple[Problem, Experiment, xr.Dataset],
) -> None:
    problem, asked, swept = own
    alone: dict[str, Any] = {
        "learning_rate": 0.1,
        "dropout_rate": asked.hparams.dropout_rate,
        "num_steps": 12,
        "eval_every": 4,
    }
    solo = train(experiment(first_seed=1, **alone), problem=problem)
    assert_within_tolerance(solo.isel(seed=0), swept.sel(learning_rate=0.1, seed=1))
    others = {"learning_rate": [1e30, 0.1]}
    del alone["learning_rate"]
    beside = train(experiment(others, seeds=2, **alone), problem=problem)
    assert (beside["diverged_step"].sel(learning_rate=1e30) >= 0).all()
    assert_same_bits(beside.sel(learning_rate=0.1), swept.sel(learning_rate=0.1))


def test_it_is_the_same_resumed_in_chunks_and_on_two_devices(
    own: tuple[Problem, Experiment, xr.Dataset], tmp_path: Path
) -> None:
    problem, asked, whole = own
    stopped = runner(asked, problem=problem, chunk_steps=3)
    with pytest.raises(Stopped):
        stopped.run(Hooks(Checkpoints(tmp_path, "same"), Interruption("run", StopAfter(2))))
    resumed = restored(runner(asked, problem=problem, chunk_steps=3), tmp_path)
    resumed.run()
    assert resumed.record.member_steps > 0
    assert_same_bits(dataset_of(resumed), whole)
    assert_within_tolerance(train(asked, problem=problem, devices=2), whole)


def test_members_differ(own: tuple[Problem, Experiment, xr.Dataset]) -> None:
    _, _, swept = own
    assert len(np.unique(swept["train_loss"].values[..., -1])) == swept["train_loss"][..., -1].size
