"""What a sweep promises of runs that are stopped and go on, and of members that halt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import xarray as xr

from jaxreg.config.experiment import Experiment
from jaxreg.errors import Stopped
from jaxreg.runs.block_training import Hooks
from jaxreg.runs.checkpoints.store import Checkpoints
from jaxreg.runs.interruption import Interruption
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

RATES = [0.03, 0.1, 0.3]


# 3. Resume = uninterrupted


IN_BLOCKS = experiment({"learning_rate": RATES, "batch_size": [10, 20]}, seeds=2, members_per_program=3)


@pytest.fixture(scope="module")
def uninterrupted() -> xr.Dataset:
    """Two groups in blocks of three members, in chunks of two steps."""
    return train(IN_BLOCKS, chunk_steps=2)


@pytest.mark.parametrize("looks", [0, 1, 30], ids=lambda looks: f"stopped at look {looks}")
def test_a_resumed_run_ends_with_the_bits_of_one_that_never_stopped(
    looks: int, uninterrupted: xr.Dataset, tmp_path: Path
) -> None:
    stopped = runner(IN_BLOCKS, chunk_steps=2)
    hooks = Hooks(Checkpoints(tmp_path, "same"), Interruption("run", StopAfter(looks)))
    with pytest.raises(Stopped) as stop:
        stopped.run(hooks)
    assert stop.value.exit_code == 143

    resumed = restored(runner(IN_BLOCKS, chunk_steps=2), tmp_path)
    resumed.run()
    assert 0 < resumed.record.member_steps == resumed.record.total_member_steps
    assert_same_bits(dataset_of(resumed), uninterrupted)


def test_a_resumed_run_keeps_the_recorded_layout(tmp_path: Path) -> None:
    asked = experiment({"learning_rate": RATES})
    stopped = runner(asked, chunk_steps=3, devices=2)
    hooks = Hooks(Checkpoints(tmp_path, "same"), Interruption("run", StopAfter(2)))
    with pytest.raises(Stopped):
        stopped.run(hooks)
    resumed = restored(runner(asked, devices=1), tmp_path)
    resumed.run()
    assert resumed.record.layouts == stopped.record.layouts != runner(asked, devices=1).record.layouts


def test_a_finished_run_has_its_parameters_in_its_checkpoint(tmp_path: Path) -> None:
    asked = experiment({"learning_rate": RATES}, seeds=2)
    finished = runner(asked)
    finished.run(Hooks(Checkpoints(tmp_path, "same")))
    again = restored(runner(asked), tmp_path)
    again.run()
    assert again.placements.compilations == 0
    for kept, made in zip(jax.tree.leaves(again.record.params), jax.tree.leaves(finished.record.params), strict=True):
        np.testing.assert_array_equal(kept, made)


# A member that halts changes nobody else


def test_a_diverged_member_keeps_its_last_finite_state_and_leaves_the_others_alone() -> None:
    shape = {"hidden_sizes": (32, 32, 32), "activation": "relu"}
    beside = runner(experiment({"learning_rate": [0.01, 1e6]}, seeds=2, **shape))
    beside.run()
    calm = train(experiment({"learning_rate": [0.01, 0.02]}, seeds=2, **shape))
    results = dataset_of(beside)
    assert_same_bits(results.sel(learning_rate=0.01), calm.sel(learning_rate=0.01))

    halted = results.sel(learning_rate=1e6)
    assert (halted["diverged_step"] >= 0).all()
    assert (results["diverged_step"].sel(learning_rate=0.01) == -1).all()
    assert np.isnan(halted["final_test_loss"]).all()
    assert np.isfinite(halted["best_validation_loss"]).all()
    for loss, step in zip(halted["train_loss"].values, halted["diverged_step"].values, strict=True):
        assert np.isfinite(loss[:step]).all()
        assert np.isnan(loss[step + 1 :]).all()
    for leaf in jax.tree.leaves(beside.record.params):
        assert np.isfinite(leaf).all()


# Early stopping

SHORT: dict[str, Any] = {"num_steps": 150, "eval_every": 5}
STOPPING = SHORT | {"patience": 3}


def test_a_member_stops_in_a_sweep_at_the_check_at_which_it_stops_alone() -> None:
    swept = train(experiment({"learning_rate": [4.0, 8.0], "patience": [1, 3]}, seeds=2, **SHORT))
    assert (swept["stopped_check"] >= 0).sum() >= 4
    for rate, patience in ((4.0, 1), (8.0, 3)):
        alone = train(experiment(learning_rate=rate, patience=patience, first_seed=1, **SHORT))
        member = swept.sel(learning_rate=rate, patience=patience, seed=1)
        for name in ("stopped_check", "best_check"):
            assert alone[name].item() == member[name].item()
        assert_within_tolerance(alone.isel(seed=0), member)


def test_what_a_stopped_member_keeps_is_that_of_the_run_that_goes_on_until_its_stop() -> None:
    axes, seeds = {"learning_rate": [0.1, 4.0, 8.0]}, 2
    halting = train(experiment(axes, seeds=seeds, compaction=False, **STOPPING))
    going_on = train(experiment(axes, seeds=seeds, after_stop="continue", **STOPPING))
    np.testing.assert_array_equal(halting["stopped_check"], going_on["stopped_check"])
    stopped = halting["stopped_check"]
    assert (stopped >= 0).any()
    until = (xr.DataArray(np.arange(halting.sizes["check"]), dims="check") <= stopped) | (stopped < 0)
    for name in ("validation_loss", "test_accuracy", "test_batch_loss"):
        np.testing.assert_array_equal(halting[name], going_on[name].where(until))
    at_stop = going_on["test_accuracy"].isel(check=stopped.where(stopped >= 0, halting.sizes["check"] - 1))
    np.testing.assert_array_equal(halting["final_test_accuracy"], at_stop)
    np.testing.assert_array_equal(
        halting["best_check"].where(stopped >= 0), (stopped - STOPPING["patience"]).where(stopped >= 0)
    )


@pytest.fixture(scope="module")
def waiting() -> tuple[Experiment, xr.Dataset]:
    """A sweep in which members wait for a lower loss at different times."""
    asked = experiment({"learning_rate": [0.1, 4.0, 8.0]}, seeds=2, **STOPPING)
    return asked, train(asked)


@pytest.mark.parametrize("looks", [2, 20], ids=lambda looks: f"stopped at look {looks}")
def test_patience_goes_on_counting_after_a_resume_within_its_window(
    waiting: tuple[Experiment, xr.Dataset], looks: int, tmp_path: Path
) -> None:
    asked, uninterrupted = waiting
    stopped = runner(asked)
    hooks = Hooks(Checkpoints(tmp_path, "same"), Interruption("run", StopAfter(looks)))
    with pytest.raises(Stopped):
        stopped.run(hooks)
    done = dataset_of(stopped)
    now, best = done["checks_done"] - 1, done["best_check"]
    in_its_window = (done["stopped_check"] < 0) & (now > best) & (uninterrupted["stopped_check"] > now)
    assert in_its_window.any()
    resumed = restored(runner(asked), tmp_path)
    resumed.run()
    assert_same_bits(dataset_of(resumed), uninterrupted)
