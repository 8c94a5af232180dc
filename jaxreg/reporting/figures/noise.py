"""How much losses fluctuate, and how that depends on the size of the batch."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from jaxreg.measures import expected_fluctuation, fluctuation
from jaxreg.measures.outcomes import num_trained_on
from jaxreg.reporting.figures.choice import dots_note
from jaxreg.reporting.figures.data import require_dims, value_data
from jaxreg.reporting.figures.keys import looks_of
from jaxreg.reporting.figures.style import Figure, set_title, shows, single_axes, styled
from jaxreg.reporting.figures.ticks import Scale, hold_values, label_values, set_plain_ticks
from jaxreg.reporting.figures.values import count_above, draw_values
from jaxreg.reporting.figures.words import quantity_words, replicates_note

LOSSES = {  # those that fluctuate, and the set whose sampling makes them do so
    "train_loss": "train_examples",
    "test_batch_loss": "test_examples",
    "test_loss": "train_examples",
}
_POINTS = 400  # of a line


@styled
def fluctuations(
    results: xr.Dataset, *, last_steps: int = 1000, relative: bool = False, title: str | None = None
) -> Figure:
    """The fluctuation at the end of training against batch size B, both logarithmic, with c * sqrt(1/B - 1/N) for each.

    Of the loss of the training batch, of one test batch and of the whole test set, as `measures.fluctuation` defines
    it: means over seeds with 95 % t bars, single seeds as faint dots. c is fitted, in the mean of the logarithms. N is
    the number of examples that the batches are drawn from: test examples for the test batch, training examples for the
    others. The line falls to zero at B = N, off the scale; a fluctuation of exactly zero is an arrowhead at the lower
    edge. Losses with too few records in the last steps are left out.

    Args:
      results: labelled results, dimensions [batch_size, seed, ...], with `train_examples` and `test_examples` in attrs.
      last_steps: how many steps before the last one count.
      relative: as a fraction of the mean loss over these steps.
      title: first line of the title, in place of the usual one.

    Raises:
      ValueError: another axis has several values (select one first), or no loss has enough records.
    """
    drawn = _measured(results, last_steps, relative)
    if not drawn:
        raise ValueError(f"fluctuations: fewer than three records of each loss in the last {last_steps} steps")
    figure, axes = single_axes()
    axes.set(xscale="log", yscale="log")
    looks = looks_of([tuple(LOSSES)])
    scale = dataclasses.replace(Scale.of(next(iter(drawn.values()))["batch_size"]), is_log=True)
    hold_values(axes, scale)
    for i, (name, data) in enumerate(drawn.items()):
        at = scale.dodged((i - (len(drawn) - 1) / 2) / 4)
        draw_values(axes, at, data, quantity_words(name), looks[name][0], "none")
        if (zero := data["mean"].values == 0).any():
            edge: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "clip_on": False, "mfc": "white"}
            axes.plot(at[zero], np.zeros(zero.sum()), "v", color=looks[name][0], label="_zero", **edge)
    low, high = _view(axes, list(drawn.values()))
    for name, data in drawn.items():
        drawn_from = LOSSES[name]
        of = num_trained_on(results) if drawn_from == "train_examples" else results.attrs[drawn_from]
        _draw_expected(axes, data, int(of), looks[name])
    axes.set_ylim(low, high)
    set_plain_ticks(axes.yaxis)
    first = next(iter(drawn.values()))
    label_values(axes, first, "batch_size", scale)
    of = "share of the loss" if relative else str(first["values"].attrs.get("units", "1"))
    axes.set_ylabel(f"fluctuation ({of})")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
    notes = [replicates_note(first, "bars"), dots_note(first.sizes["seed"], first.sizes["batch_size"])]
    notes += ["lines: √(1/B - 1/N), fitted in height" if shows(figure, "_expected") else ""]
    notes += [f"over the last {last_steps} steps"]
    notes += ["cross: all seeds diverged" if shows(figure, "_lost") else ""]
    notes += count_above(axes, first, "batch_size", scale.positions)
    set_title(figure, title or f"{'Relative f' if relative else 'F'}luctuation of the loss against batch size", notes)
    return figure


def _measured(results: xr.Dataset, last_steps: int, relative: bool) -> dict[str, xr.Dataset]:
    """For each loss that fluctuates the values over batch size, [batch_size, seed]."""
    measured = {}
    for name in LOSSES:
        values = fluctuation(results, name, last_steps, relative=relative)
        if not bool(values.notnull().any()):
            continue
        held = xr.Dataset({name: values, "diverged_step": results["diverged_step"]})
        data = value_data(held, name, ("batch_size",))
        require_dims(data["values"], ("batch_size", "seed"), name)
        measured[name] = data.transpose("batch_size", "seed")
    return measured


def _view(axes: Axes, drawn: list[xr.Dataset]) -> tuple[float, float]:
    """Limits of y that hold all means and seeds."""
    values = np.concatenate([data["values"].values.ravel() for data in drawn])
    values = values[np.isfinite(values) & (values > 0)]
    if not values.size:
        return axes.get_ylim()
    return values.min() / 1.5, values.max() * 1.5


def _draw_expected(axes: Axes, data: xr.Dataset, num_examples: int, look: tuple[str, str, str]) -> None:
    """The line c * sqrt(1/B - 1/N), with the c that leaves no mean deviation of the logarithms."""
    size, mean = data["batch_size"].values.astype(float), data["mean"].values
    expected = expected_fluctuation(size, num_examples)
    fits = (expected > 0) & (mean > 0)
    if not fits.any():
        return
    height = np.exp(np.mean(np.log(mean[fits] / expected[fits])))
    values = expected.max() * np.geomspace(1.0, 1e-6, _POINTS)  # at even steps of log y, down to B = N
    at = 1 / (values**2 + 1 / num_examples)
    axes.plot(at, height * values, color=look[0], linestyle=look[1], linewidth=1.0, label="_expected")
