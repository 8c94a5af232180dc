"""A value per setting over two axes."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.colors import ListedColormap
from matplotlib.patches import Rectangle

from jaxreg.reporting.figures.data import require_dims, value_data
from jaxreg.reporting.figures.style import INK, MAX_QUADS, OKABE_ITO, PALE, Figure, set_title, styled
from jaxreg.reporting.figures.ticks import label_quantity
from jaxreg.reporting.figures.words import (
    axis_labels,
    axis_title,
    axis_words,
    capital,
    diverged_note,
    is_share,
    quantity_in_full,
    replicates_note,
)

MAX_ANNOTATED = 100  # cells of a heat map


@styled
def heat_map(
    results: xr.Dataset,
    variable: str,
    x: str,
    y: str,
    *,
    reported: pd.DataFrame | None = None,
    title: str | None = None,
) -> Figure:
    """The mean over seeds of a value per setting over two axes, as colours; up to 100 cells also carry the number.

    These are the mean and, below it, the half-width of its 95 % t interval; shares are in per cent.

    Seeds that diverged are left out of the mean; a cross marks cells that hold one; cells with nothing else are grey.

    Args:
      results: labelled results of a run.
      variable: the variable to draw, [x, y, seed].
      x, y: the hyperparameters of the map.
      reported: the result of `jaxreg.claims.compare`; cells at which a number for this variable lies in the interval of
        one run are framed.
      title: first line of the title, in place of the usual one.

    Raises:
      ValueError: the value has further dimensions; select one value of each first.
    """
    data = value_data(results, variable, (x, y))
    require_dims(data["values"], ("seed", x, y), variable)
    data = data.transpose(y, x, "seed")
    mean, diverged = data["mean"].values, data["diverged"].any("seed").values
    half_width = (data["high"] - data["low"]).values / 2
    height, width = mean.shape
    figure = Figure(figsize=(max(4.6, min(9.0, 2.6 + 0.62 * width)), max(3.0, min(8.0, 1.6 + 0.42 * height))))
    figure.set_layout_engine("constrained")
    axes = figure.subplots()
    axes.grid(False)
    axes.set_facecolor(PALE)
    colours = ListedColormap([*mpl.colormaps["viridis"](np.linspace(0.05, 0.95, 256))])
    unit = 100 if is_share(variable, data["values"]) else 1
    annotated = mean.size <= MAX_ANNOTATED
    many = mean.size > MAX_QUADS
    look: dict[str, Any] = {"edgecolors": "white", "linewidth": 0.5 if annotated else 0.0, "rasterized": many}
    image = axes.pcolormesh(np.ma.masked_invalid(mean), cmap=colours, **look)
    middle = np.dot(image.get_clim(), (0.4, 0.6))
    if np.isfinite(mean).any():
        bar = figure.colorbar(image, ax=axes, pad=0.02)
        label_quantity(bar.ax.yaxis, variable, data["values"])
        bar.outline.set_visible(False)
    inks = np.where(mean < middle, "white", "black")
    for row, column in np.argwhere(np.isfinite(mean)) if annotated else ():
        number = f"{unit * mean[row, column]:#.3g}".rstrip(".")
        if np.isfinite(half_width[row, column]):
            number += f"\n± {unit * half_width[row, column]:.2g}"
        ink = str(inks[row, column])
        axes.text(column + 0.5, row + 0.5, number, ha="center", va="center", color=ink, fontsize=7)
    lost = np.isnan(mean)
    for cells, colour in ((lost, INK), (~lost & (inks == "white"), "white"), (~lost & (inks == "black"), "black")):
        rows, columns = np.nonzero(cells & diverged)
        right, up = (0.85, 0.8) if annotated and colour != INK else (0.5, 0.5)
        if rows.size:
            axes.plot(columns + right, rows + up, "x", color=colour, markersize=1.5 if many else 4.5, label="diverged")
    met = _met(reported, variable, data, x, y)
    frame: dict[str, Any] = {"fill": False, "edgecolor": OKABE_ITO[1], "linewidth": 2.2, "clip_on": False}
    for row, column in np.argwhere(met):
        axes.add_patch(Rectangle((column, row), 1, 1, label="met", **frame))
    for side, dim in ((axes.xaxis, x), (axes.yaxis, y)):
        names, labels = axis_labels(data, (dim,))
        ticks = np.arange(0, len(labels), -(-len(labels) // 12))
        side.set_ticks(ticks + 0.5, [labels[tick] for tick in ticks])
        side.set_label_text(axis_title(*names))
        side.set_tick_params(length=0)
    axes.spines[:].set_visible(False)
    notes = [replicates_note(data, "±" if annotated else ""), f"cross: {diverged_note(data)}" if diverged.any() else ""]
    if reported is not None and (reported["variable"] == variable).any():
        values = reported["reported"][reported["variable"] == variable].unique()
        numbers = " or ".join(f"{unit * value:g}" for value in values)
        where = "framed: there" if met.any() else "at no setting"
        notes += [f"{where} the source's {numbers}{' %' if unit == 100 else ''} lies in the 95 % interval of one run"]
    set_title(figure, title or f"{capital(quantity_in_full(variable))} over {axis_words(x, y)}", notes)
    return figure


def _met(reported: pd.DataFrame | None, variable: str, data: xr.Dataset, x: str, y: str) -> np.ndarray:
    """The settings at which a reported number lies in the interval of one run, bool [y, x]."""
    met = np.zeros((data.sizes[y], data.sizes[x]), bool)
    if reported is not None:
        inside = reported[(reported["variable"] == variable) & reported["inside"].map(bool)]
        for _, row in inside.iterrows():
            met |= np.isclose(data[y].values, row[y])[:, None] & np.isclose(data[x].values, row[x])
    return met
