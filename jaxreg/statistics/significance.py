"""Tests of paired differences over replicates, and the adjustment of several p values for one another.

n is the number of seeds. Pairs with NaN (diverged members) are left out and n counts the rest. An infinite value (a
censored member) has an order and no size: the sign test takes it, the t test does not.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from jaxreg.slow_imports import scipy, xr

Values = np.ndarray[Any, Any]

ROUNDING = 8 * float(np.finfo(np.float32).eps)  # relative: equal differences of float32 values spread no further


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


def t_p(deviation: float, sd: float, n: int) -> float:
    """Two-sided p of Student's t = deviation / sd at n - 1 degrees of freedom; NaN for n < 2 and without a spread."""
    return 2 * float(scipy.special.stdtr(n - 1, -abs(deviation) / sd)) if n > 1 and sd > 0 else math.nan


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
