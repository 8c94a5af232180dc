"""Made-up results of methods on a point cloud, one of which stops early."""

from __future__ import annotations

import numpy as np
import xarray as xr

from tests.synthetic import add_surfaces, make_results

METHODS = ["none", "l1", "l2", "early_stopping"]


def made(seeds: int = 6) -> xr.Dataset:
    """What the source found: 21 checks of 50 steps, 100 examples; early stopping ends at check 8 or 9 and keeps 3."""
    results = make_results(
        axes={"method": METHODS, "l1_strength": [0.001, 0.002, 0.003]},
        zipped={"l2_strength": ("l1_strength", [0.003, 0.01, 0.03])},
        seeds=seeds,
    )
    results = add_surfaces(results).assign_coords(after_stop="halt", patience=5)
    rng = np.random.default_rng(0)
    noise = xr.DataArray(rng.normal(0, 0.001, results["validation_loss"].shape), dims=results["validation_loss"].dims)
    level = xr.DataArray([0.4, 0.3, 0.2, 0.35], dims="method")
    results["validation_loss"] = (level + noise).transpose(*results["validation_loss"].dims)
    results["train_objective"] = results["train_loss"] + xr.DataArray([0.0, 0.5, 2.0, 0.0], dims="method")
    results["stopped_check"][3], results["best_check"][3] = 8 + np.arange(seeds) % 2, 3
    for seed in range(seeds):
        results["validation_loss"][3, :, seed, 9 + seed % 2 :] = np.nan
        results["train_objective"][3, :, seed, (8 + seed % 2) * 50 :] = np.nan
    results["best_validation_loss"][3] = results["validation_loss"][3, ..., 3]
    time = np.array([0.5, 0.6, 0.6, 0.2])[:, None] + rng.normal(0, 0.01, (4, 8))
    return results.assign(training_time_alone=(("method", "repeat"), time, {"units": "s"})).assign_attrs(
        train_examples=100
    )
