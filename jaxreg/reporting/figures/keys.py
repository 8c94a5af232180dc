"""Which colour and line style stands for which setting: legends and colour bars."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap, to_hex
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from jaxreg.reporting.figures.style import GREY, LINE_STYLES, OKABE_ITO, evenly, figure_of
from jaxreg.reporting.figures.words import PARTS, axis_labels, part_of, words

MAX_LEGEND = 12  # more entries become a colour bar


@dataclasses.dataclass(frozen=True)
class Key:
    """Colour and line style of each setting (last dimension fastest), and what they stand for, in sections."""

    colours: list[str]
    styles: list[str]
    sections: list[tuple[str, list[str], list[str], list[str]]]  # title, labels, colours, styles

    @property
    def crowded(self) -> bool:
        """Whether lines are so many that each must be faint."""
        return len(self.colours) > MAX_LEGEND

    @property
    def has_bar(self) -> bool:
        """Whether a colour bar takes the place of the legend."""
        return any(len(labels) > MAX_LEGEND for _, labels, _, _ in self.sections)


def make_key(data: xr.Dataset, dims: Sequence[str], *, styled: bool = True) -> Key:
    """The look of each setting along `dims`; where `styled`, line style shows a second dimension of few values."""
    if not dims:
        return Key([OKABE_ITO[0]], ["-"], [])
    is_number = any(data[dim].dtype.kind in "iuf" for dim in dims)
    sizes = [data.sizes[dim] for dim in dims]
    if styled and len(dims) == 2 and sizes[0] <= MAX_LEGEND and sizes[1] <= len(LINE_STYLES):
        (first, first_labels), (second, second_labels) = (axis_labels(data, (dim,)) for dim in dims)
        colours, styles = colours_of(sizes[0], data[dims[0]].dtype.kind in "iuf"), list(LINE_STYLES[: sizes[1]])
        sections = [(", ".join(first), first_labels, colours, ["-"] * sizes[0])]
        sections += [(", ".join(second), second_labels, [GREY] * sizes[1], styles)]
        return Key([colour for colour in colours for _ in styles], styles * sizes[0], sections)
    names, labels = axis_labels(data, dims)
    colours, styles = colours_of(len(labels), is_number), ["-"] * len(labels)
    return Key(colours, styles, [(", ".join(names), labels, colours, styles)])


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
        text = words(str(parts[name]) if by_part and len(rows) > 1 else name)
        looks[name] = (OKABE_ITO[place % len(OKABE_ITO)], LINE_STYLES[place % len(LINE_STYLES)], text)
    return looks


def handle(colour: str, style: str, label: str = "") -> Line2D:
    """An entry of a legend."""
    look: dict[str, Any] = {"color": colour, "linestyle": style, "linewidth": 1.8, "label": label}
    return Line2D([], [], **look)


def draw_key(axes: Axes, key: Key, counts: Sequence[str], extra: Sequence[Line2D] = ()) -> None:
    """A legend right of the frame, or a colour bar where it would have too many entries."""
    handles: list[Line2D] = []
    title = None
    if key.has_bar:
        _draw_bar(axes, *key.sections[0][:3])
    elif len(key.sections) == 1:
        ((title, labels, *looks),) = key.sections
        texts = [label + count for label, count in zip(labels, counts, strict=True)]
        handles = [handle(*look) for look in zip(*looks, texts, strict=True)]
    else:
        for heading, labels, *looks in key.sections:
            handles.append(Line2D([], [], linestyle="none", label=heading))
            handles += [handle(*look) for look in zip(*looks, labels, strict=True)]
    if handles or extra:
        # A colour bar has the place right of the frame already.
        place: dict[str, Any] = {"loc": "best"} if key.has_bar else {"loc": "upper left", "bbox_to_anchor": (1.01, 1)}
        axes.legend(handles=[*handles, *extra], title=title, alignment="left", borderaxespad=0.2, **place)


def _draw_bar(axes: Axes, title: str, labels: Sequence[str], colours: Sequence[str]) -> None:
    """A colour bar of equal steps, one per setting, with a choice of the labels."""
    mappable = ScalarMappable(BoundaryNorm(np.arange(len(labels) + 1) - 0.5, len(labels)), ListedColormap(colours))
    bar = figure_of(axes).colorbar(mappable, ax=axes, pad=0.02, label=title)
    ticks = evenly(len(labels), 9)
    bar.set_ticks([int(tick) for tick in ticks], labels=[labels[tick] for tick in ticks])
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.outline.set_visible(False)
