"""The settings of a sweep: their dimensions, their values by name, and how they are written."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from jaxreg.slow_imports import xr

# Dimensions that results have within a setting; all others are swept.
WITHIN_SETTINGS = (
    *("seed", "step", "check", "layer", "bin", "label", "prediction", "repeat", "t"),
    *("x1", "x2", "example"),
)

# Coordinates that tell of training and not of the setting, also where one check is left of those along which they are.
_OF_TRAINING = ("check_step", "examples_seen", "seconds")

LONGEST = 100  # characters of a text that is shown; what is longer fills figures, and takes minutes to lay out
TOLERANCE = 1e-6  # relative: float32 numbers stand for the decimals they were given as


class NotHeldError(KeyError):
    """A run lacks what is asked of it; the message says what, as a sentence without a full stop."""

    def __str__(self) -> str:
        return str(self.args[0])


def setting_dims(results: xr.Dataset | xr.DataArray) -> tuple[str, ...]:
    """The swept dimensions, in order: all but those within a setting (`WITHIN_SETTINGS`)."""
    arrays = results.data_vars.values() if isinstance(results, xr.Dataset) else [results]
    dims = dict.fromkeys(str(dim) for array in arrays for dim in array.dims)
    return tuple(dim for dim in dims if dim not in WITHIN_SETTINGS)


def settings(
    results: xr.Dataset, dims: Sequence[str] | None = None, *, where: Sequence[bool] | None = None
) -> Iterator[tuple[dict[str, Any], xr.Dataset]]:
    """Each setting, last dimension fastest: its values by name (zipped ones included) and its part of the results.

    Args:
      results: labelled results.
      dims: the dimensions to go through, `setting_dims(results)` by default.
      where: [settings], which of them to yield; all by default.

    Yields:
      The values by name, and the results without `dims`.
    """
    dims = setting_dims(results) if dims is None else dims
    indices = np.ndindex(*(results.sizes[dim] for dim in dims))
    for number, (index, values) in enumerate(zip(indices, setting_values(results, dims), strict=True)):
        if where is None or where[number]:
            yield values, results.isel(dict(zip(dims, index, strict=True)))


def setting_values(results: xr.Dataset, dims: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """The values of each setting by name, zipped ones included, in the order of `settings`: last dimension fastest."""
    dims = setting_dims(results) if dims is None else dims
    shape = tuple(results.sizes[dim] for dim in dims)
    names = [str(name) for name, coord in results.coords.items() if coord.dims and set(coord.dims) <= set(dims)]
    names = [name for name in names if name not in _OF_TRAINING]
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
    """A setting in one line: "learning_rate=0.1, init_variance=0.01"; to tell several apart, see `setting_labels`."""
    return ", ".join(f"{name}={value_label(value)}" for name, value in setting.items())


def setting_labels(settings: Sequence[Mapping[str, Any]], digits: int = 6) -> list[str]:
    """Each setting in one line, as `setting_label`, with as many digits as it takes to tell its values apart."""
    names = dict.fromkeys(name for setting in settings for name in setting)
    labels: dict[str, dict[Any, str]] = {}
    for name in names:
        values = [setting[name] for setting in settings if name in setting]
        labels[name] = dict(zip(values, value_labels(values, digits), strict=True))
    return [", ".join(f"{name}={labels[name][value]}" for name, value in setting.items()) for setting in settings]


def value_labels(values: Iterable[Any], digits: int = 6, longest: int = LONGEST) -> list[str]:
    """The values of an axis as they are shown, with so many significant digits or as many as tell them apart.

    Text is cut after `longest` characters; where that makes two look the same, their numbers come behind.
    """
    values = list(values)
    for enough in range(digits, 18):  # 17 tell any two floats apart
        labels = [value_label(value, enough, longest) for value in values]
        if len(set(labels)) == len(set(values)):
            return labels
    named = dict(zip(values, labels, strict=True))
    shared = Counter(named.values())  # of texts that begin alike and were cut short
    numbered = {
        value: label if shared[label] == 1 else f"{label} ({number})"
        for number, (value, label) in enumerate(named.items(), 1)
    }
    return [numbered[value] for value in values]


def value_label(value: Any, digits: int = 6, longest: int = LONGEST) -> str:
    """A value of an axis as it is shown: whole numbers as they are, others in so many significant digits, text cut.

    Two values may look the same; what names one of several is for `value_labels`.
    """
    if isinstance(value, float):
        return f"{value:.{max(digits, 6) if value.is_integer() else digits}g}"
    text = str(value)
    return text if len(text) <= longest else f"{text[:longest]}…"


def held_at(results: xr.Dataset, setting: Mapping[str, Any] | None, *axes: str) -> tuple[xr.Dataset, str]:
    """The results with no swept dimensions but `axes`.

    Args:
      results: labelled results.
      setting: the values at which the other dimensions are held, as `results.sel` takes them; their first values if
        None.
      axes: the dimensions that stay.

    Returns:
      The results, and in words where they are held: " at init=he", "" where nothing is.
    """
    setting = setting or {dim: results[dim].values[0] for dim in setting_dims(results)}
    others = {dim: value for dim, value in setting.items() if dim not in axes}
    return results.sel(others), f" at {setting_label(others)}" if others else ""


def agree(ours: Any, theirs: Any) -> bool:
    """Whether two values of a hyperparameter are equal, numbers within a relative 1e-6."""
    if isinstance(ours, int | float) and isinstance(theirs, int | float):
        return math.isclose(ours, theirs, rel_tol=TOLERANCE)
    return bool(ours == theirs)
