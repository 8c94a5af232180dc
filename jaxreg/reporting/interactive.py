"""What the report page shows in motion: curves to point at, all settings side by side, and the importance of axes.

Data for the page's script (`charts.js.j2`), which draws them with Vega. Nothing is fetched: Vega lies in `vega/`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from jaxreg.measures import axis_importance, setting_dims, value_labels
from jaxreg.measures.outcomes import outcome_of
from jaxreg.measures.summary import member_dims, ranking
from jaxreg.reporting.document import inlined
from jaxreg.reporting.figures import curves
from jaxreg.reporting.figures.choice import MAX_LINES, MAX_LOST
from jaxreg.reporting.figures.drawn import curves_of
from jaxreg.reporting.figures.style import evenly
from jaxreg.reporting.figures.words import (
    axis_labels,
    axis_title,
    axis_words,
    capital,
    diverged_counts,
    diverged_note,
    replicates_note,
)
from jaxreg.study import ReportFigure

MAX_PAGE_BYTES = 5_000_000
# Of a page, besides figures and charts: Vega takes 0.53 MB, tables most of the rest.
ELSE_BYTES = 1_300_000
MAX_CHARTS = 4  # of a page
MAX_POINTS = 200  # along a line
MAX_NUMBERS = 60_000  # of a chart: means and the ends of their intervals
MAX_ROWS = 1000  # settings side by side
MAX_NAMED = 10  # values of axes in a sentence
MANY_AXES = 3  # from here on settings are shown side by side

OUTCOMES = {  # of a setting, at its last check
    "final_validation_accuracy": "validation accuracy",
    "final_test_accuracy": "test accuracy",
    "final_validation_loss": "validation loss",
    "final_test_loss": "test loss",
}
IMPORTANT_FOR = ("final_validation_accuracy", "final_validation_loss")
_DASHES = {"-": [], "--": [6, 3], "-.": [6, 3, 1.5, 3], ":": [1.5, 3]}
_NO_BREAK = "\u00a0"


def vega() -> str:
    """The script of Vega and of its interpreter, which needs no right to evaluate text, as one block of JavaScript."""
    folder = Path(__file__).with_name("vega")
    module = (folder / "vega-interpreter.js").read_text(encoding="utf-8")
    names, _, body = module.partition("import {")[2].partition("} from 'vega-util';")
    body, _, exported = body.partition("export { expression as expressionInterpreter };")
    if not names or not exported:
        raise ValueError(f"{folder}: vega-interpreter.js has not the form that this version knows")
    script = (folder / "vega.min.js").read_text(encoding="utf-8")
    wrapped = f"(() => {{\nconst {{{names}}} = vega;{body}return expression;\n}})()"
    return f"{script}\nvega.interpreter = {wrapped};\n"


def curves_if_none(figures: Sequence[ReportFigure], results: xr.Dataset) -> list[ReportFigure]:
    """The test accuracy of all settings along training, for a report that shows no curves which can be pointed at.

    Where there is no accuracy, the test loss.
    """
    outcome = outcome_of(results)
    name = f"test_{outcome}"
    if name not in results or any(curves_of(figure.figure) for figure in figures):
        return []
    drawn = curves(results, name, log_y=outcome == "loss")
    return [ReportFigure(f"{name}_of_all_settings", f"Test {outcome} along training, all settings.", drawn)]


def with_charts(figures: Sequence[ReportFigure]) -> list[dict[str, Any]]:
    """The figures as the templates take them, the first that show curves with a `chart` beside the image.

    Of `MAX_CHARTS`, those for which the images leave room on a page of `MAX_PAGE_BYTES`.
    """
    shown = [inlined(figure) | {"chart": None} for figure in figures]
    room = MAX_PAGE_BYTES - ELSE_BYTES - sum(len(content["data"]) + len(content["moving"]) for content in shown)
    charts = 0
    for figure, content in zip(figures, shown, strict=True):
        found = chart(figure.figure, content["alt"]) if charts < MAX_CHARTS else None
        if found is not None and (size := len(json.dumps(found))) <= room:
            content["chart"] = found
            charts, room = charts + 1, room - size
    return shown


def parts(results: xr.Dataset, table: pd.DataFrame, figures: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the report page shows besides figures: `importance`, `side_by_side`, and `vega` where something needs it.

    Args:
      results: the labelled results of a run.
      table: their `summary`.
      figures: what `with_charts` gives.
    """
    settings = side_by_side(results, table)
    moving = settings is not None or any(figure["chart"] for figure in figures)
    return {"importance": importance(results), "side_by_side": settings, "vega": vega() if moving else ""}


# Curves


def chart(figure: Figure, alternative: str) -> dict[str, Any] | None:
    """The curves of a figure as the page's script takes them; None if it shows none, or more than `MAX_LINES`.

    Args:
      figure: a figure of the report.
      alternative: what it plots, for those who do not see it.
    """
    drawn = curves_of(figure)
    if drawn is None or len(drawn.key.colours) > MAX_LINES:
        return None
    key, dims, count = drawn.key, setting_dims(drawn.data), len(drawn.key.colours)
    along = next(dim for dim in ("step", "check") if dim in drawn.data["mean"].dims)
    measured = _measured(drawn.data["values"], along)
    points = len(measured)
    shown = measured[evenly(points, min(MAX_POINTS, MAX_NUMBERS // (3 * count)))]
    data, axes = drawn.data.isel({along: shown}), figure.axes[0]
    names, labels = axis_labels(data, dims)
    notes = diverged_counts(data["diverged"], dims)
    mean, low, high, n, at = (_by_setting(data, name, along) for name in ("mean", "low", "high", "n", "position"))
    shared = bool((np.nan_to_num(at) == np.nan_to_num(at[:1])).all())
    lines = [
        {"label": labels[i] or drawn.y_label, "note": notes[i].strip()}
        | {"colour": key.colours[i], "dash": _DASHES[key.styles[i]], "n": _counts(n[i])}
        | {"mean": _numbers(mean[i]), "low": _numbers(low[i]), "high": _numbers(high[i])}
        | ({} if shared else {"at": _numbers(at[i])})
        for i in range(count)
    ]
    fewer = f"{len(shown)} of {points} points of each line" if len(shown) < points else ""
    of_all = [data.attrs["thinned"], data.attrs.get("fewer", "")]
    remarks = [replicates_note(data, "band"), *of_all, fewer, diverged_note(data)]
    return {
        "title": " ".join(figure.get_suptitle().split()),
        "notes": capital("; ".join(filter(None, remarks))),
        "name": capital(drawn.y_label.partition(" (")[0]),
        "description": alternative,
        "heading": axis_title(*names) or "setting",
        "x": {"label": drawn.x_label, "domain": list(map(float, axes.get_xlim()))},
        "y": {
            "label": drawn.y_label.removesuffix(" (%)"),  # which its ticks say
            "domain": list(map(float, axes.get_ylim())),
            "log": axes.get_yscale() == "log",
            "percent": drawn.is_share,
        },
        "has_interval": data.sizes["seed"] > 1,
        "at": _numbers(at[0]) if shared else None,
        "lines": lines,
        "lost": _lost(data, along),
    }


def _measured(values: xr.DataArray, along: str) -> np.ndarray:
    """The points at which any member has a value: a run that goes on has none at later ones. All, where none has."""
    known = np.isfinite(values.values).any(tuple(i for i, dim in enumerate(values.dims) if dim != along))
    return np.flatnonzero(known | ~known.any())


def _by_setting(data: xr.Dataset, name: str, along: str) -> np.ndarray:
    """A variable as [setting, along], the last dimension fastest."""
    dims = (*setting_dims(data), along)
    values = data[name].broadcast_like(data["mean"]).transpose(*dims).values
    return np.asarray(values, np.float64).reshape(-1, data.sizes[along])


def _lost(data: xr.Dataset, along: str) -> list[dict[str, Any]]:
    """The members that diverged, each up to its end; at most `MAX_LOST`, evenly chosen."""
    dims = (*setting_dims(data), "seed")
    values = data["values"].transpose(*dims, along).values.reshape(-1, data.sizes["seed"], data.sizes[along])
    diverged = data["diverged"].broadcast_like(data["values"].isel({along: 0})).transpose(*dims).values
    members, position = np.argwhere(diverged.reshape(values.shape[:2])), _by_setting(data, "position", along)
    found = []
    for line, seed in members[evenly(len(members), MAX_LOST)] if len(members) else ():
        there = np.isfinite(values[line, seed]) & np.isfinite(position[line])
        if there.any():
            at, value = (_numbers(part[there]) for part in (position[line], values[line, seed]))
            found.append({"line": int(line), "at": at, "value": value})
    return found


def _numbers(values: np.ndarray) -> list[float | None]:
    """Five significant digits, and None for what is missing or infinite."""
    return [float(f"{value:.5g}") if np.isfinite(value) else None for value in values.tolist()]


def _counts(values: np.ndarray) -> int | list[int]:
    """One number where all are equal."""
    counts = values.astype(int).tolist()
    return counts[0] if len(set(counts)) == 1 else counts


# Settings side by side


def side_by_side(results: xr.Dataset, table: pd.DataFrame) -> dict[str, Any] | None:
    """All settings over parallel axes: the swept hyperparameters, and what each setting reached, means over seeds.

    Args:
      results: the labelled results of a run.
      table: their `summary`.

    Returns:
      What the page's script takes: `axes`, each with a label, and either the `choices` from bottom to top or the
      `domain` of a number; `rows`, each with its place on every axis, an index or a number, None where it has none; and
      how many rows were left out, the worst on validation. None with fewer axes than `MANY_AXES` in the run.
    """
    dims = [dim for dim in member_dims(results) if results.sizes[dim] > 1]
    if len(dims) < MANY_AXES:
        return None
    order = ranking(table)[:MAX_ROWS]
    shown = table.iloc[order]
    names, _ = axis_labels(results[["diverged_step"]], dims)
    axes: list[dict[str, Any]] = []
    columns: list[list[Any]] = []
    for name in names:
        values = table[name].tolist()
        choices = list(dict.fromkeys(values))
        if pd.api.types.is_numeric_dtype(table[name]):
            choices.sort()
        axes.append({"label": axis_words(name), "choices": value_labels(choices, 3)})
        columns.append([choices.index(value) for value in shown[name].tolist()])
    for quantity, label in OUTCOMES.items():
        if quantity not in results:
            continue
        reached = shown[f"{quantity}_mean"].to_numpy(np.float64)
        known = reached[np.isfinite(reached)]
        if known.size:
            ends = [float(known.min()), float(known.max())]
            axes.append({"label": label, "domain": ends, "percent": quantity.endswith("accuracy")})
            columns.append(_numbers(reached))
    return {"axes": axes, "rows": list(zip(*columns, strict=True)), "left_out": len(table) - len(order)}


# Importance


def importance(results: xr.Dataset) -> dict[str, Any] | None:
    """The share of the variance between settings that each axis explains, as the template takes it.

    Returns:
      `columns`; `rows`, each with a name and cells of a text and the ends of its bar in percent; and the `caption`.
      None for a run of fewer than two axes.
    """
    found = {OUTCOMES[name]: axis_importance(results, name) for name in IMPORTANT_FOR if name in results}
    shares = {label: share for label, share in found.items() if share is not None and np.isfinite(share["main"]).any()}
    if not shares:
        return None
    axes = list(dict.fromkeys(axis for share in shares.values() for axis in share["axis"].values.tolist()))
    rows: list[dict[str, Any]] = []
    for axis in axes:
        at = [share.sel(axis=axis) if axis in share["axis"] else None for share in shares.values()]
        cells = [_share(part, name) for part in at for name in ("main", "total")]
        rows.append({"name": axis_words(*axis_labels(results[["diverged_step"]], (axis,))[0]), "cells": cells})
    together = [cell for share in shares.values() for cell in (_share(share, "interaction"), None)]
    rows.append({"name": "axes together, none by itself", "cells": together})
    columns = [(f"{label}, by itself", f"{label}, in all") for label in shares]
    return {"columns": sum(columns, ()), "rows": rows, "caption": _importance_caption(shares)}


def _share(shares: xr.Dataset | None, name: str) -> dict[str, Any]:
    """A cell: `82 % (78 to 86)`, and from where to where its bar and its interval go, in percent."""
    if shares is None or not np.isfinite(value := 100 * float(shares[name])):
        return {"text": "\u2013", "value": None}
    low, high = (100 * float(shares[f"{name}_{end}"]) for end in ("low", "high"))
    text = f"{value:.0f}{_NO_BREAK}%"
    if not np.isfinite(low):
        return {"text": text, "value": value, "low": value, "high": value}
    return {"text": f"{text} ({low:.0f} to {high:.0f})", "value": value, "low": low, "high": high}


def _unit(values: xr.DataArray) -> str:
    """The units behind a number, with the space before them; nothing where there are none."""
    units = str(values.attrs["units"])
    return "" if units == "1" else f" {units}"


def _importance_caption(shares: dict[str, xr.Dataset]) -> str:
    """What the shares are, over how many seeds, and what was left out."""
    seeds = {int(share["n"]) for share in shares.values()}
    n = " and ".join(map(str, sorted(seeds)))
    spread = [
        f"{100 * float(share['sd']):.3g} percentage points of {label}"
        if label.endswith("accuracy")
        else f"{float(share['sd']):.3g}{_unit(share['sd'])} of {label}"
        for label, share in shares.items()
    ]
    text = (
        "How much of the variance between settings each axis explains: by itself (main effect of a functional ANOVA on "
        "the full grid, every setting counting the same), and in all, alone or together with other axes. This holds "
        "for the values of this grid: over a wider range an axis matters more. Standard deviation between settings: "
        f"{' and '.join(spread)}."
    )
    if max(seeds) == 1:
        text += " One seed: its noise counts as axes together, and there is no interval."
    else:
        brackets = f"in brackets 95{_NO_BREAK}% intervals, by the jackknife over seeds"
        text += (
            f" The noise of seeds is taken out (n = {n}); {brackets if min(seeds) > 2 else 'too few for intervals'}."
        )
    left_out = list(dict.fromkeys(what for share in shares.values() for what in share.attrs["left_out"]))
    if left_out:
        more = [f"{len(left_out) - MAX_NAMED} more"] if len(left_out) > MAX_NAMED else []
        text += f" Left out, because members diverged there: {', '.join([*left_out[:MAX_NAMED], *more])}."
    return text
