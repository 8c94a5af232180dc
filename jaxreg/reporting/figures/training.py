"""Variables along training: all settings in one plot, or one panel per value of an axis."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter

from jaxreg.measures import setting_dims, setting_label, settings
from jaxreg.reporting.figures.choice import MAX_LINES, MAX_LOST, fewer_lost, fewer_settings
from jaxreg.reporting.figures.data import X_LABELS, X, along_axis, curve_data
from jaxreg.reporting.figures.drawn import Curves, remember
from jaxreg.reporting.figures.keys import MAX_LEGEND, MAX_PARTS, Key, divided, draw_key, handle, looks_of, make_key
from jaxreg.reporting.figures.multiples import panel_grid, parts_of
from jaxreg.reporting.figures.style import Figure, alone, evenly, set_title, styled
from jaxreg.reporting.figures.ticks import label_quantity, plain, set_plain_ticks, show_shares
from jaxreg.reporting.figures.words import (
    axis_labels,
    axis_words,
    capital,
    diverged_counts,
    diverged_note,
    for_each,
    is_share,
    plain_kind,
    quantity_label,
    quantity_words,
    replicates_note,
    row_label,
    words,
)

_THOUSANDS = 1e5  # from here on ticks are written 100k
MAX_PANELS = 8


@styled
def curves(
    results: xr.Dataset,
    variable: str,
    *,
    x: X = "step",
    log_y: bool = False,
    max_points: int = 500,
    title: str | None = None,
) -> Figure:
    """One variable along training, all settings in one plot: means over seeds in 95 % t bands.

    Colours follow the settings in order; a second axis of at most four values is shown by line style, further ones
    become panels, an even choice of at most 6. Members that diverged are thin lines that end in a cross; of those that
    were never measured there is the cross alone, at the start, on the upper edge.

    Args:
      results: labelled results of a run.
      variable: a variable with dimensions […, seed, check] or […, seed, step].
      x: what training is measured in. Examples and seconds of single steps are interpolated between checks.
      log_y: logarithmic y.
      max_points: a curve along step is averaged over as many steps as leave no more points; the figure says so.
      title: first line of the title, in place of the usual one.

    Raises:
      ValueError: `variable` is no curve, or `x` is unknown.
    """
    looks, panel_dims = divided(results, setting_dims(results[variable]))
    of_a_panel = MAX_LINES // MAX_PARTS if panel_dims else MAX_LINES
    results, fewer = fewer_settings(results, MAX_LINES, (panel_dims, MAX_PARTS), (looks, of_a_panel))
    data = curve_data(results, variable, x, max_points).assign_attrs(fewer=fewer)
    dims = setting_dims(data)
    parts, part_note = parts_of(data, panel_dims, MAX_PARTS)
    key = make_key(data.isel(dict.fromkeys(panel_dims, 0)), looks)
    figure, grid = panel_grid(list(parts), (3.7, 2.5), 1.6) if panel_dims else alone()
    lost, lost_note = fewer_lost(data["diverged"], dims)
    for axes, part in zip(grid, parts.values(), strict=True):
        _draw_settings(axes, part, looks, key, variable, lost)
        set_view(axes, list(parts.values()), variable, log_y)
        axes.margins(x=0.01)
    label_position(figure, grid, results, x)
    if panel_dims:
        show_shares(grid[0].yaxis, variable, results[variable])
        figure.supylabel(quantity_label(variable, results[variable]), fontsize=9)
    else:
        label_quantity(grid[0].yaxis, variable, results[variable])
    draw_key(grid[min(1, len(grid) - 1)], key, data["diverged"], over=grid)
    subject = capital(quantity_words(variable, results[variable])) + f" {for_each(*dims)}".rstrip()
    notes = [replicates_note(data, "band"), data.attrs["thinned"], fewer, part_note, diverged_note(data), lost_note]
    set_title(figure, title or subject, notes)
    labels = position_label(results, x), quantity_label(variable, results[variable])
    remember(figure, Curves(data, make_key(data, dims), variable, *labels, is_share(variable, results[variable])))
    return figure


@styled
def views(
    results: xr.Dataset,
    variable: str,
    xs: Sequence[X] = ("step", "examples_seen", "seconds"),
    *,
    log_x: bool = True,
    title: str | None = None,
) -> Figure:
    """One variable along training, measured in several ways: a panel each, y in common, curves as in `curves`.

    Args:
      results: labelled results of a run; a `long_name` of the coordinate takes the place of its usual label.
      variable: a variable with dimensions [..., seed, check] or [..., seed, step].
      xs: what training is measured in, from left to right.
      log_x: logarithmic x, without the values at 0.
      title: first line of the title, in place of the usual one.

    Raises:
      ValueError: `variable` is no curve, or one of `xs` is unknown.
    """
    dims = setting_dims(results[variable])
    looks, panel_dims = divided(results, dims)
    if panel_dims:
        raise ValueError(f"views of {variable}: select one value of {' and '.join(panel_dims)} first")
    results, fewer = fewer_settings(results, MAX_LINES // len(xs), (looks, MAX_LINES // len(xs)))
    data = curve_data(results, variable, xs[0], 500)
    figure = Figure(figsize=(1.4 + 2.6 * len(xs), 3.6), layout="constrained")
    grid = figure.subplots(1, len(xs), sharey=True, squeeze=False)[0]
    lost, lost_note = fewer_lost(data["diverged"], dims)
    for axes, x in zip(grid, xs, strict=True):
        data = curve_data(results, variable, x, 500)
        key = make_key(data, looks)
        after_start = data["position"].where(data["position"] > 0)
        logarithmic = log_x and float(after_start.min()) < float(after_start.max())
        _draw_settings(axes, data.assign(position=after_start) if logarithmic else data, looks, key, variable, lost)
        set_view(axes, [data], variable, log_y=False)
        if logarithmic:
            low, high = float(after_start.min()), float(after_start.max())
            axes.set_xscale("log")
            axes.set_xlim(low, high)
            set_plain_ticks(axes.xaxis, EngFormatter(sep="") if high >= _THOUSANDS else plain)
        axes.set_xlabel(position_label(results, x))
    label_quantity(grid[0].yaxis, variable, results[variable])
    draw_key(grid[-1], key, data["diverged"])
    notes = [replicates_note(data, "band"), data.attrs["thinned"], fewer, diverged_note(data), lost_note]
    subject = capital(quantity_words(variable, results[variable]))
    set_title(figure, title or f"{subject} {for_each(*dims)}".rstrip(), notes)
    return figure


@styled
def panels(
    results: xr.Dataset,
    axis: str,
    rows: Sequence[Sequence[str]] = (("train_loss", "test_loss"), ("validation_accuracy", "test_accuracy")),
    *,
    x: X = "step",
    log_y: bool = False,
    max_points: int = 500,
    title: str | None = None,
) -> Figure:
    """Small multiples, one column per value of `axis`: several variables along training, y shared along each row.

    Wide figures wrap; of more than 8 values an even choice is drawn and the title says so.

    Args:
      results: labelled results of a run.
      axis: the hyperparameter of the columns.
      rows: for each row the variables to draw in it, dimensions [axis, seed, check] or [axis, seed, step].
      x, log_y, max_points, title: as in `curves`; log_y applies to losses.

    Raises:
      ValueError: another axis has more than one value: select one first.
    """
    results = along_axis(results, axis)
    data = {name: curve_data(results, name, x, max_points) for row in rows for name in row}
    for name, curve in data.items():
        others = [dim for dim in setting_dims(curve) if dim != axis and curve.sizes[dim] > 1]
        if others:
            raise ValueError(f"panels of {name} along {axis}: select one value of {' and '.join(others)} first")
        data[name] = curve.squeeze([dim for dim in setting_dims(curve) if dim != axis])
    looks = looks_of(rows)
    total = results.sizes[axis]
    shown = evenly(total, MAX_PANELS)
    blocks = -(-len(shown) // 4)
    columns = -(-len(shown) // blocks)
    size = (max(1.3 + 2.1 * columns, 6.0), max(1.2 + 1.6 * blocks * len(rows), 3.6))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(blocks * len(rows), columns, sharex=x == "step", squeeze=False)
    names, labels = axis_labels(next(iter(data.values())), (axis,))
    if results[axis].dtype.kind in "iuf":
        labels = [f"{axis_words(*names)} = {label}" for label in labels]
    counts = diverged_counts(next(iter(data.values()))["diverged"], (axis,))
    for place in range(blocks * columns):
        block, column = divmod(place, columns)
        for row, variables in enumerate(rows):
            axes = grid[block * len(rows) + row, column]
            if place >= len(shown):
                axes.remove()
                continue
            for name in variables:
                draw_curve(axes, data[name].isel({axis: shown[place]}), quantity_words(name), *looks[name][:2])
            set_view(axes, [data[name] for name in variables], variables[0], log_y and "accuracy" not in variables[0])
            below = place + columns >= len(shown) and row == len(rows) - 1
            axes.tick_params(labelbottom=below or x != "step", labelleft=column == 0)
            axes.locator_params(axis="x", nbins=4)
            show_shares(axes.yaxis, variables[0], results[variables[0]])
            if column == 0:
                axes.set_ylabel(row_label(results, variables))
            if row == 0:
                axes.set_title(textwrap.fill(labels[shown[place]], 28) + counts[shown[place]], fontsize=8.5)
    figure.supxlabel(position_label(results, x), fontsize=9)
    handles = [handle(*look) for look in dict.fromkeys(looks.values())]
    figure.legend(handles=handles, loc="outside right center")
    every = list(data.values())
    thinned = next((curve.attrs["thinned"] for curve in every if curve.attrs["thinned"]), "")
    kinds = " and ".join(dict.fromkeys(plain_kind(name) for row in rows for name in row))
    part = f"{len(shown)} of {total} values shown" if len(shown) < total else ""
    notes = [replicates_note(every[0], "band"), thinned, part, diverged_note(every[0])]
    set_title(figure, title or f"{capital(kinds)} for each {axis_words(axis)}", notes)
    return figure


def position_label(results: xr.Dataset, x: X) -> str:
    """What training is measured in: the `long_name` of the coordinate, or the usual words."""
    name = "check_step" if x == "step" else x
    return str(results[name].attrs.get("long_name", X_LABELS[x])) if name in results.coords else X_LABELS[x]


def label_position(figure: Figure, grid: Sequence[Axes], results: xr.Dataset, x: X) -> None:
    """What training is measured in, once for all panels."""
    if len(grid) == 1:
        grid[0].set_xlabel(position_label(results, x))
    else:
        figure.supxlabel(position_label(results, x), fontsize=9)


def _draw_settings(
    axes: Axes, data: xr.Dataset, dims: Sequence[str], key: Key, variable: str, lost: int = MAX_LOST
) -> None:
    """A curve for each setting along `dims`, with at most `lost` of its diverged members."""
    for (setting, cell), colour, style in zip(settings(data, dims), key.colours, key.styles, strict=True):
        draw_curve(
            axes, cell, setting_label(setting) or words(variable), colour, style, among=len(key.colours), lost=lost
        )


def draw_curve(
    axes: Axes, cell: xr.Dataset, label: str, colour: str, style: str, *, among: int = 1, lost: int = MAX_LOST
) -> None:
    """The mean in its band, the fainter the more curves there are, and `lost` members that diverged up to their end."""
    faint = among > MAX_LEGEND
    at = cell["position"].values
    known = np.isfinite(at)
    axes.update_datalim(np.column_stack([at[known], np.zeros(known.sum())]), updatey=False)  # all of training
    axes.plot(at, cell["mean"].values, color=colour, linestyle=style, linewidth=1.0 if faint else 1.6, label=label)
    if np.isfinite(cell["low"]).any():
        low, high = cell["low"].values[known], cell["high"].values[known]
        axes.fill_between(at[known], low, high, color=colour, alpha=min(0.2, max(0.8 / among, 0.06)), linewidth=0)
    gone = np.flatnonzero(cell["diverged"].values)
    for member in cell["values"].transpose("seed", ...).values[gone[evenly(len(gone), lost)] if gone.size else gone]:
        last = np.flatnonzero(np.isfinite(member) & known)[-1:]
        if last.size:
            axes.plot(at, member, color=colour, linewidth=0.6, alpha=0.8, label="_diverged")
            end = at[last], member[last]
        else:  # it was gone before it was measured
            end = at[known][:1], np.full(min(known.sum(), 1), np.inf)
        axes.plot(*end, "x", color=colour, markersize=5, label="_end")


def set_view(axes: Axes, data: Sequence[xr.Dataset], variable: str, log_y: bool) -> None:
    """Limits that hold all means, and bands and diverging members no further than they leave the means readable."""

    def gather(name: str) -> np.ndarray:
        values = np.concatenate([curve[name].values.ravel() for curve in data])
        values = values[np.isfinite(values) & ((values > 0) | (not log_y))]
        return np.asarray(np.log10(values) if log_y else values)

    mean = gather("mean")
    if not mean.size:  # every member diverged: without the steep ends
        mean = gather("values")
        quartiles = np.quantile(mean, [0.25, 0.75]) if mean.size else np.zeros(2)
        mean = mean[mean <= quartiles[1] + 1.5 * np.ptp(quartiles)] if mean.size else np.array([0.0, 1.0])
    room = 0.5 * np.ptp(mean)
    low = max(min([mean.min(), *gather("low")]), mean.min() - room)
    high = min(max([mean.max(), *gather("high")]), mean.max() + room)
    margin = 0.04 * (high - low) or 0.05 * abs(high) or 0.05
    low, high = low - margin, high + margin
    if log_y:
        low, high = 10**low, 10**high
    if not log_y and is_share(variable, data[0]["values"]):
        high = min(high, 1.02)
    if not log_y and gather("values").min(initial=np.inf) >= 0:
        low = max(low, -0.02 * high)  # what is never negative is not drawn as if it could be
    axes.set_yscale("log" if log_y else "linear")
    axes.set_ylim(low, high)
    if log_y:
        set_plain_ticks(axes.yaxis)
    for line in axes.lines:
        if line.get_label() == "_end":
            line.set_ydata(np.clip(np.asarray(line.get_ydata()), low, high))
            line.set_clip_on(False)
    if axes.dataLim.x1 >= _THOUSANDS:
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
