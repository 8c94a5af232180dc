from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from jaxreg.statistics import (
    holm,
    holm_levels,
    mean_interval,
    paired_difference,
    sign_test,
)


def array(values: object, *dims: str) -> xr.DataArray:
    return xr.DataArray(np.asarray(values), dims=dims or ("seed",), attrs={"units": "nats"})


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
