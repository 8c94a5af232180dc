"""Confusion matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.colors import ListedColormap

from jaxreg.measures import value_labels
from jaxreg.reporting.figures.data import require_dims
from jaxreg.reporting.figures.style import INK, PALE, Figure, set_title, styled
from jaxreg.reporting.figures.words import name_of

MAX_NAME = 24  # characters of the name of a class
MAX_WRITTEN = 12  # classes whose cells are written
_SMALLEST = 0.0005  # shares that are written


@styled
def confusion(counts: xr.DataArray, *, title: str | None = None) -> Figure:
    """The confusion matrix: the share of the examples of each class that is assigned to each class, counts / row sum.

    Only errors are coloured, on a scale of their own; the diagonal is grey. The shares are written in per cent where
    there are at most 12 classes, those below 0.05 % left blank. Rows of classes without examples are white.

    Args:
      counts: examples, [label, prediction] in any order, with or without seed, over which they are summed.
      title: first line of the title, in place of the usual one.

    Raises:
      ValueError: the dimensions are others, or labels and predictions are not the same classes.
    """
    name = name_of(counts, "confusion")
    if not {"label", "prediction"} <= set(counts.dims) or counts.sizes["label"] != counts.sizes["prediction"]:
        raise ValueError(f"{name}: a confusion matrix needs the dimensions label and prediction, of the same classes")
    require_dims(counts, ("seed", "label", "prediction"), name)
    seeds = 1
    if "seed" in counts.dims:
        seeds = int(counts.notnull().any(["label", "prediction"]).sum())
        counts = counts.sum("seed")
    matrix = counts.transpose("label", "prediction").values.astype(float)
    total = matrix.sum(1, keepdims=True)
    shares = np.divide(matrix, total, out=np.full_like(matrix, np.nan), where=total > 0)
    diagonal = np.eye(len(shares), dtype=bool)
    errors = np.ma.masked_where(diagonal | np.isnan(shares), 100 * shares)
    labels = value_labels(counts["label"].values.tolist(), longest=MAX_NAME)
    written = len(labels) <= MAX_WRITTEN
    side = 0.44 * len(labels) if written else 4.6
    figure = Figure(figsize=(max(4.8, 2.0 + side), max(3.4, 1.3 + 0.86 * side)), layout="constrained")
    axes = figure.subplots()
    axes.grid(False)
    axes.spines[:].set_visible(False)
    highest = errors.max() if errors.count() and errors.max() > 0 else 1.0
    look: dict[str, Any] = (
        {"edgecolors": "white", "linewidth": 0.8} if written else {"linewidth": 0.0, "rasterized": True}
    )
    image = axes.pcolormesh(errors, cmap="Oranges", vmin=0, vmax=highest, **look)
    known = np.ma.masked_where(~diagonal | np.isnan(shares), np.zeros_like(shares))
    axes.pcolormesh(known, cmap=ListedColormap([PALE if written else "#AAAAAA"]), **look)
    for (row, column), share in np.ndenumerate(shares if written else np.empty((0, 0))):
        if share >= _SMALLEST:
            right = row == column
            ink = "white" if not right and 100 * share > 0.6 * highest else INK
            text = f"{100 * share:.1f}" if share < 0.9995 else "100"
            place: dict[str, Any] = {"ha": "center", "va": "center", "weight": "bold" if right else "normal"}
            axes.text(column + 0.5, row + 0.5, text, fontsize=7.5, color=ink, **place)
    ticks = np.arange(0, len(labels), -(-len(labels) // 16))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(ticks + 0.5, [labels[tick] for tick in ticks])
        axis.set_tick_params(length=0)
    axes.set(xlabel="predicted class", ylabel="true class", ylim=(len(labels), 0))
    bar = figure.colorbar(image, ax=axes, pad=0.02, label="errors: share of the true class (%)")
    bar.outline.set_visible(False)
    notes = [_accuracy_note(matrix, seeds), _worst_note(matrix, labels)]
    set_title(figure, title or "Which classes are taken for which", notes)
    return figure


def _accuracy_note(matrix: np.ndarray, seeds: int) -> str:
    if not matrix.sum():
        return "no examples"
    examples = f"{matrix.sum():.0f} examples, {f'{seeds} seeds together' if seeds > 1 else '1 seed'}"
    return f"accuracy {100 * np.trace(matrix) / matrix.sum():.2f} % ({examples})"


def _worst_note(matrix: np.ndarray, labels: list[str]) -> str:
    """The most frequent confusion, the first of equally frequent ones."""
    errors = matrix - np.diag(np.diag(matrix))
    true, taken = np.unravel_index(errors.argmax(), errors.shape)
    if not errors[true, taken]:
        return "no errors" if matrix.sum() else ""
    share = 100 * errors[true, taken] / matrix[true].sum()
    return f"most frequent confusion: {labels[true]} taken for {labels[taken]} ({share:.1f} % of class {labels[true]})"
