from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from jaxreg.statistics.intervals import (
    bootstrap_interval,
    holm,
    holm_levels,
    mean_interval,
    paired_difference,
    prediction_interval,
    seeds_needed,
    seeds_needed_sign,
    sign_test,
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


def test_paired_difference_of_hand_worked_numbers() -> None:
    # Differences 1, 2, 3, 6: mean 3, s = sqrt(14/3), t = 3 / (s / 2) = 2.77746 at three degrees of freedom.
    a, b = array([2.0, 4.0, 7.0, 9.0]), array([1.0, 2.0, 4.0, 3.0])
    result = paired_difference(a, b)
    theirs = scipy.stats.ttest_rel(a, b)
    np.testing.assert_allclose([result["mean"].item(), result["sd"].item()], [3, np.sqrt(14 / 3)])
    np.testing.assert_allclose(result["p"], theirs.pvalue)
    np.testing.assert_allclose([result["low"].item(), result["high"].item()], theirs.confidence_interval(0.95))
    xr.testing.assert_allclose(
        result[["mean", "sd", "low", "high"]], mean_interval(a - b)[["mean", "sd", "low", "high"]]
    )
    assert result["mean"].attrs["units"] == "nats"
    assert (result["n"].item(), result["left_out"].item(), result["identical"].item()) == (4, 0, False)


def test_pairs_are_made_by_seed_and_those_of_diverged_members_left_out() -> None:
    a = array([[1.0, np.nan, 5.0, 2.0], [1.0, 2.0, 3.0, 4.0]], "x", "seed").assign_coords(seed=[4, 5, 6, 7])
    b = array([0.0, 1.0, np.nan, 2.5]).assign_coords(seed=[4, 5, 6, 7])
    result = paired_difference(a, b)
    assert result["n"].values.tolist() == [2, 3]
    assert result["left_out"].values.tolist() == [2, 1]
    np.testing.assert_allclose(result["mean"], [0.25, 3.5 / 3])
    with pytest.raises(ValueError, match="seed"):
        paired_difference(a, b.assign_coords(seed=[0, 1, 2, 3]))


@pytest.mark.parametrize("n", [2, 5, 10])
def test_equal_differences_are_tied_counts_and_get_the_sign_test(n: int) -> None:
    right = np.linspace(100, 290, n).astype(int)  # of 300 examples: as float32, equal differences differ by rounding
    a, b = (array((count / 300).astype(np.float32)) for count in (right + 1, right))
    assert paired_difference(a, b)["p"] == 2.0 ** (1 - n)
    same = paired_difference(a, a)
    assert same["identical"]
    assert np.isnan(same["p"])
    assert (same["low"].item(), same["high"].item()) == (0, 0)


def test_a_spread_above_the_rounding_of_the_values_is_tested_by_t() -> None:
    near = np.random.default_rng(0).normal(0, 5e-5, 5)
    a, b = array(2.3 + near), array(np.zeros(5))
    np.testing.assert_allclose(paired_difference(a, b)["p"], scipy.stats.ttest_1samp(2.3 + near, 0).pvalue, rtol=1e-3)
    rounded = array(np.float32(2.3) + np.float32(2.4e-7) * np.array([1, 1, 1, -1, 1, 1, 1, 1], np.float32))
    result = paired_difference(rounded, array(np.full(8, 2.3, np.float32)))
    np.testing.assert_allclose(result["p"], scipy.stats.binomtest(1, 8).pvalue)  # rounding of both signs: 7 against 1


def test_one_pair_gives_no_interval_and_no_test() -> None:
    result = paired_difference(array([1.0, np.nan]), array([0.5, 1.0]))
    assert (result["mean"].item(), result["n"].item(), result["identical"].item()) == (0.5, 1, False)
    assert np.isnan(result[["sd", "low", "high", "p"]].to_array()).all()


def test_an_infinite_difference_has_no_mean_and_two_infinite_values_tie() -> None:
    result = paired_difference(array([np.inf, np.inf, 3.0]), array([np.inf, 1.0, 2.0]))
    assert result["n"] == 3
    assert np.isnan(result[["mean", "low", "high", "p"]].to_array()).all()
    assert paired_difference(array([np.inf, 4.0, 6.0]), array([np.inf, 3.0, 4.0]))["mean"] == 1.0


def test_sign_test_is_the_exact_binomial_test_without_ties() -> None:
    a = array([1.0, 2.0, 3.0, np.inf, np.inf, 1.0, 5.0, np.nan, 4.0])
    b = array([0.0, 3.0, 2.0, np.inf, 4.0, 0.0, 4.0, 1.0, 3.0])
    result = sign_test(a, b)
    assert [result[name].item() for name in ("lower", "higher", "n", "left_out")] == [1, 6, 8, 1]
    np.testing.assert_allclose(result["p"], scipy.stats.binomtest(1, 7).pvalue)  # 2 (1 + 7) / 2**7 = 0.125
    np.testing.assert_allclose(result["p"], 0.125)
    assert np.isnan(sign_test(a, a)["p"])
    assert sign_test(array([1.0, 0.0]), array([0.0, 1.0]))["p"] == 1.0


def test_holm_on_a_worked_example() -> None:
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1 is 0.02, 0.03, 0.06, 0.04; the last is raised to the one before.
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.01, np.nan, 0.03]), [0.02, np.nan, 0.03])
    np.testing.assert_allclose(holm([[0.6, 0.7], [0.02, 0.02]]), [[1.0, 1.0], [0.04, 0.04]])
    assert np.isnan(holm([np.nan, np.nan])).all()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_keeps_the_order_and_lies_between_p_and_bonferroni(p: list[float]) -> None:
    adjusted, levels = holm(p), holm_levels(p)
    assert (adjusted >= p).all()
    assert (adjusted <= np.minimum(1, len(p) * np.array(p)) + 1e-12).all()
    assert (np.diff(adjusted[np.argsort(p)]) >= 0).all()
    # The level left is what decides, but for rounding.
    clear = np.abs(adjusted - 0.05) > 1e-9
    np.testing.assert_array_equal((adjusted <= 0.05)[clear], (np.array(p) <= levels * (1 + 1e-12))[clear])


@pytest.mark.parametrize(("effect", "n"), [(0.2, 199), (0.5, 34), (0.8, 15)])
def test_seeds_needed_for_cohens_small_medium_and_large_effects(effect: float, n: int) -> None:
    # Cohen (1988): d = 0.2, 0.5, 0.8 need 199, 34 and 15 pairs for 80 % power at 5 %, two-sided (G*Power 3 agrees).
    assert seeds_needed(effect, 1.0) == n
    assert seeds_needed(-3 * effect, 3.0) == n


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 6])
@pytest.mark.parametrize("effect", [0.05, 0.4, 1.5, 8.0])
def test_seeds_needed_is_the_smallest_number_with_the_power(effect: float, alpha: float) -> None:
    needed = seeds_needed(effect, 1.0, alpha)
    assert needed is not None
    n = np.array([max(2, needed - 1), needed])
    critical = scipy.stats.t.ppf(1 - alpha / 2, n - 1)
    shift = effect * np.sqrt(n)
    power = np.asarray(scipy.stats.nct.sf(critical, n - 1, shift))
    assert power[1] >= 0.8
    assert needed == 2 or power[0] < 0.8


def test_no_number_of_seeds_finds_nothing() -> None:
    assert seeds_needed(0.0, 1.0) is None
    assert seeds_needed(1e-3, 1.0) is None
    assert seeds_needed(np.nan, 1.0) is None
    assert seeds_needed(1.0, 0.0) == seeds_needed_sign() == 6


def test_seeds_needed_by_the_sign_test() -> None:
    for m in range(1, 10):  # the smallest n with m 2**(1 - n) <= 0.05
        n = seeds_needed_sign(1.0, 0.05 / m)
        assert n is not None
        assert m * 2.0 ** (1 - n) <= 0.05 < m * 2.0 ** (2 - n)
    # 20 pairs decide at 15 and more of one sign (p = 0.041, 14 give 0.115), and P(X >= 15) = 0.804 at a share of 0.8.
    assert seeds_needed_sign(0.8) == 20
    assert seeds_needed_sign(0.5) is None
    assert seeds_needed_sign(0.501) is None


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
