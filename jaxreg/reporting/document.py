"""What all pages share: formatted numbers, sortable tables, inlined figures, and the writing of one HTML file."""

from __future__ import annotations

import base64
import dataclasses
import functools
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from jaxreg.files import write_atomically
from jaxreg.measures import value_labels
from jaxreg.measures.summary import Row
from jaxreg.reporting.figures.style import style
from jaxreg.reporting.tables import interval
from jaxreg.statistics import interval_in_words
from jaxreg.study import ReportFigure as ReportFigure  # those who draw find it beside what shows it

LARGE_SVG_BYTES = 500_000  # of a saved figure: beyond this its PNG is inlined
MAX_SVG_BYTES = 2_000_000  # beyond this a figure is inlined as PNG
MISSING = "\u2013"

_THIN, _NO_BREAK, _MINUS = "\u202f", "\u00a0", "\u2212"


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
      text: what the cell shows.
      key: what the column is sorted by.
      numeric: right-aligned.
      remark: a second line in smaller type.
      kind: a class of the style sheet, such as "verbatim".
    """

    text: str
    key: str | float
    numeric: bool = True
    remark: str = ""
    kind: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of cells under named columns; the first `heads` columns head the row, and row `best` is marked."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    heads: int = 1
    best: int | None = None


def write_page(path: str | Path, template: str, **content: Any) -> None:
    """Renders `template` with `content` into the file `path`, which is replaced atomically."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    write_atomically(Path(path), environment.get_template(template).render(**content))


# Formatted numbers


def grouped(value: float, decimals: int = 0) -> str:
    """12345.6 as `12 346`: thin spaces between groups of three digits, and U+2212 for the minus sign."""
    return f"{value:,.{decimals}f}".replace(",", _THIN).replace("-", _MINUS)


def significant(value: float, digits: int = 3) -> str:
    """A number with `digits` significant digits; an exponent is used below 1e-4 and from 1e6 on."""
    if not np.isfinite(value):
        return MISSING if np.isnan(value) else ("∞" if value > 0 else f"{_MINUS}∞")
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


def counted(count: int, noun: str) -> str:
    """`1 seed`, `10 seeds`."""
    return f"{grouped(count)} {noun}{'' if count == 1 else 's'}"


# Columns


def axis_cells(values: pd.Series[Any]) -> list[Cell]:
    """A cell for each value of a swept hyperparameter."""
    numeric = pd.api.types.is_numeric_dtype(values)
    labels = value_labels(values.tolist())
    return [
        Cell(label, float(value) if numeric else value, numeric)
        for label, value in zip(labels, values.tolist(), strict=True)
    ]


def accuracy_cells(rows: Sequence[Row], quantity: str) -> list[Cell]:
    """Cells `91.2 % ± 0.2`, of rows of a `summary`."""
    return _mean_cells(rows, quantity, 100, " %", 1)


def loss_cells(rows: Sequence[Row], quantity: str) -> list[Cell]:
    """Cells `0.312 ± 0.004`, of rows of a `summary`."""
    return _mean_cells(rows, quantity, 1, "", 3)


def _mean_cells(rows: Sequence[Row], quantity: str, scale: float, unit: str, least: int) -> list[Cell]:
    """Mean and half-width of the interval, sorted by the mean; a mean without interval carries a remark."""
    means = [tuple(scale * x for x in interval(row, quantity)) for row in rows]
    halves = [(high - low) / 2 for _, low, high in means]
    typical = pd.Series(halves).median()
    # One digit more once the typical half-width would round to 0.
    decimals = least if np.isnan(typical) or typical >= 0.5 * 10.0**-least else least + 1

    def cell(row: Row, mean: float, low: float, high: float) -> Cell:
        if np.isnan(mean):
            return Cell(MISSING, mean)
        alone = "one seed, no interval" if np.isnan(high - low) and row["seeds"] > 1 else ""
        text = interval_in_words(mean, low, high, lambda x: grouped(x, decimals), unit=unit)
        return Cell(text.replace(" ", _NO_BREAK), mean, remark=alone)

    return [cell(row, *mean) for row, mean in zip(rows, means, strict=True)]


# Figures


def inlined(figure: ReportFigure) -> dict[str, Any]:
    """A figure as the templates take it. At 100 px an inch its text is about as large as that of the page."""
    width = round(100 * figure.figure.get_figwidth())
    text = alternative_text(figure.figure)
    moving = _data_uri("gif", figure.moving) if figure.moving else ""
    return {"caption": figure.caption, "alt": text, "width": width, "data": _image(figure), "moving": moving}


def alternative_text(figure: Figure) -> str:
    """What a figure plots, from its titles and axis labels: `Plot: Test loss by rate; loss (nats) against step.`"""
    plots = [figure.get_suptitle()]
    for axes in figure.axes:
        x, y = axes.get_xlabel(), axes.get_ylabel()
        title = axes.get_title() or axes.get_title("left")
        plots.append(": ".join(filter(None, (title, f"{y} against {x}" if x and y else y or x))))
    text = "; ".join(dict.fromkeys(" ".join(plot.split()) for plot in plots if plot.strip()))
    return f"Plot: {text}." if text else "Plot, described in the caption."


def _image(figure: ReportFigure) -> str:
    """The figure as a data URI, the same bytes for the same figure: SVG on white, or PNG of a large one.

    Files that were saved are taken as they are: to draw a figure again takes longer than the rest of the page.
    """
    if figure.files is not None:
        png, svg = (path.read_bytes() for path in figure.files)
        return _data_uri("png", png) if len(svg) > LARGE_SVG_BYTES else _data_uri("svg+xml", svg)
    saved = functools.partial(_saved, figure.figure)
    svg = saved(format="svg", metadata={"Date": None})
    kind, data = ("svg+xml", svg) if len(svg) <= MAX_SVG_BYTES else ("png", saved(format="png", dpi=160))
    return _data_uri(kind, data)


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _saved(figure: Figure, **options: Any) -> bytes:
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, facecolor="white", **options)
    return buffer.getvalue()
