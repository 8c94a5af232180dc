"""Names of the user's stand in figures as they are: no formula, however many dollar signs they hold, and no novel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.text import Text

from jaxreg.claims import Judgement
from jaxreg.reporting import figures
from tests.experiments.watched import watched
from tests.reporting.figures.moments_test import expectation, ratios
from tests.reporting.figures.propagation_test import at_start
from tests.reporting.figures.reading import words
from tests.synthetic import add_surfaces, make_results

NAMES = ["a$_$", "$x_{$", r"c\$d^"]
MADE = make_results(axes={"choice": NAMES, "learning_rate": [0.1, 1.0]}, seeds=2, num_checks=4, eval_every=5)
ALONG = MADE.isel(learning_rate=0)
ONE = ALONG.isel(choice=0)


def confused() -> xr.DataArray:
    counts = xr.DataArray(np.arange(9).reshape(3, 3), dims=("label", "prediction"))
    return counts.assign_coords(label=NAMES, prediction=NAMES)


def diagnosed() -> xr.DataArray:
    codes = xr.DataArray(np.eye(3, dtype=int), dims=("choice", "layer"), coords={"choice": NAMES}, name="verdict")
    return codes.assign_attrs(flag_values=np.arange(2), flag_meanings="well bad")


def judged() -> Judgement:
    return Judgement(NAMES[1], NAMES[0], "supported", "because", 9, "1", ())


def of_strengths() -> xr.DataArray:
    results = make_results(axes={"method": ["l2", "max_norm"], "l2_strength": [0.0, 1e-3, 1e-2]}, seeds=2, num_checks=3)
    return results["final_test_loss"].assign_coords(max_norm=("l2_strength", [np.inf, 2.0, 1.0])).rename(NAMES[1])


def distributed() -> xr.DataArray:
    results = watched({"choice": NAMES}, layers=2, seeds=1)
    return results["weights_histogram"].isel(layer=0, seed=0)


DRAWN: dict[str, Callable[[], Figure]] = {
    "confusion": lambda: figures.confusion(confused(), title=NAMES[1]),
    "cost_of_steps": lambda: figures.cost_of_steps(ONE),
    "curves": lambda: figures.curves(ALONG, "test_loss", log_y=True, title=NAMES[1]),
    "curves of two axes": lambda: figures.curves(MADE, "test_accuracy"),
    "decision_surfaces": lambda: figures.decision_surfaces(add_surfaces(ALONG), "choice"),
    "differences": lambda: figures.differences(ALONG, "choice", NAMES[0]),
    "evidence": lambda: figures.evidence([judged()], title=NAMES[1]),
    "fluctuations": lambda: figures.fluctuations(
        make_results(axes={"batch_size": [1, 10]}, seeds=2).assign_attrs(train_examples=100, test_examples=50),
        title=NAMES[1],
    ),
    "heat_map": lambda: figures.heat_map(MADE, "final_test_accuracy", "choice", "learning_rate"),
    "histograms_over_time": lambda: figures.histograms_over_time(distributed()),
    "layer_histograms": lambda: figures.layer_histograms(
        watched({"choice": NAMES}, layers=2, seeds=1).isel(choice=1), ("weights",), title=NAMES[1]
    ),
    "paired": lambda: figures.paired(ALONG, "choice", log_y=True),
    "panels": lambda: figures.panels(ALONG, "choice", log_y=True),
    "spread": lambda: figures.spread(ONE, title=NAMES[1]),
    "stopping_cost": lambda: figures.stopping_cost(ONE, (1, 2), title=NAMES[1]),
    "stopping_points": lambda: figures.stopping_points(ONE, (1,), marks={10: NAMES[1]}),
    "strengths": lambda: figures.strengths(of_strengths(), log_y=True),
    "value_against": lambda: figures.value_against(MADE, "choice"),
    "value_rows": lambda: figures.value_rows([ALONG["final_test_accuracy"].rename(NAMES[1])], "choice"),
    "verdict_map": lambda: figures.verdict_map(diagnosed(), "layer", "choice"),
    "views": lambda: figures.views(ALONG, "test_loss"),
    "weight_images": lambda: figures.weight_images(np.eye(4), (2, 2), title=NAMES[1]),
}
DRAWN |= {
    "moment_ratios": lambda: figures.moment_ratios(ratios(), {NAMES[1]: expectation()}, "beta2", title=NAMES[1]),
    "signal_propagation": lambda: figures.signal_propagation(at_start(), "init_variance", title=NAMES[1]),
}


def texts_of(figure: Figure) -> list[Any]:
    return figure.findobj(Text)


@pytest.mark.parametrize("name", DRAWN)
def test_a_dollar_sign_is_no_formula(name: str) -> None:
    figure = DRAWN[name]()
    figure.draw_without_rendering()  # again, outside the style that it was drawn in
    texts = [text for text in texts_of(figure) if text.get_text()]
    assert not any(text.get_parse_math() for text in texts)
    assert not [text.get_text() for text in texts if "mathdefault" in text.get_text() and text.get_visible()]


def test_every_figure_is_drawn_with_such_names() -> None:
    functions = {name for name in figures.__all__ if callable(getattr(figures, name)) and name.islower()}
    assert functions - {"save"} == {name.split(" ")[0] for name in DRAWN}


def test_names_stand_in_the_figure_as_they_are() -> None:
    figure = DRAWN["confusion"]()
    ticks = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert ticks == NAMES
    assert words(figure).startswith(NAMES[1])


def test_a_name_of_a_megabyte_is_cut_short() -> None:
    long = ["a" * 1_000_000, "a" * 1_000_001, "b"]
    figure = figures.confusion(confused().assign_coords(label=long, prediction=long))
    ticks = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert len(set(ticks)) == 3
    assert max(len(text.get_text()) for text in texts_of(figure)) < 1000
    curves = figures.curves(ALONG.assign_coords(choice=long), "test_loss")
    assert max(len(text.get_text()) for text in texts_of(curves)) < 1000


def test_a_name_is_no_markup_in_the_page(tmp_path: Path) -> None:
    evil = ["<script>alert(1)</script>", "&amp;", "c"]
    figure = figures.confusion(confused().assign_coords(label=evil, prediction=evil))
    text = figures.save(figure, tmp_path, "confusion")[1].read_text()
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "&amp;amp;" in text
