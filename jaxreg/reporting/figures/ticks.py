"""Where the values of an axis lie on x, and their ticks."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator, StrMethodFormatter

from jaxreg.reporting.figures.style import evenly
from jaxreg.reporting.figures.words import axis_labels


def set_plain_ticks(axis: Axis, low: float, high: float) -> None:
    """Plain numbers on a log axis: decades, their 2 and 5 too where these are few; even steps within a factor of 4."""
    if high < 4 * low:
        axis.set_major_locator(MaxNLocator(6))
        axis.set_minor_locator(NullLocator())
    else:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 300 * low else (1.0,)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


@dataclasses.dataclass(frozen=True)
class Scale:
    """Where the values of a hyperparameter lie on x: numbers at their value, categories at 0, 1, 2, ….

    Numbers of which one is infinite, such as the radii 1, 3 and no bound, are categories.
    """

    positions: np.ndarray
    is_number: bool
    is_log: bool

    @classmethod
    def of(cls, coordinate: xr.DataArray) -> Scale:
        """Logarithmic where all values are positive and span more than a decade."""
        if coordinate.dtype.kind not in "iuf" or not np.isfinite(coordinate.values).all():
            return cls(np.arange(coordinate.size, dtype=float), is_number=False, is_log=False)
        at = coordinate.values.astype(float)
        return cls(at, is_number=True, is_log=bool(at.min() > 0 and at.max() > 10 * at.min()))

    def dodged(self, shift: float) -> np.ndarray:
        """Positions moved aside by a share of the plot, so that the bars of several lines stay apart."""
        at = self.positions
        if self.is_log:
            return np.asarray(at * (at.max() / at.min()) ** (0.03 * shift))
        return at + shift * (0.03 * np.ptp(at) if self.is_number else 0.5)


def label_values(axes: Axes, data: xr.Dataset, axis: str, scale: Scale) -> None:
    """The name of the axis, hyperparameters zipped with it, and a tick at each value if the labels have room."""
    zipped = [name for name in axis_labels(data, (axis,))[0] if name != axis]
    axes.set_xlabel(axis + (f" (and {', '.join(zipped)} with it)" if zipped else ""))
    labels = axis_labels(data.drop_vars(zipped), (axis,))[1]
    gap = min(np.diff(np.sort(across(axes, scale.positions))), default=1.0)
    if scale.is_number and gap < 0.02 + 0.012 * max(map(len, labels)):
        if scale.is_log:
            set_plain_ticks(axes.xaxis, *axes.get_xlim())
        return
    ticks = evenly(len(labels), 24)
    slanted = sum(len(labels[tick]) for tick in ticks) > 60
    look: dict[str, Any] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(scale.positions[ticks], [labels[tick] for tick in ticks], **look)


def across(axes: Axes, x: np.ndarray) -> np.ndarray:
    """Data positions as fractions of the width of the frame."""
    axes.autoscale_view()
    display = axes.get_xaxis_transform().transform(np.column_stack([x, np.zeros_like(x)]))
    return np.asarray(axes.transAxes.inverted().transform(display)[:, 0])
