"""Importance of each axis of a sweep: the share of the variance of an outcome between settings that it explains."""

from __future__ import annotations

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
    outcome, left_out = _full(outcome)
    axes = [axis for axis in axes if outcome.sizes[axis] > 1]
    if len(axes) < 2 or not outcome.size:
        return None
    outcome = outcome.squeeze([dim for dim in setting_dims(outcome) if dim not in axes])
    return variance_shares(outcome, axes).assign_attrs(left_out=left_out)


def _full(outcome: xr.DataArray) -> tuple[xr.DataArray, list[str]]:
    """The part of a grid that has no missing value, and what was left out of it: `learning_rate=10`, `seed=3`."""
    left_out: list[str] = []
    while bool((missing := outcome.isnull()).any()):
        share = {dim: missing.mean([other for other in outcome.dims if other != dim]).values for dim in outcome.dims}
        worst = max(share, key=lambda dim: share[dim].max())
        place = int(share[worst].argmax())
        labels = value_labels(outcome[worst].values.tolist())
        left_out.append(f"{worst}={labels[place]}")
        outcome = outcome.isel({worst: [other for other in range(outcome.sizes[worst]) if other != place]})
        if not outcome.size:
            break
    return outcome, left_out
