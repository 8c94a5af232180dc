"""Signals through the layers: how large they are at one check, and what mean-field theory predicts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from jaxreg.measures import setting_dims, setting_label, settings, value_label
from jaxreg.reporting.figures.choice import MAX_COLOURS, fewer_settings
from jaxreg.reporting.figures.data import along_axis, value_data
from jaxreg.reporting.figures.keys import draw_key, make_key
from jaxreg.reporting.figures.multiples import multiples
from jaxreg.reporting.figures.style import INK, Figure, set_title, styled
from jaxreg.reporting.figures.ticks import set_plain_ticks
from jaxreg.reporting.figures.values import draw_values
from jaxreg.reporting.figures.words import replicates_note
from jaxreg.theory import meanfield

SIGNALS = {
    "pre_activations": "pre-activations",
    "activations": "activations",
    "backpropagated": "backpropagated gradient",
}


def second_moment(results: xr.Dataset, quantity: str) -> xr.DataArray:
    """E[x^2] = mean^2 + std^2 of a quantity over its values, the dimensions of `{quantity}_mean`."""
    mean, std = (results[f"{quantity}_{part}"].astype(float) for part in ("mean", "std"))
    return (mean**2 + std**2).rename(f"{quantity}_second_moment").assign_attrs(units="1")


@styled
def signal_propagation(results: xr.Dataset, axis: str, *, check: int = 0, title: str | None = None) -> Figure:
    """Second moments of the signals against the layer, a colour for each value of an axis, with mean-field theory.

    Panels: pre-activations, activations (logits at the output) and the gradient of an example's loss with respect to
    the pre-activations; a further dimension (such as activation) becomes rows, an even choice of at most 4. Points:
    geometric means over seeds with 95 % t bars (of the logarithms, since a signal is a product over layers), single
    seeds as faint dots. Lines: the prediction of `meanfield.predict`, at the first check only. It takes the variance of
    each layer's weights as measured, the second moment of the inputs from that of the first pre-activations, and the
    gradient at the output as measured.

    Args:
      results: labelled results with mean and standard deviation of weights and signals, […, seed, check, layer].
      axis: the hyperparameter that is shown by colour.
      check: the check drawn.
      title: first line of the title, in place of the usual one.

    Raises:
      KeyError: the statistics were not recorded.
      ValueError: more than one further dimension is swept: select one value of each first.

    References: Poole et al. (2016), Exponential expressivity in deep neural networks through transient chaos;
    Schoenholz et al. (2017), Deep information propagation.
    """
    results, fewer = fewer_settings(along_axis(results, axis).isel(check=check), MAX_COLOURS, ((axis,), MAX_COLOURS))
    rows, row_note = multiples(second_moment(results, "weights"), (axis, "seed", "layer"), "signals")
    further = next((dim for dim in setting_dims(results["weights_std"]) if dim != axis), None)
    figure = Figure(figsize=(9.6, 1.3 + 2.4 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), len(SIGNALS), sharex=True, squeeze=False)
    predicted = False
    for line, (label, row) in enumerate(rows.items()):
        part = results if further is None else results.sel({further: row[further].item()})
        key = make_key(value_data(second_moment(part, "weights"), "", (axis,)), (axis,))
        part = part.sortby(axis) if part[axis].dtype.kind in "iuf" else part
        theory = [_predict(member) for _, member in settings(part, (axis,))] if check == 0 else []
        predicted = predicted or any(theory)
        for axes, (quantity, name) in zip(grid[line], SIGNALS.items(), strict=True):
            _draw_signal(axes, second_moment(part, quantity), axis, key.colours, [t.get(quantity) for t in theory])
            if line == 0:
                axes.set_title(name, fontsize=8.5)
        grid[line, 0].set_ylabel(f"{label}\nsecond moment".strip())
    theories = [Line2D([], [], color=INK, linewidth=1.2, label="mean-field theory")] if predicted else []
    draw_key(grid[0, -1], key, extra=theories)
    figure.supxlabel("layer", fontsize=9)
    step = value_label(results["check_step"].values.ravel()[0].item()) if "check_step" in results.coords else str(check)
    notes = [
        "geometric " + replicates_note(results, "bars") if results.sizes["seed"] > 1 else "1 seed",
        fewer,
        row_note,
    ]
    notes += ["lines: mean-field prediction (Poole et al. 2016, Schoenholz et al. 2017)" if predicted else ""]
    set_title(figure, title or f"Signals through the layers at step {step}", notes)
    return figure


def _draw_signal(
    axes: Axes, moments: xr.DataArray, axis: str, colours: Sequence[str], theory: Sequence[np.ndarray | None]
) -> None:
    """Points of the measured moments and lines of the predicted ones."""
    layers = moments["layer"].values
    positive = moments.where(moments > 0)  # zero has no place on a logarithmic axis
    powers = value_data(xr.apply_ufunc(np.log10, positive), "", (axis,))
    data = powers.assign({name: 10.0 ** powers[name] for name in ("values", "mean", "low", "high")})
    axes.set_yscale("log")
    count = len(colours)
    for i, ((setting, cell), colour) in enumerate(zip(settings(data, (axis,)), colours, strict=True)):
        at = layers + 0.3 * (i - (count - 1) / 2) / max(count, 4)
        draw_values(axes, at, cell.transpose("layer", "seed"), setting_label(setting), colour, "none")
    for predicted, colour in zip(theory, colours, strict=False):
        if predicted is not None:
            shown = np.where(predicted > 0, predicted, np.nan)
            axes.plot(layers[: len(shown)], shown, "-", color=colour, linewidth=1.2, marker="_", label="_theory")
    axes.set_xticks(layers[:: -(-len(layers) // 9)])
    axes.set_xlim(layers[0] - 0.4, layers[-1] + 0.4)
    if np.isfinite(data["values"]).any():
        set_plain_ticks(axes.yaxis)
    else:
        axes.set_yticks([])


def _predict(results: xr.Dataset) -> dict[str, np.ndarray]:
    """The mean-field prediction of one setting by signal; {} where the network or the theory for it is not known."""
    hidden = str(results["hidden_sizes"].item())
    if "test_confusion" not in results or "input_shape" not in results.attrs or results["init"].item() == "torch":
        return {}
    inputs = math.prod(np.atleast_1d(results.attrs["input_shape"]).tolist())
    widths = (inputs, *map(int, [] if hidden == "none" else hidden.split("x")), results.sizes["label"])
    depth = len(widths) - 1
    measured = {q: second_moment(results, q).mean("seed").values[:depth] for q in ("weights", *SIGNALS)}
    weights = measured["weights"]
    if not (np.isfinite(weights).all() and weights[0] > 0):
        return {}
    of_inputs, at_output = measured["pre_activations"][0] / (inputs * weights[0]), measured["backpropagated"][-1]
    theory = meanfield.predict(of_inputs, widths, weights.tolist(), results["activation"].item(), at_output)
    return {quantity: getattr(theory, quantity) for quantity in SIGNALS}
