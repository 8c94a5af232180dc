"""A value per setting against one axis."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from jaxreg.measures import setting_dims, setting_label, settings
from jaxreg.reporting.figures.choice import dots_note, dots_of, fewer_bars
from jaxreg.reporting.figures.data import require_dims, value_data
from jaxreg.reporting.figures.keys import MAX_PARTS, divided, draw_key, make_key
from jaxreg.reporting.figures.multiples import panel_grid, parts_of
from jaxreg.reporting.figures.style import INK, Figure, alone, set_title, styled
from jaxreg.reporting.figures.ticks import (
    Scale,
    across,
    hold_values,
    label_quantity,
    label_values,
    set_plain_ticks,
    show_shares,
)
from jaxreg.reporting.figures.words import (
    all_diverged_note,
    axis_title,
    axis_words,
    capital,
    is_share,
    quantity_in_full,
    quantity_label,
    replicates_note,
    words,
)


@styled
def value_against(
    results: xr.Dataset | xr.DataArray,
    axis: str,
    variable: str = "final_test_accuracy",
    *,
    reported: pd.DataFrame | None = None,
    log_y: bool = False,
    title: str | None = None,
) -> Figure:
    """A value per setting against one axis: means over seeds with 95 % t bars, single seeds as faint dots.

    The x axis is logarithmic where its values are positive, span a decade or more and are not evenly spaced. Other axes
    become lines of their own colour and style, and where these are too many, panels. Infinite values (censored, as in
    `steps_to_train`) are arrowheads at the upper edge; no mean is drawn where there is one. A setting whose seeds all
    diverged is a cross there. Seeds that diverged or were censored are counted above the frame, or below the title
    where the values lie too close. Intervals of shares end at 0 and 1.

    Args:
      results: labelled results of a run, or one array of them, dimensions […, seed].
      axis: the hyperparameter on the x axis.
      variable: the variable to draw, if `results` is a Dataset.
      reported: the result of `jaxreg.claims.compare`; its numbers for this variable are drawn beside ours.
      log_y: logarithmic y, where all finite values are positive and not all equal.
      title: first line of the title, in place of the usual one.

    Raises:
      ValueError: the value has further dimensions (such as check), or `axis` is unknown.
    """
    data = value_data(results, variable, (axis,))
    name = variable if isinstance(results, xr.Dataset) else str(results.name)
    require_dims(data["values"], ("seed", *setting_dims(data)), name)
    scale = Scale.of(data[axis])
    others = tuple(dim for dim in setting_dims(data) if dim != axis)
    looks, panel_dims = divided(data, others, styled=scale.is_number)
    whole = data
    data, fewer = fewer_bars(data, axis, looks, panel_dims)
    scale = Scale.of(data[axis])
    parts, part_note = parts_of(data, panel_dims, MAX_PARTS)
    key = make_key(data.isel(dict.fromkeys(panel_dims, 0)), looks, styled=scale.is_number)
    figure, grid = panel_grid(list(parts), (3.7, 2.7), 1.6) if panel_dims else alone()
    finite = data["values"].values[np.isfinite(data["values"].values)]
    log_y = log_y and bool(finite.size and 0 < finite.min() < finite.max())
    places = dict(zip(data[axis].values.tolist(), scale.positions, strict=True))
    share = is_share(name, data["values"])
    counts: list[str] = []
    extra: list[Line2D] = []
    for axes, part in zip(grid, parts.values(), strict=True):
        axes.set_xscale("log" if scale.is_log else "linear")
        axes.set_yscale("log" if log_y else "linear")
        hold_values(axes, scale)
        count = len(key.colours)
        cells = zip(settings(part, looks), key.colours, key.styles, strict=True)
        for i, ((setting, cell), colour, style) in enumerate(cells):
            at = scale.dodged((i - (count - 1) / 2) / max(count, 4))
            label = setting_label(setting) or words(name)
            style = style if scale.is_number else "none"
            draw_values(
                axes, at, cell.transpose(axis, "seed"), label, colour, style, share=share, among=count * len(parts)
            )
        extra = extra or draw_reported(axes, reported, name, axis, places)
    for axes in grid:
        set_y(axes, measured=bool(finite.size), log_y=log_y, share=share)
        label_values(axes, data, axis, scale)
    if panel_dims or fewer:
        counts = counts_in_words(whole)
    if panel_dims:
        for axes in grid:
            axes.set_xlabel("")
        figure.supxlabel(axis_title(axis), fontsize=9)
        figure.supylabel(quantity_label(name, data["values"]), fontsize=9)
        show_shares(grid[0].yaxis, name, data["values"])
    else:
        label_quantity(grid[0].yaxis, name, data["values"])
        counts = counts or count_above(grid[0], data, axis, scale.positions)
    draw_key(grid[min(1, len(grid) - 1)], key, data["diverged"] if others else None, extra, over=grid)
    drawn = len(parts) * len(key.colours) * data.sizes[axis]
    notes = [replicates_note(data, "bars"), dots_note(data.sizes["seed"], drawn), fewer, part_note]
    notes += ["no mean where a seed never got there" if bool(data["censored"].any()) else ""]
    notes += ["cross: all seeds diverged" if bool(data["diverged"].all("seed").any()) else ""]
    subject = f"{capital(quantity_in_full(name, data['values']))} against {axis_words(axis)}"
    set_title(figure, title or subject, notes + counts)
    return figure


def set_y(axes: Axes, *, measured: bool, log_y: bool, share: bool) -> None:
    """Ticks of y: none where nothing was measured, plain ones on a log axis; and no more of y than shares can be."""
    if not measured:
        axes.set_yticks([])
    elif log_y:
        set_plain_ticks(axes.yaxis)
    elif share:
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, -0.02), min(high, 1.02))


def draw_values(
    axes: Axes,
    at: np.ndarray,
    cell: xr.Dataset,
    label: str,
    colour: str,
    style: str,
    *,
    share: bool = False,
    among: int = 1,
) -> None:
    """Means with bars, single seeds as dots; at the upper edge censored ones, and a cross where all diverged.

    Of many seeds, in `among` lines together, an even choice are dots, as `dots_note` says.
    """
    values, mean = cell["values"].transpose(..., "seed").values, cell["mean"].values
    dots = dots_of(values.shape[-1], among * mean.size)
    values = values[..., dots]
    seeds = np.broadcast_to(at[:, None], values.shape)
    finite = np.isfinite(values)
    if dots.size:
        axes.plot(seeds[finite], values[finite], ".", color=colour, alpha=0.4, markersize=5, label="_seeds")
    bars = bars_of(cell, share)
    look: dict[str, Any] = {"linestyle": style, "linewidth": 1.0, "marker": "o", "markersize": 5}
    axes.errorbar(at, mean, bars, color=colour, elinewidth=1.4, capsize=2.5, label=label, **look)
    draw_edge(axes, at, cell, colour)


def bars_of(data: xr.Dataset, share: bool) -> np.ndarray:
    """The lengths of the bars below and above the means; those of shares end at 0 and 1."""
    mean, low, high = (data[name].values for name in ("mean", "low", "high"))
    if share:
        low, high = np.maximum(low, np.minimum(mean, 0)), np.minimum(high, np.maximum(mean, 1))
    return np.asarray(np.nan_to_num([mean - low, high - mean]))


def draw_edge(axes: Axes, at: np.ndarray, cell: xr.Dataset, colour: str) -> None:
    """At the upper edge: an arrowhead where a seed is censored, a cross where all diverged."""
    edge: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "clip_on": False, "color": colour}
    marks = (
        (cell["censored"].values, {"marker": "^", "mfc": "white", "label": "_censored"}),
        (cell["diverged"].transpose(..., "seed").all("seed").values, {"marker": "x", "mew": 1.6, "label": "_lost"}),
    )
    for here, look in marks:
        here = np.broadcast_to(here, at.shape)
        if here.any():
            axes.plot(at[here], np.ones(here.sum()), linestyle="none", **look, **edge)


def draw_reported(
    axes: Axes,
    reported: pd.DataFrame | None,
    variable: str,
    axis: str,
    positions: Mapping[Any, float],
    *,
    rows: bool = False,
) -> list[Line2D]:
    """The numbers of the source: filled diamonds, open ones where they served to choose the settings.

    `positions` are those of the values of `axis` on x, or on y with `rows`.
    """
    if reported is None or axis not in reported:
        return []
    numbers = reported[(reported["variable"] == variable) & reported[axis].isin(list(positions))]
    numbers = numbers.drop_duplicates(["id", axis])
    handles: list[Line2D] = []
    for fitted, label in ((False, "reported by the source"), (True, "reported by the source\n(fitted: no evidence)")):
        chosen = numbers[numbers["fitted"] == fitted]
        if len(chosen):
            points = [positions[value] for value in chosen[axis]], chosen["reported"]
            look: dict[str, Any] = {"color": INK, "mfc": "white" if fitted else INK, "markersize": 6.5, "zorder": 4}
            handles += axes.plot(*(points[::-1] if rows else points), "D", label=label, linestyle="none", **look)
    return handles


def count_above(axes: Axes, data: xr.Dataset, axis: str, positions: np.ndarray) -> list[str]:
    """How many members diverged, were censored or are missing, above the frame at their value of the axis.

    Where the values lie too close for that, nothing is drawn and the counts over all values are returned as notes.
    """
    total = data["values"].size // len(positions)
    texts = [""] * len(positions)
    for word, event in _events(data).items():
        counts = event.sum([dim for dim in event.dims if dim != axis]).values
        texts = [f"{text}\n{n} of {total} {word}".strip() if n else text for text, n in zip(texts, counts, strict=True)]
    notes = [(x, text) for x, text in zip(across(axes, positions), texts, strict=True) if text]
    gap = min(np.diff(sorted(x for x, _ in notes)), default=1.0)
    if gap < 0.085:
        return counts_in_words(data)
    for x, text in notes:
        lines = [textwrap.fill(line, 13 if gap > 0.14 else 8) for line in text.split("\n")]
        offset: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "xytext": (0, 6)}
        axes.annotate("\n".join(lines), (x, 1.0), ha="center", va="bottom", fontsize=7, **offset)
    return []


def counts_in_words(data: xr.Dataset) -> list[str]:
    """How many members diverged, were censored or are missing, over all values, and which settings are lost."""
    found = {word: int(event.sum()) for word, event in _events(data).items()}
    notes = [f"{count} of {data['values'].size} {word}" for word, count in found.items() if count]
    return [*notes, all_diverged_note(data).replace("all seeds", "diverged in all seeds", 1)]


def _events(data: xr.Dataset) -> dict[str, xr.DataArray]:
    """What can become of a member in place of a value, in words."""
    values, diverged = data["values"], data["diverged"]
    never = f"never reached {values.attrs['threshold']:g}" if "threshold" in values.attrs else "without end"
    return {
        "diverged": diverged,
        never: (values == np.inf) & ~diverged,
        "missing": values.isnull() & ~diverged,
    }
