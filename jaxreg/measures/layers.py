"""What happens in a layer, read off the variables that --diagnostics records: saturation, change of weights, gradients.

Layers count from 1. A member that diverged has no value (NaN), and KeyError is raised of a run without diagnostics.
"""

from __future__ import annotations

import math

import numpy as np

from jaxreg.slow_imports import xr


def layer_labels(results: xr.Dataset) -> list[str]:
    """What to call each layer: the path of its module, or "layer 1", "layer 2" ... of dense ones."""
    if "layer_name" in results.coords:
        return [str(name) for name in results["layer_name"].values]
    return [f"layer {number}" for number in results["layer"].values.tolist()]


def last_measured_check(results: xr.Dataset) -> xr.DataArray:
    """The last check at which the layers of each member were measured, [..., seed] int; 0 if they never were."""
    known = results["weights_std"].sel(layer=1, drop=True).notnull()
    return xr.DataArray(np.arange(known.sizes["check"]), dims="check").where(known).max("check").fillna(0).astype(int)


def saturation(results: xr.Dataset, layer: int = 1, *, at_end: bool = True) -> xr.DataArray:
    """Share of a layer's (example, unit) pairs that are saturated, in [0, 1], [..., seed].

    At the member's last measured check, or before the first step where not `at_end`.
    """
    share = results["saturated_fraction"].sel(layer=layer, drop=True)
    return _of_trained(share.isel(check=last_measured_check(results) if at_end else 0), results)


def has_diagnosis(results: xr.Dataset, verdict: str, layer: int = 1) -> xr.DataArray:
    """Whether a layer has a diagnosis at the last measured check, 1 or 0, [..., seed].

    Args:
      results: with `diagnosis`, whose attributes `flag_values` and `flag_meanings` name its codes.
      verdict: one of them, such as "saturated".
      layer: counted from 1.

    Raises:
      KeyError: there is no such diagnosis.
    """
    diagnosis = results["diagnosis"]
    code = diagnosis.sel(layer=layer, drop=True).isel(check=last_measured_check(results))
    return _of_trained((code == verdict_codes(diagnosis)[verdict]).astype(float), results)


def verdict_codes(diagnosis: xr.DataArray) -> dict[str, int]:
    """The codes of a diagnosis by name, in the order of `flag_meanings` (CF conventions, section 3.5)."""
    codes = np.atleast_1d(diagnosis.attrs["flag_values"]).tolist()
    return dict(zip(str(diagnosis.attrs["flag_meanings"]).split(), codes, strict=True))


def weight_change(results: xr.Dataset, layer: int = 1, *, at_end: bool = True) -> xr.DataArray:
    """How far the weights of a layer have moved since the start, ||W_t - W_0|| / ||W_0||.

    Weights that start at zero are compared with a root mean square of 1 / sqrt(features), the scale that keeps the size
    of a signal (LeCun et al. 1998), in place of ||W_0|| = 0; features are those of the input, so that this is meant for
    layer 1.

    Returns:
      [..., seed], at the member's last measured check; [..., seed, check] where not `at_end`.
    """
    change, mean, std = (
        results[name].sel(layer=layer, drop=True).astype(float)
        for name in ("relative_change", "weights_mean", "weights_std")
    )
    moment = mean**2 + std**2
    features = math.prod(np.atleast_1d(results.attrs["input_shape"]).tolist())
    change = change.where(moment.isel(check=0) > 0, np.sqrt(features * moment))
    return _of_trained(change.isel(check=last_measured_check(results)) if at_end else change, results)


def histogram_shift(results: xr.Dataset, layer: int = 1) -> xr.DataArray:
    """How far the histogram of a layer's weights at the last check is from that at the first, in [0, 1], [..., seed].

    Half the sum over the bins of |share at the end - share at the start|: the total variation distance. Moves of single
    weights that cancel in the histogram do not show.
    """
    counts = results["weights_histogram"].sel(layer=layer, drop=True).astype(float)
    shares = counts / counts.sum("bin")
    return _of_trained(
        abs(shares.isel(check=last_measured_check(results)) - shares.isel(check=0)).sum("bin") / 2, results
    )


def gradient_decades(results: xr.Dataset) -> xr.DataArray:
    """log10 of the gradient norm of the first layer over that of the last, before the first step, [..., seed].

    In decades: below 0 where gradients shrink towards the first layer, -inf where they vanish.
    """
    with np.errstate(divide="ignore"):
        decades: xr.DataArray = xr.apply_ufunc(np.log10, results["gradient_ratio"].isel(check=0).astype(float))
    return decades.assign_attrs(units="decades")


def most_distinct_units(results: xr.Dataset) -> xr.DataArray:
    """The largest number of different units in any hidden layer at any check, [..., seed]."""
    return results["distinct_units"].max(["check", "layer"]).assign_attrs(units="1")


def _of_trained(values: xr.DataArray, results: xr.Dataset) -> xr.DataArray:
    """NaN for members that diverged."""
    return values.where(results["diverged_step"] < 0).assign_attrs(units="1")
