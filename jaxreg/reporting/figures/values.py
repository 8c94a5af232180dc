"""A value per setting against one axis."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from jaxreg.measures import setting_dims, setting_label, settings
from jaxreg.reporting.figures.data import require_dims, value_data
from jaxreg.reporting.figures.keys import draw_key, make_key
from jaxreg.reporting.figures.style import INK, set_title, single_axes, styled
from jaxreg.reporting.figures.ticks import Scale, across, label_values, set_plain_ticks
from jaxreg.reporting.figures.words import capital, quantity_label, replicates_note, words


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

    The x axis is logarithmic where its values are positive and span more than a decade. Other axes become lines of
    their own colour. Infinite values (censored, as in `steps_to_train`) are arrowheads at the upper edge; no mean is
    drawn where there is one. Seeds that diverged or were censored are counted above the frame, or below the title
    where the values lie too close.

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
    lines = tuple(dim for dim in setting_dims(data) if dim != axis)
    scale = Scale.of(data[axis])
    key = make_key(data, lines, styled=scale.is_number)
    figure, axes = single_axes()
    axes.set_xscale("log" if scale.is_log else "linear")
    finite = data["values"].values[np.isfinite(data["values"].values)]
    log_y = log_y and bool(finite.size and 0 < finite.min() < finite.max())
    axes.set_yscale("log" if log_y else "linear")
    count = len(key.colours)
    cells = zip(settings(data, lines), key.colours, key.styles, strict=True)
    for i, ((setting, cell), colour, style) in enumerate(cells):
        at = scale.dodged((i - (count - 1) / 2) / max(count, 4))
        label = setting_label(setting) or words(name)
        draw_values(axes, at, cell.transpose(axis, "seed"), label, colour, style if scale.is_number else "none")
    if not finite.size:
        axes.set_yticks([])
    elif log_y:
        set_plain_ticks(axes.yaxis, *axes.get_ylim())
    places = dict(zip(data[axis].values.tolist(), scale.positions, strict=True))
    extra = draw_reported(axes, reported, name, axis, places)
    label_values(axes, data, axis, scale)
    axes.set_ylabel(quantity_label(name, data["values"]))
    counts = count_above(axes, data, axis, scale.positions)
    draw_key(axes, key, [""] * count, extra)
    notes = [replicates_note(data, "bars"), "dots: single seeds" if data.sizes["seed"] > 1 else ""]
    notes += ["no mean where a seed never got there" if bool((data["values"] == np.inf).any()) else ""]
    set_title(figure, title or f"{capital(words(name))} against {axis}", notes + counts)
    return figure


def draw_values(axes: Axes, at: np.ndarray, cell: xr.Dataset, label: str, colour: str, style: str) -> None:
    """Means with bars, single seeds as dots, censored ones at the upper edge."""
    values, mean = cell["values"].transpose(..., "seed"), cell["mean"].values
    seeds = np.broadcast_to(at[:, None], values.shape)
    finite = np.isfinite(values.values)
    if values.sizes["seed"] > 1:
        axes.plot(seeds[finite], values.values[finite], ".", color=colour, alpha=0.4, markersize=5, label="_seeds")
    bars = np.nan_to_num([mean - cell["low"].values, cell["high"].values - mean])
    look: dict[str, Any] = {"linestyle": style, "linewidth": 1.0, "marker": "o", "markersize": 5}
    axes.errorbar(at, mean, bars, color=colour, elinewidth=1.4, capsize=2.5, label=label, **look)
    censored = np.isinf(values.values).any(-1)
    if censored.any():
        edge: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "clip_on": False}
        axes.plot(at[censored], np.ones(censored.sum()), "^", color=colour, mfc="white", label="_censored", **edge)


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
    values, total = data["values"], data["values"].size // len(positions)
    never = f"never reached {values.attrs['threshold']:g}" if "threshold" in values.attrs else "without end"
    events = {"diverged": data["diverged"], never: values == np.inf, "missing": values.isnull() & ~data["diverged"]}
    texts = [""] * len(positions)
    for word, event in events.items():
        counts = event.sum([dim for dim in event.dims if dim != axis]).values
        texts = [f"{text}\n{n} of {total} {word}".strip() if n else text for text, n in zip(texts, counts, strict=True)]
    notes = [(x, text) for x, text in zip(across(axes, positions), texts, strict=True) if text]
    gap = min(np.diff([x for x, _ in notes]), default=1.0)
    if gap < 0.085:
        return [f"{int(event.sum())} of {values.size} {word}" for word, event in events.items() if event.any()]
    for x, text in notes:
        lines = [textwrap.fill(line, 13 if gap > 0.14 else 8) for line in text.split("\n")]
        offset: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "xytext": (0, 6)}
        axes.annotate("\n".join(lines), (x, 1.0), ha="center", va="bottom", fontsize=7, **offset)
    return []
