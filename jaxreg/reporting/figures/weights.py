"""The incoming weights of the hidden units of the first layer, as images."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from jaxreg.reporting.figures.style import GREY, Figure, evenly, set_title, styled

MAX_IMAGES = 64
_ROBUST = 99.5  # percentile of |weight| at which the colours end
_COLOURS = mpl.colormaps["RdBu_r"].with_extremes(bad="#BBBBBB")


@styled
def weight_images(weights: xr.DataArray | np.ndarray, shape: tuple[int, int], *, title: str | None = None) -> Figure:
    """The weights into each hidden unit as an image, at most 64 units (an even choice of more).

    One colour scale for all, symmetric about zero: blue is negative, white zero, red positive. It ends at the 99.5th
    percentile of |weight| over all units, so that few large weights leave the others readable; the colour bar has
    points where weights lie beyond.

    Args:
      weights: [features, units], features in the order of the rows of an image; NaN (a diverged member) is grey.
      shape: (height, width) of an image in pixels.
      title: first line of the title, in place of the usual one.

    Raises:
      ValueError: the features do not fill the image.
    """
    values = np.asarray(weights, dtype=float)
    height, width = shape
    if values.ndim != 2 or values.shape[0] != height * width:
        raise ValueError(f"shape={height}x{width}: weights must be [{height * width}, units], not {list(values.shape)}")
    shown = evenly(values.shape[1], MAX_IMAGES)
    size = np.abs(values[np.isfinite(values)])
    limit = np.percentile(size, _ROBUST) if size.size else 0.0
    limit = limit or size.max(initial=0.0) or 1.0
    beyond = bool((size > limit).any())
    look: dict[str, Any] = {"cmap": _COLOURS, "norm": Normalize(-limit, limit)}
    columns = len(shown) if len(shown) <= 4 else int(np.ceil(np.sqrt(len(shown))))
    rows = -(-len(shown) // columns)
    gap, head = 0.08 * width, 0.17 * height  # the head has the number of the unit
    side = min(1.2, 6.4 / columns)
    aspect = (height + head) / (width + gap)
    figure = Figure(figsize=(max(4.5, 1.2 + side * columns), 0.9 + side * rows * aspect), layout="constrained")
    axes = figure.subplots()
    axes.set_axis_off()
    for place, unit in enumerate(shown):
        row, column = divmod(place, columns)
        left, top = column * (width + gap), row * (height + head) + head
        extent = (left, left + width, top + height, top)
        image = np.ma.masked_invalid(values[:, unit].reshape(shape))
        axes.imshow(image, extent=extent, interpolation="nearest", **look)
        axes.text(left, top, f"{unit}", va="bottom", fontsize=6, color=GREY)
    axes.set(xlim=(0, columns * (width + gap) - gap), ylim=(rows * (height + head), 0))
    shrink = min(1.0, 3.0 / (side * rows * aspect))
    extend: Any = "both" if beyond else "neither"
    bar = figure.colorbar(ScalarMappable(**look), ax=axes, extend=extend, pad=0.02, shrink=shrink, label="weight")
    bar.outline.set_visible(False)
    units = values.shape[1]
    notes = [f"{len(shown)} of {units} hidden units shown" if len(shown) < units else f"{units} hidden units"]
    notes += [f"colours end at the {_ROBUST:g}th percentile of |weight|" if beyond else ""]
    set_title(figure, title or "Weights into the hidden units", notes)
    return figure
