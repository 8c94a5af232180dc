"""The same seeds at several values of an axis: pairs, and their differences to one value."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from jaxreg.measures import value_label
from jaxreg.reporting.figures.choice import MAX_LINES, dots_note, dots_of
from jaxreg.reporting.figures.data import require_dims, value_data
from jaxreg.reporting.figures.style import GREY, INK, OKABE_ITO, Figure, evenly, set_title, single_axes, styled
from jaxreg.reporting.figures.ticks import (
    Scale,
    hold_values,
    label_quantity,
    label_values,
    show_shares,
)
from jaxreg.reporting.figures.values import bars_of, count_above, draw_edge, set_y
from jaxreg.reporting.figures.words import (
    axis_words,
    capital,
    is_share,
    quantity_in_full,
    quantity_words,
    replicates_note,
    t_interval,
)
from jaxreg.statistics import mean_interval

_SEED, _MEAN = OKABE_ITO[0], OKABE_ITO[1]


@styled
def paired(
    results: xr.Dataset | xr.DataArray,
    axis: str,
    variable: str = "final_test_accuracy",
    *,
    log_y: bool = False,
    title: str | None = None,
) -> Figure:
    """A value at each value of an axis, the runs of one seed joined by a thin line; means with 95 % t bars.

    A line that is parallel to the others is a seed that shifts all settings alike, which a paired comparison takes
    out. Seeds that diverged are left out and counted; a line has a gap there. Infinite (censored) values are
    arrowheads at the upper edge, and no mean is drawn beside them.

    Args:
      results: labelled results of a run, or one array of them, dimensions [axis, seed].
      axis: the hyperparameter on the x axis, logarithmic as in `value_against`.
      variable: the variable to draw, if `results` is a Dataset.
      log_y: logarithmic y.
      title: first line of the title, in place of the usual one.

    Raises:
      ValueError: the value has further dimensions (select one value of each first), or `axis` is unknown.
    """
    data, name = _pairs_data(results, axis, variable)
    scale = Scale.of(data[axis])
    figure, axes = single_axes()
    axes.set_xscale("log" if scale.is_log else "linear")
    axes.set_yscale("log" if log_y else "linear")
    hold_values(axes, scale)
    counting = data["values"].where(~data["diverged"]).transpose("seed", axis).values
    finite = np.where(np.isfinite(counting), counting, np.nan)
    drawn = evenly(len(finite), MAX_LINES)
    for member in finite[drawn]:
        axes.plot(scale.positions, member, ".-", color=_SEED, alpha=0.45, linewidth=0.7, markersize=5, label="_seed")
    share = is_share(name, data["values"])
    bars = bars_of(data, share)
    _draw_means(axes, scale.positions, data["mean"].values, bars, filled=np.ones(len(bars[0]), bool))
    draw_edge(axes, scale.positions, data, _SEED)
    set_y(axes, measured=bool(np.isfinite(finite).any()), log_y=log_y, share=share)
    label_values(axes, data, axis, scale)
    label_quantity(axes.yaxis, name, data["values"])
    of_all = f", {len(drawn)} of {len(finite)} seeds" if len(drawn) < len(finite) else ""
    thin = f"thin lines join the runs of one seed{of_all}" if data.sizes["seed"] > 1 else ""
    notes = [replicates_note(data, "bars"), thin]
    notes += ["no mean where a seed never got there" if bool(data["censored"].any()) else ""]
    notes += ["cross: all seeds diverged" if bool(data["diverged"].all("seed").any()) else ""]
    notes += count_above(axes, data, axis, scale.positions)
    subject = capital(quantity_in_full(name, data["values"]))
    set_title(figure, title or f"{subject} of the same seeds along {axis_words(axis)}", notes)
    return figure


@styled
def differences(
    results: xr.Dataset | xr.DataArray,
    axis: str,
    reference: Any,
    variable: str = "final_test_accuracy",
    *,
    title: str | None = None,
) -> Figure:
    """Paired differences to one value of an axis: their means with 95 % t bars, single pairs as faint dots.

    The difference of a seed is its value minus its value at `reference`. A mean is filled where its interval excludes
    zero and open where it holds zero; the intervals are single ones, not adjusted for how many there are. Pairs of
    which one diverged or is censored (infinite) are left out and counted.

    Args:
      results: labelled results of a run, or one array of them, dimensions [axis, seed].
      axis: the hyperparameter on the x axis, logarithmic as in `value_against`.
      reference: the value of `axis` that the others are compared with.
      variable: the variable to draw, if `results` is a Dataset.
      title: first line of the title, in place of the usual one.

    Raises:
      ValueError: the value has further dimensions (select one value of each first), `axis` is unknown, or `reference`
        is none of its values.
    """
    data, name = _pairs_data(results, axis, variable)
    at = _index_of(data[axis], reference)
    scale = Scale.of(data[axis])
    values = data["values"].where(~data["diverged"] & np.isfinite(data["values"])).transpose(axis, "seed")
    pairs = values - values.isel({axis: at})
    interval = mean_interval(pairs)
    others = np.arange(pairs.sizes[axis]) != at
    mean, low, high = (interval[part].values[others] for part in ("mean", "low", "high"))
    figure, axes = single_axes()
    axes.set_xscale("log" if scale.is_log else "linear")
    axes.axhline(0, color=GREY, linewidth=1.0, label="_zero")
    axes.update_datalim([(scale.positions[at], 0)])
    hold_values(axes, scale)
    draw_edge(axes, scale.positions, data.drop_vars("censored").assign(censored=xr.zeros_like(data["censored"])), _SEED)
    axes.plot(scale.positions[at], 0, "D", color=INK, mfc="white", markersize=6, label="_reference")
    dots = pairs.values[others][:, dots_of(pairs.sizes["seed"], int(others.sum()))]
    if dots.size:
        seeds = np.broadcast_to(scale.positions[others, None], dots.shape)
        axes.plot(seeds.ravel(), dots.ravel(), ".", color=_SEED, alpha=0.45, label="_pairs")
    _draw_means(axes, scale.positions[others], mean, np.nan_to_num([mean - low, high - mean]), (low > 0) | (high < 0))
    label_values(axes, data, axis, scale)
    show_shares(axes.yaxis, name, data["values"])
    units = "percentage points" if is_share(name, data["values"]) else str(data["values"].attrs.get("units", "1"))
    what = f"difference in {quantity_words(name, data['values'])}"
    axes.set_ylabel(what if units == "1" else f"{what} ({units})")
    if not np.isfinite(mean).any():
        axes.set_yticks([0.0])
    left_out = int(pairs.isel({axis: others}).isnull().sum())
    several = pairs.sizes["seed"] > 1
    notes = [f"mean of {pairs.sizes['seed']} paired differences" if several else "1 seed, no interval"]
    notes += [f"bars: {t_interval(interval['n'].values[others])}, not adjusted for their number"] if several else []
    notes += [dots_note(pairs.sizes["seed"], int(others.sum()), "pairs")]
    notes += ["filled: without zero, open: with zero" if several else "", "diamond: the reference"]
    notes += [f"{left_out} of {others.sum() * pairs.sizes['seed']} pairs left out" if left_out else ""]
    lost = data["diverged"].all("seed").values
    notes += ["no differences: all seeds of the reference diverged" if lost[at] else ""]
    notes += ["cross: all seeds diverged" if lost.any() else ""]
    notes += count_above(axes, data, axis, scale.positions)
    shown = value_label(data[axis].values[at].item(), 6)
    subject = capital(quantity_in_full(name, data["values"]))
    set_title(figure, title or f"{subject}: difference to {axis_words(axis)} = {shown}", notes)
    return figure


def _pairs_data(results: xr.Dataset | xr.DataArray, axis: str, variable: str) -> tuple[xr.Dataset, str]:
    data = value_data(results, variable, (axis,))
    name = variable if isinstance(results, xr.Dataset) else str(results.name)
    require_dims(data["values"], ("seed", axis), name)
    return data.transpose(axis, "seed"), name


def _index_of(coordinate: xr.DataArray, value: Any) -> int:
    """Where `value` lies along its axis; numbers need agree to single precision only."""
    is_number = coordinate.dtype.kind in "iuf" and isinstance(value, int | float | np.number)
    found = coordinate.values == value if is_number else coordinate.values.astype(str) == str(value)
    if is_number and not found.any():
        found = np.isclose(coordinate, value, rtol=1e-6, atol=0)
    if not found.any():
        values = ", ".join(value_label(known) for known in coordinate.values.tolist())
        raise ValueError(f"reference={value}: no value of {coordinate.name}, which has {values}")
    return int(found.argmax())


def _draw_means(axes: Axes, at: np.ndarray, mean: np.ndarray, bars: np.ndarray, filled: np.ndarray) -> None:
    """Means over the dots of their seeds, with bars; open where not `filled`."""
    size = 5.5 if len(at) <= 24 else 3.5
    axes.errorbar(at, mean, bars, fmt="none", color=_MEAN, elinewidth=1.6, capsize=size / 2, zorder=3, label="_bars")
    for chosen, face, label in ((filled, _MEAN, "_means"), (~filled, "white", "_open")):
        axes.plot(at[chosen], mean[chosen], "o", color=_MEAN, mfc=face, markersize=size, zorder=4, label=label)
