"""The style that all figures share, their titles, and how they are saved."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
LINE_STYLES = ("-", "--", "-.", ":")

INK, GREY, PALE = "#222222", "#666666", "#E3E3E3"
_STYLE: Any = {
    **{"font.family": "DejaVu Sans", "font.size": 9.0, "axes.titlesize": 9.0, "axes.labelsize": 9.0},
    **{"figure.facecolor": "white", "axes.facecolor": "white", "savefig.facecolor": "white"},
    **{"axes.edgecolor": GREY, "axes.labelcolor": INK, "text.color": INK, "axes.linewidth": 0.8},
    **{"axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True},
    **{"axes.grid": True, "grid.color": PALE, "grid.linewidth": 0.6},
    **{"xtick.color": GREY, "ytick.color": GREY, "xtick.labelcolor": INK, "ytick.labelcolor": INK},
    **{"xtick.labelsize": 8.0, "ytick.labelsize": 8.0, "legend.fontsize": 8.0, "legend.title_fontsize": 8.0},
    **{"text.parse_math": False},  # a dollar sign in a name of the user's is a dollar sign
    **{"legend.frameon": False, "svg.fonttype": "none", "svg.hashsalt": "jaxreg"},
}
_P = ParamSpec("_P")
_F = TypeVar("_F", bound=Figure)


def styled(draw: Callable[_P, _F]) -> Callable[_P, _F]:
    """Runs `draw` in the style of this package; ticks, which matplotlib makes late, are made in it too."""

    @functools.wraps(draw)
    def styled(*args: _P.args, **kwargs: _P.kwargs) -> _F:
        with mpl.rc_context(_STYLE):
            figure = draw(*args, **kwargs)
            figure.draw_without_rendering()
            figure.set_layout_engine("none")  # it is laid out: each further pass would cost, and move it by a hair
        return figure

    return styled


def save(figure: Figure, folder: str | Path, name: str) -> tuple[Path, Path]:
    """Writes `name`.png (150 dots per inch) and `name`.svg (text as text) and returns their paths.

    The same figure gives the same bytes: no dates, identifiers that depend on content alone, and one fixed layout.
    """
    png, svg = (Path(folder) / f"{name}.{kind}" for kind in ("png", "svg"))
    png.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(_STYLE):
        if (layout := figure.get_layout_engine()) is not None:
            layout.execute(figure)
            figure.set_layout_engine("none")
        figure.savefig(png, dpi=150)
        figure.savefig(svg, metadata={"Date": None})
    return png, svg


def set_title(figure: Figure, title: str, notes: Sequence[str]) -> None:
    """Writes the title at the upper left, and below it, in small type, what the marks mean."""
    points = 72 * figure.get_size_inches()[0]
    title = textwrap.fill(title, int(points / 6.3))
    small = textwrap.fill("; ".join(filter(None, notes)), int(points / 4.4))
    room = "\n ".join([""] * (small.count("\n") + 2))  # the layout keeps these lines free
    heading = figure.suptitle(title + room, x=0.012, ha="left", fontsize=11)
    figure.add_artist(Annotation(small, (0, 0), xycoords=heading, va="bottom", fontsize=8, color=GREY, linespacing=1.3))


def single_axes() -> tuple[Figure, Axes]:
    """A figure of one plot."""
    figure = Figure(figsize=(7.2, 4.3), layout="constrained")
    return figure, figure.subplots()


def figure_of(axes: Axes) -> Figure:
    """The figure that holds `axes`."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    return figure


def evenly(count: int, at_most: int) -> np.ndarray:
    """An even choice of at most `at_most` of the indices below `count`, the first and the last included."""
    return np.unique(np.linspace(0, count - 1, min(count, at_most)).round().astype(int))
