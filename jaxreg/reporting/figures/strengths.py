"""A value against how strongly a member is regularised: a panel for each method, its own strength on x."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from jaxreg.config import strengths_of
from jaxreg.measures import setting_dims, value_label
from jaxreg.reporting.figures.choice import dots_note
from jaxreg.reporting.figures.data import require_dims, value_data
from jaxreg.reporting.figures.style import GREY, OKABE_ITO, Figure, set_title, shows, styled
from jaxreg.reporting.figures.ticks import is_logarithmic, set_plain_ticks, show_shares
from jaxreg.reporting.figures.values import draw_values, set_y
from jaxreg.reporting.figures.words import (
    axis_title,
    axis_words,
    capital,
    is_share,
    name_of,
    quantity_in_full,
    quantity_label,
    replicates_note,
)

_COLUMNS = 3
SWITCHED_OFF = "_switched off"


@styled
def strengths(values: xr.DataArray, *, log_y: bool = False, title: str | None = None) -> Figure:
    """Means over seeds in 95 % t bars against strength, a panel for each method, y in common.

    The x axis of a panel is the first swept strength that its method uses; strengths swept along with it are named.
    x is logarithmic where that of `value_against` would be. A strength of 0, or an infinite
    bound, switches the method off: its mean and interval are a dashed line and a band through the panel.

    Args:
      values: named array [method, level, seed], whose coordinates along `level` hold the strengths by name.
      log_y: logarithmic y.
      title: first line of the title, in place of the usual one.

    Raises:
      ValueError: there is no dimension `method`, or not exactly one other that is swept.
    """
    levels = [dim for dim in setting_dims(values) if dim != "method"]
    name = name_of(values, "values")
    if "method" not in values.dims or len(levels) != 1:
        raise ValueError(
            f"{name}: needs the dimensions method and one of strengths, has {', '.join(map(str, values.dims))}"
        )
    (level,) = levels
    require_dims(values, ("method", level, "seed"), name)
    data = value_data(values, name, ())
    methods = data["method"].values.tolist()
    columns = min(_COLUMNS, len(methods))
    rows = -(-len(methods) // columns)
    figure = Figure(figsize=(1.0 + 2.5 * columns, 1.2 + 2.3 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes, method in zip(grid.flat, methods, strict=False):
        _draw_method(axes, data.sel({"method": method}).transpose(level, ...), method, level, name)
        if log_y:
            axes.set_yscale("log")
    for axes in grid.flat[len(methods) :]:
        axes.remove()
    measured = bool(np.isfinite(data["mean"].values).any())
    set_y(grid[0, 0], measured=measured, log_y=log_y, share=is_share(name, values))
    show_shares(grid[0, 0].yaxis, name, values)
    figure.supylabel(quantity_label(name, values), fontsize=9)
    notes = [
        replicates_note(data, "bars"),
        dots_note(data.sizes["seed"], data.sizes[level]),
        "dashed: switched off" if shows(figure, SWITCHED_OFF) else "",
        "cross: all seeds diverged" if shows(figure, "_lost") else "",
    ]
    set_title(figure, title or f"{capital(quantity_in_full(name, values))} against the strength of each method", notes)
    return figure


def _draw_method(axes: Axes, data: xr.Dataset, method: str, level: str, name: str) -> None:
    """One panel: [level, seed] of one method."""
    fields = strengths_of(method)
    along = {field: data[field].values for field in fields if field in data.coords and data[field].dims == (level,)}
    axes.set_title(method, fontsize=9)
    if not along:
        axes.text(0.5, 0.5, "its strength is not swept", transform=axes.transAxes, ha="center", color=GREY)
        return
    (field, at), *others = along.items()
    off = at == fields[field]
    mean, low, high = (data[part].values for part in ("mean", "low", "high"))
    if off.any() and np.isfinite(mean[off][0]):
        axes.axhline(mean[off][0], color=GREY, linestyle="--", linewidth=0.9, zorder=1, label=SWITCHED_OFF)
        if np.isfinite(low[off][0]):
            axes.axhspan(low[off][0], high[off][0], color=GREY, alpha=0.15, linewidth=0, zorder=0)
    on = np.flatnonzero(~off)[np.argsort(at[~off])]
    if not on.size:
        return
    x = at[on]
    if is_logarithmic(x):
        axes.set_xscale("log")
    axes.update_datalim(np.column_stack([x, np.zeros(len(x))]), updatey=False)
    cell = data.isel({level: on}).transpose(level, ...)
    draw_values(axes, x, cell, method, OKABE_ITO[0], "-", share=is_share(name, data["values"]))
    if axes.get_xscale() == "log":
        set_plain_ticks(axes.xaxis)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5))
    together = f"\n(and {axis_words(*(other for other, _ in others))} with it)" if others else ""
    axes.set_xlabel(f"{axis_title(field)}{together}")
    diverged = data["diverged"].values[on].sum(-1)
    for place, count in zip(x, diverged, strict=True):
        if count:
            note = f"{count} diverged at {value_label(float(place))}"
            beside: dict[str, Any] = {"textcoords": "offset points", "xytext": (2, -6), "va": "top", "rotation": 90}
            axes.annotate(note, (place, 1), xycoords=axes.get_xaxis_transform(), fontsize=7, **beside)
