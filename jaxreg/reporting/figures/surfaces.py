"""Decision surfaces of networks with two inputs, at the end of training or at any check."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, ListedColormap, Normalize
from matplotlib.contour import ContourSet
from matplotlib.image import AxesImage

from jaxreg.measures import effective_setting, halted_by_patience, setting_labels, settings
from jaxreg.reporting.figures.data import along_axis, require_dims
from jaxreg.reporting.figures.style import INK, OKABE_ITO, PALE, Figure, evenly, set_title, styled
from jaxreg.reporting.figures.words import axis_words

MAX_TILED = 6  # values of an axis beside or below each other
_CLASSES = ((OKABE_ITO[0], "o"), (OKABE_ITO[1], "^"))  # colour and marker of each class
_FROM_CLASS_TO_CLASS = LinearSegmentedColormap.from_list("classes", [OKABE_ITO[0], "white", OKABE_ITO[1]])
_COLOURS = ListedColormap([*_FROM_CLASS_TO_CLASS(np.linspace(0.125, 0.875, 256))])  # paler than the points on it
_WIDTH = 2.2  # inches of a panel


class _Panel(NamedTuple):
    """The surface of one member."""

    axes: Axes
    image: AxesImage
    member: xr.Dataset
    label: str


class SurfaceFigure(Figure):
    """Panels of decision surfaces that can be redrawn at another check; made by `decision_surfaces`.

    Attributes:
      panels: one per member that is drawn.
    """

    panels: list[_Panel]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.panels = []
        self._lines: list[ContourSet] = []

    def move_to(self, check: int) -> None:
        """Shows each member at a check, counted from 0; one that patience has halted, with the parameters it keeps."""
        for line in self._lines:
            line.remove()
        self._lines = [line for panel in self.panels for line in _show(panel, check)]


@styled
def decision_surfaces(
    results: xr.Dataset, cols: str = "method", rows: str | None = None, *, title: str = ""
) -> SurfaceFigure:
    """The probability of class 1 over the plane at the end of training, a panel for each value of two axes.

    All panels are of the first seed of the run. The line is where the probability is 1/2, dots are the training points.
    Members that were halted by patience are shown with the parameters that they keep. Settings that differ only in
    strengths that their method does not use train alike, and share one panel.

    Args:
      results: of a run with --surfaces, with `cols` and `rows` as its only axes.
      cols, rows: axes of the panels; of more than 6 values an even choice is drawn and the title says so.
      title: first line of the title, in place of the usual one.

    Raises:
      ValueError: the run has no surfaces, or there are further axes: select one value of each first.
    """
    if "surface" not in results:
        raise ValueError("these results hold no surfaces: train with --surfaces")
    dims = (rows, cols) if rows else (cols,)
    for dim in dims:
        results = along_axis(results, dim)
    require_dims(results["surface"], ("check", "x1", "x2", *dims), "surface")
    seed = int(results["surface"].attrs["seed"])
    shown = results.sel(seed=seed).isel({dim: evenly(results.sizes[dim], MAX_TILED) for dim in dims})
    cut = [f"{shown.sizes[dim]} of {results.sizes[dim]} values of {axis_words(dim)} shown" for dim in dims]
    height, width = shown.sizes[rows] if rows else 1, shown.sizes[cols]

    x1, x2 = (shown[name].values for name in ("x1", "x2"))
    aspect = min(max(np.ptp(x2) / np.ptp(x1), 0.5), 2.0)
    size = (max(width * _WIDTH + 1.2, 4.6), height * (_WIDTH * aspect + 0.5) + 1.1)
    figure = SurfaceFigure(figsize=size, layout="constrained")
    grid = figure.subplots(height, width, squeeze=False)
    drawn: set[tuple[tuple[str, Any], ...]] = set()
    shown_settings = list(settings(shown, dims))
    labels = _labels([effective_setting(setting) for setting, _ in shown_settings])
    for axes, label, (setting, member) in zip(grid.flat, labels, shown_settings, strict=True):
        effective = tuple(effective_setting(setting).items())
        if effective in drawn:
            axes.remove()
        else:
            drawn.add(effective)
            figure.panels.append(_Panel(axes, _draw(axes, member), member, label))
    _label_outer([panel.axes for panel in figure.panels])
    figure.move_to(results.sizes["check"] - 1)
    scale = ScalarMappable(Normalize(0, 1), _COLOURS)
    bar = figure.colorbar(scale, ax=[panel.axes for panel in figure.panels], pad=0.02, shrink=0.9, aspect=30)
    bar.set_label("probability of class 1")
    bar.outline.set_visible(False)
    notes = [f"seed {seed}", "circles: training points of class 0", "triangles: of class 1", "line: probability 1/2"]
    notes += [text for text, dim in zip(cut, dims, strict=True) if shown.sizes[dim] < results.sizes[dim]]
    set_title(figure, title or f"Decision surfaces for each {axis_words(*reversed(dims))}", notes)
    return figure


def _labels(effective: Sequence[dict[str, Any]]) -> list[str]:
    """What distinguishes members: their method, and each strength that the method uses."""
    methods = [str(setting.get("method", "")) for setting in effective]
    rest = [{name: value for name, value in setting.items() if name != "method"} for setting in effective]
    return [", ".join(filter(None, parts)) for parts in zip(methods, setting_labels(rest, 3), strict=True)]


def _draw(axes: Axes, member: xr.Dataset) -> AxesImage:
    """An empty surface under the training points."""
    x1, x2 = (member[name].values.astype(float) for name in ("x1", "x2"))
    half = (x1[1] - x1[0]) / 2, (x2[1] - x2[0]) / 2  # values stand for the middle of their cell
    extent = (x1[0] - half[0], x1[-1] + half[0], x2[0] - half[1], x2[-1] + half[1])
    look: dict[str, Any] = {"origin": "lower", "aspect": "equal", "interpolation": "bilinear"}
    image = axes.imshow(np.zeros((len(x2), len(x1))), _COLOURS, vmin=0, vmax=1, extent=extent, **look)
    axes.autoscale(False)
    for label, (colour, marker) in enumerate(_CLASSES):
        here = member["example_label"].values == label
        points = [member[name].values[here] for name in ("example_x1", "example_x2")]
        axes.plot(*points, marker, color=colour, markersize=3.2, mec="white", mew=0.4, label="_points")
    axes.set_facecolor(PALE)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=2, labelsize=7)
    axes.locator_params(nbins=4)
    return image


def _label_outer(panels: Sequence[Axes]) -> None:
    """Labels x below the lowest panel of each column, and y left of the first panel of each row."""
    places = [axes.get_subplotspec() for axes in panels]
    spans = [(place.rowspan.start, place.colspan.start) for place in places if place is not None]
    for axes, (row, column) in zip(panels, spans, strict=True):
        lowest, first = row == max(r for r, c in spans if c == column), column == min(c for r, c in spans if r == row)
        axes.tick_params(labelbottom=lowest, labelleft=first)
        axes.set(xlabel="x1" if lowest else "", ylabel="x2" if first else "")


def _show(panel: _Panel, check: int) -> list[ContourSet]:
    """Draws a panel at a check, and returns its line of probability 1/2, if there is one."""
    axes, image, member, label = panel
    measured = member["surface"].notnull().all(("x1", "x2")).values
    stopped = int(member["stopped_check"])
    halted = bool(halted_by_patience(member)) and check >= stopped
    shown = int(member["best_check"]) if halted else int(np.flatnonzero(measured[: check + 1])[-1:].sum())
    probability = member["surface"].isel(check=shown).values
    image.set_data(probability)
    error = 100 * (1 - float(member["test_accuracy"].isel(check=shown)))
    description = f"test error {error:.1f} %"
    description += f", as after step {int(member['check_step'].isel(check=shown))}" if halted else ""
    description += f"\ndiverged in step {int(member['diverged_step'])}" if int(member["diverged_step"]) >= 0 else ""
    axes.set_title(f"{textwrap.fill(label, 34)}\n{description}", fontsize=8)
    if not np.nanmin(probability) < 0.5 < np.nanmax(probability):
        return []
    at = [member[name].values for name in ("x1", "x2")]
    return [axes.contour(*at, probability, levels=[0.5], colors=[INK], linewidths=1.0)]
