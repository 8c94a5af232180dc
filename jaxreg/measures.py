"""What is read off labelled results: which settings a sweep holds, their names, and how long training took."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

WITHIN_SETTINGS = ("seed", "step", "check", "layer", "bin", "label", "prediction")


def setting_dims(results: xr.Dataset | xr.DataArray) -> tuple[str, ...]:
    """The swept dimensions, in order: all but those within a setting (`WITHIN_SETTINGS`)."""
    arrays = results.data_vars.values() if isinstance(results, xr.Dataset) else [results]
    dims = dict.fromkeys(str(dim) for array in arrays for dim in array.dims)
    return tuple(dim for dim in dims if dim not in WITHIN_SETTINGS)


def settings(
    results: xr.Dataset, dims: Sequence[str] | None = None, *, where: Sequence[bool] | None = None
) -> Iterator[tuple[dict[str, Any], xr.Dataset]]:
    """Each setting, last dimension fastest: its values by name (zipped ones included) and its part of the results.

    `dims` are the dimensions to go through, `setting_dims(results)` by default; of the settings only those that are
    true in `where`, if it is given.
    """
    dims = setting_dims(results) if dims is None else dims
    indices = np.ndindex(*(results.sizes[dim] for dim in dims))
    for number, (index, values) in enumerate(zip(indices, setting_values(results, dims), strict=True)):
        if where is None or where[number]:
            yield values, results.isel(dict(zip(dims, index, strict=True)))


def setting_values(results: xr.Dataset, dims: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """The values of each setting by name, in the order of `settings`."""
    dims = setting_dims(results) if dims is None else dims
    shape = tuple(results.sizes[dim] for dim in dims)
    names = [str(name) for name, coord in results.coords.items() if coord.dims and set(coord.dims) <= set(dims)]
    names.sort(key=lambda name: dims.index(str(results[name].dims[0])))
    columns = []
    for name in names:
        coord = results[name].transpose(*(dim for dim in dims if dim in results[name].dims))
        missing = tuple(axis for axis, dim in enumerate(dims) if dim not in coord.dims)
        columns.append(np.broadcast_to(np.expand_dims(coord.values, missing), shape).ravel().tolist())
    if not columns:
        return [{} for _ in range(math.prod(shape))]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def setting_label(setting: Mapping[str, Any]) -> str:
    """A setting in one line: "learning_rate=0.1, init_variance=0.01"."""
    return ", ".join(f"{name}={value_label(value)}" for name, value in setting.items())


def value_label(value: Any, digits: int = 6) -> str:
    """A value of an axis as it is shown: whole numbers and text as they are, others in so many significant digits."""
    if isinstance(value, float):
        return f"{value:g}" if value.is_integer() else f"{value:.{digits}g}"
    return str(value)


def steps_to_train(results: xr.Dataset, threshold: float = 0.85) -> xr.DataArray:
    """Steps to the first check with test accuracy >= threshold, […, seed]; never is +inf (censored, ranked last).

    A member that diverged counts by what it reached before. `attrs["threshold"]` keeps the threshold.
    """
    reached = results["test_accuracy"] >= threshold
    steps = results["check_step"].where(reached).min("check").fillna(np.inf)
    return (
        steps.transpose(*(dim for dim in reached.dims if dim != "check"))
        .rename("steps_to_train")
        .assign_attrs(
            units="steps",
            description=f"steps to the first check with test accuracy >= {threshold:g}",
            threshold=threshold,
        )
    )


def fluctuation(
    results: xr.Dataset, variable: str = "train_loss", last_steps: int = 1000, *, relative: bool = False
) -> xr.DataArray:
    """How much a loss jumps from step to step at the end of training: sd(first differences) / sqrt(2), [..., seed].

    For independent noise of standard deviation s around a slow curve it is s. NaN for a member that diverged.

    Args:
      results: labelled results; with `record_every` > 1 the differences are those between recorded steps.
      variable: a curve along `step`.
      last_steps: how many steps before the last one count.
      relative: as a fraction of the mean loss over these steps.
    """
    step, end = results["step"], results["num_steps"]
    curve = results[variable].isel(step=(step >= end - last_steps).any(list(end.dims)).values)
    curve = curve.where((curve["step"] >= end - last_steps) & (curve["step"] < end))
    differences = curve.astype(np.float64).diff("step")
    spread = (differences.std("step", ddof=1) / np.sqrt(2)).where(results["diverged_step"] < 0)
    if relative:
        spread = spread / curve.mean("step", dtype=np.float64)
    return (
        spread.transpose(*(dim for dim in results[variable].dims if dim != "step"))
        .rename("fluctuation")
        .assign_attrs(
            units="1" if relative else results[variable].attrs.get("units", "1"),
            description=f"sd of first differences / sqrt(2) of {variable} over the last {last_steps} steps"
            + (", relative to its mean" if relative else ""),
        )
    )
