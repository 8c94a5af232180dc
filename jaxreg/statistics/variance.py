"""Shares of the variance between the settings of a grid, by axis: functional ANOVA without the noise of seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxreg.slow_imports import scipy, xr

Values = np.ndarray[Any, Any]


def variance_shares(
    values: xr.DataArray, axes: Sequence[str], dim: str = "seed", confidence: float = 0.95
) -> xr.Dataset:
    """Shares of the variance between the settings of a full grid, by axis: main effects, and all that involves an axis.

    With f(g) the expected value at setting g, every setting counting the same, and V the variance over settings:
      `main`[j]     = V[E(f | value of axis j)] / V[f], what the axis explains by itself;
      `total`[j]    = 1 - V[E(f | values of all other axes)] / V[f], what it explains alone or together with others;
      `interaction` = 1 - the sum of `main`, what no axis explains by itself.
    On a full grid the main effects and all interactions are orthogonal, so that they add up to 1; `total` counts an
    interaction for each of its axes, so that its sum may exceed 1.

    The variance V of means over the seeds would hold the variance of their noise too, and count it as interaction.
    Each V is therefore estimated from pairs of different seeds s and t, whose noise is independent: the covariance over
    settings of the (marginal) means of s with those of t, averaged over all pairs. That is unbiased, and what a seed
    adds to all settings alike cancels. The interval is that of the jackknife: seeds are left out one at a time, ± t ·
    standard error with n - 1 degrees of freedom. Shares and their ends are cut to [0, 1]. In simulations with 3, 5 and
    10 seeds and little to much noise, 93 to 100 % of such 95 % intervals held the true share.

    Args:
      values: [axes, dim] in any order, finite: one value of each setting and replicate.
      axes: the dimensions that span the grid, at least one.
      dim: the dimension of the replicates.
      confidence: in (0, 1).

    Returns:
      `main`, `main_low`, `main_high`, `total`, `total_low`, `total_high` [axis]; `interaction`, `interaction_low`,
      `interaction_high`; `sd`, the standard deviation between settings in the units of `values`; and `n`. With one
      replicate the noise cannot be removed, and below three there is no interval: its ends are NaN. All shares are NaN
      where nothing varies between settings beyond the noise; where that hangs on a single seed the interval is 0 to 1.

    Raises:
      ValueError: `values` have other dimensions, or a value that is not finite.

    References: Hoeffding (1948), A class of statistics with asymptotically normal distribution; Sobol' (1993),
    Sensitivity estimates for nonlinear mathematical models; Hutter, Hoos and Leyton-Brown (2014), An efficient approach
    for assessing hyperparameter importance; Efron and Stein (1981), The jackknife estimate of variance.
    """
    if not axes or set(values.dims) != {*axes, dim}:
        there = ", ".join(map(str, values.dims))
        raise ValueError(f"values: must have the dimensions {', '.join([*axes, dim])}, not {there}")
    y = values.transpose(dim, *axes).values.astype(np.float64)
    if not np.isfinite(y).all():
        raise ValueError("values: all must be finite")
    n, places = len(y), range(1, y.ndim)
    # Measured from each seed's mean over the grid; and from a value of the seed first, so that equal values give 0.
    y = y - y.reshape(n, -1)[:, :1].reshape(n, *(1 for _ in places))
    y = y - y.mean(tuple(places), keepdims=True)
    whole = _covariances(y)
    by_itself = [_covariances(y.mean(tuple(other for other in places if other != place))) for place in places]
    by_others = [_covariances(y.mean(place)) for place in places]
    parts = np.stack([whole, *by_itself, *by_others])  # [1 + 2 axes, n, n]

    estimate, noiseless = _shares(_over_pairs(parts), len(axes))
    low = high = np.full_like(estimate, np.nan)
    if n >= 3 and noiseless:
        left_out = [_shares(_over_pairs(_without(parts, seed)), len(axes)) for seed in range(n)]
        if all(known for _, known in left_out):
            each = np.stack([shares for shares, _ in left_out])
            error = np.sqrt((n - 1) / n * ((each - each.mean(0)) ** 2).sum(0))
            half = scipy.special.stdtrit(n - 1, (1 + confidence) / 2) * error
            low, high = estimate - half, estimate + half
        else:
            low, high = np.full_like(estimate, 0.0), np.full_like(estimate, 1.0)
    names, columns = ("main", "total"), (slice(0, len(axes)), slice(len(axes), 2 * len(axes)))
    found: dict[str, Any] = {}
    for suffix, shares in (("", estimate), ("_low", low), ("_high", high)):
        cut = np.clip(shares, 0.0, 1.0)
        found |= {name + suffix: ("axis", cut[at], {"units": "1"}) for name, at in zip(names, columns, strict=True)}
        found["interaction" + suffix] = ((), cut[-1], {"units": "1"})
    found["sd"] = ((), np.sqrt(max(float(_over_pairs(parts)[0]), 0.0)), {"units": values.attrs.get("units", "1")})
    return xr.Dataset(found | {"n": ((), n, {"units": "1"})}, coords={"axis": list(axes)})


def _covariances(means: Values) -> Values:
    """Between replicates, over the cells of a (marginal) grid: [n, ...] -> [n, n]. The means over cells are 0."""
    flat = means.reshape(len(means), -1)
    return flat @ flat.T / flat.shape[1]


def _over_pairs(parts: Values) -> Values:
    """The mean over pairs of different replicates, of one replicate that of itself: [..., n, n] -> [...]."""
    n = parts.shape[-1]
    if n == 1:
        return parts[..., 0, 0]
    return (parts.sum((-2, -1)) - np.trace(parts, axis1=-2, axis2=-1)) / (n * (n - 1))


def _without(parts: Values, replicate: int) -> Values:
    return np.delete(np.delete(parts, replicate, axis=-1), replicate, axis=-2)


def _shares(variances: Values, count: int) -> tuple[Values, bool]:
    """Main shares, total shares and interaction from [1 + 2 axes] variances, and whether the whole is above 0."""
    whole, by_itself, by_others = variances[0], variances[1 : 1 + count], variances[1 + count :]
    if not whole > 0:
        return np.full(2 * count + 1, np.nan), False
    main = by_itself / whole
    return np.concatenate([main, 1 - by_others / whole, [1 - main.sum()]]), True
