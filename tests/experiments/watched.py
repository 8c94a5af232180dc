"""Made-up results of a run with diagnostics, for tests of what is measured, said and drawn of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from jaxreg.diagnostics.histograms import NUM_BINS, bin_edges
from jaxreg.diagnostics.variables import QUANTITIES
from jaxreg.diagnostics.verdicts import diagnosis
from tests.synthetic import make_results

NUM_CHECKS = 5


def watched(
    axes: dict[str, list[Any]] | None = None, *, layers: int = 2, seeds: int = 5, histograms: bool = True, **fixed: Any
) -> xr.Dataset:
    """Results by setting, seed, check and layer, whose output layer is the last; 64 inputs, 10 classes.

    Weights have the variance of their setting and drift, the saturated share of the hidden layers grows with it, and
    units differ unless it is zero. `fixed` are further coordinates without dimension.
    """
    axes = {"init_variance": [0.0, 0.1, 0.2, 0.3, 1.0, 2.0]} if axes is None else axes
    results = make_results(axes=axes, seeds=seeds, num_checks=NUM_CHECKS).assign_coords(fixed)
    rng = np.random.default_rng(0)
    members = (*axes, "seed")
    lengths = dict(results.sizes) | {"layer": layers, "bin": NUM_BINS}
    results = results.assign_coords(layer=np.arange(1, layers + 1))
    variance = results["init_variance"] * xr.ones_like(results["layer"], dtype=float)

    def noisy(scale: float = 0.01) -> xr.DataArray:
        """Near 1, [..., seed, check, layer]."""
        dims = (*members, "check", "layer")
        return xr.DataArray(rng.normal(1, scale, [lengths[dim] for dim in dims]), dims=dims)

    hidden = results["layer"] < layers
    variables: dict[str, xr.DataArray] = {}
    for quantity in QUANTITIES:
        variables[f"{quantity}_mean"] = 0.0 * noisy()
        variables[f"{quantity}_std"] = noisy()
        if histograms:
            counts = rng.integers(0, 50, [lengths[dim] for dim in (*members, "check", "layer", "bin")])
            counts[..., :60], counts[..., 66:] = 0, 0
            variables[f"{quantity}_histogram"] = xr.DataArray(
                counts.astype(np.uint32),
                dims=(*members, "check", "layer", "bin"),
                attrs={"bin_edges": bin_edges(quantity)},
            )
    variables["weights_std"] = variance**0.5 * noisy() + 0.01 * results["check"]
    variables["saturated_fraction"] = (variance / (0.2 + variance) * noisy()).clip(0, 1).where(hidden)
    variables["dead_fraction"] = (0.0 * noisy()).where(hidden)
    variables["distinct_units"] = (11.0 + 0.0 * noisy()).where(variance > 0, 1.0).where(hidden)
    variables["gradient_norm"] = noisy()
    variables["update_ratio"] = noisy()
    drift = 0.01 * results["check"] * noisy()
    variables["relative_change"] = drift.where((variance > 0) | (drift == 0), np.inf)  # x / 0 = inf, 0 / 0 = 0
    variables["gradient_ratio"] = noisy().isel(layer=0)
    variables = {name: values.transpose(*members, "check", ...) for name, values in variables.items()}
    confusion = xr.DataArray(np.zeros([10, 10], np.int32), dims=("label", "prediction"))
    results = results.assign(variables | {"test_confusion": confusion * (results["diverged_step"] + 1)})
    results = results.assign_attrs(input_shape=[8, 8])
    return results.assign(diagnosis=diagnosis(results))
