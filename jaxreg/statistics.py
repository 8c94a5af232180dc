"""Intervals over replicates: for the mean of a setting, and for one more run of it. n is the number of seeds.

NaN members (diverged ones) are left out and n counts the rest. Fewer than two values give no interval: sd, low and high
are NaN. Equal values give an interval of zero width. An infinite value (a censored member) makes the mean infinite,
without an interval.
"""

from __future__ import annotations

import numpy as np
import scipy.stats
import xarray as xr


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
    mean, sd, n = _moments(values, dim)
    return _interval(values, mean, sd, n, _t_quantile(n, confidence) * sd / np.sqrt(n.where(n > 0)))


def prediction_interval(values: xr.DataArray, dim: str = "seed", confidence: float = 0.95) -> xr.Dataset:
    """Student t interval for one further replicate, mean ± t · s · √(1 + 1/n): it judges a source's single number.

    Arguments and result as in `mean_interval`.

    References: Hahn and Meeker (1991), Statistical Intervals, section 4.7.
    """
    mean, sd, n = _moments(values, dim)
    return _interval(values, mean, sd, n, _t_quantile(n, confidence) * sd * np.sqrt(1 + 1 / n.where(n > 0)))


def _moments(values: xr.DataArray, dim: str) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    """Mean, sample standard deviation and count along `dim`, NaN left out."""
    values = values.astype(np.float64)
    n = values.notnull().sum(dim)
    # Measured from one of the values, equal values have exactly that mean and no deviation.
    origin = values.where(values != np.inf).min(dim).fillna(0.0)
    mean = origin + (values - origin).sum(dim) / n.where(n > 0)
    finite_mean = mean.where(mean != np.inf)
    variance = ((values - finite_mean) ** 2).sum(dim) / (n - 1).where((n > 1) & finite_mean.notnull())
    return mean, variance**0.5, n


def _t_quantile(n: xr.DataArray, confidence: float) -> xr.DataArray:
    """Two-sided t quantile at n - 1 degrees of freedom; NaN below n = 2."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence}: must lie in (0, 1)")
    quantile: xr.DataArray = n.copy(data=scipy.stats.t.ppf((1 + confidence) / 2, df=(n - 1).where(n > 1)))
    return quantile


def _interval(
    values: xr.DataArray, mean: xr.DataArray, sd: xr.DataArray, n: xr.DataArray, half_width: xr.DataArray
) -> xr.Dataset:
    parts = {"mean": mean, "sd": sd, "low": mean - half_width, "high": mean + half_width}
    units = values.attrs.get("units", "1")
    return xr.Dataset(
        {name: part.assign_attrs(units=units) for name, part in parts.items()} | {"n": n.assign_attrs(units="1")}
    )
