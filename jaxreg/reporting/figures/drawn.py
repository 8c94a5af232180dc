"""What figures of curves were drawn from, for a page that shows the same numbers in another way."""

from __future__ import annotations

import dataclasses
import weakref

import xarray as xr
from matplotlib.figure import Figure

from jaxreg.reporting.figures.keys import Key


@dataclasses.dataclass(frozen=True)
class Curves:
    """The curves of a figure.

    Attributes:
      data: what `curve_data` gives: `mean`, `low`, `high`, `n` [..., point], and so on.
      key: colour and line style of each setting, last dimension fastest.
      variable: the name of what is drawn.
      x_label, y_label: what stands at the axes.
      is_share: whether the quantity is a share, which is shown in per cent.
    """

    data: xr.Dataset
    key: Key
    variable: str
    x_label: str
    y_label: str
    is_share: bool


_DRAWN: weakref.WeakKeyDictionary[Figure, Curves] = weakref.WeakKeyDictionary()


def remember(figure: Figure, curves: Curves) -> None:
    """Notes what a figure shows for as long as there is the figure."""
    _DRAWN[figure] = curves


def curves_of(figure: Figure) -> Curves | None:
    """The curves that a figure shows; None if it shows anything else."""
    return _DRAWN.get(figure)
