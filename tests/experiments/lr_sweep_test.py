"""What lr_sweep draws, and how soon each rate trains, as exactly as checks can tell."""

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


def reaching(steps: list[list[float]]) -> xr.Dataset:
    """Results that have a test accuracy of 0.9 from these steps on, [learning_rate, seed]; checked every 50 of 200."""
    rates = [0.00316228, 0.1, 1.0][: len(steps)]
    results = make_results(axes={"learning_rate": rates}, seeds=len(steps[0]), num_checks=5)
    from_there = results["check_step"] >= xr.DataArray(steps, dims=("learning_rate", "seed"))
    accuracy = 0.1 + 0.8 * from_there.transpose("learning_rate", "seed", "check")
    return results.assign(test_accuracy=accuracy)


def told(steps: list[list[float]]) -> str:
    return lr_sweep.answer(reaching(steps)).split("\n\n")[1]


def test_steps_to_train_say_how_often_it_was_looked_and_have_no_interval_of_no_width() -> None:
    assert told([[1e9, 1e9], [100, 100], [1e9, 150]]) == (
        "Steps to the first check at or above a test accuracy of 0.85 (checked every 50 steps): 100 in all seeds at "
        "0.1; in 1 of 2 seeds at 1; never at 0.00316."
    )


def test_their_interval_lies_within_the_run() -> None:
    assert told([[50, 100]]).endswith(": 75 (0 to 200) at 0.00316.")


def test_a_run_in_which_nothing_trains_says_so() -> None:
    assert told([[1e9, 1e9], [1e9, 1e9]]) == "No rate reaches a test accuracy of 0.85."
