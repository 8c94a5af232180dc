"""What a figure shows, read back from its artists."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import matplotlib.pyplot
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D


def lines(axes: Axes) -> list[Line2D]:
    """The lines that stand for a setting or variable."""
    return [line for line in axes.lines if not str(line.get_label()).startswith("_")]


def marks(axes: Axes, label: str) -> list[Line2D]:
    return [line for line in axes.lines if line.get_label() == label]


def bands(axes: Axes) -> list[PolyCollection]:
    return [collection for collection in axes.collections if isinstance(collection, PolyCollection)]


def words(figure: Figure) -> str:
    """The title and the notes below it."""
    notes = [artist.get_text() for artist in figure.artists if isinstance(artist, mpl.text.Text)]
    return " ".join("\n".join([figure.get_suptitle(), *notes]).split())


def legend_texts(axes: Axes) -> list[str]:
    legend = axes.get_legend()
    return [text.get_text() for text in legend.get_texts()] if legend else []


def cells(mesh: Any) -> Any:
    """The values of the cells of a QuadMesh, a masked array [row, column]."""
    return np.ma.asarray(mesh.get_array())
