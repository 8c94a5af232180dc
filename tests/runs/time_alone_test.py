from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from jaxreg.config import DataConfig, Experiment, Hparams
from jaxreg.data import load
from jaxreg.population.layout import Layout
from jaxreg.population.placement import Placement, Placements
from jaxreg.runs import time_alone
from jaxreg.runs.runner import Runner

DATA = load(DataConfig("moons", num_points=40, validation_size=20))


def member(method: str, **hparams: Any) -> Experiment:
    shared = Hparams(hidden_sizes=(4,), batch_size=10, num_steps=40, l2_strength=0.1, patience=1, learning_rate=3.0)
    chosen = dataclasses.replace(shared, method=method, **hparams)
    return Experiment(hparams=chosen, first_seed=5, eval_every=4, surfaces=True)


def test_repeats_are_interleaved_warm_and_of_one_seed_each(monkeypatch: pytest.MonkeyPatch) -> None:
    trained, checks, compiled = [], [], []
    run, get = Runner.run, Placements.get

    def watched_run(self: Runner) -> None:
        run(self)
        sweep = self.plan.sweep
        (config,) = sweep.groups[0].configs
        trained.append((config.l2_strength, config.patience, *sweep.seeds))
        checks.append(len(sweep.groups[0].check_steps))

    def watched_get(self: Placements, number: int, layout: Layout) -> Placement:
        before = self.compilations
        placement = get(self, number, layout)
        compiled.extend([len(trained)] * (self.compilations - before))
        return placement

    monkeypatch.setattr(Runner, "run", watched_run)
    monkeypatch.setattr(Placements, "get", watched_get)
    seconds = time_alone.training_time_alone({"l2": member("l2"), "early_stopping": member("early_stopping")}, DATA, 3)
    l2, early = (0.1, 0), (0.0, 1)
    seeds = [5, 5, 5, 5, 6, 6, 7, 7]  # the first pair warms up
    assert trained == [(*method, seed) for method, seed in zip([l2, early] * 4, seeds, strict=True)]
    assert compiled == [0, 1]
    assert checks == [2, 11] * 4  # without patience only before the first and after the last step
    assert (seconds.dims, seconds["method"].values.tolist()) == (("method", "repeat"), ["l2", "early_stopping"])
    assert seconds.shape == (2, 3)
    assert (seconds > 0).all()
    assert seconds.attrs["units"] == "s"


def test_time_is_that_of_the_steps_and_with_patience_that_of_the_checks_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def spend(self: Runner) -> None:
        self.record.cost.seconds |= {"compile": 100.0, "train": 2.0, "evaluate": 0.5, "write": 30.0}

    monkeypatch.setattr(Runner, "run", spend)
    members = {"none": member("none"), "early_stopping": member("early_stopping"), "all": member("all", patience=0)}
    seconds = time_alone.training_time_alone(members, DATA, 2)
    np.testing.assert_array_equal(seconds, [[2, 2], [2.5, 2.5], [2, 2]])
