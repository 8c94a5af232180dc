"""Figures from labelled results: each function draws one message and returns a matplotlib Figure.

Means over seeds carry a 95 % Student t interval (a band or bars), from two seeds on. Seeds that diverged are left out
of the means and always shown or counted. Values of an axis are coloured in order (viridis without its palest end),
categories in the colours of Okabe and Ito (2008). Nothing touches pyplot or the global rcParams. In a notebook,
`%matplotlib inline` makes a returned Figure show itself.
"""

from __future__ import annotations

import dataclasses
import functools
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, ParamSpec

import matplotlib as mpl
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator, StrMethodFormatter

from jaxreg.measures import setting_dims, setting_label, settings, value_label
from jaxreg.statistics import mean_interval

X = Literal["step", "examples_seen", "seconds"]
X_LABELS = {
    "step": "training (steps)",
    "examples_seen": "training (examples seen)",
    "seconds": "training time (seconds)",
}

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
LINE_STYLES = ("-", "--", "-.", ":")
PARTS = ("train", "test", "validation", "test_batch")  # a part of the data has one colour and line style in all figures

MAX_LEGEND = 12  # more entries become a colour bar
MAX_PANELS = 16
MAX_ANNOTATED = 100  # cells of a heat map

_INK, _GREY, _PALE = "#222222", "#666666", "#E3E3E3"
_STYLE: Any = {
    **{"font.family": "DejaVu Sans", "font.size": 9.0, "axes.titlesize": 9.0, "axes.labelsize": 9.0},
    **{"figure.facecolor": "white", "axes.facecolor": "white", "savefig.facecolor": "white"},
    **{"axes.edgecolor": _GREY, "axes.labelcolor": _INK, "text.color": _INK, "axes.linewidth": 0.8},
    **{"axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True},
    **{"axes.grid": True, "grid.color": _PALE, "grid.linewidth": 0.6},
    **{"xtick.color": _GREY, "ytick.color": _GREY, "xtick.labelcolor": _INK, "ytick.labelcolor": _INK},
    **{"xtick.labelsize": 8.0, "ytick.labelsize": 8.0, "legend.fontsize": 8.0, "legend.title_fontsize": 8.0},
    **{"legend.frameon": False, "svg.fonttype": "none", "svg.hashsalt": "jaxreg"},
}
_P = ParamSpec("_P")


def _styled(draw: Callable[_P, Figure]) -> Callable[_P, Figure]:
    """Runs `draw` in the style of this module; ticks, which matplotlib makes late, are made in it too."""

    @functools.wraps(draw)
    def styled(*args: _P.args, **kwargs: _P.kwargs) -> Figure:
        with mpl.rc_context(_STYLE):
            figure = draw(*args, **kwargs)
            figure.draw_without_rendering()
        return figure

    return styled


def save(figure: Figure, folder: str | Path, name: str) -> tuple[Path, Path]:
    """Writes `name`.png (150 dots per inch) and `name`.svg (text as text) and returns their paths.

    The same figure gives the same bytes: no dates, identifiers that depend on content alone, and a layout that is fixed
    here, because each further pass would move it by a hair.
    """
    png, svg = (Path(folder) / f"{name}.{kind}" for kind in ("png", "svg"))
    png.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(_STYLE):
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        figure.savefig(png, dpi=150)
        figure.savefig(svg, metadata={"Date": None})
    return png, svg


@_styled
def curves(
    results: xr.Dataset,
    variable: str,
    *,
    x: X = "step",
    log_y: bool = False,
    max_points: int = 500,
    title: str | None = None,
) -> Figure:
    """One variable along training, all settings in one plot: means over seeds in 95 % t bands.

    Colours follow the settings in order; a second axis of at most four values is told by line style. Members that
    diverged are thin lines that end in a cross.

    Args:
      results: labelled results of a run.
      variable: a variable with dimensions […, seed, check] or […, seed, step].
      x: what training is measured in. Examples and seconds of single steps are interpolated between checks.
      log_y: logarithmic y.
      max_points: a curve along step is averaged over as many steps as leave no more points; the figure says so.
      title: first line of the title, in place of the usual one.

    Raises:
      ValueError: `variable` is no curve, or `x` is unknown.
    """
    data = _curve_data(results, variable, x, max_points)
    dims = setting_dims(data)
    key = _key(data, dims)
    figure, axes = _single()
    for (setting, cell), colour, style in zip(settings(data, dims), key.colours, key.styles, strict=True):
        _draw_curve(axes, cell, setting_label(setting) or _words(variable), colour, style, faint=key.crowded)
    _set_view(axes, [data], variable, log_y)
    axes.set(xlabel=X_LABELS[x], ylabel=_label(variable, results[variable]))
    axes.margins(x=0.01)
    _draw_key(axes, key, _counts(data["diverged"], dims))
    subject = _capital(_words(variable)) + (f" for each {' and '.join(dims)}" if dims else "")
    _set_title(figure, title or subject, [_replicates(data, "band"), data.attrs["thinned"], _diverged_note(data)])
    return figure


@_styled
def panels(
    results: xr.Dataset,
    axis: str,
    rows: Sequence[Sequence[str]] = (("train_loss", "test_loss"), ("validation_accuracy", "test_accuracy")),
    *,
    x: X = "step",
    log_y: bool = False,
    max_points: int = 500,
    title: str | None = None,
) -> Figure:
    """Small multiples, one column per value of `axis`: several variables along training, y shared along each row.

    Wide figures wrap; of more than 16 values an even choice is drawn and the title says so.

    Args:
      results: labelled results of a run.
      axis: the hyperparameter of the columns.
      rows: for each row the variables to draw in it, dimensions [axis, seed, check] or [axis, seed, step].
      x, log_y, max_points, title: as in `curves`; log_y applies to losses.

    Raises:
      ValueError: another axis has more than one value: select one first.
    """
    results = _along(results, axis)
    data = {name: _curve_data(results, name, x, max_points) for row in rows for name in row}
    for name, curve in data.items():
        others = [dim for dim in setting_dims(curve) if dim != axis and curve.sizes[dim] > 1]
        if others:
            raise ValueError(f"panels of {name} along {axis}: select one value of {' and '.join(others)} first")
        data[name] = curve.squeeze([dim for dim in setting_dims(curve) if dim != axis])
    looks = _looks(rows)
    total = results.sizes[axis]
    shown = _evenly(total, MAX_PANELS)
    blocks = -(-len(shown) // 4)
    columns = -(-len(shown) // blocks)
    size = (max(1.3 + 2.1 * columns, 6.0), max(1.2 + 1.6 * blocks * len(rows), 3.6))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(blocks * len(rows), columns, sharex=x == "step", squeeze=False)
    names, labels = _axis_labels(next(iter(data.values())), (axis,))
    if results[axis].dtype.kind in "iuf":
        labels = [f"{', '.join(names)} = {label}" for label in labels]
    for place in range(blocks * columns):
        block, column = divmod(place, columns)
        for row, variables in enumerate(rows):
            axes = grid[block * len(rows) + row, column]
            if place >= len(shown):
                axes.remove()
                continue
            for name in variables:
                _draw_curve(axes, data[name].isel({axis: shown[place]}), _words(name), *looks[name][:2])
            _set_view(axes, [data[name] for name in variables], variables[0], log_y and "accuracy" not in variables[0])
            below = place + columns >= len(shown) and row == len(rows) - 1
            axes.tick_params(labelbottom=below or x != "step", labelleft=column == 0)
            axes.locator_params(axis="x", nbins=4)
            if column == 0:
                axes.set_ylabel(_row_label(results, variables))
            if row == 0:
                axes.set_title(textwrap.fill(labels[shown[place]], 28), fontsize=8.5)
    figure.supxlabel(X_LABELS[x], fontsize=9)
    handles = [_handle(*look) for look in dict.fromkeys(looks.values())]
    figure.legend(handles=handles, loc="outside right upper")
    every = list(data.values())
    thinned = next((curve.attrs["thinned"] for curve in every if curve.attrs["thinned"]), "")
    part = f"{len(shown)} of {total} values shown" if len(shown) < total else ""
    kinds = " and ".join(dict.fromkeys(_words(_kind(name)) for row in rows for name in row))
    notes = [_replicates(every[0], "band"), thinned, part, _diverged_note(every[0])]
    _set_title(figure, title or f"{_capital(kinds)} for each {axis}", notes)
    return figure


@_styled
def value_against(
    results: xr.Dataset | xr.DataArray,
    axis: str,
    variable: str = "final_test_accuracy",
    *,
    reported: pd.DataFrame | None = None,
    log_y: bool = False,
    title: str | None = None,
) -> Figure:
    """A value per setting against one axis: means over seeds with 95 % t bars, single seeds as faint dots.

    The x axis is logarithmic where its values are positive and span more than a decade. Other axes become lines of
    their own colour. Infinite values (censored, as in `steps_to_train`) are arrowheads at the upper edge; no mean is
    drawn where there is one. Seeds that diverged or were censored are counted above the frame, or below the title
    where the values lie too close.

    Args:
      results: labelled results of a run, or one array of them, dimensions […, seed].
      axis: the hyperparameter on the x axis.
      variable: the variable to draw, if `results` is a Dataset.
      reported: the result of `replication.compare`; its numbers for this variable are drawn beside ours.
      log_y: logarithmic y.
      title: first line of the title, in place of the usual one.

    Raises:
      ValueError: the value has further dimensions (such as check), or `axis` is unknown.
    """
    data = _value_data(results, variable, (axis,))
    name = variable if isinstance(results, xr.Dataset) else str(results.name)
    _require(data["values"], ("seed", *setting_dims(data)), name)
    lines = tuple(dim for dim in setting_dims(data) if dim != axis)
    positions, is_number = _positions(data[axis])
    key = _key(data, lines, styled=is_number)
    log_x = is_number and bool(positions.min() > 0 and positions.max() > 10 * positions.min())
    figure, axes = _single()
    axes.set_xscale("log" if log_x else "linear")
    axes.set_yscale("log" if log_y else "linear")
    count = len(key.colours)
    cells = zip(settings(data, lines), key.colours, key.styles, strict=True)
    for i, ((setting, cell), colour, style) in enumerate(cells):
        at = _dodged(positions, (i - (count - 1) / 2) / max(count, 4), log_x, is_number)
        label = setting_label(setting) or _words(name)
        _draw_values(axes, at, cell.transpose(axis, "seed"), label, colour, style if is_number else "none")
    if not np.isfinite(data["values"]).any():
        axes.set_yticks([])
    elif log_y:
        _set_plain_ticks(axes.yaxis, *axes.get_ylim())
    extra = _draw_reported(axes, reported, name, axis, dict(zip(data[axis].values.tolist(), positions, strict=True)))
    zipped = [name for name in _axis_labels(data, (axis,))[0] if name != axis]
    _set_value_ticks(axes, positions, _axis_labels(data.drop_vars(zipped), (axis,))[1], is_number, log_x)
    counts = _count_above(axes, data, axis, positions)
    axes.set(
        xlabel=axis + (f" (and {', '.join(zipped)} with it)" if zipped else ""), ylabel=_label(name, data["values"])
    )
    _draw_key(axes, key, [""] * count, extra)
    notes = [_replicates(data, "bars"), "dots: single seeds" if data.sizes["seed"] > 1 else ""]
    notes += ["no mean where a seed never got there" if bool((data["values"] == np.inf).any()) else ""]
    _set_title(figure, title or f"{_capital(_words(name))} against {axis}", notes + counts)
    return figure


@_styled
def heat_map(results: xr.Dataset, variable: str, x: str, y: str, *, title: str | None = None) -> Figure:
    """The mean over seeds of a value per setting over two axes, written in the cells where these are at most 100.

    Seeds that diverged are left out of the mean; a cross marks cells that hold one; cells with nothing else are grey.

    Raises:
      ValueError: the value has further dimensions; select one value of each first.
    """
    data = _value_data(results, variable, (x, y))
    _require(data["values"], ("seed", x, y), variable)
    data = data.transpose(y, x, "seed")
    mean, diverged = data["mean"].values, data["diverged"].any("seed").values
    height, width = mean.shape
    figure = Figure(figsize=(max(4.6, min(9.0, 2.6 + 0.62 * width)), max(3.0, min(8.0, 1.6 + 0.42 * height))))
    figure.set_layout_engine("constrained")
    axes = figure.subplots()
    axes.grid(False)
    axes.set_facecolor(_PALE)
    colours = ListedColormap([*mpl.colormaps["viridis"](np.linspace(0.05, 0.95, 256))])
    annotated = mean.size <= MAX_ANNOTATED
    edge = 0.5 if annotated else 0.0
    image = axes.pcolormesh(np.ma.masked_invalid(mean), cmap=colours, edgecolors="white", linewidth=edge)
    middle = np.dot(image.get_clim(), (0.4, 0.6))
    if np.isfinite(mean).any():
        bar = figure.colorbar(image, ax=axes, pad=0.02, label=_label(variable, data["values"]))
        bar.outline.set_visible(False)
    for row, column in np.ndindex(height, width):
        ink = "white" if mean[row, column] < middle else "black"
        if annotated and np.isfinite(mean[row, column]):
            number = f"{mean[row, column]:#.3g}".rstrip(".")
            axes.text(column + 0.5, row + 0.5, number, ha="center", va="center", color=ink, fontsize=7.5)
        if diverged[row, column]:
            alone = np.isnan(mean[row, column])
            at = (0.5, 0.5) if alone or not annotated else (0.85, 0.8)
            axes.plot(column + at[0], row + at[1], "x", color=_INK if alone else ink, markersize=4.5, label="diverged")
    for side, dim in ((axes.xaxis, x), (axes.yaxis, y)):
        names, labels = _axis_labels(data, (dim,))
        ticks = np.arange(0, len(labels), -(-len(labels) // 12))
        side.set_ticks(ticks + 0.5, [labels[tick] for tick in ticks])
        side.set_label_text(", ".join(names))
        side.set_tick_params(length=0)
    axes.spines[:].set_visible(False)
    notes = [_replicates(data, ""), f"cross: {_diverged_note(data)}" if diverged.any() else ""]
    _set_title(figure, title or f"{_capital(_words(variable))} over {x} and {y}", notes)
    return figure


# Data as it is drawn: `values` with their mean, low, high and n over the seeds that did not diverge, and `diverged`.


def _curve_data(results: xr.Dataset, variable: str, x: X, max_points: int) -> xr.Dataset:
    """The variable along step (thinned) or check, with the `position` of each point on the x axis."""
    if x not in X_LABELS:
        raise ValueError(f"x={x}: must be one of {', '.join(X_LABELS)}")
    results = _sorted(results)
    values = results[variable]
    along = next((dim for dim in ("step", "check") if dim in values.dims), None)
    if along is None:
        raise ValueError(f"{variable} has no dimension step or check: it is no curve")
    _require(values, ("seed", along, *setting_dims(values)), variable)
    thinned = ""
    if along == "step":
        stride = int(results["step"][1] - results["step"][0]) if results.sizes["step"] > 1 else 1
        block = -(-values.sizes["step"] // max_points)
        thinned = f"mean over {block * stride} steps" if block > 1 else ""
        thinned += f", one in {stride} recorded" if thinned and stride > 1 else ""
        values = values.coarsen(step=block, boundary="pad").mean() if block > 1 else values
        position = values["step"] if x == "step" else _at_steps(results, values["step"], x)
    else:
        position = results["check_step" if x == "step" else x]
    data = _with_interval(values, results)
    data["position"] = position.reset_coords(drop=True).astype(float)
    return data.drop_vars(along, errors="ignore").assign_attrs(thinned=thinned)


def _at_steps(results: xr.Dataset, step: xr.DataArray, x: str) -> xr.DataArray:
    """The coordinate `x` of the checks at single steps, linear between checks and NaN after the last."""

    def interpolate(checks: np.ndarray, values: np.ndarray) -> np.ndarray:
        known = np.isfinite(checks) & np.isfinite(values)
        return np.asarray(np.interp(step.values, checks[known], values[known], right=np.nan))

    checks = [results[name].reset_coords(drop=True).astype(float) for name in ("check_step", x)]
    core = [["check"], ["check"]]
    found: xr.DataArray = xr.apply_ufunc(
        interpolate, *checks, input_core_dims=core, output_core_dims=[["step"]], vectorize=True
    )
    return found


def _value_data(results: xr.Dataset | xr.DataArray, variable: str, axes: Sequence[str]) -> xr.Dataset:
    """The value of each setting, with each of `axes` as a dimension."""
    if isinstance(results, xr.DataArray):
        results, variable = results.to_dataset(name="values"), "values"
    for axis in axes:
        results = _along(results, axis)
    results = _sorted(results)
    return _with_interval(results[variable], results)


def _with_interval(values: xr.DataArray, results: xr.Dataset) -> xr.Dataset:
    diverged = xr.zeros_like(values, dtype=bool)
    if "diverged_step" in results:
        diverged = results["diverged_step"] >= 0
    diverged = diverged.any([dim for dim in diverged.dims if dim not in values.dims or dim in ("step", "check")])
    censored = (values == np.inf).any("seed")
    interval = mean_interval(values.where(~diverged & ~censored))
    data = interval.assign(values=values, diverged=diverged).transpose(*values.dims, missing_dims="ignore")
    dims = set(setting_dims(values))
    return data.drop_vars(
        [name for name, c in data.coords.items() if not (c.dims and set(c.dims) <= dims)], errors="ignore"
    )


def _sorted(results: xr.Dataset) -> xr.Dataset:
    """Settings in ascending order along each axis of numbers."""
    return results.sortby([dim for dim in setting_dims(results) if results[dim].dtype.kind in "iuf"])


def _along(results: xr.Dataset, axis: str) -> xr.Dataset:
    """`axis` as a dimension: also where it was zipped with another, or has one value only."""
    if axis in results.dims:
        return results
    if axis not in results.coords:
        raise ValueError(f"{axis}: no axis of these results, which have {', '.join(setting_dims(results)) or 'none'}")
    dims = results[axis].dims
    return results.swap_dims({dims[0]: axis}) if dims else results.expand_dims(axis)


def _require(values: xr.DataArray, allowed: Sequence[str], name: str) -> None:
    others = [str(dim) for dim in values.dims if dim not in allowed]
    if others:
        raise ValueError(f"{name}: select one value of {' and '.join(others)} first")


# Words


def _words(name: str) -> str:
    return name.replace("_", " ")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _label(name: str, values: xr.DataArray) -> str:
    """Name and units: "test loss (nats)", "test accuracy (fraction)"."""
    units = str(values.attrs.get("units", "1"))
    if units == "1":
        units = "fraction" if name.endswith(("accuracy", "error", "share", "fraction")) else ""
    return _words(name) + (f" ({units})" if units else "")


def _part(name: str) -> str | None:
    """The part of the data that a variable is measured on: "test_batch" of "test_batch_loss"."""
    return next((part for part in sorted(PARTS, key=len, reverse=True) if name.startswith(f"{part}_")), None)


def _kind(name: str) -> str:
    """What a variable measures: "loss" of "test_loss"."""
    return name.removeprefix(f"{_part(name)}_")


def _row_label(results: xr.Dataset, variables: Sequence[str]) -> str:
    """One label for variables that measure the same on several parts of the data."""
    return "\n".join(dict.fromkeys(_label(_kind(name), results[name]) for name in variables))


def _axis_labels(data: xr.Dataset, dims: Sequence[str]) -> tuple[list[str], list[str]]:
    """The names along `dims`, zipped ones included, and the label of each setting."""
    found = [setting for setting, _ in settings(data, dims)]
    for digits in (3, 6):
        labels = [", ".join(value_label(value, digits) for value in setting.values()) for setting in found]
        if len(set(labels)) == len(labels):
            break
    return list(found[0]), labels


def _replicates(data: xr.Dataset, mark: str) -> str:
    seeds = data.sizes["seed"]
    if seeds == 1:
        return "1 seed, no interval" if mark else "1 seed"
    return f"mean of {seeds} seeds" + (f", {mark}: 95 % t interval" if mark else "")


def _diverged_note(data: xr.Dataset) -> str:
    count = int(data["diverged"].sum())
    return f"{count} of {data['diverged'].size} members diverged, left out of the mean" if count else ""


def _counts(diverged: xr.DataArray, dims: Sequence[str]) -> list[str]:
    """For each setting how many seeds diverged, if any."""
    counts = diverged.sum("seed").transpose(*dims).values.ravel()
    return [f"\n({count} of {diverged.sizes['seed']} diverged)" if count else "" for count in counts]


def _set_title(figure: Figure, title: str, notes: Sequence[str]) -> None:
    """The message at the upper left and what the marks mean, small, below it."""
    points = 72 * figure.get_size_inches()[0]
    title = textwrap.fill(title, int(points / 6.3))
    small = textwrap.fill("; ".join(filter(None, notes)), int(points / 4.4))
    room = "\n ".join([""] * (small.count("\n") + 2))  # the layout keeps these lines free
    heading = figure.suptitle(title + room, x=0.012, ha="left", fontsize=11)
    figure.add_artist(
        Annotation(small, (0, 0), xycoords=heading, va="bottom", fontsize=8, color=_GREY, linespacing=1.3)
    )


# Marks


def _single() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7.2, 4.3), layout="constrained")
    return figure, figure.subplots()


def _figure(axes: Axes) -> Figure:
    figure = axes.get_figure(root=True)
    assert figure is not None
    return figure


def _evenly(count: int, at_most: int) -> np.ndarray:
    """At most so many of the indices below `count`, evenly, ends included."""
    return np.unique(np.linspace(0, count - 1, min(count, at_most)).round().astype(int))


@dataclasses.dataclass(frozen=True)
class _Key:
    """Colour and line style of each setting (last dimension fastest), and what they stand for, in sections."""

    colours: list[str]
    styles: list[str]
    sections: list[tuple[str, list[str], list[str], list[str]]]  # title, labels, colours, styles

    @property
    def crowded(self) -> bool:
        return len(self.colours) > MAX_LEGEND

    @property
    def has_bar(self) -> bool:
        return any(len(labels) > MAX_LEGEND for _, labels, _, _ in self.sections)


def _key(data: xr.Dataset, dims: Sequence[str], *, styled: bool = True) -> _Key:
    if not dims:
        return _Key([OKABE_ITO[0]], ["-"], [])
    is_number = any(data[dim].dtype.kind in "iuf" for dim in dims)
    sizes = [data.sizes[dim] for dim in dims]
    if styled and len(dims) == 2 and sizes[0] <= MAX_LEGEND and sizes[1] <= len(LINE_STYLES):
        (first, first_labels), (second, second_labels) = (_axis_labels(data, (dim,)) for dim in dims)
        colours, styles = _colours(sizes[0], data[dims[0]].dtype.kind in "iuf"), list(LINE_STYLES[: sizes[1]])
        sections = [(", ".join(first), first_labels, colours, ["-"] * sizes[0])]
        sections += [(", ".join(second), second_labels, [_GREY] * sizes[1], styles)]
        return _Key([colour for colour in colours for _ in styles], styles * sizes[0], sections)
    names, labels = _axis_labels(data, dims)
    colours, styles = _colours(len(labels), is_number), ["-"] * len(labels)
    return _Key(colours, styles, [(", ".join(names), labels, colours, styles)])


def _colours(count: int, in_order: bool) -> list[str]:
    if count == 1 or (not in_order and count <= len(OKABE_ITO)):
        return list(OKABE_ITO[:count])
    return [to_hex(colour) for colour in mpl.colormaps["viridis"](np.linspace(0.0, 0.9, count))]


def _looks(rows: Sequence[Sequence[str]]) -> dict[str, tuple[str, str, str]]:
    """Colour, line style, legend text of each variable: those of its part of the data, unless two of a row share it."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    parts = {name: _part(name) for name in names}
    by_part = None not in parts.values() and all(len({parts[name] for name in row}) == len(row) for row in rows)
    looks = {}
    for i, name in enumerate(names):
        place = PARTS.index(str(parts[name])) if by_part else i
        text = _words(str(parts[name]) if by_part and len(rows) > 1 else name)
        looks[name] = (OKABE_ITO[place % len(OKABE_ITO)], LINE_STYLES[place % len(LINE_STYLES)], text)
    return looks


def _handle(colour: str, style: str, label: str = "") -> Line2D:
    look: dict[str, Any] = {"color": colour, "linestyle": style, "linewidth": 1.8, "label": label}
    return Line2D([], [], **look)


def _draw_key(axes: Axes, key: _Key, counts: Sequence[str], extra: Sequence[Line2D] = ()) -> None:
    """A legend right of the frame, or a colour bar where it would have too many entries."""
    handles: list[Line2D] = []
    title = None
    if key.has_bar:
        _draw_bar(axes, *key.sections[0][:3])
    elif len(key.sections) == 1:
        ((title, labels, *looks),) = key.sections
        texts = [label + count for label, count in zip(labels, counts, strict=True)]
        handles = [_handle(*look) for look in zip(*looks, texts, strict=True)]
    else:
        for heading, labels, *looks in key.sections:
            handles.append(Line2D([], [], linestyle="none", label=heading))
            handles += [_handle(*look) for look in zip(*looks, labels, strict=True)]
    if handles or extra:
        # A colour bar has the place right of the frame already.
        place: dict[str, Any] = {"loc": "best"} if key.has_bar else {"loc": "upper left", "bbox_to_anchor": (1.01, 1)}
        axes.legend(handles=[*handles, *extra], title=title, alignment="left", borderaxespad=0.2, **place)


def _draw_bar(axes: Axes, title: str, labels: Sequence[str], colours: Sequence[str]) -> None:
    """A colour bar of equal steps, one per setting, with a choice of the labels."""
    mappable = ScalarMappable(BoundaryNorm(np.arange(len(labels) + 1) - 0.5, len(labels)), ListedColormap(colours))
    bar = _figure(axes).colorbar(mappable, ax=axes, pad=0.02, label=title)
    ticks = _evenly(len(labels), 9)
    bar.set_ticks([int(tick) for tick in ticks], labels=[labels[tick] for tick in ticks])
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.outline.set_visible(False)


def _draw_curve(axes: Axes, cell: xr.Dataset, label: str, colour: str, style: str, *, faint: bool = False) -> None:
    """The mean in its band, and each member that diverged up to its end."""
    at = cell["position"].values
    axes.plot(at, cell["mean"].values, color=colour, linestyle=style, linewidth=1.0 if faint else 1.6, label=label)
    if np.isfinite(cell["low"]).any():
        known = np.isfinite(at)
        low, high = cell["low"].values[known], cell["high"].values[known]
        axes.fill_between(at[known], low, high, color=colour, alpha=0.08 if faint else 0.2, linewidth=0)
    for member in cell["values"].where(cell["diverged"], drop=True).transpose("seed", ...).values:
        last = np.flatnonzero(np.isfinite(member))[-1:]
        axes.plot(at, member, color=colour, linewidth=0.6, alpha=0.8, label="_diverged")
        axes.plot(at[last], member[last], "x", color=colour, markersize=5, label="_end")


def _set_view(axes: Axes, data: Sequence[xr.Dataset], variable: str, log_y: bool) -> None:
    """Limits that hold all means, and bands and diverging members no further than they leave the means readable."""

    def gather(name: str) -> np.ndarray:
        values = np.concatenate([curve[name].values.ravel() for curve in data])
        values = values[np.isfinite(values) & ((values > 0) | (not log_y))]
        return np.asarray(np.log10(values) if log_y else values)

    mean = gather("mean")
    if not mean.size:  # every member diverged: without the steep ends
        mean = gather("values")
        quartiles = np.quantile(mean, [0.25, 0.75]) if mean.size else np.zeros(2)
        mean = mean[mean <= quartiles[1] + 1.5 * np.ptp(quartiles)] if mean.size else np.array([0.0, 1.0])
    room = 0.5 * np.ptp(mean)
    low = max(min([mean.min(), *gather("low")]), mean.min() - room)
    high = min(max([mean.max(), *gather("high")]), mean.max() + room)
    margin = 0.04 * (high - low) or 0.05 * abs(high) or 0.05
    low, high = low - margin, high + margin
    if log_y:
        low, high = 10**low, 10**high
    if variable.endswith("accuracy"):
        low, high = max(low, -0.02), min(high, 1.02)
    axes.set_yscale("log" if log_y else "linear")
    axes.set_ylim(low, high)
    if log_y:
        _set_plain_ticks(axes.yaxis, low, high)
    for line in axes.lines:
        if line.get_label() == "_end":
            line.set_ydata(np.clip(np.asarray(line.get_ydata()), low, high))
            line.set_clip_on(False)
    if axes.dataLim.x1 >= 1e5:
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def _set_plain_ticks(axis: Axis, low: float, high: float) -> None:
    """Plain numbers on a log axis: decades, their 2 and 5 too where these are few; even steps within a factor of 4."""
    if high < 4 * low:
        axis.set_major_locator(MaxNLocator(6))
        axis.set_minor_locator(NullLocator())
    else:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 300 * low else (1.0,)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def _positions(coordinate: xr.DataArray) -> tuple[np.ndarray, bool]:
    """Where the values of an axis lie on x, and whether they are numbers: categories get 0, 1, ….."""
    is_number = coordinate.dtype.kind in "iuf"
    return (coordinate.values.astype(float) if is_number else np.arange(coordinate.size, dtype=float)), is_number


def _dodged(positions: np.ndarray, shift: float, log_x: bool, is_number: bool) -> np.ndarray:
    """Positions moved aside by a share of the plot, so that the bars of several lines stay apart."""
    if log_x:
        return np.asarray(positions * (positions.max() / positions.min()) ** (0.03 * shift))
    return positions + shift * (0.03 * np.ptp(positions) if is_number else 0.5)


def _draw_values(axes: Axes, at: np.ndarray, cell: xr.Dataset, label: str, colour: str, style: str) -> None:
    """Means with bars, single seeds as dots, censored ones at the upper edge."""
    values, mean = cell["values"].transpose(..., "seed"), cell["mean"].values
    seeds = np.broadcast_to(at[:, None], values.shape)
    finite = np.isfinite(values.values)
    if values.sizes["seed"] > 1:
        axes.plot(seeds[finite], values.values[finite], ".", color=colour, alpha=0.4, markersize=5, label="_seeds")
    bars = np.nan_to_num([mean - cell["low"].values, cell["high"].values - mean])
    look: dict[str, Any] = {"linestyle": style, "linewidth": 1.0, "marker": "o", "markersize": 5}
    axes.errorbar(at, mean, bars, color=colour, elinewidth=1.4, capsize=2.5, label=label, **look)
    censored = np.isinf(values.values).any(-1)
    if censored.any():
        edge: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "clip_on": False}
        axes.plot(at[censored], np.ones(censored.sum()), "^", color=colour, mfc="white", label="_censored", **edge)


def _draw_reported(
    axes: Axes, reported: pd.DataFrame | None, variable: str, axis: str, positions: Mapping[Any, float]
) -> list[Line2D]:
    """The numbers of the source: filled diamonds, open ones where they served to choose the settings."""
    if reported is None or axis not in reported:
        return []
    rows = reported[(reported["variable"] == variable) & reported[axis].isin(list(positions))]
    rows = rows.drop_duplicates(["id", axis])
    handles: list[Line2D] = []
    for fitted, label in ((False, "reported by the source"), (True, "reported by the source\n(fitted: no evidence)")):
        chosen = rows[rows["fitted"] == fitted]
        if len(chosen):
            at = [positions[value] for value in chosen[axis]]
            look: dict[str, Any] = {"color": _INK, "mfc": "white" if fitted else _INK, "markersize": 6.5, "zorder": 4}
            handles += axes.plot(at, chosen["reported"], "D", label=label, linestyle="none", **look)
    return handles


def _set_value_ticks(axes: Axes, positions: np.ndarray, labels: Sequence[str], is_number: bool, log_x: bool) -> None:
    """A tick at each value if the labels have room."""
    gap = min(np.diff(np.sort(_across(axes, positions))), default=1.0)
    if is_number and gap < 0.02 + 0.012 * max(map(len, labels)):
        if log_x:
            _set_plain_ticks(axes.xaxis, *axes.get_xlim())
        return
    ticks = _evenly(len(labels), 24)
    slanted = sum(len(labels[tick]) for tick in ticks) > 60
    look: dict[str, Any] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(positions[ticks], [labels[tick] for tick in ticks], **look)


def _across(axes: Axes, x: np.ndarray) -> np.ndarray:
    """Data positions as fractions of the width of the frame."""
    axes.autoscale_view()
    display = axes.get_xaxis_transform().transform(np.column_stack([x, np.zeros_like(x)]))
    return np.asarray(axes.transAxes.inverted().transform(display)[:, 0])


def _count_above(axes: Axes, data: xr.Dataset, axis: str, positions: np.ndarray) -> list[str]:
    """How many members diverged, were censored or are missing, above the frame at their value of the axis.

    Where the values lie too close for that, nothing is drawn and the counts over all values are returned as notes.
    """
    values, total = data["values"], data["values"].size // len(positions)
    never = f"never reached {values.attrs['threshold']:g}" if "threshold" in values.attrs else "without end"
    events = {"diverged": data["diverged"], never: values == np.inf, "missing": values.isnull() & ~data["diverged"]}
    texts = [""] * len(positions)
    for word, event in events.items():
        counts = event.sum([dim for dim in event.dims if dim != axis]).values
        texts = [f"{text}\n{n} of {total} {word}".strip() if n else text for text, n in zip(texts, counts, strict=True)]
    notes = [(x, text) for x, text in zip(_across(axes, positions), texts, strict=True) if text]
    gap = min(np.diff([x for x, _ in notes]), default=1.0)
    if gap < 0.085:
        return [f"{int(event.sum())} of {values.size} {word}" for word, event in events.items() if event.any()]
    for x, text in notes:
        lines = [textwrap.fill(line, 13 if gap > 0.14 else 8) for line in text.split("\n")]
        offset: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "xytext": (0, 6)}
        axes.annotate("\n".join(lines), (x, 1.0), ha="center", va="bottom", fontsize=7, **offset)
    return []
