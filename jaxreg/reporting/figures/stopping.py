"""Early stopping: where training would stop, what that saves and gives up, and the time that halted members save."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from jaxreg.measures import best_step, setting_dims, settings, stopping, units_of_losses, value_label
from jaxreg.reporting.figures.choice import dots_note
from jaxreg.reporting.figures.data import X_LABELS, curve_data, require_dims, value_data
from jaxreg.reporting.figures.keys import looks_of, make_key
from jaxreg.reporting.figures.style import GREY, INK, OKABE_ITO, Figure, evenly, set_title, styled
from jaxreg.reporting.figures.training import draw_curve, set_view
from jaxreg.reporting.figures.values import draw_values
from jaxreg.reporting.figures.words import axis_title, diverged_note, quantity_words, replicates_note, row_label

MAX_ROW = 1000  # dots of a row
_LOSSES = ("train_loss", "validation_loss")
_GIVEN_UP = {"validation_loss": 1, "test_accuracy": 100}  # and the factor from what is measured to what is drawn
_OTHERS = {
    "final": (-0.12, "after the last step", OKABE_ITO[1]),
    "best": (0.12, "at the best check of all", OKABE_ITO[2]),
}
_BESIDE: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1), "alignment": "left"}
_STOPS, _BEST = (OKABE_ITO[4], OKABE_ITO[3], OKABE_ITO[5], OKABE_ITO[1]), INK


@styled
def stopping_points(
    results: xr.Dataset,
    patience: Sequence[int],
    *,
    marks: Mapping[float, str] | None = None,
    title: str | None = None,
) -> Figure:
    """Training and validation loss against step, and below them where each patience would have stopped each seed.

    Above: means over seeds in 95 % t bands; the training loss is averaged over the steps between two checks. Below: a
    row for each patience and one for the lowest validation loss, a dot for each seed and a bar at their median, which
    is drawn through both panels. Members that would never have stopped count in the median as those of all steps, and
    are counted at the right; where they are the median, there is none.

    Args:
      results: labelled results, dimensions [seed, ...], of members that trained on (see `measures.stopping`).
      patience: in checks, at most four.
      marks: further steps that are marked, with words for each.
      title: first line of the title, in place of the usual one.

    Raises:
      ValueError: an axis has several values (select one first), or there are more than four values of patience.
    """
    if len(patience) > len(_STOPS):
        raise ValueError(f"patience={', '.join(map(str, patience))}: at most {len(_STOPS)} values can be distinguished")
    results = _one_setting(results, "stopping_points")
    data = {name: curve_data(results, name, "step", max(1, results.sizes["check"] - 1)) for name in _LOSSES}
    looks = looks_of([_LOSSES])
    figure = Figure(figsize=(7.2, 4.4 + 0.26 * len(patience)), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 0.5 + 0.25 * len(patience)))
    for name, curve in data.items():
        draw_curve(upper, curve, quantity_words(name), *looks[name][:2])
    set_view(upper, list(data.values()), "loss", log_y=True)
    upper.margins(x=0.01)
    upper.set_ylabel(row_label(results, _LOSSES))
    stops = stopping(results, patience).where(results["diverged_step"] < 0)
    rows = [(f"patience {each}", stops.sel(patience=each), _STOPS[i]) for i, each in enumerate(patience)]
    for row, (_, stop, colour) in enumerate(rows):
        stopped = stop["stopped_step"].where(stop["stopped_check"] >= 0, np.inf).where(stop["stopped_check"].notnull())
        _draw_row((upper, lower), row, stopped.values, colour)
    _draw_row((upper, lower), len(rows), best_step(results).where(results["diverged_step"] < 0).values, _BEST)
    lower.set_yticks(range(len(rows) + 1), [*(label for label, _, _ in rows), "lowest loss"])
    lower.set_ylim(len(rows) + 0.6, -0.6)
    lower.tick_params(axis="y", length=0)
    lower.grid(False)
    lower.set_xlabel(X_LABELS["step"])
    for step, text in (marks or {}).items():
        for axes in (upper, lower):
            axes.axvline(step, color=GREY, linewidth=0.8, linestyle=":", label="_mark")
        upper.annotate(
            text, (step, 1), xycoords=("data", "axes fraction"), fontsize=7, color=GREY, ha="right", va="top",
            xytext=(-3, 0), textcoords="offset points", rotation=90,
        )  # fmt: skip
    upper.legend(**_BESIDE)
    several = results.sizes["seed"] > 1
    notes = [replicates_note(data["validation_loss"], "band"), data["train_loss"].attrs["thinned"]]
    notes += ["below: dots are seeds, bars and vertical lines their median" if several else ""]
    notes += [diverged_note(data["validation_loss"])]
    set_title(figure, title or "Where early stopping stops", notes)
    return figure


def _draw_row(panels: tuple[Axes, Axes], row: int, steps: np.ndarray, colour: str) -> None:
    """Up to `MAX_ROW` dots at the finite steps, the median through both panels, and how many seeds are infinite."""
    upper, lower = panels
    present = np.sort(steps[~np.isnan(steps)])
    stopped = present[np.isfinite(present)]
    dots = stopped[evenly(len(stopped), MAX_ROW)] if stopped.size else stopped
    lower.plot(dots, np.full(len(dots), row), "o", color=colour, alpha=0.45, markersize=4.5, label="_seeds")
    # Of an even number of seeds the mean of the two in the middle; one of these may be infinite.
    middle = present[[(len(present) - 1) // 2, len(present) // 2]].mean() if present.size else np.nan
    if np.isfinite(middle):
        lower.plot([middle], [row], "|", color=colour, markersize=13, markeredgewidth=2.2, label="_median")
        for axes in (upper, lower):
            axes.axvline(middle, color=colour, linewidth=1.0, alpha=0.8, zorder=1, label="_stop")
    if never := len(present) - len(stopped):
        look: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "va": "center", "fontsize": 8}
        lower.annotate(f"{never} of {len(present)} never", (1.01, row), **look)


@styled
def stopping_cost(results: xr.Dataset, patience: Sequence[int], *, title: str | None = None) -> Figure:
    """For each patience the share of the steps that stopping saves, and what it gives up, paired by seed.

    Given up, in validation loss and in test accuracy: what is kept when it stops (the parameters of the best check
    until then) minus what there is after the last step, and minus what there is at the best check of all. Means over
    seeds with 95 % t bars, single seeds as faint dots. A seed that never stops saves nothing.

    Args, Raises: as in `stopping_points`, without marks.
    """
    results = _one_setting(results, "stopping_cost")
    stops = stopping(results, patience)
    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    panels = figure.subplots(1, 3)
    at = np.arange(len(patience), dtype=float)

    def draw(axes: Axes, values: xr.DataArray, shift: float, label: str, colour: str) -> xr.Dataset:
        data = value_data(stops[["diverged_step"]].assign(values=values), "values", ("patience",))
        draw_values(axes, at + shift, data.transpose("patience", "seed"), label, colour, "none")
        return data

    data = draw(panels[0], 100 * stops["saved"], 0.0, "saved", OKABE_ITO[0])
    panels[0].set(ylabel="steps saved (%)", ylim=(-4, 104))
    for axes, (name, scale) in zip(panels[1:], _GIVEN_UP.items(), strict=True):
        axes.axhline(0, color=GREY, linewidth=1.0, label="_zero")
        for part, (shift, label, colour) in _OTHERS.items():
            draw(axes, scale * (stops[f"kept_{name}"] - results[f"{part}_{name}"]), shift, label, colour)
        units = "percentage points" if scale == 100 else units_of_losses(results)
        of_units = "" if units == "1" else f" ({units})"
        axes.set_ylabel(textwrap.fill(f"change in {quantity_words(name)}{of_units}", 26))
    for axes in panels:
        axes.set_xticks(at, [value_label(each) for each in patience])
        axes.set(xlim=(-0.5, len(patience) - 0.5), xlabel="patience (checks)")
    panels[2].legend(title="what is kept, minus\nwhat there is", **_BESIDE)
    counting = (stops["diverged_step"] < 0).broadcast_like(stops["stopped_check"])
    never = int((counting & (stops["stopped_check"] < 0)).sum())
    notes = [replicates_note(data, "bars"), dots_note(data.sizes["seed"], len(patience))]
    notes += [f"{never} of {int(counting.sum())} never stop" if never else "", diverged_note(data)]
    set_title(figure, title or "What early stopping saves and gives up", notes)
    return figure


@styled
def cost_of_steps(results: xr.Dataset, *, title: str | None = None) -> Figure:
    """Training time per step of a program against step, and the share of its members that still train.

    A line for each program (group of members), from the time between one check and the next. Members that are halted,
    by patience or because they diverged, no longer have a loss; they cost nothing once they are taken out of the
    program.

    Args:
      results: labelled results of a run, with the coordinate `seconds`.
      title: first line of the title, in place of the usual one.
    """
    groups = tuple(dim for dim in setting_dims(results) if dim in results["seconds"].dims)
    loss = results["validation_loss"]
    training = loss.notnull().mean([dim for dim in loss.dims if dim not in (*groups, "check")])
    seconds, step = (results[name].reset_coords(drop=True).astype(float) for name in ("seconds", "check_step"))
    data = xr.Dataset({"training": 100 * training, "seconds": seconds, "step": step}).isel(check=slice(1, None))
    data["time"] = 1000 * seconds.diff("check") / step.diff("check")
    key = make_key(data, groups)
    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    labels = key.sections[0].labels if len(key.sections) == 1 else [""] * len(key.colours)
    for (_, cell), colour, style, label in zip(settings(data, groups), key.colours, key.styles, labels, strict=True):
        look: dict[str, Any] = {"color": colour, "linestyle": style, "drawstyle": "steps-pre", "linewidth": 1.4}
        total = f"{label}: {np.nanmax(cell['seconds'].values):.3g} s".removeprefix(": ")
        upper.plot(cell["step"].values, cell["time"].values, label=total, **look)
        lower.plot(cell["step"].values, cell["training"].values, **look)
    upper.set_ylim(bottom=0)
    lower.set_ylim(-4, 104)
    upper.set_ylabel("time per step (ms)")
    lower.set(ylabel="still training (%)", xlabel=X_LABELS["step"])
    upper.legend(title=", ".join([*map(axis_title, groups), "training time"]), **_BESIDE)
    set_title(figure, title or "Members that have stopped no longer cost time", ["all members of a program together"])
    return figure


def _one_setting(results: xr.Dataset, name: str) -> xr.Dataset:
    """Without axes of one value."""
    results = results.squeeze([dim for dim in setting_dims(results) if results.sizes[dim] == 1])
    require_dims(results["validation_loss"], ("seed", "check"), name)
    return results
