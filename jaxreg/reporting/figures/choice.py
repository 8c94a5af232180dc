"""Which of many settings, seeds and diverged members a figure shows: an even choice, and a note that says so."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import xarray as xr

from jaxreg.measures import setting_dims
from jaxreg.reporting.figures.keys import MAX_PARTS
from jaxreg.reporting.figures.style import evenly
from jaxreg.reporting.figures.words import axis_words

MAX_LINES = 200  # of a figure: more cannot be told apart, and take minutes to draw
MAX_BARS, MAX_BAR_LINES = 2000, 20  # means with bars, of a figure; and lines of them, of a panel
MAX_COLOURS = 60  # lines of values, of a figure of several panels
MAX_DOTS = 5000  # single seeds, of a figure
MAX_LOST = 100  # diverged members of a figure, each a line of its own

Data = TypeVar("Data", xr.Dataset, xr.DataArray)


def fewer_settings(data: Data, at_most: int, *groups: tuple[Sequence[str], int]) -> tuple[Data, str]:
    """An even choice of settings where there are more than `at_most`, and a note on what is shown.

    Args:
      data: with a coordinate along each swept dimension.
      at_most: that are shown without a choice.
      groups: dimensions, and how many settings along them are shown where there is a choice.

    Returns:
      The data with fewer values along the longest dimensions of each group, the first and the last value of each kept;
      and "100 of 1000 values of learning rate shown", "" where all are.
    """
    sizes = {dim: data.sizes[dim] for dims, _ in groups for dim in dims}
    if math.prod(data.sizes[dim] for dim in setting_dims(data)) <= at_most:
        return data, ""
    shown = {dim: min(sizes[dim], _longest(dims, sizes, most)) for dims, most in groups for dim in dims}
    fewer = {dim: count for dim, count in shown.items() if count < sizes[dim]}
    chosen = {dim: _in_order(data, dim)[evenly(sizes[dim], count)] for dim, count in fewer.items()}
    parts = [f"{count} of {sizes[dim]} values of {axis_words(dim)}" for dim, count in fewer.items()]
    return data.isel(chosen), f"{' and '.join(parts)} shown" if parts else ""


def _longest(dims: Sequence[str], sizes: dict[str, int], at_most: int) -> int:
    """The largest length to which dimensions may be cut so that no more than `at_most` settings are left."""
    fitting = (n for n in range(at_most, 1, -1) if math.prod(min(sizes[dim], n) for dim in dims) <= at_most)
    return next(fitting, 1)


def _in_order(data: xr.Dataset | xr.DataArray, dim: str) -> np.ndarray:
    """Positions along a dimension, numbers in ascending order."""
    values = data[dim].values
    return np.argsort(values, kind="stable") if values.dtype.kind in "iuf" else np.arange(len(values))


def fewer_bars(data: xr.Dataset, axis: str, looks: Sequence[str], panel_dims: Sequence[str]) -> tuple[xr.Dataset, str]:
    """`fewer_settings` for values against an axis, of lines along `looks` in panels along `panel_dims`."""
    lines = min(math.prod(data.sizes[dim] for dim in looks), MAX_BAR_LINES)
    panels = min(math.prod(data.sizes[dim] for dim in panel_dims), MAX_PARTS)
    points = max(MAX_BARS // (lines * panels), 2)
    return fewer_settings(data, MAX_BARS, ((axis,), points), (looks, MAX_BAR_LINES), (panel_dims, MAX_PARTS))


def dots_of(seeds: int, settings: int) -> np.ndarray:
    """The positions of the seeds that are drawn as dots, at most `MAX_DOTS` in all settings; none of a single seed."""
    return evenly(seeds, MAX_DOTS // settings) if seeds > 1 and settings <= MAX_DOTS else np.arange(0)


def dots_note(seeds: int, settings: int, what: str = "seeds") -> str:
    """What such dots are: all seeds, or how many of them; "" without dots."""
    shown = len(dots_of(seeds, settings))
    if not shown:
        return ""
    return f"dots: single {what}" if shown == seeds else f"dots: {shown} of {seeds} {what}"


def fewer_lost(diverged: xr.DataArray, dims: Sequence[str]) -> tuple[int, str]:
    """How many diverged members of a setting along `dims` are drawn at most, and a note where that is not all."""
    counts = diverged.sum([dim for dim in diverged.dims if dim not in dims])
    if int(counts.sum()) <= MAX_LOST:
        return MAX_LOST, ""
    most = max(MAX_LOST // int((counts > 0).sum()), 1)
    return most, f"at most {most} of a setting drawn" if int(counts.max()) > most else ""
