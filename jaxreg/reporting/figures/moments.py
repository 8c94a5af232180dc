"""Ratios of moments against the number of steps, with the values that theory predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from jaxreg.measures import settings
from jaxreg.reporting.figures.data import value_data
from jaxreg.reporting.figures.keys import draw_key, handle, make_key
from jaxreg.reporting.figures.multiples import multiples
from jaxreg.reporting.figures.style import INK, LINE_STYLES, Figure, set_title, styled
from jaxreg.reporting.figures.ticks import set_plain_ticks
from jaxreg.reporting.figures.words import diverged_counts, name_of, replicates_note

_POINTS = 19  # of a setting, at most
_APART = 1.05  # from the point of one setting to that of the next at the same t


@styled
def moment_ratios(
    values: xr.DataArray,
    expected: Mapping[str, xr.DataArray],
    colour: str | None = None,
    *,
    first_steps: int = 0,
    log_y: bool = True,
    title: str | None = None,
) -> Figure:
    """A ratio against t: means over seeds as points with 95 % t bars, and a line for each expectation.

    Of many t those nearest to even steps of log t are drawn. Where y is not logarithmic, the settings would hide one
    another and are moved aside a little.

    Args:
      values: [..., seed, t], named as the y axis shall be; a dimension besides `colour` becomes panels, an even choice
        of at most 4.
      expected: what is expected by its words in the legend, [..., t], at most four.
      colour: the dimension that is shown by colour.
      first_steps: t = 1 ... first_steps only, on linear axes, each panel to its own scale; 0 for all on a log axis.
      log_y: logarithmic y, unless `first_steps` is given.
      title: first line of the title, in place of the usual one.

    Raises:
      ValueError: more than one further dimension (select one value of each), or more than four expectations.
    """
    if len(expected) > len(LINE_STYLES):
        raise ValueError(f"expected: {len(expected)} lines; at most {len(LINE_STYLES)} can be distinguished")
    dims = () if colour is None else (colour,)
    within = {"t": slice(first_steps or None)}
    panels, panel_note = multiples(values.isel(within), (*dims, "seed", "t"), "moment_ratios")
    log_y = log_y and not first_steps
    figure = Figure(figsize=(1.5 + 2.9 * max(len(panels), 2), 3.9), layout="constrained")
    row = figure.subplots(1, len(panels), sharex=True, sharey=not first_steps, squeeze=False)[0]
    theory = [handle(INK, style, words) for words, style in zip(expected, LINE_STYLES, strict=False)]
    for axes, (label, part) in zip(row, panels.items(), strict=True):
        axes.set(xscale="linear" if first_steps else "log", yscale="log" if log_y else "linear")
        data = value_data(part, "", dims)
        key = make_key(data, dims)
        held = {str(dim): part[dim].item() for dim in values.dims if dim not in part.dims}
        for i, ((setting, cell), tint) in enumerate(zip(settings(data, dims), key.colours, strict=True)):
            lines = [_at(line.isel(within), held | setting) for line in expected.values()]
            aside = 1.0 if first_steps or log_y else _APART ** (i - (len(key.colours) - 1) / 2)
            _draw(axes, part["t"].values, cell, lines, tint, aside)
        axes.set_title(label + "".join(diverged_counts(data["diverged"], ())), fontsize=8.5)
        axes.set_xlabel("t (steps)")
        if first_steps:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.set_ylim(bottom=0)
        else:
            set_plain_ticks(axes.xaxis)
    if log_y:
        set_plain_ticks(row[0].yaxis)
    name = name_of(values, "ratio")
    row[0].set_ylabel(name)
    draw_key(row[-1], key, extra=theory)
    replicates = replicates_note(data, "bars")
    set_title(figure, title or f"{name} against t", [f"points: {replicates}", "lines: expected", panel_note])
    return figure


def _at(line: xr.DataArray, setting: Mapping[str, Any]) -> xr.DataArray:
    """The expectation at one setting."""
    return line.sel({dim: value for dim, value in setting.items() if dim in line.dims}, drop=True)


def _draw(
    axes: Axes, t: np.ndarray, cell: xr.Dataset, lines: Sequence[xr.DataArray], colour: str, aside: float
) -> None:
    """One setting, with its expectations."""
    for line, style in zip(lines, LINE_STYLES, strict=False):
        axes.plot(t, line.values, color=colour, linestyle=style, linewidth=1.2, label="_expected")
    chosen = np.unique(np.searchsorted(t, np.geomspace(t[0], t[-1], _POINTS) * (1 - 1e-9)))
    mean, low, high = (cell[name].values[chosen] for name in ("mean", "low", "high"))
    look: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 3.5, "elinewidth": 1.3}
    axes.errorbar(aside * t[chosen], mean, np.nan_to_num([mean - low, high - mean]), color=colour, label="mean", **look)
