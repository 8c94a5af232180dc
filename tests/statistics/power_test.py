from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import xarray as xr

from jaxreg.statistics import (
    seeds_needed,
    seeds_needed_sign,
)


def array(values: object, *dims: str) -> xr.DataArray:
    return xr.DataArray(np.asarray(values), dims=dims or ("seed",), attrs={"units": "nats"})


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


@pytest.mark.parametrize("agreeing", [0.53, 0.55, 0.6, 0.65, 0.7, 0.9, 1.0])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 6])
def test_seeds_needed_by_the_sign_test_is_the_smallest_number_with_the_power(agreeing: float, alpha: float) -> None:
    n = np.arange(1, 4001)
    against = scipy.stats.binom.ppf(alpha / 2, n, 0.5)
    against = np.where(scipy.stats.binom.cdf(against, n, 0.5) <= alpha / 2, against, against - 1)  # -1: none decides
    power = scipy.stats.binom.cdf(against, n, 1 - agreeing)
    assert seeds_needed_sign(agreeing, alpha) == int(n[power >= 0.8][0])


def test_seeds_needed_by_the_sign_test_beyond_a_hundred_is_no_approximation() -> None:
    assert seeds_needed_sign(0.6) == 199  # Noether's normal approximation (1987) gives 194, where the power is 0.78
