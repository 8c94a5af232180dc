"""Importance of each axis of a sweep: the share of the variance of an outcome between settings that it explains."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jaxreg.measures.settings import setting_dims, value_labels
from jaxreg.slow_imports import xr
from jaxreg.statistics import variance_shares


def axis_importance(results: xr.Dataset, variable: str = "final_validation_accuracy") -> xr.Dataset | None:
    """`variance_shares` of an outcome over the axes of a run, on the largest full grid without a diverged member.

    Axes that were zipped together vary together, and count as one. Members that diverged have no outcome, and shares
    are defined on full grids only: values of axes, or seeds, are left out one after another, each time the one of whose
    members most have none, until nothing is missing.

    Args:
      results: labelled results of a run.
      variable: one value of each member, [..., seed].

    Returns:
      The shares by axis (see `jaxreg.statistics.variance_shares`); the attribute `left_out` lists what was left out, as
      `learning_rate=10`. None if fewer than two axes are left with two values each, or no seed.
    """
    outcome = results[variable]
    outcome = outcome.where(np.isfinite(outcome))
    if "diverged_step" in results:
        outcome = outcome.where(results["diverged_step"] < 0)
    axes = [dim for dim in setting_dims(outcome) if outcome.sizes[dim] > 1]
    outcome = outcome.squeeze([dim for dim in setting_dims(outcome) if dim not in axes])
    if len(axes) < 2:
        return None
    outcome, left_out = _full(outcome)
    axes = [axis for axis in axes if outcome.sizes[axis] > 1]
    if len(axes) < 2 or not outcome.size:
        return None
    outcome = outcome.squeeze([dim for dim in setting_dims(outcome) if dim not in axes])
    return variance_shares(outcome, axes).assign_attrs(left_out=left_out)


def _full(outcome: xr.DataArray) -> tuple[xr.DataArray, list[str]]:
    """The part of a grid that has no missing value, and what was left out of it: `learning_rate=10`, `seed=3`."""
    missing, dims = outcome.isnull().values, [str(dim) for dim in outcome.dims]
    kept = [np.ones(size, bool) for size in missing.shape]
    counts = [_along(missing, axis) for axis in range(missing.ndim)]  # of what is missing at each value that is kept
    left_out: list[tuple[int, int]] = []
    while counts[0].any():
        sizes = [int(values.sum()) for values in kept]
        share = [count.max() * size / math.prod(sizes) for count, size in zip(counts, sizes, strict=True)]
        worst = int(np.argmax(share))
        place = int(counts[worst].argmax())
        at: Any = (*[slice(None)] * worst, slice(place, place + 1))
        for axis, count in enumerate(counts):
            count -= _along(missing[at], axis) if axis != worst else 0
        missing[at], counts[worst][place], kept[worst][place] = False, 0, False
        left_out.append((worst, place))
    labels = [value_labels(outcome[dims[axis]].values.tolist()) for axis in range(len(dims))] if left_out else []
    found = outcome.isel({dim: np.flatnonzero(values) for dim, values in zip(dims, kept, strict=True)})
    return found, [f"{dims[axis]}={labels[axis][place]}" for axis, place in left_out]


def _along(missing: np.ndarray, axis: int) -> np.ndarray:
    """How many there are at each place along an axis."""
    return np.asarray(missing.sum(tuple(other for other in range(missing.ndim) if other != axis)))
