from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from jaxreg.measures import (
    at_check,
    at_last_check,
    best_value,
    between_checks,
    final_test_error,
    generalisation_gap,
    steps_to_train,
    time_per_member,
    up_to_now,
)
from jaxreg.measures.learning import checked_every
from jaxreg.measures.patience import best_step
from tests.synthetic import make_results


def curves(accuracy: object, check_step: object) -> xr.Dataset:
    """Hand-made accuracies [..., seed, check]."""
    values = np.asarray(accuracy, np.float32)
    names = ("seed", "check") if values.ndim == 2 else ("batch_size", "seed", "check")
    steps = np.asarray(check_step)
    return xr.Dataset(
        {"test_accuracy": (names, values)}, coords={"check_step": (("batch_size", "check")[-steps.ndim :], steps)}
    )


def test_steps_to_train_is_the_first_check_at_the_threshold() -> None:
    accuracy = [
        [0.1, 0.5, 0.9, 0.8],  # there at step 20, although it falls back
        [0.9, 0.9, 0.9, 0.9],  # there before any training
        [0.1, 0.2, 0.3, 0.84],  # never
        [0.1, 0.86, np.nan, np.nan],  # there before it diverges
        [0.1, np.nan, np.nan, np.nan],  # diverges before it is there
    ]
    steps = steps_to_train(curves(accuracy, [0, 10, 20, 30]))
    assert steps.values.tolist() == [20, 0, np.inf, 10, np.inf]
    assert (steps.attrs["units"], steps.attrs["threshold"], steps.name) == ("steps", 0.85, "steps_to_train")
    assert steps_to_train(curves(accuracy, [0, 10, 20, 30]), 0.2).values.tolist() == [10, 0, 10, 10, np.inf]


def test_steps_to_train_reads_the_checks_of_each_group() -> None:
    accuracy = [[[0.1, 0.9, np.nan]], [[0.1, 0.2, 0.9]]]
    steps = steps_to_train(curves(accuracy, [[0, 5, np.nan], [0, 10, 20]]))
    assert steps.dims == ("batch_size", "seed")
    assert steps.values.tolist() == [[5], [20]]


def test_steps_to_train_falls_with_the_speed_of_training() -> None:
    steps = steps_to_train(make_results(), 0.5).mean("seed").values
    assert (np.diff(steps[1:]) < 0).all()


def test_the_best_value_of_an_axis_is_chosen_on_validation_for_each_seed() -> None:
    results = make_results(axes={"batch_size": [1, 10], "learning_rate": [0.1, 1.0, 2.0]}, seeds=3)
    accuracy, loss = results["final_validation_accuracy"], results["final_validation_loss"]
    accuracy[:] = [[[0.5, 0.5, 0.5], [0.9, 0.8, 0.9], [0.4, 0.8, np.nan]]] * 2
    loss[:] = 1.0
    loss[:, 2] = 0.5  # breaks the tie of the second seed
    accuracy[1, :, 0] = np.nan  # all diverged
    loss[1, :, 0] = np.nan
    best = best_value(results, "learning_rate")
    assert best.transpose("batch_size", "seed").values.tolist()[0] == [1.0, 2.0, 1.0]
    np.testing.assert_array_equal(best.sel(batch_size=10), [np.nan, 2.0, 1.0])
    with pytest.raises(KeyError):
        best_value(results, "init_variance")


def test_generalisation_gap_is_what_the_test_set_loses_more() -> None:
    results = make_results(seeds=2)
    results["final_train_loss"] = results["final_test_loss"] - 0.25
    gap = generalisation_gap(results)
    np.testing.assert_allclose(gap, 0.25, rtol=1e-6)
    assert gap.attrs["units"] == "nats"


def test_time_is_shared_by_the_members_of_a_program() -> None:
    results = make_results(axes={"batch_size": [1, 10], "learning_rate": [0.1, 1.0, 2.0]}, seeds=4)
    np.testing.assert_allclose(time_per_member(results), results["seconds"] / 24)
    by_size = results.assign_coords(seconds=results["seconds"] * xr.DataArray([1.0, 5.0], dims="batch_size"))
    np.testing.assert_allclose(time_per_member(by_size), by_size["seconds"] / 12)  # a program for each size


def test_values_at_a_check_of_each_member() -> None:
    curve = xr.DataArray([[1.0, 2], [3, 4]], dims=("seed", "check"), coords={"check_step": ("check", [0, 10])})
    found = at_check(curve, xr.DataArray([1, -1], dims="seed"))
    np.testing.assert_array_equal(found, [2, np.nan])
    assert not found.coords
    assert at_check(curve["check_step"], xr.DataArray([1, 0], dims="seed")).values.tolist() == [10, 0]


def test_the_test_error_is_what_is_missing_to_the_accuracy() -> None:
    results = make_results(seeds=2)
    error = final_test_error(results)
    np.testing.assert_allclose(error + results["final_test_accuracy"], 1.0, rtol=1e-6)
    assert (error.dims, error.attrs["units"]) == (("learning_rate", "seed"), "1")


@pytest.mark.parametrize("record_every", [1, 7, 100])
def test_means_between_checks_are_those_of_the_steps_after_the_check_before(record_every: int) -> None:
    results = make_results(seeds=2, num_checks=5, eval_every=50, record_every=record_every)
    means = between_checks(results)
    assert means.dims == ("learning_rate", "seed", "check")
    assert means.attrs["units"] == "nats"
    assert means.isel(check=0).isnull().all()
    for check in range(1, 5):
        taken = (results["step"] >= 50 * (check - 1)) & (results["step"] < 50 * check)
        expected = results["train_objective"].sel(step=taken).mean("step")  # NaN where no step was recorded
        np.testing.assert_allclose(means.isel(check=check), expected, rtol=1e-6)


def test_means_between_checks_want_one_series_of_checks() -> None:
    results = make_results(seeds=2)
    apart = results["check_step"].expand_dims(learning_rate=4)
    with pytest.raises(KeyError, match="check_step"):
        between_checks(results.assign_coords(check_step=apart))


def test_the_last_value_is_that_of_the_last_check_that_a_member_has() -> None:
    results = make_results(seeds=3, diverged=1, num_checks=21)
    for name in ("validation_loss", "test_accuracy"):
        last = at_last_check(results, name)
        np.testing.assert_array_equal(last[:-1], results[name][:-1, :, -1])
        np.testing.assert_array_equal(last[-1, 0], results[name][-1, 0, 9])  # it diverged at the check after
    layered = results.assign(norm=results["test_loss"].expand_dims(layer=2, axis=-1))
    assert at_last_check(layered, "norm").dims == ("learning_rate", "seed", "layer")
    nothing = results.assign(validation_loss=np.nan * results["validation_loss"])
    assert at_last_check(nothing, "test_loss").isnull().all()


def test_up_to_now_ends_are_those_of_the_last_check_so_far() -> None:
    results = make_results(axes={"learning_rate": [0.1, 0.5, 1.0]}, seeds=2, num_checks=5, diverged=1)
    ended = results.copy(deep=True)
    check = xr.DataArray(np.arange(5), dims="check")
    begun = results["learning_rate"] < 0.5
    results["test_loss"] = results["test_loss"].where((check < 3) & begun).transpose(*ended["test_loss"].dims)
    results["validation_loss"] = results["validation_loss"].where((check < 3) & begun)
    results["final_test_loss"][:] = np.nan
    now = up_to_now(results)
    np.testing.assert_array_equal(now["final_test_loss"][0], ended["test_loss"][0, :, 2])
    assert now["final_test_loss"][1:].isnull().all()
    assert now["final_test_loss"].attrs == ended["final_test_loss"].attrs
    assert up_to_now(ended).identical(ended)


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([0, 50, 100, 120], "checked every 50 steps"),  # the last check comes after the last step, whenever that is
        ([[0, 50, 100], [0, 10, 20]], "checked every 10 to 50 steps"),
        ([[0, 50, 100], [0, 50, np.nan]], "checked every 50 steps"),
        ([0], ""),
    ],
)
def test_how_far_apart_checks_are(steps: Any, words: str) -> None:
    dims = ("num_steps", "check")[-np.ndim(steps) :]
    assert checked_every(xr.Dataset(coords={"check_step": (dims, steps)})) == words


def test_steps_that_are_read_off_checks_say_how_exactly_they_are_known() -> None:
    results = make_results(eval_every=25)
    assert steps_to_train(results).attrs["resolution"] == "checked every 25 steps"
    assert best_step(results).attrs["resolution"] == "checked every 25 steps"
