"""Short runs on scikit-learn's digits, for tests of what a sweep promises."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr

from jaxreg.config.consistency import validate
from jaxreg.config.experiment import Experiment
from jaxreg.config.hparams import Hparams
from jaxreg.data import Data, load
from jaxreg.diagnostics.watch import Watch
from jaxreg.population.blocks import make_blocks
from jaxreg.population.placement import Placements, place_block, put_data, train_arguments
from jaxreg.population.planning import Plan, make_plan
from jaxreg.results.dataset import make_dataset
from jaxreg.runs.checkpoints.store import Checkpoints
from jaxreg.runs.runner import Runner
from jaxreg.runs.signals import SignalGuard
from jaxreg.training.problem import Problem

SHARED: dict[str, Any] = {"hidden_sizes": (8,), "num_steps": 60, "batch_size": 20}


def experiment(axes: dict[str, Any] | None = None, seeds: int = 1, **other: Any) -> Experiment:
    """An experiment on digits; names of hyperparameters in `other` set what all members share."""
    shared = SHARED | {name: other.pop(name) for name in list(other) if name in Hparams.__dataclass_fields__}
    checked = Experiment(hparams=Hparams(**shared), axes=axes or {}, seeds=seeds, **other)
    validate(checked)
    return checked


def plan(
    asked: Experiment,
    *,
    devices: int = 1,
    problem: Problem | None = None,
    watches: Sequence[Watch] = (),
    data: Data | None = None,
    **layout: Any,
) -> Plan:
    """A plan on so many devices, with parts of its layouts replaced; tiles are made to divide what there is."""
    made = make_plan(asked, data or load(asked.data), problem, watches, devices=jax.devices()[:devices])
    return dataclasses.replace(
        made, layouts=tuple(dataclasses.replace(old, **layout).resized() for old in made.layouts)
    )


def runner(asked: Experiment, **how: Any) -> Runner:
    """A runner of such a plan."""
    return Runner(plan(asked, **how))


def dataset_of(made: Runner) -> xr.Dataset:
    """What a runner has measured so far, labelled."""
    return make_dataset(made.plan, made.record.histories)


class StopAfter(SignalGuard):
    """A guard that asks to leave once it has been looked at so many times."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.looks = looks

    @property
    def stop(self) -> int | None:
        self.looks -= 1
        return 15 if self.looks < 0 else None

    @stop.setter
    def stop(self, value: int | None) -> None:
        pass


def restored(made: Runner, folder: Path) -> Runner:
    """A runner that goes on from the last checkpoint in a folder."""
    found = Checkpoints(folder, "same").latest()
    assert found is not None
    made.restore(found)
    return made


def train(asked: Experiment, **how: Any) -> xr.Dataset:
    """The results of an experiment."""
    made = runner(asked, **how)
    made.run()
    return dataset_of(made)


def training_program(made: Plan) -> str:
    """The text of the training program of the first group, as lowered, without metadata."""
    programs = Placements(made).programs(made.layouts[0])
    block = make_blocks(0, made.layouts[0], len(made.sweep.groups[0].configs), len(made.sweep.seeds))[0]
    members = place_block(programs, made, block)
    arguments = train_arguments(
        programs, made.sweep.groups[0], members, put_data(made.data, made.watches, made.layouts[0].devices), 0, 0
    )
    lowered: str = programs.train.lower(programs.state_shapes(members.population), *arguments).as_text()
    return lowered


def data_of(asked: Experiment) -> Data:
    """The digits."""
    return load(asked.data)


def assert_same_bits(a: xr.Dataset, b: xr.Dataset) -> None:
    """Every measurement is equal bit for bit; times are not measurements."""
    assert set(a.data_vars) == set(b.data_vars)
    for name in a.data_vars:
        x, y = a[name].values, b[name].values
        assert x.shape == y.shape, name
        assert np.array_equal(x.view(np.uint32), y.view(np.uint32)), f"{name} differs"


def assert_within_tolerance(a: xr.Dataset, b: xr.Dataset, num_examples: int = 300) -> None:
    """Losses |a - b| <= 1e-3 |b| + 1e-6, accuracies within 2 examples, the same members diverged."""
    for name in a.data_vars:
        x, y = a[name].values.astype(float), b[name].values.astype(float)
        if "accuracy" in str(name):
            size = 1197 if name == "train_accuracy" else num_examples
            np.testing.assert_allclose(x, y, rtol=0, atol=2.001 / size, err_msg=str(name))
        elif "loss" in str(name) or "objective" in str(name):
            np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-6, err_msg=str(name))
        else:
            np.testing.assert_array_equal(x, y, err_msg=str(name))
