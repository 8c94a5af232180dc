"""Where a quantity of replicates crosses 0 along an axis, interpolated between the values that were run."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxreg.slow_imports import scipy, xr

Values = np.ndarray[Any, Any]


def first_zero(values: xr.DataArray, dim: str) -> xr.DataArray:
    """Where values first change sign along `dim`, by linear interpolation between neighbours.

    Args:
      values: any shape with `dim`, which has an ascending coordinate of numbers.
      dim: along which they may cross 0.

    Returns:
      [...] in the unit of the coordinate; NaN where no two neighbours have different signs.
    """
    at = values[dim].to_numpy().astype(float)
    found: xr.DataArray = xr.apply_ufunc(
        lambda row: _first_zero(at, row), values, input_core_dims=[[dim]], output_core_dims=[[]], vectorize=True
    )
    return found.assign_attrs(units=values[dim].attrs.get("units", "1"))


def zero_of_mean(values: xr.DataArray, dim: str, over: str = "seed", confidence: float = 0.95) -> xr.Dataset:
    """Where the mean over replicates first crosses 0 along `dim`, with an interval.

    Between neighbours each replicate is interpolated linearly, y(x) = (1 - u) y_i + u y_(i+1), so that the mean is too.
    The interval goes from the lowest to the highest x at which a t test of the y(x) does not tell their mean from 0,

      mean(y(x))^2 <= t^2 s(y(x))^2 / n,   t the (1 + confidence)/2 quantile at n - 1 degrees of freedom,

    a quadratic in u between two neighbours. Since the test is right at the x where the true mean is 0, the interval
    holds that x at least as often as `confidence` says, for normal values and a mean that is linear between neighbours.
    An interval of the zeros of single replicates would leave out those that do not cross.

    Args:
      values: [..., over, dim]; a replicate with a NaN along `dim` is left out. `dim` has an ascending coordinate.
      dim: along which the mean may cross 0.
      over: the dimension of the replicates, which are independent of each other; values of one along `dim` need not be.
      confidence: in (0, 1).

    Returns:
      Dataset over the other dimensions: `at`, NaN where the mean does not cross; `low` and `high`, infinite where the
      mean at that end of the axis is not told from 0, NaN where it does not cross or n < 2, all in the unit of the
      coordinate; `crossing`, the number of replicates that cross by themselves, and `n`, of those that count.

    References: Fieller (1954), Some problems in interval estimation.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence}: must lie in (0, 1)")
    at = values[dim].to_numpy().astype(float)

    def of_rows(rows: Values) -> tuple[float, float, float, int, int]:
        y = rows[~np.isnan(rows).any(axis=-1)].astype(float)
        crossing = int(np.isfinite([_first_zero(at, row) for row in y]).sum())
        zero = _first_zero(at, y.mean(axis=0)) if len(y) else np.nan
        has_interval = len(y) > 1 and np.isfinite(zero)
        low, high = _not_told_from_0(at, y, zero, confidence) if has_interval else (np.nan, np.nan)
        return zero, low, high, crossing, len(y)

    names, unit = ("at", "low", "high", "crossing", "n"), values[dim].attrs.get("units", "1")
    parts = xr.apply_ufunc(
        of_rows, values, input_core_dims=[[over, dim]], output_core_dims=[[]] * len(names), vectorize=True
    )
    return xr.Dataset(
        {
            name: part.assign_attrs(units="1" if name in ("crossing", "n") else unit)
            for name, part in zip(names, parts, strict=True)
        }
    )


def _first_zero(at: Values, y: Values) -> float:
    """Where the polygon through (at, y) first changes sign; NaN where it does not."""
    changes = np.flatnonzero(y[:-1] * y[1:] <= 0)
    if not changes.size:
        return np.nan
    i = changes[0]
    share = y[i] / (y[i] - y[i + 1]) if y[i] != y[i + 1] else 0.0
    return float(at[i] + share * (at[i + 1] - at[i]))


def _not_told_from_0(at: Values, y: Values, zero: float, confidence: float) -> tuple[float, float]:
    """The ends of the interval of `zero_of_mean`, for y [replicates, at] whose mean is 0 at `zero`."""
    n = len(y)
    factor = scipy.special.stdtrit(n - 1, (1 + confidence) / 2) ** 2 / n
    mean, covariance = y.mean(axis=0), np.cov(y, rowvar=False)
    undecided = mean**2 <= factor * np.diagonal(covariance)
    found = [zero, *at[undecided]]
    for i in range(len(at) - 1):
        # The coefficients, of u^2 first, of mean^2 - factor s^2 for y_i + u (y_(i+1) - y_i).
        step, variance = mean[i + 1] - mean[i], covariance[i, i]
        with_step = covariance[i, i + 1] - variance
        of_step = covariance[i + 1, i + 1] - 2 * covariance[i, i + 1] + variance
        of_mean = step**2, 2 * mean[i] * step, mean[i] ** 2
        of_variance = of_step, 2 * with_step, variance
        roots = np.roots(np.subtract(of_mean, np.multiply(factor, of_variance)))
        inside = roots[np.isreal(roots)].real
        found += [at[i] + u * (at[i + 1] - at[i]) for u in inside if 0 <= u <= 1]
    return -np.inf if undecided[0] else float(min(found)), np.inf if undecided[-1] else float(max(found))
