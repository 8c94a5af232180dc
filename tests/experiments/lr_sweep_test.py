from __future__ import annotations

import pytest
import xarray as xr

from experiments import lr_sweep
from jaxreg.study import ReportFigure
from tests.reporting.figures.reading import marks
from tests.synthetic import make_results


def results_of(dataset: str) -> xr.Dataset:
    results = make_results(axes={"learning_rate": [0.001, 0.005, 0.01, 0.1]}, seeds=3, num_checks=5, diverged=3)
    return results.assign_coords({**lr_sweep.SOURCE, "dataset": dataset})


@pytest.mark.parametrize(("dataset", "printed"), [("mnist", True), ("digits", False)])
def test_a_caption_speaks_of_the_source_s_numbers_where_they_are_drawn(dataset: str, printed: bool) -> None:
    drawn: dict[str, ReportFigure] = {figure.name: figure for figure in lr_sweep.draw(results_of(dataset))}
    figure = drawn["accuracy_against_learning_rate"]
    assert ("numbers that the source prints" in figure.caption) is printed
    assert bool(marks(figure.figure.axes[0], "reported by the source\n(fitted: no evidence)")) is printed


def test_a_rate_that_diverged_is_in_the_figures_against_rate() -> None:
    drawn = {figure.name: figure.figure for figure in lr_sweep.draw(results_of("digits"))}
    for name in ("accuracy_against_learning_rate", "steps_against_learning_rate"):
        axes = drawn[name].axes[0]
        assert axes.get_xlim()[1] > 0.1
        assert "3 of 3 diverged" in [" ".join(text.get_text().split()) for text in axes.texts]
