"""Which colour and line style stands for which setting: legends and colour bars."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap, to_hex
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from jaxreg.reporting.figures.style import GREY, LINE_STYLES, OKABE_ITO, evenly, figure_of
from jaxreg.reporting.figures.words import (
    PARTS,
    axis_labels,
    axis_title,
    diverged_counts,
    part_of,
    part_words,
    quantity_words,
)

MAX_LEGEND = 12  # more entries become a colour bar
MAX_PARTS = 6  # panels that several settings are divided into


class Section(NamedTuple):
    """What the looks along some dimensions stand for."""

    title: str
    labels: list[str]
    colours: list[str]
    styles: list[str]
    dims: tuple[str, ...]

    def entries(self, diverged: xr.DataArray | None) -> list[Line2D]:
        """The entries of a legend, with how many members diverged."""
        counts = [""] * len(self.labels) if diverged is None else diverged_counts(diverged, self.dims)
        texts = [label + count for label, count in zip(self.labels, counts, strict=True)]
        return [handle(*look) for look in zip(self.colours, self.styles, texts, strict=True)]


@dataclasses.dataclass(frozen=True)
class Key:
    """Colour and line style of each setting (last dimension fastest), and what they stand for, in sections."""

    colours: list[str]
    styles: list[str]
    sections: list[Section]

    @property
    def has_bar(self) -> bool:
        """Whether a colour bar takes the place of the legend."""
        return any(len(section.labels) > MAX_LEGEND for section in self.sections)


def make_key(data: xr.Dataset, dims: Sequence[str], *, styled: bool = True) -> Key:
    """The look of each setting along `dims`; where `styled`, line style shows a second dimension of few values."""
    if not dims:
        return Key([OKABE_ITO[0]], ["-"], [])
    is_number = any(data[dim].dtype.kind in "iuf" for dim in dims)
    sizes = [data.sizes[dim] for dim in dims]
    if styled and len(dims) == 2 and sizes[0] <= MAX_LEGEND and sizes[1] <= len(LINE_STYLES):
        (first, first_labels), (second, second_labels) = (axis_labels(data, (dim,)) for dim in dims)
        colours, styles = colours_of(sizes[0], data[dims[0]].dtype.kind in "iuf"), list(LINE_STYLES[: sizes[1]])
        sections = [Section(axis_title(*first), first_labels, colours, ["-"] * sizes[0], (dims[0],))]
        sections += [Section(axis_title(*second), second_labels, [GREY] * sizes[1], styles, (dims[1],))]
        return Key([colour for colour in colours for _ in styles], styles * sizes[0], sections)
    names, labels = axis_labels(data, dims)
    colours, styles = colours_of(len(labels), is_number), ["-"] * len(labels)
    return Key(colours, styles, [Section(axis_title(*names), labels, colours, styles, tuple(dims))])


def divided(data: xr.Dataset, dims: Sequence[str], *, styled: bool = True) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which of several dimensions the looks of lines show, and which become panels, so that each panel can be read.

    One dimension, or two that colours and line styles can tell apart, stay in one panel, as do few settings. Of more,
    the longest is shown by colour; of the others as many become panels as there is room for, and one by line style.
    """
    sizes = {dim: data.sizes[dim] for dim in dims}
    if len(dims) < 2:
        return tuple(dims), ()
    if len(dims) == 2:
        first, second = dims
        if _by_style(sizes, first, second, styled):
            return (first, second), ()
        if _by_style(sizes, second, first, styled):
            return (second, first), ()
        if sizes[first] * sizes[second] <= MAX_LEGEND:
            return (first, second), ()
    colour = max(dims, key=sizes.__getitem__)
    others = [dim for dim in dims if dim != colour]
    fits = [dim for dim in others if _by_style(sizes, colour, dim, styled)]
    if math.prod(sizes[dim] for dim in others) <= MAX_PARTS or not fits:
        return (colour,), tuple(others)
    style = max(fits, key=sizes.__getitem__)
    return (colour, style), tuple(dim for dim in others if dim != style)


def _by_style(sizes: Mapping[str, int], colour: str, style: str, styled: bool) -> bool:
    return styled and sizes[colour] <= MAX_LEGEND and sizes[style] <= len(LINE_STYLES)


def colours_of(count: int, in_order: bool) -> list[str]:
    """One colour each: viridis for values in order, Okabe and Ito for categories while there are enough."""
    if count == 1 or (not in_order and count <= len(OKABE_ITO)):
        return list(OKABE_ITO[:count])
    return [to_hex(colour) for colour in mpl.colormaps["viridis"](np.linspace(0.0, 0.9, count))]


def looks_of(rows: Sequence[Sequence[str]]) -> dict[str, tuple[str, str, str]]:
    """Colour, line style, legend text of each variable: those of its part of the data, unless two of a row share it."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    parts = {name: part_of(name) for name in names}
    by_part = None not in parts.values() and all(len({parts[name] for name in row}) == len(row) for row in rows)
    looks = {}
    for i, name in enumerate(names):
        place = PARTS.index(str(parts[name])) if by_part else i
        text = part_words(name) if by_part and len(rows) > 1 else quantity_words(name)
        looks[name] = (OKABE_ITO[place % len(OKABE_ITO)], LINE_STYLES[place % len(LINE_STYLES)], text)
    return looks


def handle(colour: str, style: str, label: str = "") -> Line2D:
    """An entry of a legend."""
    look: dict[str, Any] = {"color": colour, "linestyle": style, "linewidth": 1.8, "label": label}
    return Line2D([], [], **look)


def draw_key(
    axes: Axes, key: Key, diverged: xr.DataArray | None = None, extra: Sequence[Line2D] = (), over: Sequence[Axes] = ()
) -> None:
    """A legend right of the frame, or a colour bar where it would have too many entries.

    Args:
      axes: the panel that it stands beside.
      key: what is explained.
      diverged: which members diverged, [..., seed]: they are counted in the legend.
      extra: further entries.
      over: the panels that a colour bar stands beside, by default `axes`.
    """
    handles: list[Line2D] = []
    title = None
    if key.has_bar:
        _draw_bar(over or [axes], key.sections[0])
    elif len(key.sections) == 1:
        title, handles = key.sections[0].title, key.sections[0].entries(diverged)
    else:
        for section in key.sections:
            handles += [Line2D([], [], linestyle="none", label=section.title), *section.entries(diverged)]
    if handles or extra:
        # A colour bar has the place right of the frame already.
        place: dict[str, Any] = {"loc": "best"} if key.has_bar else {"loc": "upper left", "bbox_to_anchor": (1.01, 1)}
        axes.legend(handles=[*handles, *extra], title=title, alignment="left", borderaxespad=0.2, **place)


def _draw_bar(over: Sequence[Axes], section: Section) -> None:
    """A colour bar of equal steps, one per setting, with a choice of the labels."""
    title, labels, colours, *_ = section
    mappable = ScalarMappable(BoundaryNorm(np.arange(len(labels) + 1) - 0.5, len(labels)), ListedColormap(colours))
    bar = figure_of(over[0]).colorbar(mappable, ax=list(over), pad=0.02, label=title)
    ticks = evenly(len(labels), 9)
    bar.set_ticks([int(tick) for tick in ticks], labels=[labels[tick] for tick in ticks])
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.outline.set_visible(False)
