"""Intervals over replicates and tests of paired differences. n is the number of seeds, and only seeds are resampled.

NaN members (diverged ones) are left out and n counts the rest. Fewer than two values give no interval: sd, low and high
are NaN. Equal values give an interval of zero width. An infinite value (a censored member) makes the mean infinite,
without an interval; of such values only the order is tested.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.special  # scipy.stats has the same distributions, and takes seconds to import
import xarray as xr

Values = np.ndarray[Any, Any]

MOST_SEEDS = 10_000  # a number of seeds beyond this is called none at all
ROUNDING = 8 * float(np.finfo(np.float32).eps)  # relative: equal differences of float32 values spread no further


def mean_interval(values: xr.DataArray, dim: str = "seed", confidence: float = 0.95) -> xr.Dataset:
    """Student t interval of the mean: mean ± t · s / √n, t the (1 + confidence)/2 quantile at n - 1 degrees of freedom.

    Args:
      values: any shape with `dim`; the members along `dim` are independent replicates.
      dim: the dimension of the replicates.
      confidence: in (0, 1).

    Returns:
      Dataset over the other dimensions: `mean`, `sd` (sample standard deviation s, n - 1 in the denominator), `low`,
      `high`, all in the units of `values`, and `n`, the number of values that count.

    References: Student (1908), The probable error of a mean.
    """
    return _t_interval(values, dim, confidence, lambda n: 1 / np.sqrt(n))


def prediction_interval(values: xr.DataArray, dim: str = "seed", confidence: float = 0.95) -> xr.Dataset:
    """Student t interval for one further replicate, mean ± t · s · √(1 + 1/n): it judges a source's single number.

    Arguments and result as in `mean_interval`.

    References: Hahn and Meeker (1991), Statistical Intervals, section 4.7.
    """
    return _t_interval(values, dim, confidence, lambda n: np.sqrt(1 + 1 / n))


def _t_interval(
    values: xr.DataArray, dim: str, confidence: float, standard_error: Callable[[Values], Values]
) -> xr.Dataset:
    """mean ± t · s · standard_error(n) along `dim`, NaN left out; in NumPy, because reports ask for thousands."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence}: must lie in (0, 1)")
    values = values.transpose(..., dim)
    x = values.values.astype(np.float64)
    present = ~np.isnan(x)
    n = present.sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        # Measured from one of the values, equal values have exactly that mean and no deviation.
        origin = np.where(present, x, np.inf).min(-1)
        origin = np.where(np.isinf(origin), 0.0, origin)
        mean = origin + np.where(present, x - origin[..., None], 0.0).sum(-1) / n
        finite_mean = np.where(np.isinf(mean), np.nan, mean)
        square = np.where(present, x - finite_mean[..., None], 0.0) ** 2
        sd = np.where((n > 1) & ~np.isnan(finite_mean), np.sqrt(square.sum(-1) / (n - 1)), np.nan)
        t = scipy.special.stdtrit(np.where(n > 1, n - 1, np.nan), (1 + confidence) / 2)
        half_width = t * sd * standard_error(n)
    parts = {"mean": mean, "sd": sd, "low": mean - half_width, "high": mean + half_width}
    others, units = values.isel({dim: 0}, drop=True), {"units": values.attrs.get("units", "1")}
    intervals = {name: (others.dims, part, units) for name, part in parts.items()}
    return xr.Dataset(intervals | {"n": (others.dims, n, {"units": "1"})}, coords=others.coords)


def paired_difference(a: xr.DataArray, b: xr.DataArray, dim: str = "seed", confidence: float = 0.95) -> xr.Dataset:
    """Student t interval and test of the mean of a - b over pairs: mean ± t · s / √n, t as in `mean_interval`.

    Pairs with NaN on either side are left out. Equal infinite values are a tie, their difference 0; any other infinite
    difference leaves no mean, sd, interval or p: use `sign_test`. Where every difference is the same but for the
    float32 rounding of a and b, as happens to counts, the t test would be infinitely sure: there s = 0, and p is that
    of the exact sign test, 2**(1 - n) if all have one sign.

    Args:
      a, b: of one shape once aligned on their coordinates, with `dim` in both: the same seed makes a pair.
      dim: the dimension of the replicates.
      confidence: in (0, 1).

    Returns:
      Dataset over the other dimensions: `mean`, `sd`, `low`, `high` in the units of `a`; `p`, two-sided, NaN below two
      pairs and where all differences are zero; `n`, pairs that count; `left_out`, pairs that do not; `identical`,
      whether all of at least two differences are exactly zero.

    References: Student (1908), The probable error of a mean.
    """
    a, b = xr.broadcast(*xr.align(a, b, join="exact"))
    d = xr.apply_ufunc(differences, a, b)
    outputs: list[list[str]] = [[]] * len(TTest._fields)
    largest = xr.apply_ufunc(np.maximum, abs(a), abs(b)).where(np.isfinite(d), 0).max(dim).astype(np.float64)
    parts = xr.apply_ufunc(
        functools.partial(t_test, confidence=confidence),
        *(d, ROUNDING * largest),
        input_core_dims=[[dim], []],
        output_core_dims=outputs,
    )
    result = dict(zip(TTest._fields, parts, strict=True))
    n = result["n"]
    result |= {"left_out": d.sizes[dim] - n, "identical": ((d == 0) | d.isnull()).all(dim) & (n >= 2)}
    in_units = {name: a.attrs.get("units", "1") for name in ("mean", "sd", "low", "high")}
    return xr.Dataset({name: part.assign_attrs(units=in_units.get(name, "1")) for name, part in result.items()})


def differences(a: npt.ArrayLike, b: npt.ArrayLike) -> Values:
    """a - b in float64, where equal infinite values are a tie (0) and NaN stays NaN."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    with np.errstate(invalid="ignore"):
        return np.where(a == b, 0.0, a - b)


class TTest(NamedTuple):
    """Mean, sample standard deviation, interval, two-sided p of "the mean is 0", and count; arrays of one shape."""

    mean: Values
    sd: Values
    low: Values
    high: Values
    p: Values
    n: Values


def t_test(values: Values, rounding: npt.ArrayLike = 0.0, confidence: float = 0.95) -> TTest:
    """One-sample Student t test against 0 along the last axis, with the rules of `paired_difference`.

    `rounding`, of the shape of the result, is the spread (largest minus smallest) up to which values are equal.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence}: must lie in (0, 1)")
    n = (~np.isnan(values)).sum(-1)
    values = np.where(np.isinf(values).any(-1, keepdims=True), np.nan, values)
    present = ~np.isnan(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        # Measured from one of the values, equal values have exactly that mean and no deviation.
        origin = np.take_along_axis(values, present.argmax(-1)[..., None], -1)
        mean = origin[..., 0] + np.where(present, values - origin, 0.0).sum(-1) / n
        square = np.where(present, values - mean[..., None], 0.0) ** 2
        sd = np.where((n > 1) & ~np.isnan(mean), np.sqrt(square.sum(-1) / (n - 1)), np.nan)
        equal = np.ptp(np.where(present, values, origin), -1) <= rounding
        sd = np.where(equal & (n > 1), 0.0, sd)
        standard_error = sd / np.sqrt(n)
        half = scipy.special.stdtrit(n - 1, (1 + confidence) / 2) * standard_error
        p = 2 * scipy.special.stdtr(n - 1, -np.abs(mean / standard_error))
        p = np.where(sd == 0, sign_p((values < 0).sum(-1), (values > 0).sum(-1)), p)
    return TTest(mean, sd, mean - half, mean + half, p, n)


def sign_test(a: xr.DataArray, b: xr.DataArray, dim: str = "seed") -> xr.Dataset:
    """Exact two-sided sign test of paired values: 2 · P(X ≤ min(lower, higher)), X ~ Binomial(lower + higher, 1/2).

    It uses the order within pairs only, so that infinite (censored) values are allowed: +inf against +inf is a tie.
    Ties are dropped, and pairs with NaN left out.

    Returns:
      Dataset over the other dimensions: `p` (NaN if all pairs tie), `lower` and `higher`, the pairs with a < b and with
      a > b, `n`, the pairs that count, ties included, and `left_out`.

    References: Dixon and Mood (1946), The statistical sign test.
    """
    a, b = xr.broadcast(*xr.align(a, b, join="exact"))
    d = xr.apply_ufunc(differences, a, b)
    lower, higher, n = (d < 0).sum(dim), (d > 0).sum(dim), d.notnull().sum(dim)
    p = xr.apply_ufunc(sign_p, lower, higher)
    parts = {"p": p, "lower": lower, "higher": higher, "n": n, "left_out": d.sizes[dim] - n}
    return xr.Dataset({name: part.assign_attrs(units="1") for name, part in parts.items()})


def sign_p(lower: npt.ArrayLike, higher: npt.ArrayLike) -> Values:
    """Two-sided p of the exact sign test from the two counts; NaN where both are 0."""
    lower, higher = np.asarray(lower), np.asarray(higher)
    untied = lower + higher
    p = np.minimum(1.0, 2 * scipy.special.bdtr(np.minimum(lower, higher).astype(np.float64), untied, 0.5))
    return np.where(untied > 0, p, np.nan)


def holm(p: npt.ArrayLike) -> Values:
    """Adjusted p values along the last axis: with the p sorted upwards, max over i ≤ r of (m - i + 1) · p_i, at most 1.

    Rejecting where the result is ≤ 0.05 keeps the chance of any false rejection ≤ 0.05, whatever the dependence. NaN
    are no tests: they stay NaN and do not count in m.

    References: Holm (1979), A simple sequentially rejective multiple test procedure.
    """
    return np.minimum(1.0, _scaled_by_holm(np.asarray(p, np.float64)))


def holm_levels(p: npt.ArrayLike, alpha: float = 0.05) -> Values:
    """The level that Holm's procedure leaves for each p: alpha · p / (its adjusted p before the cut at 1)."""
    p = np.asarray(p, np.float64)
    scaled = _scaled_by_holm(p)
    return alpha * np.divide(p, scaled, out=np.full_like(p, 1 / max(1, p.shape[-1])), where=scaled != 0)


def _scaled_by_holm(p: Values) -> Values:
    order = np.argsort(p, axis=-1)  # NaN last
    still_open = (~np.isnan(p)).sum(-1, keepdims=True) - np.arange(p.shape[-1])
    scaled = np.maximum.accumulate(np.take_along_axis(p, order, -1) * still_open, axis=-1)
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, scaled, -1)
    return adjusted


def seeds_needed(mean: float, sd: float, alpha: float = 0.05, power: float = 0.8) -> int | None:
    """Smallest n at which the paired two-sided t test finds a mean difference with probability ≥ power.

    Its statistic is noncentral t with n - 1 degrees of freedom and noncentrality |mean| √n / sd. Equal differences
    (sd = 0) are for the sign test, as in `paired_difference`.

    Args:
      mean, sd: of the differences, in one unit.
      alpha: level of the test, in (0, 1).
      power: in (0, 1).

    Returns:
      n, or None where the mean is 0, either number is not finite, or more than 10 000 would be needed.

    References: Cohen (1988), Statistical Power Analysis for the Behavioral Sciences, section 2.5.
    """
    if not (math.isfinite(mean) and math.isfinite(sd)) or mean == 0:
        return None
    if sd == 0:
        return seeds_needed_sign(1.0, alpha, power)
    effect = abs(mean) / sd
    quantile = scipy.special.ndtri(1 - alpha / 2)
    normal = ((quantile + scipy.special.ndtri(power)) / effect) ** 2  # were sd known
    if normal > MOST_SEEDS:
        return None
    n = max(2, int(normal + quantile**2 / 2))
    while n > 2 and _t_power(effect, n - 1, alpha) >= power:
        n -= 1
    while n <= MOST_SEEDS and _t_power(effect, n, alpha) < power:
        n += 1
    return n if n <= MOST_SEEDS else None


def _t_power(effect: float, n: int, alpha: float) -> float:
    """Chance that the two-sided test finds the effect in its own direction; the other one's is negligible."""
    critical = scipy.special.stdtrit(n - 1, 1 - alpha / 2)
    return float(1 - scipy.special.nctdtr(n - 1, effect * math.sqrt(n), critical))


@functools.lru_cache(maxsize=4096)
def seeds_needed_sign(agreeing: float = 1.0, alpha: float = 0.05, power: float = 0.8) -> int | None:
    """Smallest number of untied pairs at which the exact two-sided sign test decides with probability ≥ power.

    Args:
      agreeing: chance that a pair has the sign of the majority. At 1 the answer is the smallest n with 2**(1 - n) ≤
        alpha: 6 for one test at 0.05; alpha = 0.05 / m for the first of m tests in Holm's order.
      alpha: level of the test, in (0, 1).
      power: in (0, 1).

    Returns:
      n, exact up to 100 and beyond by the normal approximation; None without a majority (agreeing ≤ 1/2) or where more
      than 10 000 would be needed.

    References: Noether (1987), Sample size determination for some common nonparametric tests, section 2.
    """
    if not agreeing > 0.5:
        return None
    n, chance = _binomial_table()
    most_against = (chance <= alpha / 2).sum(-1) - 1  # the largest smaller count that still decides, -1 for none
    enough = np.where(
        most_against >= 0, scipy.special.bdtr(np.maximum(most_against, 0.0), n, 1 - agreeing) >= power, False
    )
    if enough.any():
        return int(n[enough.argmax()])
    spread = math.sqrt(agreeing * (1 - agreeing))
    quantiles = scipy.special.ndtri(1 - alpha / 2) / 2 + spread * scipy.special.ndtri(power)
    normal = math.ceil((quantiles / (agreeing - 0.5)) ** 2)
    return max(len(n) + 1, normal) if normal <= MOST_SEEDS else None


@functools.cache
def _binomial_table() -> tuple[Values, Values]:
    """n = 1 … 100, and P(X ≤ k), X ~ Binomial(n, 1/2), [n, k] for k = 0 … 50."""
    n = np.arange(1, 101)
    return n, np.asarray(scipy.special.bdtr(np.arange(51.0), n[:, None], 0.5))


def bootstrap_interval(
    values: xr.DataArray,
    statistic: Literal["median", "interquartile_mean"] = "median",
    dim: str = "seed",
    confidence: float = 0.95,
    resamples: int = 10_000,
    key: int = 0,
) -> xr.Dataset:
    """Percentile bootstrap interval of a median or an interquartile mean; for means the t interval is better.

    Seeds are drawn with replacement, the same draws for all settings of equal count, and nothing else is. At small n it
    covers less than it says: at n = 10 about 90.6 % at a nominal 95 %. Infinite values are allowed, NaN left out.

    Args:
      values: any shape with `dim`.
      statistic: "median", or "interquartile_mean", the mean without the lowest and highest ⌊n/4⌋ values.
      dim: the dimension of the replicates.
      confidence: in (0, 1).
      resamples: number of draws of n seeds.
      key: of the draws; the same key gives the same interval.

    Returns:
      Dataset over the other dimensions: `estimate`, `low`, `high` in the units of `values` (low and high NaN below two
      values), and `n`. `attrs`: method "bootstrap", statistic, resamples.

    References: Efron (1979), Bootstrap methods; Agarwal et al. (2021), Deep RL at the edge of the statistical
    precipice, on interquartile means.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence}: must lie in (0, 1)")

    def interval(row: Values) -> tuple[float, float, float, int]:
        present = row[~np.isnan(row)].astype(np.float64)
        n = len(present)
        if n == 0:
            return np.nan, np.nan, np.nan, 0
        estimate = float(_CENTRES[statistic](present))
        if n == 1:
            return estimate, np.nan, np.nan, 1
        draws = np.random.default_rng(key).integers(n, size=(resamples, n))
        centres = _CENTRES[statistic](present[draws])
        # Order statistics, since interpolation between infinite values is undefined.
        ends = np.quantile(centres, [(1 - confidence) / 2, (1 + confidence) / 2], method="inverted_cdf")
        return estimate, float(ends[0]), float(ends[1]), n

    names, units = ("estimate", "low", "high", "n"), values.attrs.get("units", "1")
    parts = xr.apply_ufunc(interval, values, input_core_dims=[[dim]], output_core_dims=[[]] * 4, vectorize=True)
    attrs = {"method": "bootstrap", "statistic": statistic, "resamples": resamples}
    return xr.Dataset(
        {name: part.assign_attrs(units="1" if name == "n" else units) for name, part in zip(names, parts, strict=True)},
        attrs=attrs,
    )


def _interquartile_mean(values: Values) -> Values:
    n = values.shape[-1]
    return np.sort(values, axis=-1)[..., n // 4 : n - n // 4].mean(-1)


_CENTRES: dict[str, Callable[[Values], Values]] = {
    "median": functools.partial(np.median, axis=-1),
    "interquartile_mean": _interquartile_mean,
}
