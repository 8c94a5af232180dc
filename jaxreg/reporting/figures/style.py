"""The style that all figures share, their titles, and how they are saved."""

from __future__ import annotations

import contextlib
import functools
import io
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib.figure
import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.text import Annotation
from matplotlib.ticker import Formatter, LogFormatterMathtext

from jaxreg.files import write_bytes_atomically

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
LINE_STYLES = ("-", "--", "-.", ":")
MAX_QUADS = 1000  # more cells of a map are drawn as pixels, also in SVG

INK, GREY, PALE = "#222222", "#666666", "#E3E3E3"
_STYLE: Any = {
    **{"font.family": "DejaVu Sans", "font.size": 9.0, "axes.titlesize": 9.0, "axes.labelsize": 9.0},
    **{"figure.facecolor": "white", "axes.facecolor": "white", "savefig.facecolor": "white"},
    **{"axes.edgecolor": GREY, "axes.labelcolor": INK, "text.color": INK, "axes.linewidth": 0.8},
    **{"axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True},
    **{"axes.grid": True, "grid.color": PALE, "grid.linewidth": 0.6},
    **{"xtick.color": GREY, "ytick.color": GREY, "xtick.labelcolor": INK, "ytick.labelcolor": INK},
    **{"xtick.labelsize": 8.0, "ytick.labelsize": 8.0, "legend.fontsize": 8.0, "legend.title_fontsize": 8.0},
    **{"legend.frameon": False, "svg.fonttype": "none", "svg.hashsalt": "jaxreg"},
    "text.parse_math": False,  # a name that holds $ is a name
}
RAISED = str.maketrans("0123456789+-", "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207a\u207b")
_INCH, _FINER = 96, 1.5  # pixels of an inch in a notebook, and how many are drawn for each of them
_P = ParamSpec("_P")


class Figure(matplotlib.figure.Figure):
    """A Matplotlib figure that a notebook shows where it is the value of a cell, although pyplot knows nothing of it.

    All figures of this package are such: alter and save them as any other.
    """

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """The picture, and the size at which it is shown, as IPython asks for them."""
        width, height = (round(_INCH * inches) for inches in self.get_size_inches())
        with style(), _on_white(self):
            return _png(self, _FINER * _INCH), {"width": width, "height": height}


_F = TypeVar("_F", bound=Figure)


@contextlib.contextmanager
def style() -> Iterator[None]:
    """The style of this package over Matplotlib's own; a user's matplotlibrc, with usetex say, does not count."""
    with matplotlib.style.context(["default", _STYLE]):
        yield


def styled(draw: Callable[_P, _F]) -> Callable[_P, _F]:
    """Runs `draw` in the style of this package; ticks, which matplotlib makes late, are made in it too."""

    @functools.wraps(draw)
    def styled(*args: _P.args, **kwargs: _P.kwargs) -> _F:
        with style():
            figure = draw(*args, **kwargs)
            _spell_powers(figure)
            figure.draw_without_rendering()
            figure.set_layout_engine("none")  # it is laid out: each further pass would cost, and move it by a hair
        return figure

    return styled


class _Powers(Formatter):
    """Ticks of a logarithmic axis as Matplotlib words them, in text in place of TeX: 2\u00d710\u207b\u00b3."""

    def __init__(self, in_tex: LogFormatterMathtext) -> None:
        self._in_tex = in_tex

    def set_locs(self, locs: Any) -> None:
        self._in_tex.set_locs(locs)

    def __call__(self, x: float, pos: int | None = None) -> str:
        text = re.sub(r"\$\\mathdefault\{(.*)\}\$", r"\1", self._in_tex(x, pos)).replace(r"\times", "\u00d7")
        text = re.sub(r"\^\{(.*)\}", lambda power: power[1].translate(RAISED), text)
        return text.replace("-", "\u2212")


def _spell_powers(figure: matplotlib.figure.Figure) -> None:
    """The ticks of logarithmic axes without TeX, which names on the figure are not read as either."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if isinstance(major := axis.get_major_formatter(), LogFormatterMathtext):
                axis.set_major_formatter(_Powers(major))
            if isinstance(minor := axis.get_minor_formatter(), LogFormatterMathtext):
                axis.set_minor_formatter(_Powers(minor))


def save(figure: matplotlib.figure.Figure, folder: str | Path, name: str) -> tuple[Path, Path]:
    """Writes `name`.png (150 dots per inch) and `name`.svg (text as text) and returns their paths.

    The same figure gives the same bytes: no dates, identifiers that depend on content alone, and one fixed layout.
    """
    png, svg = (Path(folder) / f"{name}.{kind}" for kind in ("png", "svg"))
    png.parent.mkdir(parents=True, exist_ok=True)
    with style():
        if (layout := figure.get_layout_engine()) is not None:
            layout.execute(figure)
            figure.set_layout_engine("none")
        with _on_white(figure):  # `savefig` would first lay it out again, which takes as long as to draw it
            as_svg = io.BytesIO()
            FigureCanvasSVG(figure).print_svg(as_svg, metadata={"Date": None})
            as_png = _png(figure, 150)
    write_bytes_atomically(png, as_png)
    write_bytes_atomically(svg, as_svg.getbuffer())
    return png, svg


def _png(figure: matplotlib.figure.Figure, dpi: float) -> bytes:
    """The figure as PNG; it keeps the canvas and the resolution that this gives it."""
    drawn = io.BytesIO()
    figure.set_dpi(dpi)
    FigureCanvasAgg(figure).print_png(drawn)
    return drawn.getvalue()


@contextlib.contextmanager
def _on_white(figure: matplotlib.figure.Figure) -> Iterator[None]:
    """A white background; that, the resolution and the canvas are those from before in the end."""
    colour, dpi, canvas = figure.get_facecolor(), figure.dpi, figure.canvas
    figure.set_facecolor("white")
    try:
        yield
    finally:
        figure.set_facecolor(colour)
        figure.set_dpi(dpi)
        figure.set_canvas(canvas)


def set_title(figure: matplotlib.figure.Figure, title: str, notes: Sequence[str]) -> None:
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


def alone() -> tuple[Figure, list[Axes]]:
    """The same as one of several panels."""
    figure, axes = single_axes()
    return figure, [axes]


def shows(figure: matplotlib.figure.Figure, label: str) -> bool:
    """Whether something is drawn whose label begins so: captions and notes speak of nothing else."""
    return any(str(artist.get_label()).startswith(label) for axes in figure.axes for artist in axes.get_children())


def figure_of(axes: Axes) -> matplotlib.figure.Figure:
    """The figure that holds `axes`."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    return figure


def evenly(count: int, at_most: int) -> np.ndarray:
    """An even choice of at most `at_most` of the indices below `count`, the first and the last included."""
    return np.unique(np.linspace(0, count - 1, min(count, at_most)).round().astype(int))
