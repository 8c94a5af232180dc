"""What a sweep promises holds for models and data of one's own: drawing, carrying statistics, images, numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from jaxreg.config.experiment import DataConfig, Experiment
from jaxreg.data import Data, from_arrays, load
from jaxreg.data.arrays import Split
from jaxreg.errors import Stopped
from jaxreg.population.placement import Placements
from jaxreg.runs.block_training import Hooks
from jaxreg.runs.checkpoints.store import Checkpoints
from jaxreg.runs.interruption import Interruption
from jaxreg.runs.runner import Runner
from jaxreg.training.flax_models import from_linen, from_nnx
from jaxreg.training.problem import Problem
from tests.flax_modules import BatchNormed, Convolutional, NnxBatchNormed
from tests.training_run import (
    StopAfter,
    assert_same_bits,
    assert_within_tolerance,
    dataset_of,
    experiment,
    plan,
    restored,
    train,
)


def numbers() -> Data:
    """Digits of which the brightness of each row is to be told."""

    def part(split: Split) -> tuple[Any, Any]:
        return split.inputs, split.inputs.reshape(-1, 8, 8).mean(2)

    digits = load(DataConfig())
    return from_arrays(part(digits.train), part(digits.validation), part(digits.test), name="rows of digits")


def from_a_file(folder: Path, ending: str) -> Data:
    """A part of the digits, as a file of one's own holds them."""
    inputs, labels = load(DataConfig()).train
    inputs, labels = inputs[:300], labels[:300]
    if ending == "npz":
        np.savez(folder / "own.npz", x=inputs, y=labels)
    else:
        table = pd.DataFrame(inputs, columns=[f"pixel {number}" for number in range(inputs.shape[1])])
        table.assign(label=labels).to_csv(folder / "own.csv", index=False)
    return load(DataConfig(dataset=str(folder / f"own.{ending}")))


class Own(NamedTuple):
    """A model or data of one's own, with a sweep of two rates and two seeds, and its results on one device."""

    how: dict[str, Any]
    hparams: dict[str, Any]
    swept: xr.Dataset

    @property
    def asked(self) -> Experiment:
        return experiment({"learning_rate": [0.1, 0.3]}, seeds=2, **SHORT, **self.hparams)


SHORT: dict[str, Any] = {"num_steps": 12, "eval_every": 4}
OWN: dict[str, Callable[[Path], tuple[dict[str, Any], dict[str, Any]]]] = {
    "convolutional with dropout": lambda _: (
        {"problem": Problem(from_linen(Convolutional(), flat=False))},
        {"dropout_rate": 0.3},
    ),
    "batch norm in Linen": lambda _: ({"problem": Problem(from_linen(BatchNormed()))}, {}),
    "batch norm in NNX": lambda _: ({"problem": Problem(from_nnx(NnxBatchNormed))}, {}),
    "regression with squared error": lambda _: ({"data": numbers()}, {"loss": "squared_error"}),
    "a set from .csv": lambda folder: ({"data": from_a_file(folder, "csv")}, {}),
}


@pytest.fixture(scope="module", params=OWN)
def own(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Own:
    how, hparams = OWN[request.param](tmp_path_factory.mktemp("data"))
    made = Own(how, hparams, xr.Dataset())
    return made._replace(swept=train(made.asked, **how))


def test_a_member_alone_follows_its_curve_and_has_its_bits_beside_others(own: Own) -> None:
    solo = train(experiment(first_seed=1, learning_rate=0.1, **SHORT, **own.hparams), **own.how)
    assert_within_tolerance(solo.isel(seed=0), own.swept.sel(learning_rate=0.1, seed=1))
    others = experiment({"learning_rate": [1e30, 0.1]}, seeds=2, **SHORT, **own.hparams)
    beside = train(others, **own.how)
    assert (beside["diverged_step"].sel(learning_rate=1e30) >= 0).all()
    assert_same_bits(beside.sel(learning_rate=0.1), own.swept.sel(learning_rate=0.1))


def test_it_is_the_same_resumed_in_chunks_and_on_two_devices(own: Own, tmp_path: Path) -> None:
    chunked = plan(own.asked, chunk_steps=3, **own.how)
    placements = Placements(chunked)  # programs that both runners use
    stopped = Runner(chunked, placements)
    with pytest.raises(Stopped):
        stopped.run(Hooks(Checkpoints(tmp_path, "same"), Interruption("run", StopAfter(2))))
    resumed = restored(Runner(chunked, placements), tmp_path)
    resumed.run()
    assert resumed.record.member_steps > 0
    assert_same_bits(dataset_of(resumed), own.swept)
    assert_within_tolerance(train(own.asked, devices=2, **own.how), own.swept)


def test_members_of_a_seed_start_alike_and_then_differ(own: Own) -> None:
    losses = own.swept["train_loss"].values
    assert (losses[0, :, 0] == losses[1, :, 0]).all()
    assert len(np.unique(losses[..., -1])) == losses[..., -1].size


def test_a_set_is_the_same_from_whatever_file(tmp_path: Path) -> None:
    """What is trained on is told by the digest: what holds for the set from .csv holds for that from .npz."""
    table, arrays = from_a_file(tmp_path, "csv"), from_a_file(tmp_path, "npz")
    assert table.digest == arrays.digest
    assert [part.labels.tolist() for part in table.splits.values()] == [
        p.labels.tolist() for p in arrays.splits.values()
    ]
