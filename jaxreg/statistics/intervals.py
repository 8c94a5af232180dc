"""Intervals over replicates. n is the number of seeds, and only seeds are resampled.

NaN members (diverged ones) are left out and n counts the rest. Fewer than two values give no interval: sd, low and high
are NaN. Equal values give an interval of zero width. An infinite value (a censored member) makes the mean infinite,
without an interval; of such values only the order is tested (`significance.sign_test`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from jaxreg.slow_imports import scipy, xr

Values = np.ndarray[Any, Any]

FEW_SEEDS = 5
ANY = (-np.inf, np.inf)  # where a mean may lie: anywhere,
SHARE = (0.0, 1.0)  # or in [0, 1] as accuracies do


def rests_on_normality(n: int) -> bool:
    """Whether a t interval or t test over n seeds is right for normally distributed values only: 2 <= n < 5.

    Student's t is exact for normal values at any n, and nearly right for others once their mean is nearly normal. Two
    to four values neither bring that about nor show whether it is needed: of skewed values, and of values on two sides
    of their mean, the test decides falsely in 9 to 52 % of cases in place of 5 % (simulated, see docs/claims.md).
    """
    return 2 <= n < FEW_SEEDS


def mean_interval(
    values: xr.DataArray, dim: str = "seed", confidence: float = 0.95, within: tuple[float, float] = ANY
) -> xr.Dataset:
    """Student t interval of the mean: mean ± t · s / √n, t the (1 + confidence)/2 quantile at n - 1 degrees of freedom.

    Args:
      values: any shape with `dim`; the members along `dim` are independent replicates.
      dim: the dimension of the replicates.
      confidence: in (0, 1).
      within: the least and the largest value that the mean can have, such as 0 and 1 of accuracies. What of the
        interval lies beyond is cut off; since the mean does not lie there, the rest holds it as often.

    Returns:
      Dataset over the other dimensions: `mean`, `sd` (sample standard deviation s, n - 1 in the denominator), `low`,
      `high`, all in the units of `values`, and `n`, the number of values that count.

    References: Student (1908), The probable error of a mean.
    """
    return _t_interval(values, dim, confidence, within, lambda n: 1 / np.sqrt(n))


def prediction_interval(
    values: xr.DataArray, dim: str = "seed", confidence: float = 0.95, within: tuple[float, float] = ANY
) -> xr.Dataset:
    """Student t interval for one further replicate, mean ± t · s · √(1 + 1/n): it judges a source's single number.

    Arguments and result as in `mean_interval`.

    References: Hahn and Meeker (1991), Statistical Intervals, section 4.7.
    """
    return _t_interval(values, dim, confidence, within, lambda n: np.sqrt(1 + 1 / n))


def mean_in_words(
    values: xr.DataArray,
    form: str,
    dim: str = "seed",
    half_form: str | None = None,
    within: tuple[float, float] = ANY,
    unit: str = "",
) -> str:
    """The mean along the only dimension and its 95 % interval, in the words of `interval_in_words`.

    Args:
      values: [dim].
      form: a format of the mean, such as ".2f" or "+.1f".
      dim: the dimension of the replicates.
      half_form: a format of the half-width; that of the mean without its sign by default.
      within: where the mean can lie, as in `mean_interval`.
      unit: behind the mean, with the space before it.
    """
    interval = mean_interval(values, dim, within=within)
    mean, low, high = (float(interval[name]) for name in ("mean", "low", "high"))
    half_form = half_form or form.removeprefix("+")
    return interval_in_words(mean, low, high, lambda x: f"{x:{form}}", lambda x: f"{x:{half_form}}", unit)


def interval_in_words(
    mean: float,
    low: float,
    high: float,
    number: Callable[[float], str],
    half_width: Callable[[float], str] | None = None,
    unit: str = "",
) -> str:
    """A mean with its interval: "0.85 ± 0.02", and of one value, without an interval, "0.85".

    Where the interval is cut at the end of what is possible it is written out: "7.0 % (0 to 45.1 %)". Where all values
    are equal, as counts at checks often are, there is no ±, which would claim to be infinitely sure: "150 in all
    seeds". A half-width that would round to 0 is "under 0.01".

    Args:
      mean, low, high: NaN of low or high for no interval.
      number: writes the mean, and the ends of an interval.
      half_width: writes the half-width; `number` by default.
      unit: behind the mean, with the space before it.
    """
    shown = f"{number(mean)}{unit}"
    if not np.isfinite(high - low):
        return shown
    if high == low:
        return f"{shown} in all seeds"
    below, above = mean - low, high - mean
    if abs(above - below) > 1e-6 * max(above, below):
        ends = [f"{end:g}" if end in (0, 1, 100) else number(end) for end in (low, high)]
        return f"{shown} ({ends[0]} to {ends[1]}{unit})"
    half = (half_width or number)((high - low) / 2)
    if not any(digit in half for digit in "123456789"):
        half = f"under {half[:-1]}1"
    return f"{shown} ± {half}"


def _t_interval(
    values: xr.DataArray,
    dim: str,
    confidence: float,
    within: tuple[float, float],
    standard_error: Callable[[Values], Values],
) -> xr.Dataset:
    """mean ± t · s · standard_error(n) along `dim`, NaN left out."""
    along = values.variable.transpose(..., dim)
    parts = _t_parts(along.to_numpy(), confidence, within, standard_error)
    units = {name: {"units": "1" if name == "n" else values.attrs.get("units", "1")} for name in parts}
    kept = {name: coord.variable for name, coord in values.coords.items() if dim not in coord.dims}
    return xr.Dataset({name: (along.dims[:-1], part, units[name]) for name, part in parts.items()}, coords=kept)


def mean_interval_along_last(values: Values, within: tuple[float, float] = ANY) -> dict[str, Values]:
    """The parts of the 95 % `mean_interval` along the last dimension of an array; summaries ask for thousands."""
    return _t_parts(values, 0.95, within, lambda n: 1 / np.sqrt(n))


def _t_parts(
    values: Values, confidence: float, within: tuple[float, float], standard_error: Callable[[Values], Values]
) -> dict[str, Values]:
    """`mean`, `sd`, `low`, `high` and `n` along the last dimension, NaN left out."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence}: must lie in (0, 1)")
    x = values.astype(np.float64)
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
        low, high = (np.clip(end, *within) for end in (mean - half_width, mean + half_width))
    return {"mean": mean, "sd": sd, "low": low, "high": high, "n": n}


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
