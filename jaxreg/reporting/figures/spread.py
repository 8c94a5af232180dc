"""How a value spreads over the seeds of one setting: what chance alone does to a single run."""

from __future__ import annotations

import numpy as np
import xarray as xr

from jaxreg.measures import setting_dims
from jaxreg.reporting.figures.data import value_data
from jaxreg.reporting.figures.style import OKABE_ITO, Figure, set_title, single_axes, styled
from jaxreg.reporting.figures.ticks import label_quantity
from jaxreg.reporting.figures.words import is_share, part_of, quantity_in_full

MIDDLE = 95  # per cent of the seeds that are shaded


@styled
def spread(results: xr.Dataset, variable: str = "final_test_accuracy", *, title: str | None = None) -> Figure:
    """The histogram of a value over the seeds of one setting, the middle 95 % of the seeds shaded, their mean a line.

    Of accuracies, which are counts of examples, every bin holds as many counts as the others.

    Args:
      results: labelled results of one setting, [seed].
      variable: a variable with one value per member.
      title: first line of the title, in place of the usual one.

    Raises:
      ValueError: several settings (select one first), or fewer than two seeds that did not diverge.
    """
    if dims := setting_dims(results[variable]):
        raise ValueError(f"spread: select one of {', '.join(dims)} first")
    data = value_data(results, variable, [])
    seeds = data["values"].where(~data["diverged"]).values
    seeds = seeds[np.isfinite(seeds)]
    if len(seeds) < 2:
        raise ValueError(f"spread: {variable} has fewer than two seeds")
    figure, axes = single_axes()
    low, high = np.quantile(seeds, [0.5 - MIDDLE / 200, 0.5 + MIDDLE / 200])
    axes.axvspan(float(low), float(high), color=OKABE_ITO[0], alpha=0.15, lw=0)
    axes.hist(
        seeds,
        bins=_bins(seeds, _resolution(results, variable)).tolist(),
        color=OKABE_ITO[0],
        edgecolor="white",
        linewidth=0.4,
    )
    axes.axvline(float(seeds.mean()), color="black", lw=1.2)
    label_quantity(axes.xaxis, variable, results[variable])
    axes.set_ylabel("number of seeds")
    unit, sign = (100, " %") if is_share(variable, results[variable]) else (1, "")
    notes = [f"line: mean {unit * seeds.mean():.4g}{sign}, standard deviation {unit * seeds.std(ddof=1):.2g}{sign}"]
    notes += [f"shaded: the middle {MIDDLE} % of {len(seeds)} seeds, {unit * low:.4g} to {unit * high:.4g}{sign}"]
    notes += [f"lowest {unit * seeds.min():.4g}{sign}, highest {unit * seeds.max():.4g}{sign}"]
    if lost := int(data["diverged"].sum()):
        notes.append(f"{lost} more diverged")
    set_title(figure, title or f"The same setting with other seeds: {quantity_in_full(variable)}", notes)
    return figure


def _resolution(results: xr.Dataset, variable: str) -> float:
    """The distance between values that an accuracy can have, 1 / examples; 0 where it is not known, or none."""
    name = variable.removeprefix("final_").removeprefix("best_")
    examples = results.attrs.get(f"{part_of(name)}_examples") if name.endswith("accuracy") else None
    return 1 / int(examples) if examples else 0.0


def _bins(values: np.ndarray, resolution: float) -> np.ndarray:
    """The edges of the bins: of a width by NumPy's rule, between possible values and so that as many lie in each."""
    edges = np.histogram_bin_edges(values, bins="auto")
    if not resolution:
        return edges
    together = max(1, round((edges[1] - edges[0]) / resolution))
    first, last = (round(float(end) / resolution) for end in (values.min(), values.max()))
    number = (last - first) // together + 1
    return np.asarray((first - 0.5 + together * np.arange(number + 1)) * resolution)
