"""Data as they are drawn: `values`, mean, low, high and n over seeds that did not diverge; which did, or never end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import xarray as xr

from jaxreg.measures import setting_dims
from jaxreg.measures.shares import range_of
from jaxreg.statistics import mean_interval

X = Literal["step", "examples_seen", "seconds"]
X_LABELS = {
    "step": "training (steps)",
    "examples_seen": "training (examples seen)",
    "seconds": "training time (seconds)",
}


def curve_data(results: xr.Dataset, variable: str, x: X, max_points: int) -> xr.Dataset:
    """A variable along step (thinned) or check, as the figures of curves draw it.

    Args:
      results: labelled results.
      variable: a variable [..., seed, step] or [..., seed, check].
      x: what training is measured in.
      max_points: consecutive steps are averaged until no more points than these are left.

    Returns:
      `values` and `diverged` [..., seed, point], `mean`, `low`, `high` and `n` [..., point], and `position`, the place
      of each point on the x axis; the attribute `thinned` describes the averaging.

    Raises:
      ValueError: the variable is no curve, or `x` is unknown.
    """
    if x not in X_LABELS:
        raise ValueError(f"x={x}: must be one of {', '.join(X_LABELS)}")
    results = _sorted(_what_is_drawn(results, variable))
    values = results[variable]
    along = next((dim for dim in ("step", "check") if dim in values.dims), None)
    if along is None:
        raise ValueError(f"{variable} has no dimension step or check: it is no curve")
    require_dims(values, ("seed", along, *setting_dims(values)), variable)
    thinned = ""
    if along == "step":
        stride = int(results["step"][1] - results["step"][0]) if results.sizes["step"] > 1 else 1
        block = -(-values.sizes["step"] // max_points)
        thinned = f"mean over {block * stride} steps" if block > 1 else ""
        thinned += f", one in {stride} recorded" if thinned and stride > 1 else ""
        values = values.coarsen(step=block, boundary="pad").mean() if block > 1 else values
        position = values["step"] if x == "step" else _at_steps(results, values["step"], x)
    else:
        position = results["check_step" if x == "step" else x]
    data = _with_interval(values, results, variable)
    data["position"] = position.reset_coords(drop=True).astype(float)
    return data.drop_vars(along, errors="ignore").assign_attrs(thinned=thinned)


def _at_steps(results: xr.Dataset, step: xr.DataArray, x: str) -> xr.DataArray:
    """The coordinate `x` of the checks at single steps, linear between checks and NaN after the last."""

    def interpolate(checks: np.ndarray, values: np.ndarray) -> np.ndarray:
        known = np.isfinite(checks) & np.isfinite(values)
        return np.asarray(np.interp(step.values, checks[known], values[known], right=np.nan))

    checks = [results[name].reset_coords(drop=True).astype(float) for name in ("check_step", x)]
    core = [["check"], ["check"]]
    found: xr.DataArray = xr.apply_ufunc(
        interpolate, *checks, input_core_dims=core, output_core_dims=[["step"]], vectorize=True
    )
    return found


def value_data(results: xr.Dataset | xr.DataArray, variable: str, axes: Sequence[str]) -> xr.Dataset:
    """One value per member, [..., seed], each of `axes` a dimension: `values`, `diverged`, mean and interval."""
    name = str(results.name) if isinstance(results, xr.DataArray) else variable
    if isinstance(results, xr.DataArray):
        results, variable = results.to_dataset(name="values"), "values"
    for axis in axes:
        results = along_axis(results, axis)
    results = _sorted(_what_is_drawn(results, variable))
    return _with_interval(results[variable], results, name)


def _with_interval(values: xr.DataArray, results: xr.Dataset, name: str) -> xr.Dataset:
    within = range_of(name, values.values, str(values.attrs.get("units", "1")))
    diverged = xr.zeros_like(values, dtype=bool)
    if "diverged_step" in results:
        diverged = results["diverged_step"] >= 0
    diverged = diverged.any([dim for dim in diverged.dims if dim not in values.dims or dim in ("step", "check")])
    if "threshold" in values.attrs:  # a member that reached it before it diverged counts
        diverged = diverged & ~np.isfinite(values)
    censored = ((values == np.inf) & ~diverged).any("seed")
    interval = mean_interval(values.where(~diverged & ~censored), within=within)
    data = interval.assign(values=values, diverged=diverged, censored=censored).transpose(
        *values.dims, missing_dims="ignore"
    )
    dims = set(setting_dims(values))
    return data.drop_vars(
        [name for name, c in data.coords.items() if not (c.dims and set(c.dims) <= dims) or name == "diverged_step"],
        errors="ignore",
    )


def _what_is_drawn(results: xr.Dataset, variable: str) -> xr.Dataset:
    """The variable, who diverged, and coordinates that vary: each of the others would be copied at every turn."""
    others = [name for name in results.data_vars if name not in (variable, "diverged_step")]
    fixed = [name for name, coord in results.coords.items() if not coord.dims and name != "diverged_step"]
    return results.drop_vars(others + fixed)


def _sorted(results: xr.Dataset) -> xr.Dataset:
    """Settings in ascending order along each axis of numbers."""
    return results.sortby([dim for dim in setting_dims(results) if results[dim].dtype.kind in "iuf"])


def along_axis(results: xr.Dataset, axis: str) -> xr.Dataset:
    """`axis` as a dimension: also where it was zipped with another, or has one value only."""
    if axis in results.dims:
        return results
    if axis not in results.coords:
        raise ValueError(f"{axis}: no axis of these results, which have {', '.join(setting_dims(results)) or 'none'}")
    dims = results[axis].dims
    return results.swap_dims({dims[0]: axis}) if dims else results.expand_dims(axis)


def require_dims(values: xr.DataArray, allowed: Sequence[str], name: str) -> None:
    """Raises ValueError if `values` have a dimension that is not among the allowed."""
    others = [str(dim) for dim in values.dims if dim not in allowed]
    if others:
        raise ValueError(f"{name}: select one value of {' and '.join(others)} first")
