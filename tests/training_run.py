"""Short runs on scikit-learn's digits, for tests of what a sweep promises."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np
import xarray as xr

from jaxreg.config.hparams import Experiment, Hparams, validate
from jaxreg.config.sweeps import make_sweep
from jaxreg.data import Data, load
from jaxreg.results import make_dataset
from jaxreg.runs.runner import Runner, plan_layout
from jaxreg.training.member import Problem

SHARED: dict[str, Any] = {"hidden_sizes": (8,), "num_steps": 60, "batch_size": 20}


def experiment(axes: dict[str, Any] | None = None, seeds: int = 1, **other: Any) -> Experiment:
    """An experiment on digits; names of hyperparameters in `other` set what all members share."""
    shared = SHARED | {name: other.pop(name) for name in list(other) if name in Hparams.__dataclass_fields__}
    checked = Experiment(hparams=Hparams(**shared), axes=axes or {}, seeds=seeds, **other)
    validate(checked)
    return checked


def runner(asked: Experiment, *, devices: int = 1, problem: Problem | None = None, **layout: Any) -> Runner:
    """A runner on so many devices, with parts of its layouts replaced."""
    data = load(asked.data)
    made = Runner(asked, make_sweep(asked, len(data.train.labels)), data, problem or Problem())
    if not asked.layout:
        made.layouts = [
            plan_layout(group, made.sweep, data, problem or Problem(), asked, devices=jax.devices()[:devices])
            for group in made.sweep.groups
        ]
    if layout:
        made.layouts = [dataclasses.replace(chosen, **layout) for chosen in made.layouts]
    return made


def train(asked: Experiment, **how: Any) -> xr.Dataset:
    """The results of an experiment."""
    made = runner(asked, **how)
    made.run()
    return make_dataset(made.sweep, made.histories, data_of(asked), asked)


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
