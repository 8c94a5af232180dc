"""Labelled results as tidy tables: one row per observation, one column per variable (Wickham, 2014, Tidy Data)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jaxreg.measures.settings import WITHIN_SETTINGS, setting_dims
from jaxreg.slow_imports import pd, xr

ALONG_CHECKS = ("check_step", "examples_seen")  # coordinates that become columns of a table with a row per check


def to_frame(results: xr.Dataset, variables: Sequence[str] | None = None) -> pd.DataFrame:
    """A row per member; per member and check or step where a variable has one of these.

    Columns: every swept axis with what is zipped along it, `seed`, the further dimensions of the variables (for `check`
    also `check_step` and `examples_seen`), then the variables, values of a member repeated on each of its rows. Rows in
    the order of the grid, last dimension fastest. Checks and steps after a member's last one, which only fill up a run
    of unequal lengths, are left out; what a diverged member no longer measured stays, as NaN.

    Args:
      results: labelled results of a run, or a part of them; what was selected down to one value has no column.
      variables: their names, by default all that have one value per member.

    Raises:
      ValueError: an unknown variable, or variables along different dimensions, such as `check` and `step`.
    """
    if variables is None:
        variables = [str(name) for name, values in results.data_vars.items() if not _within_member(values)]
    if unknown := [name for name in variables if name not in results.data_vars]:
        held = ", ".join(map(str, results.data_vars))
        raise ValueError(f"{', '.join(unknown)}: no variable of these results; they hold {held}")
    inner: tuple[str, ...] = ()
    for name in variables:
        along = _within_member(results[name])
        if along and inner and along != inner:
            raise ValueError(f"{name} is along {', '.join(along)}, others along {', '.join(inner)}: a table for each")
        inner = inner or along

    part = results[list(variables)]
    outer = setting_dims(part)
    dims = (*outer, *(("seed",) if "seed" in part.dims else ()), *inner)
    axes = [str(name) for name, coord in part.coords.items() if coord.dims and set(coord.dims) <= set(outer)]
    axes.sort(key=lambda name: dims.index(str(part[name].dims[0])))
    keys = [*axes, *dims[len(outer) :], *(name for name in ALONG_CHECKS if "check" in inner and name in part.coords)]
    columns = dict.fromkeys([*keys, *variables])  # `part[dim]` counts along a dimension that has no values of its own
    shape = tuple(part.sizes[dim] for dim in dims)
    frame = pd.DataFrame({name: _flat(part[name], dims, shape) for name in columns}, copy=False)
    trained = _trained(part, inner, dims, shape)
    if trained.all():
        return frame
    frame = frame[trained].reset_index(drop=True)
    return frame.astype({name: np.int64 for name in ALONG_CHECKS if name in frame and "check" in inner})


def _within_member(values: xr.DataArray) -> tuple[str, ...]:
    """The dimensions that a variable has within one member: `check`, `step`, ..."""
    return tuple(str(dim) for dim in values.dims if dim in WITHIN_SETTINGS and dim != "seed")


def _flat(values: xr.DataArray, dims: tuple[str, ...], shape: tuple[int, ...]) -> np.ndarray:
    """The values at every point of the grid, last dimension fastest."""
    own = [dim for dim in dims if dim in values.dims]
    missing = tuple(axis for axis, dim in enumerate(dims) if dim not in values.dims)
    return np.broadcast_to(np.expand_dims(values.transpose(*own).values, missing), shape).reshape(-1)


def _trained(part: xr.Dataset, inner: tuple[str, ...], dims: tuple[str, ...], shape: tuple[int, ...]) -> np.ndarray:
    """False for the rows that lie after the last step of their member."""
    if "check" in inner and "check_step" in part.coords:
        return _flat(part["check_step"].notnull(), dims, shape)
    if "step" in inner and "num_steps" in part.coords:
        return _flat(part["step"] < part["num_steps"], dims, shape)
    return np.ones(int(np.prod(shape, dtype=int)), bool)
