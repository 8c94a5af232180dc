"""Maps of categories over two axes, such as the diagnoses of layers along training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.patches import Patch

from jaxreg.measures import value_labels
from jaxreg.reporting.figures.data import X_LABELS
from jaxreg.reporting.figures.multiples import multiples, panel_grid
from jaxreg.reporting.figures.style import GREY, OKABE_ITO, PALE, Figure, set_title, styled
from jaxreg.reporting.figures.words import axis_title, axis_words, capital, diverged_until_note, name_of, words

MAX_LETTERED = 150  # cells of a panel
_COLOURS = (PALE, *OKABE_ITO)


@styled
def verdict_map(verdicts: xr.DataArray, x: str, y: str, *, title: str | None = None) -> Figure:
    """Categories over two dimensions, shown by colour, and by a letter too in panels of at most 150 cells.

    Integer codes with the attributes of the CF conventions (section 3.5, Flags): `flag_values`, the codes, and
    `flag_meanings`, their names in one blank-separated string, as they go into netCDF. The first category is the
    ordinary state and stays pale. Other codes and NaN mean that there is no verdict; those cells are white. A cell
    holds the most frequent verdict of its seeds, of equally frequent ones the one that comes later in `flag_meanings`.
    A further dimension (such as layer) becomes panels, an even choice of at most 4. Members that diverged are counted
    where the array has the coordinate `diverged_step`.

    Args:
      verdicts: [x, y], with or without seed and one further dimension; a dimension check is labelled by `check_step`.
      x, y: the dimensions of the map.
      title: first line of the title, in place of the usual one.

    Raises:
      ValueError: a dimension is missing or too many are left, the attributes are missing or do not match, or there are
        more than 9 categories.
    """
    name = name_of(verdicts, "verdict")
    diverged = verdicts.coords["diverged_step"] >= 0 if "diverged_step" in verdicts.coords else xr.DataArray(False)
    verdicts = verdicts.drop_vars("diverged_step", errors="ignore")
    missing = [dim for dim in (x, y) if dim not in verdicts.dims]
    if missing:
        raise ValueError(f"{name}: has no dimension {' and '.join(missing)}, only {', '.join(map(str, verdicts.dims))}")
    codes, names = _flags(verdicts, name)
    letters = _letters(names)
    seeds = verdicts.sizes.get("seed", 1)
    common, divided = _most_frequent(verdicts, codes)
    parts, part_note = multiples(common, (x, y), name)
    width, height = verdicts.sizes[x], verdicts.sizes[y]
    size = (min(6.0, max(4.0, 0.6 + 0.3 * width)), min(5.0, max(1.9, 0.5 + 0.26 * height)))
    figure, grid = panel_grid(list(parts), size if len(parts) == 1 else (min(size[0], 3.6), min(size[1], 3.2)), 1.6)
    lettered = width * height <= MAX_LETTERED
    for axes, part in zip(grid, parts.values(), strict=True):
        _draw_cells(axes, part.transpose(y, x), letters if lettered else None)
        for axis, dim, room in ((axes.xaxis, x, 7 if len(parts) > 1 else 12), (axes.yaxis, y, 16)):
            labels = _labels(part, dim)
            ticks = np.arange(0, len(labels), -(-len(labels) // room))
            axis.set_ticks(ticks + 0.5, [labels[tick] for tick in ticks])
            axis.set_tick_params(length=0)
    for set_label, dim in ((figure.supxlabel, x), (figure.supylabel, y)):
        set_label(X_LABELS["step"] if dim == "check" else axis_title(*dim.split(", ")), fontsize=9)
    texts = [(f"{letter}   " if lettered else "") + words(text) for letter, text in zip(letters, names, strict=True)]
    entries = list(zip(_COLOURS, texts, strict=False))
    entries += [("white", "no verdict")] if bool((common < 0).any()) else []
    patches = [Patch(facecolor=colour, edgecolor=GREY, linewidth=0.5, label=text) for colour, text in entries]
    figure.legend(handles=patches, loc="outside right center")
    of_one = "1 seed" if "seed" in verdicts.coords else ""  # else they are of all seeds together, as claims are
    notes = [f"the most frequent verdict of {seeds} seeds" if seeds > 1 else of_one, part_note]
    notes += [f"seeds differ in {divided} of {common.size} cells" if seeds > 1 else "", diverged_until_note(diverged)]
    dims = ["training" if dim == "check" else axis_words(*dim.split(", ")) for dim in (x, y)]
    set_title(figure, title or f"{capital(words(name))} over {' and '.join(dims)}", notes)
    return figure


def _flags(verdicts: xr.DataArray, name: str) -> tuple[np.ndarray, list[str]]:
    """The codes and names of the categories."""
    if not {"flag_values", "flag_meanings"} <= set(verdicts.attrs):
        raise ValueError(f"{name}: needs the attributes flag_values and flag_meanings to name its codes")
    codes, names = np.atleast_1d(verdicts.attrs["flag_values"]), str(verdicts.attrs["flag_meanings"]).split()
    if len(codes) != len(names):
        raise ValueError(f"{name}: {len(codes)} flag_values but {len(names)} flag_meanings")
    if len(names) > len(_COLOURS):
        raise ValueError(f"{name}: at most {len(_COLOURS)} categories can be distinguished by colour, not {len(names)}")
    return codes, names


def _most_frequent(verdicts: xr.DataArray, codes: np.ndarray) -> tuple[xr.DataArray, int]:
    """The place in `codes` of the most frequent verdict per cell, -1 for none, and in how many cells seeds differ."""
    verdicts = verdicts if "seed" in verdicts.dims else verdicts.expand_dims("seed")
    counts = xr.concat([(verdicts == code).sum("seed") for code in codes[::-1]], "code")
    place = (len(codes) - 1 - counts.argmax("code")).where(counts.sum("code") > 0, -1)
    return place, int(((counts > 0).sum("code") > 1).sum())


def _letters(names: Sequence[str]) -> list[str]:
    """The shortest beginning of each name that no other name shares."""

    def begins(name: str) -> str:
        others = [other for other in names if other != name]
        lengths = range(1, len(name))
        return next((name[:n] for n in lengths if not any(other.startswith(name[:n]) for other in others)), name)

    return [begins(name) for name in names]


def _draw_cells(axes: Axes, places: xr.DataArray, letters: Sequence[str] | None) -> None:
    values = np.ma.masked_less(places.values, 0)
    colours = ListedColormap(_COLOURS)
    edge = 0.6 if letters else 0.0
    norm = BoundaryNorm(np.arange(len(_COLOURS) + 1) - 0.5, len(_COLOURS))
    axes.grid(False)
    axes.pcolormesh(values, cmap=colours, norm=norm, edgecolors="white", linewidth=edge, rasterized=not letters)
    axes.spines[:].set_visible(False)
    if letters is None:
        return
    for (row, column), place in np.ndenumerate(places.values):
        if place >= 0:
            red, green, blue, _ = colours(int(place))
            ink = "white" if 0.3 * red + 0.59 * green + 0.11 * blue < 0.55 else "black"
            ink = GREY if place == 0 else ink
            axes.text(column + 0.5, row + 0.5, letters[place], ha="center", va="center", fontsize=7, color=ink)


def _labels(part: xr.DataArray, dim: str) -> list[str]:
    if dim == "layer" and "layer_name" in part.coords:
        return [str(name) for name in part["layer_name"].values]
    coordinate = part["check_step"] if dim == "check" and "check_step" in part.coords else part[dim]
    return value_labels(coordinate.values.tolist(), 3)
