"""The report page: one HTML file that holds question, answer, tables, figures and how to reproduce them."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import matplotlib as mpl
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from jaxreg.files import write_atomically
from jaxreg.measures import value_label
from jaxreg.reporting.tables import halted, interval, shown_rows
from jaxreg.summary import HALTS, Row, axis_names, best_row, member_dims, summary

MAX_ROWS, BEST_ROWS, WORST_ROWS = 200, 150, 20
MAX_DIVERGED = 100
MAX_SVG_BYTES = 2_000_000  # beyond this a figure is inlined as PNG

ACCURACIES = {
    "final_validation_accuracy": "validation accuracy",
    "final_test_accuracy": "test accuracy",
    "train_accuracy": "training accuracy",
}
LOSSES = {"final_validation_loss": "validation loss", "final_test_loss": "test loss"}

FITTED = "fitted, no evidence"

_THIN, _NO_BREAK, _MINUS, _MISSING = "\u202f", "\u00a0", "\u2212", "\u2013"


@dataclasses.dataclass(frozen=True)
class ReportFigure:
    """A figure with the file name (without suffix) it is saved under and the caption that says what it shows."""

    name: str
    caption: str
    figure: Figure


@dataclasses.dataclass(frozen=True)
class Cell:
    """A table cell: the text people read and the key the column is sorted by."""

    text: str
    key: str | float
    numeric: bool = True


def write_report(
    path: str | Path,
    *,
    title: str,
    question: str,
    answer: str,
    source: str,
    results: xr.Dataset,
    meta: Mapping[str, Any],
    figures: Sequence[ReportFigure],
    comparison: pd.DataFrame | None,
    flags: str,
    notes: Sequence[str] = (),
) -> None:
    """Writes report.html: complete in itself, without network or other files; replaces an older one in one step.

    Args:
      path: file to write.
      title: name of the experiment in words.
      question: what it asks, one sentence.
      answer: what came out; an empty line starts a new paragraph.
      source: the part and figures of the source that it stands for; may be empty.
      results: the labelled results of the run.
      meta: content of meta.json; what is missing is left out.
      figures: drawn in this order, as SVG.
      comparison: result of `jaxreg.replication.compare`, or None where the source reports no number.
      flags: text of flags.cfg.
      notes: further remarks, one sentence each.
    """
    table = summary(results)
    html = _template().render(
        title=title,
        question=question,
        answer=[paragraph for paragraph in re.split(r"\n\s*\n", answer.strip()) if paragraph],
        source=source,
        notes=notes,
        status=_status(meta),
        facts=_facts(results, table, meta),
        settings=_settings(results, table),
        comparison=None if comparison is None or comparison.empty else _comparison(comparison),
        figures=[_figure(figure) for figure in figures],
        diverged=_diverged(results),
        flags=flags.strip(),
        receipt=_receipt(meta),
        layout=_layout(meta),
        command=meta.get("command"),
        commit=_commit(meta.get("git") or {}),
        versions=dict(meta.get("versions") or {}),
    )
    write_atomically(Path(path), html)


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")


# Numbers for people


def grouped(value: float, decimals: int = 0) -> str:
    """12345.6 as `12 346`, thin spaces between groups of three digits and a true minus sign."""
    return f"{value:,.{decimals}f}".replace(",", _THIN).replace("-", _MINUS)


def significant(value: float, digits: int = 3) -> str:
    """A number with so many significant digits, without exponent between 1e-4 and 1e6."""
    if not np.isfinite(value):
        return _MISSING if np.isnan(value) else ("∞" if value > 0 else f"{_MINUS}∞")
    rounded = float(f"{value:.{digits - 1}e}")
    if rounded and not 1e-4 <= abs(rounded) < 1e6:
        mantissa, exponent = f"{rounded:.{digits - 1}e}".split("e")
        return f"{mantissa} · 10^{int(exponent)}".replace("-", _MINUS)
    return grouped(rounded, max(digits - 1 - int(np.floor(np.log10(abs(rounded)))), 0) if rounded else 0)


def seconds(value: float) -> str:
    """A duration: `0.4 s`, `3 min 20 s`, `1 h 05 min`."""
    if value < 59.95:
        return f"{value:.3g}{_NO_BREAK}s" if value < 10 else f"{value:.1f}{_NO_BREAK}s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes}{_NO_BREAK}min {rest}{_NO_BREAK}s"
    return f"{minutes // 60}{_NO_BREAK}h {minutes % 60:02d}{_NO_BREAK}min"


def size(num_bytes: float) -> str:
    """Bytes in binary units: `668 MiB`."""
    for unit in ("B", "KiB", "MiB"):
        if round(num_bytes) < 1024:
            return f"{num_bytes:.0f}{_NO_BREAK}{unit}"
        num_bytes /= 1024
    return f"{num_bytes:.1f}{_NO_BREAK}GiB"


def _decimals(half_widths: pd.Series[float], least: int) -> int:
    """Decimals for a column: one digit more than `least` once the typical half-width would round to 0."""
    typical = half_widths.median()
    return least if np.isnan(typical) or typical >= 0.5 * 10.0**-least else least + 1


# Tables


def _column(rows: Sequence[Row], quantity: str, scale: float, unit: str, least: int) -> list[Cell]:
    """Cells `91.2 % ± 0.2`: mean and half-width of the interval, sorted by the mean."""
    means = [tuple(scale * x for x in interval(row, quantity)) for row in rows]
    decimals = _decimals(pd.Series([(high - low) / 2 for _, low, high in means]), least)

    def text(mean: float, low: float, high: float) -> str:
        if np.isnan(mean):
            return _MISSING
        half = "" if np.isnan(high - low) else f" ± {(high - low) / 2:.{decimals}f}"
        return f"{grouped(mean, decimals)}{unit}{half}".replace(" ", _NO_BREAK)

    return [Cell(text(*values), values[0]) for values in means]


def _settings(results: xr.Dataset, table: pd.DataFrame) -> dict[str, Any]:
    """The result table: axes, accuracies and losses with intervals, halted members."""
    names, best = axis_names(results), best_row(table) if len(table) > 1 else None
    top, bottom = shown_rows(table, MAX_ROWS, BEST_ROWS, WORST_ROWS)
    shown = table.iloc[top + bottom]
    rows: Sequence[Row] = shown.to_dict("records")
    columns = [_column(rows, quantity, 100, " %", 1) for quantity in ACCURACIES]
    columns += [_column(rows, quantity, 1, "", 3) for quantity in LOSSES]
    columns.append([Cell(halted(row), sum(row[halt] for halt in HALTS), False) for row in rows])
    axes = [_axis_cells(shown[name]) for name in names] or [[Cell("all members", 0, False)]]
    return {
        "axes": names or ("setting",),
        "columns": [*ACCURACIES.values(), *LOSSES.values(), "halted"],
        "rows": [
            {"axes": setting, "cells": cells, "best": i == best}
            for i, setting, cells in zip(shown.index, zip(*axes, strict=True), zip(*columns, strict=True), strict=True)
        ],
        "seeds": int(table["seeds"].max()),
        "some_diverged": bool((table["diverged"] > 0).any()),
        "left_out": len(table) - len(rows),
        "total": len(table),
    }


def _axis_cells(values: pd.Series[Any]) -> list[Cell]:
    numeric = pd.api.types.is_numeric_dtype(values)
    return [Cell(value_label(value), float(value) if numeric else value, numeric) for value in values.tolist()]


def _comparison(comparison: pd.DataFrame) -> list[dict[str, Any]]:
    """Reported numbers beside ours, with the verdict in words."""
    return [_comparison_row(row) for row in comparison.to_dict("records")]


def _comparison_row(row: Row) -> dict[str, Any]:
    share = any(word in row["quantity"] for word in ("accuracy", "error"))
    scale, unit = (100, f"{_NO_BREAK}%") if share else (1, "")
    mean, low, high = (float(row[name]) for name in ("mean", "low", "high"))

    def number(value: float) -> str:
        """Percent with two decimals for an accuracy or error, four significant digits for anything else."""
        return grouped(scale * value, 2) if share and np.isfinite(value) else significant(value, 4)

    def cell(value: float) -> Cell:
        return Cell(_MISSING if np.isnan(value) else number(value) + unit, value)

    if np.isnan(mean):
        verdict, kind = "not measured in this run", "open"
    elif np.isnan(low):
        verdict, kind = "no interval from one value", "open"
    else:
        verdict = kind = "inside" if row["inside"] else "outside"
    return {
        "id": row["id"],
        "setting": row["setting"],
        "quantity": row["quantity"],
        "reported": cell(row["reported"]),
        "ours": cell(mean),
        "interval": _MISSING if np.isnan(low) else f"{number(low)} to {number(high)}{unit}",
        "n": int(row["n"]),
        "verdict": verdict,
        "kind": kind,
        "fitted": FITTED if row["fitted"] else "",
        "note": row["note"],
    }


def _diverged(results: xr.Dataset) -> dict[str, Any]:
    """The members that diverged: setting, seed and step; at most `MAX_DIVERGED`."""
    dims, names = (*member_dims(results), "seed"), axis_names(results)
    diverged_step = results["diverged_step"].transpose(*dims)
    where = np.argwhere(diverged_step.values >= 0)
    rows = []
    for index in where[:MAX_DIVERGED]:
        member = diverged_step.isel(dict(zip(dims, index, strict=True)))
        axes = [value_label(member.coords[name].item()) for name in names] or ["all members"]
        rows.append({"axes": axes, "seed": member.coords["seed"].item(), "step": grouped(member.item())})
    return {"axes": names or ("setting",), "rows": rows, "total": len(where), "members": diverged_step.size}


# What the run was and cost


def _status(meta: Mapping[str, Any]) -> str:
    """A warning if the numbers are not those of a finished run."""
    status = meta.get("status", "done")
    return "" if status == "done" else f"This run is not finished ({status}): the numbers are those so far."


def _facts(results: xr.Dataset, table: pd.DataFrame, meta: Mapping[str, Any]) -> list[str]:
    """The line under the title: data, size, date."""
    seeds, steps = int(table["seeds"].max()), results.coords.get("num_steps")
    facts = [str(results.attrs["dataset"])] if "dataset" in results.attrs else []
    facts.append(f"{len(table)} {'setting' if len(table) == 1 else 'settings'}")
    facts.append(f"{seeds} {'seed' if seeds == 1 else 'seeds'} each")
    if steps is not None and steps.ndim == 0:
        facts.append(f"{grouped(int(steps))} steps")
    if meta.get("started"):
        facts.append(str(meta["started"])[:10])
    return facts


def _receipt(meta: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What it cost, as (name, value); what meta does not hold is left out."""
    spent = meta.get("seconds") or {}
    lines: list[tuple[str, str]] = []
    if "members" in meta:
        counts = ", ".join(f"{meta[name]} {name}" for name in ("finished", "stopped", "diverged") if name in meta)
        lines.append(("members", f"{meta['members']}{f' ({counts})' if counts else ''}"))
    if meta.get("started") and meta.get("ended"):
        elapsed = pd.Timestamp(meta["ended"]) - pd.Timestamp(meta["started"])
        lines.append(("wall time", seconds(elapsed.total_seconds())))
    parts = ("compile", "train", "evaluate", "write")
    lines += [(f"of it to {name}", seconds(spent[name])) for name in parts if name in spent]
    if meta.get("member_steps_per_second"):
        lines.append(("speed", f"{grouped(meta['member_steps_per_second'])}{_NO_BREAK}member-steps/s"))
    if meta.get("peak_memory_bytes"):
        lines.append(("peak memory", size(meta["peak_memory_bytes"])))
    if meta.get("train_compilations") is not None:
        lines.append(("training programs compiled", str(meta["train_compilations"])))
    if meta.get("device"):
        lines.append(("device", str(meta["device"])))
    return lines


def _layout(meta: Mapping[str, Any]) -> list[str]:
    """How each group of members was laid out: `seeds 5, configs 4, devices 2, …`."""
    return [
        ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in group.items())
        for group in meta.get("layout") or ()
    ]


def _commit(git: Mapping[str, Any]) -> str:
    commit = git.get("commit") or ""
    return f"{commit}{', with uncommitted changes' if git.get('dirty') else ''}" if commit else ""


# Figures


def _figure(figure: ReportFigure) -> dict[str, Any]:
    """What the template shows of a figure; 100 px an inch brings its text near the size of the page's."""
    width = round(100 * figure.figure.get_figwidth())
    text = alternative_text(figure.figure)
    return {"caption": figure.caption, "alt": text, "width": width, "data": _image(figure.figure)}


def _image(figure: Figure) -> str:
    """The figure as a data URI, SVG on white; the same figure gives the same bytes."""
    with mpl.rc_context({"svg.hashsalt": "jaxreg"}):
        svg = _saved(figure, format="svg", metadata={"Date": None})
    if len(svg) <= MAX_SVG_BYTES:
        return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
    return f"data:image/png;base64,{base64.b64encode(_saved(figure, format='png', dpi=160)).decode()}"


def _saved(figure: Figure, **options: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, bbox_inches="tight", facecolor="white", **options)
    return buffer.getvalue()


def alternative_text(figure: Figure) -> str:
    """What a figure plots, from its titles and axis labels: `Plot: Test loss by rate; loss (nats) against step.`"""
    plots = [figure.get_suptitle()]
    for axes in figure.axes:
        x, y = axes.get_xlabel(), axes.get_ylabel()
        title = axes.get_title() or axes.get_title("left")
        plots.append(": ".join(filter(None, (title, f"{y} against {x}" if x and y else y or x))))
    said = "; ".join(dict.fromkeys(" ".join(plot.split()) for plot in plots if plot.strip()))
    return f"Plot: {said}." if said else "Plot, described in the caption."
