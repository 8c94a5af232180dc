"""Small multiples: one panel for each value of a further dimension."""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxreg.measures import value_labels
from jaxreg.reporting.figures.style import evenly

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
    is_text = values[dim].dtype.kind in "UO"
    labels = [label if is_text else f"{dim} = {label}" for label in value_labels(values[dim].values.tolist())]
    note = f"{len(shown)} of {count} values of {dim} shown" if len(shown) < count else ""
    return {labels[i]: values.isel({dim: i}) for i in shown}, note


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
