from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from jaxreg.measures.learning import (
    acting_setting,
    at_check,
    at_last_check,
    best_so_far,
    best_step,
    best_value,
    between_checks,
    expected_fluctuation,
    final_test_error,
    fluctuation,
    generalisation_gap,
    held_at,
    noise_scale,
    setting_dims,
    setting_label,
    settings,
    steps_to_train,
    stopped_check,
    stopping,
    time_per_member,
    value_label,
)
from tests.synthetic import make_results


def test_setting_dims_are_the_axes_in_order() -> None:
    results = make_results(axes={"learning_rate": [0.1, 1.0], "activation": ["relu", "tanh"]}, seeds=2)
    assert setting_dims(results) == ("learning_rate", "activation")
    assert setting_dims(results["final_test_loss"].transpose("seed", "activation", ...)) == (
        "activation",
        "learning_rate",
    )
    assert setting_dims(make_results(axes={})) == ()
    layered = results.assign(histogram=xr.zeros_like(results["train_accuracy"]).expand_dims({"layer": 2, "bin": 8}))
    assert setting_dims(layered) == ("learning_rate", "activation")


def test_settings_go_through_the_grid_with_zipped_values() -> None:
    axes: dict[str, list[Any]] = {"batch_size": [10, 100], "init": ["normal", "he"]}
    results = make_results(axes=axes, zipped={"learning_rate": ("batch_size", [0.1, 0.1])}, seeds=2)
    found = list(settings(results))
    assert [setting["init"] for setting, _ in found] == ["normal", "he"] * 2
    assert found[2][0] == {"batch_size": 100, "learning_rate": 0.1, "init": "normal"}
    assert found[2][1]["final_test_loss"].identical(results["final_test_loss"].isel(batch_size=1, init=0))
    assert [setting for setting, _ in settings(make_results(axes={}))] == [{}]


def test_setting_label_is_short() -> None:
    setting = {"learning_rate": 0.1, "init_variance": np.float32(0.01), "batch_size": 55000, "hidden_sizes": "32x32"}
    setting = {name: np.asarray(value).item() for name, value in setting.items()}
    assert setting_label(setting) == "learning_rate=0.1, init_variance=0.01, batch_size=55000, hidden_sizes=32x32"
    assert setting_label({}) == ""


@pytest.mark.parametrize(
    ("value", "text"), [(2.0, "2"), (1e-5, "1e-05"), (100000, "100000"), (np.inf, "inf"), (True, "True"), ("a", "a")]
)
def test_value_label(value: object, text: str) -> None:
    assert value_label(value) == text
    assert value_label(1 / 3, digits=3) == "0.333"


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


def noisy(num_steps: list[int], noise: float, seeds: int = 3) -> xr.Dataset:
    """Losses that fall in a straight line with independent noise; shorter runs are padded with NaN."""
    rng = np.random.default_rng(0)
    loss = np.linspace(2, 1, max(num_steps)) + rng.normal(0, noise, (len(num_steps), seeds, max(num_steps)))
    for number, steps in enumerate(num_steps):
        loss[number, :, steps:] = np.nan
    return xr.Dataset(
        {
            "train_loss": (("num_steps", "seed", "step"), loss, {"units": "nats"}),
            "diverged_step": (("num_steps", "seed"), np.full((len(num_steps), seeds), -1)),
        },
        coords={"num_steps": num_steps, "step": np.arange(max(num_steps))},
    )


def test_fluctuation_of_independent_noise_is_its_deviation() -> None:
    found = fluctuation(noisy([20_000], 0.05), last_steps=20_000)
    assert (found.dims, found.attrs["units"]) == (("num_steps", "seed"), "nats")
    np.testing.assert_allclose(found, 0.05, rtol=0.03)


def test_fluctuation_reads_the_last_steps_of_each_group_by_hand() -> None:
    results = noisy([6, 4], 0.3)
    found = fluctuation(results, last_steps=3)
    for number, steps in enumerate([6, 4]):
        last = results["train_loss"].values[number, :, steps - 3 : steps]
        np.testing.assert_allclose(found[number], np.diff(last).std(-1, ddof=1) / np.sqrt(2))


def test_a_diverged_member_has_no_fluctuation() -> None:
    results = noisy([50], 0.1)
    results["diverged_step"][0, 1] = 40
    assert fluctuation(results).isnull().values.tolist() == [[False, True, False]]


def test_relative_fluctuation_is_a_fraction_of_the_loss() -> None:
    results = noisy([200], 0.05)
    share = fluctuation(results, last_steps=50, relative=True)
    loss = results["train_loss"].isel(step=slice(-50, None)).mean("step")
    np.testing.assert_allclose(share, fluctuation(results, last_steps=50) / loss)
    assert share.attrs["units"] == "1"


def at_checks(loss: np.ndarray, every: int) -> xr.Dataset:
    """Losses [seed, check] as those of the test set, a check every so many steps."""
    return xr.Dataset(
        {
            "test_loss": (("seed", "check"), loss, {"units": "nats"}),
            "diverged_step": ("seed", np.full(len(loss), -1)),
        },
        coords={"check_step": ("check", every * np.arange(loss.shape[1])), "num_steps": every * (loss.shape[1] - 1)},
    )


def test_fluctuation_between_checks_spans_the_last_steps() -> None:
    loss = np.random.default_rng(0).normal(1, 0.1, (2, 21))
    found = fluctuation(at_checks(loss, 50), "test_loss", last_steps=200)
    np.testing.assert_allclose(found, np.diff(loss[:, -5:]).std(-1, ddof=1) / np.sqrt(2))
    assert fluctuation(at_checks(loss, 1000), "test_loss").isnull().all()  # one difference has no spread


def test_fluctuation_of_a_halted_member_is_that_of_its_own_last_steps() -> None:
    results = noisy([200], 0.1)
    whole = fluctuation(results, last_steps=50)
    results["train_loss"][0, 1, 120:] = np.nan
    found = fluctuation(results, last_steps=50)
    own = np.diff(results["train_loss"].values[0, 1, 70:120]).std(ddof=1) / np.sqrt(2)
    np.testing.assert_allclose(found[0], [whole[0, 0], own, whole[0, 2]])

    loss = np.random.default_rng(1).normal(1, 0.1, (2, 21))
    loss[1, 10:] = np.nan
    checks = fluctuation(at_checks(loss, 50), "test_loss", last_steps=200)
    np.testing.assert_allclose(checks[1], np.diff(loss[1, 5:10]).std(ddof=1) / np.sqrt(2))


def test_expected_fluctuation_is_that_of_means_of_batches_drawn_without_replacement() -> None:
    rng = np.random.default_rng(0)
    examples = rng.normal(size=12)
    means = [rng.permutation(examples)[:5].mean() for _ in range(20_000)]
    np.testing.assert_allclose(np.std(means), expected_fluctuation(5, 12) * examples.std(ddof=1), rtol=0.02)
    assert expected_fluctuation([12, 13], 12).tolist() == [0, 0]
    np.testing.assert_allclose(expected_fluctuation(1, 10**9), 1.0)


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


def test_other_dimensions_are_held_at_a_setting() -> None:
    results = make_results(axes={"batch_size": [1, 10], "init": ["normal", "he"]}, seeds=2)
    held, where = held_at(results, {"batch_size": 10, "init": "he"}, "batch_size")
    assert (setting_dims(held), held["init"].item(), where) == (("batch_size",), "he", " at init=he")
    assert held_at(results, None)[0]["batch_size"] == 1
    assert held_at(results, {"batch_size": 10, "init": "he"}, "batch_size", "init")[1] == ""


def with_noise_scale(variance: object, square: object) -> xr.Dataset:
    """Hand-made estimates [seed, check]."""
    parts = {"gradient_variance": variance, "gradient_square": square}
    arrays = {name: (("seed", "check"), np.asarray(part, float)) for name, part in parts.items()}
    return xr.Dataset(arrays | {"diverged_step": ("seed", [-1] * len(np.asarray(variance)))})


def test_noise_scale_is_a_ratio_of_averages_over_the_last_checks() -> None:
    results = with_noise_scale([[9, 2, 4], [5, 2, np.nan]], [[9, 1, 3], [1, 0.5, np.nan]])
    found = noise_scale(results, last_checks=2)
    assert found.values.tolist() == [6 / 4, 7 / 1.5]  # of a halted member its own last checks
    assert found.attrs["units"] == "examples"
    assert noise_scale(results, last_checks=1).values.tolist() == [4 / 3, 4]


def test_noise_scale_is_infinite_where_the_gradient_is_lost_in_its_noise() -> None:
    assert noise_scale(with_noise_scale([[2, 4]], [[1, -3]])).values.tolist() == [np.inf]
    results = with_noise_scale([[2, 4]], [[1, 3]])
    results["diverged_step"][:] = 7
    assert noise_scale(results).isnull().all()


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


def test_values_at_a_check_of_each_member() -> None:
    curve = xr.DataArray([[1.0, 2], [3, 4]], dims=("seed", "check"), coords={"check_step": ("check", [0, 10])})
    found = at_check(curve, xr.DataArray([1, -1], dims="seed"))
    np.testing.assert_array_equal(found, [2, np.nan])
    assert not found.coords
    assert at_check(curve["check_step"], xr.DataArray([1, 0], dims="seed")).values.tolist() == [10, 0]


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


@pytest.mark.parametrize(
    ("method", "acting"),
    [
        ("all", {"l1_strength", "l1_start", "l2_strength", "patience"}),
        ("none", set()),
        ("l1", {"l1_strength"}),
        ("late_l1+l2", {"l1_strength", "l1_start", "l2_strength"}),
        ("early_stopping", {"patience"}),
    ],
)
def test_of_a_setting_those_strengths_act_that_its_method_names(method: str, acting: set[str]) -> None:
    setting = {"method": method, "l1_strength": 0.1, "l1_start": 0.5, "l2_strength": 0.2, "patience": 5, "seed": 3}
    kept = acting_setting(setting)
    assert set(kept) == {"method", "seed"} | acting
    assert kept.items() <= setting.items()
