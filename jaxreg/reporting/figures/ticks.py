"""Where the values of an axis lie on x, and their ticks."""

from __future__ import annotations

import abc
import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.ticker import EngFormatter, FuncFormatter, Locator, MaxNLocator, NullFormatter, NullLocator

from jaxreg.measures import TOLERANCE
from jaxreg.reporting.figures.style import RAISED, evenly, figure_of
from jaxreg.reporting.figures.words import axis_labels, axis_title, axis_words, is_share, quantity_label

_EVEN = 1.02  # evenly spaced: the widest gap over the narrowest
_APART = 0.5  # between the labels of a logarithmic axis, at least, in heights of their type
_WIDTH = 0.62  # of a digit, in heights of its type


def is_logarithmic(values: Any) -> bool:
    """Whether an axis with these values is logarithmic: the one rule of all figures.

    They are positive, the largest is ten times the smallest or more, and they are not evenly spaced (two always are,
    unless more than ten times apart). Decimals count as what they were given as, however they were rounded.
    """
    at = np.unique(np.asarray(values, dtype=float))
    if at.size < 2 or not np.isfinite(at).all() or at[0] <= 0:
        return False
    decade = at[-1] / at[0] / 10
    if at.size == 2:
        return bool(decade > 1 + TOLERANCE)
    gaps = np.diff(at)
    return bool(decade >= 1 - TOLERANCE and gaps.max() > _EVEN * gaps.min())


def plain(number: float) -> str:
    """A number as a tick shows it: 0.01, 200, 100k, 2M, 10⁷, 10⁻⁵."""
    if 1e5 <= abs(number) < 1e7:
        return EngFormatter(sep="")(number)
    mantissa, _, power = f"{number:g}".partition("e")
    if power:
        raised = str(int(power)).translate(RAISED)
        mantissa = {"1": "", "-1": "-"}.get(mantissa, f"{mantissa}\u00d7") + f"10{raised}"
    return mantissa.replace("-", "\u2212")


class _RoomLocator(Locator, abc.ABC):
    """Ticks by the room that their labels have, chosen anew only where the view or the length of the axis has changed.

    Matplotlib asks for ticks a dozen times for each figure.
    """

    def __init__(self) -> None:
        self._chosen: tuple[Any, np.ndarray] | None = None

    def __call__(self) -> Any:
        assert self.axis is not None
        return self.tick_values(*self.axis.get_view_interval())

    def tick_values(self, vmin: float, vmax: float) -> Any:
        circumstances = (vmin, vmax, _length(self.axis))
        if self._chosen is None or self._chosen[0] != circumstances:
            self._chosen = circumstances, self.choose(vmin, vmax)
        return self._chosen[1]

    @abc.abstractmethod
    def choose(self, vmin: float, vmax: float) -> np.ndarray:
        """The ticks of a view."""


class _PlainLocator(_RoomLocator):
    """Ticks of a logarithmic axis, as many as have room: some of a decade, decades, every other decade, …

    Within a factor of 4 even steps take their place.
    """

    _MULTIPLES = ((1.0, 1.5, 2.0, 3.0, 5.0, 7.0), (1.0, 2.0, 3.0, 5.0), (1.0, 2.0, 5.0), (1.0, 3.0), (1.0,))
    _MOST = 9

    def __init__(self, label: Callable[[float], str]) -> None:
        super().__init__()
        self._label = label

    def choose(self, vmin: float, vmax: float) -> np.ndarray:
        low, high = sorted((vmin, vmax))
        if not 0 < low < high < np.inf:
            return np.empty(0)
        for ticks in self._choices(low, high):
            ticks = ticks[(ticks >= low * (1 - 1e-9)) & (ticks <= high * (1 + 1e-9))]
            if len(ticks) <= self._MOST and self._have_room(ticks, low, high):
                return ticks
        return np.empty(0)

    def _choices(self, low: float, high: float) -> Iterator[np.ndarray]:
        """Ticks, from many to few."""
        if high < 4 * low:
            for count in range(6, 0, -1):
                yield np.asarray(MaxNLocator(count).tick_values(low, high))
        decades = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
        for multiples in self._MULTIPLES if high < 300 * low else ((1.0,),):
            yield np.outer(10.0**decades, multiples).ravel()
        for every in range(2, len(decades) + 1):
            yield 10.0 ** decades[decades % every == 0]

    def _have_room(self, ticks: np.ndarray, low: float, high: float) -> bool:
        centres, halves = _places(self.axis, ticks, self._label, (low, high))
        needed = [one + other + _APART for one, other in itertools.pairwise(halves)]
        return bool((np.diff(centres) >= needed).all())


class _RoomyLocator(_RoomLocator):
    """Those of given ticks whose labels have room: 0 goes first, then the largest."""

    def __init__(self, ticks: np.ndarray, label: Callable[[float], str]) -> None:
        super().__init__()
        self._ticks, self._label = np.array(sorted(ticks, key=lambda tick: (tick != 0, -abs(tick)))), label

    def choose(self, vmin: float, vmax: float) -> np.ndarray:
        ticks = self._ticks[(self._ticks >= min(vmin, vmax)) & (self._ticks <= max(vmin, vmax))]
        centres, halves = _places(self.axis, ticks, self._label, (vmin, vmax))
        kept: list[int] = []
        for i in range(len(ticks)):
            if all(abs(centres[i] - centres[j]) >= halves[i] + halves[j] + _APART for j in kept):
                kept.append(i)
        return np.sort(ticks[kept])


def _places(
    axis: Any, ticks: np.ndarray, label: Callable[[float], str], view: tuple[float, float]
) -> tuple[np.ndarray, list[float]]:
    """The centres of the labels along an axis and half their lengths, in heights of their type."""
    length, across = _length(axis), isinstance(axis, XAxis)
    at = np.asarray(axis.get_transform().transform(np.array([*view, *ticks], dtype=float)))
    centres = (at[2:] - at[0]) / (at[1] - at[0]) * length
    return centres, [(_WIDTH * len(label(tick)) if across else 1.0) / 2 for tick in ticks.tolist()]


def _length(axis: Any) -> float:
    """The length of an axis in heights of the type of its labels."""
    assert isinstance(axis, Axis)
    box, size = axis.axes.bbox, float(axis.get_major_ticks(1)[0].label1.get_fontsize())
    return (box.width if isinstance(axis, XAxis) else box.height) * 72 / figure_of(axis.axes).dpi / size


def set_given_ticks(axis: Axis, ticks: np.ndarray, label: Callable[[float], str] = plain) -> None:
    """Those of the given ticks whose labels do not lie over one another, without minor ones."""
    axis.set_major_locator(_RoomyLocator(ticks, label))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda x, _: label(x)))


def set_plain_ticks(axis: Axis, label: Callable[[float], str] = plain) -> None:
    """Plain numbers on a log axis, none over another: decades, their 2 and 5 too where these are few and have room."""
    axis.set_major_locator(_PlainLocator(label))
    axis.set_major_formatter(FuncFormatter(lambda x, _: label(x)))
    axis.set_minor_formatter(NullFormatter())


def in_per_cent(share: float) -> str:
    """A share as a tick shows it, in per cent without the sign."""
    return f"{100 * share:.6g}".replace("-", "\u2212")


def label_quantity(axis: Axis, name: str, values: xr.DataArray) -> None:
    """The words and units of a quantity along an axis, and ticks in per cent where it is a share."""
    axis.set_label_text(quantity_label(name, values))
    show_shares(axis, name, values)


def show_shares(axis: Axis, name: str, values: xr.DataArray) -> None:
    """Ticks in per cent where a quantity is a share; the data stay as they are, from 0 to 1."""
    if not is_share(name, values):
        return
    if axis.get_scale() == "log":
        set_plain_ticks(axis, in_per_cent)
    else:
        axis.set_major_formatter(FuncFormatter(lambda x, _: in_per_cent(x)))


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
        """Logarithmic where `is_logarithmic` says so of the values."""
        if coordinate.dtype.kind not in "iuf" or not np.isfinite(coordinate.values).all():
            return cls(np.arange(coordinate.size, dtype=float), is_number=False, is_log=False)
        at = coordinate.values.astype(float)
        return cls(at, is_number=True, is_log=is_logarithmic(at))

    def dodged(self, shift: float) -> np.ndarray:
        """Positions moved aside by a share of the plot, so that the bars of several lines stay apart."""
        at = self.positions
        if self.is_log:
            return np.asarray(at * (at.max() / at.min()) ** (0.03 * shift))
        return at + shift * (0.03 * np.ptp(at) if self.is_number else 0.5)


def hold_values(axes: Axes, scale: Scale) -> None:
    """Limits that hold all values of the axis: also those at which nothing else is drawn."""
    axes.update_datalim(np.column_stack([scale.positions, np.zeros(len(scale.positions))]), updatey=False)


def label_values(axes: Axes, data: xr.Dataset, axis: str, scale: Scale) -> None:
    """The name of the axis, hyperparameters zipped with it, and a tick at each value if the labels have room."""
    zipped = [name for name in axis_labels(data, (axis,))[0] if name != axis]
    axes.set_xlabel(axis_title(axis) + (f" (and {axis_words(*zipped)} with it)" if zipped else ""))
    labels = axis_labels(data.drop_vars(zipped), (axis,))[1]
    gap = min(np.diff(np.sort(across(axes, scale.positions))), default=1.0)
    if scale.is_number and gap < 0.02 + 0.012 * max(map(len, labels)):
        if scale.is_log:
            set_plain_ticks(axes.xaxis)
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
