"""Several quantities side by side, a row for each value of an axis; for categories with long names."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.ticker import MaxNLocator

from jaxreg.reporting.figures.choice import dots_note, dots_of, fewer_settings
from jaxreg.reporting.figures.data import require_dims, value_data
from jaxreg.reporting.figures.style import GREY, OKABE_ITO, Figure, set_title, shows, styled
from jaxreg.reporting.figures.ticks import show_shares
from jaxreg.reporting.figures.values import bars_of, draw_reported
from jaxreg.reporting.figures.words import (
    axis_labels,
    axis_words,
    capital,
    diverged_counts,
    is_share,
    name_of,
    quantity_in_full,
    quantity_label,
    replicates_note,
)

MAX_ROWS = 60
_WIDEST = 4  # columns of plots


@styled
def value_rows(
    quantities: Sequence[xr.DataArray],
    axis: str,
    *,
    baseline: str | None = None,
    medians: bool = False,
    reported: pd.DataFrame | None = None,
    title: str | None = None,
) -> Figure:
    """Means over seeds with 95 % t bars, single seeds as faint dots: a plot per quantity, a row per value of an axis.

    Seeds without a value (infinite, or NaN) are left out; so are those that diverged, if the array has `diverged_step`.

    Args:
      quantities: named arrays [axis, seed]; `attrs["units"]` are their units.
      axis: the hyperparameter of the rows, first value on top.
      baseline: a value of the axis whose mean is drawn through all rows.
      medians: whether to mark the median over seeds too, which a few seeds apart from the others do not move.
      reported: the result of `jaxreg.claims.compare`; its numbers for the first quantity are drawn beside ours.
      title: first line of the title, in place of the usual one.

    Raises:
      ValueError: a quantity has further dimensions, or `axis` is unknown.
    """
    data = [value_data(quantity, name_of(quantity, "values"), (axis,)) for quantity in quantities]
    for quantity, each in zip(quantities, data, strict=True):
        require_dims(each["values"], ("seed", axis), name_of(quantity, "values"))
    held = [np.nan if baseline is None else float(each["mean"].sel({axis: baseline})) for each in data]
    fewer = fewer_settings(data[0], MAX_ROWS, ((axis,), MAX_ROWS))[1]
    data = [fewer_settings(each, MAX_ROWS, ((axis,), MAX_ROWS))[0] for each in data]
    count = data[0].sizes[axis]
    blocks = -(-len(data) // _WIDEST)
    columns = -(-len(data) // blocks)
    size = (max(2.6 + 2.1 * columns, 6.4), 1.2 + blocks * (0.75 + 0.24 * count))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(blocks, columns, sharey=True, squeeze=False)
    labels = axis_labels(data[0], (axis,))[1]
    at = np.arange(count, dtype=float)
    for number, (axes, quantity, each) in enumerate(zip(grid.flat, quantities, data, strict=False)):
        values, mean = each["values"].transpose(axis, "seed").values, each["mean"].values
        rows = np.broadcast_to(at[:, None], values.shape)
        shown = np.isfinite(values)
        dots = dots_of(values.shape[1], count)
        if dots.size:
            at_dots = np.where(shown, values, np.nan)[:, dots].ravel(), rows[:, dots].ravel()
            axes.plot(*at_dots, ".", color=OKABE_ITO[0], alpha=0.35, markersize=4, label="_seeds")
        share = is_share(name_of(quantity, ""), quantity)
        bars = bars_of(each, share)
        axes.errorbar(mean, at, xerr=bars, fmt="o", color=OKABE_ITO[0], elinewidth=1.4, capsize=2.5, markersize=4.5)
        if medians:
            middle = np.nanmedian(np.where(shown, values, np.nan), axis=1)
            axes.plot(middle, at, "|", color=OKABE_ITO[1], markersize=11, markeredgewidth=2, label="_medians", zorder=4)
        if np.isfinite(held[number]):
            axes.axvline(held[number], color=GREY, linewidth=0.9, linestyle="--", zorder=1, label="_baseline")
        if number == 0:
            places = dict(zip(each[axis].values.tolist(), at, strict=True))
            marked = draw_reported(axes, reported, name_of(quantity, ""), axis, places, rows=True)
        axes.set_xlabel(textwrap.fill(quantity_label(name_of(quantity, ""), quantity), 26))
        show_shares(axes.xaxis, name_of(quantity, ""), quantity)
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axes.margins(x=0.08)
        diverged = diverged_counts(each["diverged"], (axis,))
        axes.set_yticks(at, [f"{label}{note}" for label, note in zip(labels, diverged, strict=True)])
    for axes in grid.flat[len(data) :]:
        axes.remove()
    grid[0, 0].set_ylim(count - 0.4, -0.6)
    if marked:
        figure.legend(handles=marked, loc="outside lower center", ncols=2)
    notes = [replicates_note(data[0], "bars"), dots_note(data[0].sizes["seed"], count), fewer]
    notes += ["upright stroke: median" if medians else ""]
    notes += [f"dashed: mean at {axis_words(axis)} = {baseline}" if shows(figure, "_baseline") else ""]
    names = [quantity_in_full(name_of(quantity, ""), quantity) for quantity in quantities]
    set_title(figure, title or capital(f"{', '.join(names)} at each {axis_words(axis)}"), notes)
    return figure
