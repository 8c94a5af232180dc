"""Verdicts on layers: rules on the statistics that `jaxreg.diagnostics` measures, one verdict per layer and check.

The rules look for signals that leave the range in which a layer can learn, forward or backward. Their thresholds are in
`jaxreg.diagnostics.thresholds`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jaxreg.diagnostics.thresholds import (
    ALMOST_ALL,
    LARGEST_GROWTH,
    LARGEST_SIGNAL,
    LEARNED_CHANGE,
    MOST_DEAD,
    MOST_SATURATED,
    SATURATION_MARGIN,
    SMALLEST_CHANGE,
    SMALLEST_SHARE,
)
from jaxreg.diagnostics.variables import QUANTITIES, VARIABLES
from jaxreg.slow_imports import xr

VERDICTS = ("healthy", "vanishing", "exploding", "saturated", "dead", "frozen")  # by code, from 0
NO_VERDICT = -1  # no such layer, or nothing was measured: the member is halted

_MOMENTS = tuple(f"{name}_{moment}" for name in QUANTITIES for moment in ("mean", "std"))
_MAY_BE_MISSING = ("bias_", "activations_")  # a layer may have none, or not show them; NaN of every member


class Rule(NamedTuple):
    """A verdict: when it holds of a layer, in words and as a test of the results, and who described the effect."""

    verdict: str
    condition: str
    source: str
    holds: Callable[[xr.Dataset], xr.DataArray]


def _exploding(results: xr.Dataset) -> xr.DataArray:
    finite = xr.ones_like(results["weights_std"], dtype=bool)
    for name in (*_MOMENTS, "gradient_norm"):
        known = np.isfinite(results[name])
        if name.startswith(_MAY_BE_MISSING):
            known |= results[name].isnull().all([dim for dim in results[name].dims if dim != "layer"])
        finite &= known
    back = _root_mean_square(results, "backpropagated")
    too_large = _root_mean_square(results, "pre_activations") > LARGEST_SIGNAL
    return ~finite | too_large | (back > LARGEST_GROWTH * _of_output_layer(back))


def _saturated(results: xr.Dataset) -> xr.DataArray:
    saturated = results["saturated_fraction"]
    initial = results["relative_change"] < LEARNED_CHANGE
    return (saturated > ALMOST_ALL) | (initial & (saturated > MOST_SATURATED))


def _vanishing(results: xr.Dataset) -> xr.DataArray:
    back = _root_mean_square(results, "backpropagated")
    return back < SMALLEST_SHARE * _of_output_layer(back)


def _frozen(results: xr.Dataset) -> xr.DataArray:
    return results["relative_change"] < SMALLEST_CHANGE * results["check_step"] / results["num_steps"]


RULES = (
    Rule(
        "exploding",
        f"a moment or norm is not finite, the root mean square of the pre-activations exceeds {LARGEST_SIGNAL:g}, or "
        f"that of the backpropagated signal {LARGEST_GROWTH:g} times the output layer's",
        "Pascanu, Mikolov & Bengio 2013; He et al. 2015",
        _exploding,
    ),
    Rule(
        "dead",
        f"more than {MOST_DEAD:g} of the ReLU units fire for no example of the probe",
        "Maas, Hannun & Ng 2013; Lu et al. 2019",
        lambda results: results["dead_fraction"] > MOST_DEAD,
    ),
    Rule(
        "saturated",
        f"more than {MOST_SATURATED:g} of the (example, unit) pairs lie within {SATURATION_MARGIN:g} of 0 or 1 "
        f"(sigmoid) or {2 * SATURATION_MARGIN:g} of -1 or 1 (tanh) while the weights have changed by less than "
        f"{LEARNED_CHANGE:g} times their initial norm; later, more than {ALMOST_ALL:g}; of the output layer, so many "
        "of the examples have an output there on the wrong side",
        "LeCun et al. 1998; Glorot & Bengio 2010",
        _saturated,
    ),
    Rule(
        "vanishing",
        f"the root mean square of the backpropagated signal is below {SMALLEST_SHARE:g} times the output layer's",
        "Hochreiter 1991; Bengio, Simard & Frasconi 1994; Glorot & Bengio 2010",
        _vanishing,
    ),
    Rule(
        "frozen",
        f"at the pace so far the weights change by less than {SMALLEST_CHANGE:g} of their initial norm until the last "
        "step; never before the first",
        "Chizat, Oyallon & Bach 2019; Zhang, Bengio & Singer 2019",
        _frozen,
    ),
)
"""Most severe first; a layer of which none holds is healthy."""


def diagnosis(results: xr.Dataset) -> xr.DataArray:
    """The verdict on each layer at each check: the code in VERDICTS of the first of RULES that holds, else healthy.

    Args:
      results: with the variables of `jaxreg.diagnostics`, [..., seed, check, layer], NaN where nothing was measured,
        and the coordinates `check_step` and `num_steps`. An infinite ratio (a change of weights that were 0) counts
        as healthy.

    Returns:
      int8 with the dimensions of the variables, -1 where there is no verdict, and with the attributes `flag_values`
      and `flag_meanings` (CF conventions, section 3.5).
    """
    like = results["weights_std"]
    measured = xr.zeros_like(like, dtype=bool)
    for name in _MOMENTS:
        measured |= results[name].notnull()
    verdicts = xr.full_like(like, VERDICTS.index("healthy"), dtype=np.int8)
    for rule in reversed(RULES):
        verdicts = verdicts.where(~rule.holds(results), np.int8(VERDICTS.index(rule.verdict)))
    units, description, _ = VARIABLES["diagnosis"]
    return (
        verdicts.where(measured, np.int8(NO_VERDICT))
        .astype(np.int8)
        .transpose(*like.dims)
        .rename("diagnosis")
        .assign_attrs(
            units=units,
            description=description,
            flag_values=np.arange(len(VERDICTS), dtype=np.int8),
            flag_meanings=" ".join(VERDICTS),
        )
    )


def _root_mean_square(results: xr.Dataset, quantity: str) -> xr.DataArray:
    mean, deviation = (results[f"{quantity}_{moment}"].astype(np.float64) for moment in ("mean", "std"))
    return (mean**2 + deviation**2) ** 0.5


def _of_output_layer(values: xr.DataArray) -> xr.DataArray:
    """The value at the last layer of each member; networks of a sweep may differ in depth."""
    last = values.notnull().cumsum("layer").argmax("layer")
    return values.isel(layer=last).drop_vars("layer", errors="ignore")
