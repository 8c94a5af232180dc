from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from jaxreg.measures import (
    as_kept,
    best_so_far,
    best_step,
    kept_test_error,
    last_objective,
    late_validation_loss,
    overfitting,
    per_epoch,
    steps_taken,
    stopped_check,
    stopping,
)
from tests.experiments.methods import made
from tests.synthetic import make_results


def patient(loss: object, patience: int) -> int:
    """A loop that waits, as one would write it for one member."""
    best, lowest = 0, np.inf
    for check, value in enumerate(np.asarray(loss, float)):
        if value < lowest:
            best, lowest = check, value
        if patience > 0 and check - best >= patience and not np.isnan(value):
            return check
    return -1


@pytest.mark.parametrize(
    ("loss", "patience", "check"),
    [
        ([3, 2, 1, 2, 3], 1, 3),
        ([3, 2, 1, 2, 3], 2, 4),
        ([3, 2, 1, 2, 3], 3, -1),
        ([3, 2, 2, 2, 1], 2, 3),  # an equal loss is no improvement
        ([3, 2, 2.5, 1, 2], 2, -1),  # waiting begins again
        ([1, 2, 3], 0, -1),  # off
        ([1, 2, np.nan, np.nan], 2, -1),  # diverged, not stopped
    ],
)
def test_patience_runs_out_by_hand(loss: list[float], patience: int, check: int) -> None:
    assert stopped_check(xr.DataArray(loss, dims="check"), patience).item() == check


@given(st.lists(st.lists(st.integers(0, 5), min_size=6, max_size=6), min_size=1, max_size=4), st.integers(0, 6))
def test_patience_runs_out_as_in_a_loop(losses: list[list[int]], patience: int) -> None:
    found = stopped_check(xr.DataArray(np.array(losses, float), dims=("seed", "check")), patience)
    assert found.values.tolist() == [patient(loss, patience) for loss in losses]


def test_the_best_so_far_is_the_first_of_equal_ones() -> None:
    loss = xr.DataArray([[3.0, 2, 2, 4, 1], [np.nan, 5, np.nan, 5, 6]], dims=("seed", "check"))
    assert best_so_far(loss).values.tolist() == [[0, 1, 1, 1, 4], [0, 1, 1, 1, 1]]


def test_stopping_keeps_the_best_check_until_then() -> None:
    results = make_results(axes={}, seeds=2, num_checks=6, eval_every=10)
    results["validation_loss"][:] = [[5, 3, 4, 2, 6, 7], [6, 5, 4, 3, 2, 1]]
    results["test_accuracy"][:] = np.arange(12).reshape(2, 6) / 100
    stops = stopping(results.assign_coords(patience=5), (1, 2))
    assert stops["stopped_check"].values.tolist() == [[2, -1], [5, -1]]
    assert stops["stopped_step"].values.tolist() == [[20, 50], [50, 50]]
    assert stops["kept_step"].values.tolist() == [[10, 50], [30, 50]]
    assert stops["kept_validation_loss"].values.tolist() == [[3, 1], [2, 1]]
    np.testing.assert_allclose(stops["kept_test_accuracy"], [[0.01, 0.11], [0.03, 0.11]], rtol=1e-6)
    np.testing.assert_allclose(stops["saved"], [[0.6, 0.0], [0.0, 0.0]])
    with pytest.raises(ValueError, match="patience"):
        stopping(results.expand_dims(patience=[1, 5]), (1,))


def test_stops_before_a_halt_are_those_of_the_whole_run() -> None:
    whole = make_results(axes={}, seeds=6, num_checks=41)
    whole["validation_loss"] += np.random.default_rng(0).normal(0, 0.5, (6, 41))
    halted = whole.copy(deep=True)
    own = stopped_check(whole["validation_loss"], 3)
    assert (own >= 0).any()
    after = xr.DataArray(np.arange(41), dims="check") > own.where(own >= 0, 41)
    for name in ("validation_loss", "test_loss", "test_accuracy"):
        halted[name] = halted[name].where(~after)
    for name in ("stopped_check", "kept_step", "kept_test_loss"):
        assert stopping(halted, (1, 3))[name].equals(stopping(whole, (1, 3))[name])


def test_best_step_is_the_step_of_the_best_check() -> None:
    results = make_results(seeds=2)
    results["best_check"][0, 0] = -1
    steps = best_step(results)
    assert np.isnan(steps[0, 0])
    np.testing.assert_array_equal(steps[1:], 50 * results["best_check"][1:])
    assert steps.attrs["units"] == "steps"


def test_members_that_stopped_count_as_they_are_kept() -> None:
    results = made()
    late = late_validation_loss(results)
    np.testing.assert_allclose(late[:3], results["validation_loss"][:3, ..., -2:].mean("check"))
    np.testing.assert_array_equal(late[3], results["best_validation_loss"][3])
    steps = steps_taken(results)
    assert (steps[:3] == 1000).all()
    assert (steps[3] == [400, 450] * 3).all()
    objective = last_objective(results)
    last = results["train_objective"][3, :, 0, 350:400].mean("step")
    np.testing.assert_allclose(objective[3, :, 0], last, rtol=1e-6)
    kept = as_kept(results, results["validation_loss"])
    np.testing.assert_array_equal(kept[..., :9], results["validation_loss"][..., :9])
    np.testing.assert_array_equal(kept[3, ..., 15], results["validation_loss"][3, ..., 3])
    error = kept_test_error(results)
    np.testing.assert_array_equal(error[3], 1 - results["best_test_accuracy"][3])
    np.testing.assert_array_equal(error[0], 1 - results["final_test_accuracy"][0])


def test_curves_are_per_epoch() -> None:
    curves = per_epoch(made())
    np.testing.assert_array_equal(curves["examples_seen"], np.arange(21) * 50)  # batches of 100 of 100 examples
    assert curves["examples_seen"].attrs["long_name"] == "training (epochs)"
    np.testing.assert_allclose(
        curves["training_loss"].isel(check=4), made()["train_loss"].isel(step=slice(150, 200)).mean("step"), rtol=1e-6
    )


def test_overfitting_is_the_rise_of_the_test_loss_after_the_best_check() -> None:
    results = make_results(axes={"learning_rate": [0.1, 1.0]}, seeds=2)
    results["best_check"][:] = [[3, 20], [4, 5]]
    rise = overfitting(results)
    expected = results["final_test_loss"] - results["best_test_loss"]
    np.testing.assert_array_equal(rise.isnull(), [[False, True], [False, False]])  # the last check is the best
    np.testing.assert_array_equal(rise.values[1], expected.values[1])
    results["stopped_check"][1, 0] = 8
    assert bool(overfitting(results.assign_coords(after_stop="halt")).isnull()[1, 0])
    assert not bool(overfitting(results.assign_coords(after_stop="continue")).isnull()[1, 0])
