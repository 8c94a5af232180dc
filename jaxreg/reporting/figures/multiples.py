"""Small multiples: one panel for each value of a further dimension."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from jaxreg.measures import settings, value_labels
from jaxreg.reporting.figures.style import Figure, evenly
from jaxreg.reporting.figures.words import axis_words

MAX_MULTIPLES = 4


def multiples(values: xr.DataArray, within: Sequence[str], name: str) -> tuple[dict[str, xr.DataArray], str]:
    """The parts along the one dimension that is not `within` a panel, by title; a note where not all are shown.

    Raises:
      ValueError: there is more than one such dimension.
    """
    others = [str(dim) for dim in values.dims if dim not in within]
    if len(others) > 1:
        raise ValueError(f"{name}: select one value each of {', '.join(others)}; at most one of them can become panels")
    if not others:
        return {"": values}, ""
    (dim,) = others
    count = values.sizes[dim]
    shown = evenly(count, MAX_MULTIPLES)
    labels = _labels(values[dim])
    note = f"{len(shown)} of {count} values of {axis_words(dim)} shown" if len(shown) < count else ""
    return {labels[i]: values.isel({dim: i}) for i in shown}, note


def parts_of(data: xr.Dataset, dims: Sequence[str], at_most: int) -> tuple[dict[str, xr.Dataset], str]:
    """The part of each setting along `dims`, by title; of more than `at_most` an even choice, and a note that says so.

    Without `dims` the whole, under the title "".
    """
    labels = [", ".join(title) for title in itertools.product(*(_labels(data[dim]) for dim in dims))]
    shown = evenly(len(labels), at_most)
    parts = settings(data, dims, where=np.isin(np.arange(len(labels)), shown).tolist())
    note = f"{len(shown)} of {len(labels)} values of {axis_words(*dims)} shown" if len(shown) < len(labels) else ""
    return {labels[i]: part for i, (_, part) in zip(shown, parts, strict=True)}, note


def _labels(coordinate: xr.DataArray) -> list[str]:
    """Values as titles: with the name of their axis where they are numbers, or text that begins with one."""
    if "layer_name" in coordinate.coords and coordinate.name == "layer":
        return [str(name) for name in coordinate["layer_name"].values]
    labels = value_labels(coordinate.values.tolist())
    if coordinate.dtype.kind in "UO" and not any(label[:1].isdigit() for label in labels):
        return labels
    return [f"{axis_words(str(coordinate.name))} = {label}" for label in labels]


def panel_grid(titles: Sequence[str], size: tuple[float, float], room: float) -> tuple[Figure, list[Axes]]:
    """Panels of `size` (inches), at most two beside each other, with axes in common; `room` (inches) is left beside."""
    columns = min(2, len(titles))
    rows = -(-len(titles) // columns)
    figure = Figure(figsize=(columns * size[0] + room, rows * size[1] + 0.9), layout="constrained")
    grid = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    for axes in grid[len(titles) :]:
        axes.remove()
    for i, (axes, title) in enumerate(zip(grid, titles, strict=False)):
        axes.set_title(title, fontsize=8.5)
        axes.tick_params(labelbottom=i + columns >= len(titles), labelleft=i % columns == 0)
    return figure, grid[: len(titles)]
