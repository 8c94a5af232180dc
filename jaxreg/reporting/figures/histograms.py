"""How the values of a layer are distributed, and how that changes along training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import QuadMesh
from matplotlib.colors import ListedColormap, LogNorm, Normalize
from matplotlib.ticker import EngFormatter, NullLocator

from jaxreg.measures import layer_labels, value_label
from jaxreg.reporting.figures.data import X_LABELS, require_dims
from jaxreg.reporting.figures.keys import colours_of
from jaxreg.reporting.figures.multiples import multiples, panel_grid
from jaxreg.reporting.figures.style import MAX_QUADS, Figure, evenly, set_title, styled
from jaxreg.reporting.figures.ticks import set_given_ticks, set_plain_ticks
from jaxreg.reporting.figures.words import diverged_until_note, name_of, words

ValueScale = Literal["linear", "log", "symlog"]
MAX_RIDGES = 12
MAX_LAYERS = 4
LEAST_SHARE = 1e-3  # of a coloured bin in `layer_histograms`
_COLOURS = ListedColormap([*mpl.colormaps["Blues"](np.linspace(0.12, 1.0, 256))])  # empty bins are whiter than few
_OVERLAP = 2.2  # rows that the highest bin of a ridge plot reaches over
_NEAR_ZERO = 0.02  # share of the values off the central bin that the linear part of an axis holds


@styled
def histograms_over_time(
    counts: xr.DataArray,
    *,
    bin_edges: Sequence[float] | np.ndarray | None = None,
    value: str | None = None,
    value_scale: ValueScale = "linear",
    log: bool = False,
    ridge: bool = False,
    title: str | None = None,
) -> Figure:
    """Histograms along training: the share of the values per bin, counts / (sum of counts over the bins of a check).

    As a heat map (training on x, values on y, shares as colours; empty bins are white), or as a ridge plot (values on
    x, one histogram for each of at most 12 checks, the latest uppermost, heights to one scale). The values of all
    seeds are taken together. A further dimension (such as layer) becomes panels, an even choice of at most 4.

    Args:
      counts: [check, bin], with or without seed and one further dimension. Coordinates: `bin`, the centres of the bins
        (its attribute `units` is that of the values), and `check_step` along check.
      bin_edges: [bins + 1], ascending; midway between the centres if not given. Infinite ends are drawn as bins as wide
        as their neighbours.
      value: what is counted, in words; by default the name of `counts` without "_counts" or "_histogram".
      value_scale: that of the axis of the values. symlog is linear up to the edge that is closest to zero.
      log: logarithmic colours (heat map only).
      ridge: draws the ridge plot.
      title: first line of the title, in place of the usual one.

    Raises:
      ValueError: a dimension is missing or too many are left, edges do not fit the bins or the scale, or `log` is asked
        for with `ridge`.
    """
    name = name_of(counts, "values")
    missing = [dim for dim in ("check", "bin") if dim not in counts.dims]
    if missing:
        raise ValueError(f"{name}: histograms over time need a dimension {' and '.join(missing)}")
    if ridge and log:
        raise ValueError("log=True: only the colours of a heat map are logarithmic; leave it out with ridge=True")
    edges, clipped = _edges(counts["bin"].values, bin_edges, value_scale)
    parts, part_note = multiples(counts, ("seed", "check", "bin"), name)
    shares = {label: _shares(part) for label, part in parts.items()}
    what = value or words(name.removesuffix("_counts").removesuffix("_histogram"))
    units = str(counts["bin"].attrs.get("units", "1"))
    label = what + (f" ({units})" if units != "1" else "")
    drawn = (shares, edges, label, value_scale)
    figure = _ridges(*drawn) if ridge else _heat_maps(*drawn, log)
    seeds = counts.sizes.get("seed", 1)
    notes = [f"values of {seeds} seeds together" if seeds > 1 else "1 seed", part_note]
    notes += ["height: share of the values per bin, one scale for all" if ridge else "blank: empty bins"]
    notes += ["the outermost bins hold all values beyond" if clipped else ""]
    set_title(figure, title or f"Histograms of {what} along training", notes)
    return figure


@styled
def layer_histograms(
    results: xr.Dataset,
    quantities: Sequence[str] = ("weights", "bias", "activations", "gradients"),
    *,
    title: str | None = None,
) -> Figure:
    """Histograms along training of one setting: a row of panels for each layer, a column for each quantity.

    Colours are the share of the values per bin, logarithmic from 0.1 % to 1, the same in all panels; bins below are
    white, and panels show no more than what is coloured. Axes of the values are linear where the bins are, else
    logarithmic on both sides of a linear part around zero. Values of all seeds are taken together; of more than 4
    layers an even choice is drawn.

    Args:
      results: one setting. `{quantity}_histogram` [seed, check, layer, bin], with or without seed, and the attribute
        `bin_edges` [bins + 1].
      quantities: which of them.
      title: first line of the title, in place of the usual one.

    Raises:
      KeyError: a histogram was not recorded.
      ValueError: a swept dimension is left.
    """
    counts = {quantity: results[f"{quantity}_histogram"] for quantity in quantities}
    for name, histogram in counts.items():
        require_dims(histogram, ("seed", "check", "layer", "bin"), name)
    first = next(iter(counts.values()))
    held = np.flatnonzero(first.any([dim for dim in first.dims if dim != "layer"]).values)
    layers = layer_labels(results)[: held.max(initial=0) + 1]  # those of this setting
    shown = evenly(len(layers), MAX_LAYERS)
    size = (1.0 + 2.35 * len(counts), 1.0 + 1.75 * len(shown))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(shown), len(counts), sharex=True, squeeze=False)
    norm = LogNorm(LEAST_SHARE, 1.0)
    for column, (name, recorded) in enumerate(counts.items()):
        for axes, layer in zip(grid[:, column], shown, strict=True):
            histogram = recorded
            if name == "activations" and layer == len(layers) - 1:  # logits: in the bins that unbounded values have
                histogram = results.get("pre_activations_histogram", recorded)
            given = np.asarray(histogram.attrs["bin_edges"], dtype=float)
            edges, _ = _edges((given[1:] + given[:-1]) / 2, given, "linear")
            image = _draw_layer(axes, _shares(histogram.isel(layer=layer)), edges, norm)
            axes.locator_params(axis="x", nbins=3)
            if axes is grid[0, column]:
                axes.set_title(words(name), fontsize=8.5)
            if column == 0:
                axes.set_ylabel(layers[layer])
    bar = figure.colorbar(image, ax=list(grid.flat), pad=0.02, label="share of the values per bin")
    bar.set_ticks([LEAST_SHARE, 0.01, 0.1, 1.0], labels=["0.1 %", "1 %", "10 %", "100 %"])
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.outline.set_visible(False)
    figure.supxlabel(X_LABELS["step"], fontsize=9)
    seeds = results.sizes.get("seed", 1)
    notes = [f"values of {seeds} seeds together" if seeds > 1 else "1 seed", "blank: below 0.1 % per bin"]
    notes += [f"{len(shown)} of {len(layers)} layers shown" if len(shown) < len(layers) else ""]
    notes += ["activations of the last layer: logits" if "activations" in counts else ""]
    if "diverged_step" in results:
        notes.append(diverged_until_note(results["diverged_step"] >= 0))
    set_title(figure, title or "Histograms of each layer along training", notes)
    return figure


def _draw_layer(axes: Axes, shares: xr.DataArray, edges: np.ndarray, norm: LogNorm) -> QuadMesh:
    """A heat map of what is coloured, on a scale that the bins ask for."""
    values = np.nan_to_num(shares.values.T)
    occupied = np.flatnonzero(values.max(1, initial=0.0) >= LEAST_SHARE)
    first, last = (occupied[0], occupied[-1]) if occupied.size else (0, len(values) - 1)
    values, edges = values[first : last + 1], edges[first : last + 2]
    widths = np.diff(edges)
    if widths.max() > 1.5 * widths.min():
        size = np.maximum(np.abs(edges[1:]), np.abs(edges[:-1]))
        equal = size[np.isclose(widths, widths.min())].max()
        few = _few_within(values.sum(1), edges, size)
        if few > equal:  # bins too narrow to be seen become one
            kept = np.abs(edges) >= few
            kept[[0, -1]] = True
            values, edges = np.add.reduceat(values, np.flatnonzero(kept[:-1]), axis=0), edges[kept]
        within = max(few, equal)
        axes.set_yscale("symlog", linthresh=within, linscale=0.5 if few > equal else 1.0)
        _set_ticks(axes.yaxis, edges[np.abs(edges) >= within], "symlog")
    axes.grid(False)
    filled = np.ma.masked_less(values, LEAST_SHARE)
    look: dict[str, Any] = {"rasterized": filled.size > MAX_QUADS, "linewidth": 0}
    return axes.pcolormesh(_around(shares["check"].values), edges, filled, cmap=_COLOURS, norm=norm, **look)


def _few_within(totals: np.ndarray, edges: np.ndarray, size: np.ndarray) -> float:
    """How far from zero few of the values lie, those in the bin around zero left out."""
    beside = edges[1:] * edges[:-1] >= 0
    order = np.argsort(size[beside], kind="stable")
    few = np.cumsum(totals[beside][order]) <= _NEAR_ZERO * totals[beside].sum()
    return float(size[beside][order][few].max(initial=0.0))


def _edges(centres: np.ndarray, given: Any, scale: ValueScale) -> tuple[np.ndarray, bool]:
    """Finite edges of the bins, and whether the outermost bins were open."""
    edges = np.asarray(_around(centres) if given is None else given, dtype=float)
    if edges.shape != (len(centres) + 1,) or not (np.diff(edges) > 0).all():
        raise ValueError(f"bin_edges: {len(centres)} bins need {len(centres) + 1} ascending edges")
    is_open = not np.isfinite(edges).all()
    if np.isneginf(edges[0]):
        edges[0] = edges[1] - (edges[2] - edges[1])
    if np.isposinf(edges[-1]):
        edges[-1] = edges[-2] + (edges[-2] - edges[-3])
    if scale == "log" and edges[0] <= 0:
        raise ValueError("value_scale=log: the bins must be positive; use symlog")
    return edges, is_open


def _around(centres: np.ndarray) -> np.ndarray:
    """Edges of cells around their centres: midway between them, the ends as wide as their neighbours."""
    if len(centres) == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middle = (centres[1:] + centres[:-1]) / 2
    return np.array([2 * centres[0] - middle[0], *middle, 2 * centres[-1] - middle[-1]])


def _shares(counts: xr.DataArray) -> xr.DataArray:
    """The share of each bin, [check, bin], the coordinate `check` being steps; padded checks are dropped."""
    if "seed" in counts.dims:
        counts = counts.sum("seed")
    steps = counts["check_step"] if "check_step" in counts.coords else counts["check"]
    total = counts.sum("bin")
    shares = (counts / total.where(total > 0)).transpose("check", "bin")
    return shares.assign_coords(check=steps.values.astype(float)).isel(check=np.isfinite(steps.values))


def _heat_maps(
    shares: Mapping[str, xr.DataArray], edges: np.ndarray, label: str, scale: ValueScale, log: bool
) -> Figure:
    positive = np.concatenate([part.values[part.values > 0] for part in shares.values()])
    highest = positive.max(initial=0.0) or 1.0
    lowest = min(positive.min(initial=1.0), highest / 10)
    norm = LogNorm(lowest, highest) if log else Normalize(0, highest)
    single = len(shares) == 1
    figure, grid = panel_grid(list(shares), (5.9, 3.4) if single else (3.4, 2.5), 1.3)
    for axes, part in zip(grid, shares.values(), strict=True):
        axes.grid(False)
        filled = np.ma.masked_where(~(part.values.T > 0), part.values.T)
        look: dict[str, Any] = {"rasterized": filled.size > MAX_QUADS, "linewidth": 0}
        image = axes.pcolormesh(_around(part["check"].values), edges, filled, cmap=_COLOURS, norm=norm, **look)
        axes.set_yscale(scale, **_linear_within(edges, scale))
        _set_ticks(axes.yaxis, edges, scale)
        axes.locator_params(axis="x", nbins=6 if single else 4)
        if part["check"].size and part["check"].values[-1] >= 1e5:
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    bar = figure.colorbar(image, ax=grid, pad=0.02, label="share of the values per bin")
    bar.outline.set_visible(False)
    figure.supxlabel(X_LABELS["step"], fontsize=9)
    figure.supylabel(label, fontsize=9)
    return figure


def _ridges(shares: Mapping[str, xr.DataArray], edges: np.ndarray, label: str, scale: ValueScale) -> Figure:
    highest = max(np.nanmax(part.values, initial=0.0) for part in shares.values()) or 1.0
    figure, grid = panel_grid(list(shares), (6.2, 4.2) if len(shares) == 1 else (3.6, 3.2), 0.4)
    for axes, part in zip(grid, shares.values(), strict=True):
        chosen = part.isel(check=evenly(part.sizes["check"], MAX_RIDGES))
        colours = colours_of(chosen.sizes["check"], in_order=True)
        axes.grid(False, axis="y")
        for row, (heights, colour) in enumerate(zip(chosen.values, colours, strict=True)):
            line = row + _OVERLAP * np.nan_to_num(heights) / highest
            look: dict[str, Any] = {"facecolor": colour, "edgecolor": "white", "linewidth": 0.6}
            axes.stairs(line, edges, baseline=row, fill=True, zorder=len(colours) + 2 - row, **look)
        axes.set_xscale(scale, **_linear_within(edges, scale))
        _set_ticks(axes.xaxis, edges, scale)
        steps = chosen["check"].values.tolist()
        axes.set_yticks(range(len(steps)), [value_label(step) for step in steps])
        axes.set_ylim(-0.2, len(steps) - 1 + _OVERLAP * 1.05)
    figure.supxlabel(label, fontsize=9)
    figure.supylabel(X_LABELS["step"], fontsize=9)
    return figure


def _linear_within(edges: np.ndarray, scale: ValueScale) -> dict[str, float]:
    return {"linthresh": np.abs(edges[edges != 0]).min()} if scale == "symlog" else {}


def _set_ticks(axis: Axis, edges: np.ndarray, scale: ValueScale) -> None:
    """Plain numbers: a few powers of ten, and zero on symlog."""
    if scale == "linear":
        return
    size = np.abs(edges[edges != 0])
    highest = np.floor(np.log10(size.max()))
    decades = np.arange(min(np.ceil(np.log10(size.min())), highest), highest + 1)
    powers = 10.0 ** decades[:: -(-len(decades) // (3 if scale == "symlog" else 4))]
    ticks = powers if scale == "log" else np.array([*-powers[::-1], 0.0, *powers])
    if scale == "log" and len(powers) < 2:
        set_plain_ticks(axis)
        return
    set_given_ticks(axis, ticks[(ticks >= edges[0]) & (ticks <= edges[-1])])
