"""Results by setting: arrays whose first axis goes through the settings of the sweep, the last dimension fastest."""

from __future__ import annotations

import numpy as np
import xarray as xr

from jaxreg.measures.summary import member_dims


def by_setting(results: xr.Dataset, name: str, *along: str) -> np.ndarray:
    """The values of a variable as [setting, seed, *along], where the layout allows it without a copy."""
    dims = member_dims(results)
    values = results.variables[name].transpose(*dims, "seed", *along).values
    return values.reshape(-1, *values.shape[len(dims) :])


def check_steps(results: xr.Dataset) -> np.ndarray:
    """The steps of the checks as [setting, check], also where groups of settings are checked at steps of their own."""
    setting = results["diverged_step"].isel(seed=0).reset_coords(drop=True)
    steps, _ = xr.broadcast(results["check_step"].reset_coords(drop=True), setting)
    return np.asarray(steps.transpose(*setting.dims, "check").values.reshape(-1, results.sizes["check"]), float)
