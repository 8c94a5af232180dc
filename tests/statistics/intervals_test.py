from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
import xarray as xr

from jaxreg.statistics import (
    SHARE,
    bootstrap_interval,
    interval_in_words,
    mean_in_words,
    mean_interval,
    prediction_interval,
)


def array(values: object, *dims: str) -> xr.DataArray:
    return xr.DataArray(np.asarray(values), dims=dims or ("seed",), attrs={"units": "nats"})


def test_hand_worked_intervals() -> None:
    # 2, 4, 6: mean 4, s = 2, n = 3; t at 0.975 and two degrees of freedom is 4.302653 (any printed table: 4.303).
    values = array([2.0, 4.0, 6.0])
    mean, one = mean_interval(values), prediction_interval(values)
    assert (mean["mean"].item(), mean["sd"].item(), mean["n"].item()) == (4.0, 2.0, 3)
    np.testing.assert_allclose(mean["high"] - 4, 4.302653 * 2 / np.sqrt(3), rtol=1e-6)
    np.testing.assert_allclose(one["high"] - 4, 4.302653 * 2 * np.sqrt(4 / 3), rtol=1e-6)
    np.testing.assert_allclose(one["low"] + one["high"], 8)
    assert mean["low"].attrs["units"] == "nats"


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.99])
def test_mean_interval_equals_scipy_at_each_setting(confidence: float) -> None:
    values = np.random.default_rng(1).normal(3, 2, [4, 7, 5]).astype(np.float32)
    ours = mean_interval(array(values, "a", "seed", "check"), confidence=confidence)
    theirs = scipy.stats.ttest_1samp(values.astype(float), 0, axis=1).confidence_interval(confidence)
    np.testing.assert_allclose(ours["low"], theirs.low, rtol=1e-9)
    np.testing.assert_allclose(ours["high"], theirs.high, rtol=1e-9)
    assert ours["mean"].dims == ("a", "check")


@pytest.mark.parametrize("interval", [mean_interval, prediction_interval])
def test_diverged_members_are_left_out_and_not_counted(interval: Callable[[xr.DataArray], xr.Dataset]) -> None:
    some = interval(array([[1.0, np.nan, 4.0, 2.0], [5.0, 6.0, 7.0, 9.0]], "a", "seed"))
    rest = interval(array([1.0, 4.0, 2.0]))
    assert some["n"].values.tolist() == [3, 4]
    xr.testing.assert_allclose(some.isel(a=0, drop=True), rest)


@pytest.mark.parametrize("values", [[1.5], [1.5, np.nan], [np.nan, np.nan]])
def test_fewer_than_two_values_give_no_interval(values: list[float]) -> None:
    for interval in (mean_interval(array(values)), prediction_interval(array(values))):
        assert interval["n"] == np.isfinite(values).sum()
        assert np.isnan([interval[name].item() for name in ("sd", "low", "high")]).all()
        np.testing.assert_equal(interval["mean"].item(), values[0])


@pytest.mark.parametrize("value", [0.1, 1e-30, -3.3, 0.0])
def test_equal_values_give_an_interval_of_zero_width(value: float) -> None:
    interval = prediction_interval(array([value] * 7))
    assert [interval[name].item() for name in ("mean", "sd", "low", "high")] == [value, 0, value, value]


def test_a_censored_member_makes_the_mean_infinite_without_an_interval() -> None:
    interval = mean_interval(array([[100.0, np.inf, 200.0], [np.inf] * 3], "a", "seed"))
    assert (interval["mean"] == np.inf).all()
    assert np.isnan(interval[["sd", "low", "high"]].to_array()).all()
    assert interval["n"].values.tolist() == [3, 3]


def test_coverage_is_nominal_on_normal_draws() -> None:
    trials, n = 4000, 5
    draws = array(np.random.default_rng(2).normal(10, 3, [trials, n + 1]), "trial", "seed")
    members, another = draws.isel(seed=slice(0, n)), draws.isel(seed=n)
    mean, one = mean_interval(members), prediction_interval(members)
    for covered in ((mean["low"] <= 10) & (mean["high"] >= 10), (one["low"] <= another) & (one["high"] >= another)):
        # P(outside these bounds) = 1e-4 for a true 95 % interval; a normal quantile in place of t would cover 88 %.
        low, high = scipy.stats.binom.interval(1 - 1e-4, trials, 0.95)
        assert low <= covered.sum() <= high


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0, np.nan])
def test_a_confidence_outside_0_1_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        mean_interval(array([1.0, 2.0]), confidence=confidence)


def test_bootstrap_interval_resamples_seeds_and_says_so() -> None:
    values = array([[1.0, 2.0, 3.0, 4.0, 5.0], [2.0, 2.0, 2.0, np.nan, 2.0], [7.0, *[np.nan] * 4]], "a", "seed")
    result = bootstrap_interval(values)
    assert result.attrs["method"] == "bootstrap"
    assert result["estimate"].values.tolist() == [3, 2, 7]
    # P(median of 5 draws of 5 is the lowest) = P(X >= 3), X ~ B(5, 1/5), = 0.058 > 2.5 %: the ends are 1 and 5.
    np.testing.assert_equal(result["low"].values, [1, 2, np.nan])
    np.testing.assert_equal(result["high"].values, [5, 2, np.nan])
    assert result["n"].values.tolist() == [5, 4, 1]
    xr.testing.assert_identical(result, bootstrap_interval(values))
    np.testing.assert_equal(
        bootstrap_interval(array([0.0, 3.0, 4.0, 8.0, 100.0]), "interquartile_mean")["estimate"].item(), 5.0
    )


def test_bootstrap_interval_of_censored_values() -> None:
    result = bootstrap_interval(array([100.0, 200.0, 300.0, np.inf, np.inf]))
    assert [result[name].item() for name in ("estimate", "low", "high")] == [300.0, 100.0, np.inf]
    with pytest.raises(ValueError, match="confidence"):
        bootstrap_interval(array([1.0, 2.0]), confidence=95)


def test_an_interval_ends_where_the_mean_cannot_lie() -> None:
    shares = xr.DataArray([[0.04, 0.10], [0.97, 0.99], [0.5, 0.5]], dims=("setting", "seed"))
    free, cut = mean_interval(shares), mean_interval(shares, within=SHARE)
    assert float(free["low"][0]) < 0 < float(free["high"][0]) < 1
    assert float(free["high"][1]) > 1
    np.testing.assert_array_equal(cut["low"], [0, *free["low"].values[1:]])
    np.testing.assert_array_equal(cut["high"], [free["high"].values[0], 1, 0.5])
    xr.testing.assert_identical(cut[["mean", "sd", "n"]], free[["mean", "sd", "n"]])
    assert float(prediction_interval(shares, within=SHARE)["low"].min()) == 0


def test_cutting_an_interval_of_shares_costs_no_coverage() -> None:
    rng = np.random.default_rng(0)
    draws = xr.DataArray(rng.binomial(20, 0.05, (2000, 3)) / 20, dims=("draw", "seed"))
    covered = [
        ((interval["low"] <= 0.05) & (interval["high"] >= 0.05)).values
        for interval in (mean_interval(draws), mean_interval(draws, within=SHARE))
    ]
    free, cut = covered
    np.testing.assert_array_equal(free, cut)


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((0.85, 0.83, 0.87), "0.85 ± 0.02"),
        ((0.85, np.nan, np.nan), "0.85"),
        ((7.0, 0.0, 45.12), "7.00 (0 to 45.12)"),
        ((97.0, 88.25, 100.0), "97.00 (88.25 to 100)"),
        ((150.0, 150.0, 150.0), "150.00 in all seeds"),
        ((0.85, 0.8499, 0.8501), "0.85 ± under 0.01"),
    ],
)
def test_an_interval_in_words_claims_no_more_than_it_knows(numbers: tuple[float, float, float], words: str) -> None:
    assert interval_in_words(*numbers, lambda x: f"{x:.2f}") == words


def test_a_mean_in_words_keeps_its_unit_and_its_bounds() -> None:
    values = xr.DataArray([4.0, 10.0], dims="seed")
    assert mean_in_words(values, ".1f", within=(0, 100), unit=" %") == "7.0 % (0 to 45.1 %)"
    assert mean_in_words(values[:1], ".1f", unit=" %") == "4.0 %"
