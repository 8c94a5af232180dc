from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from jaxreg.measures import stopping
from jaxreg.reporting import figures
from jaxreg.statistics import mean_interval
from tests.reporting.figures.reading import bands, legend_texts, lines, marks, words
from tests.synthetic import make_results


def overfitted(seeds: int = 4) -> xr.Dataset:
    """Validation losses that are lowest after 10, 11, 12, ... of 20 checks of 50 steps and rise after that."""
    results = make_results(axes={}, seeds=seeds, num_checks=21)
    lowest = 10 + np.arange(seeds)[:, None]
    results["validation_loss"][:] = 1 + 0.01 * np.abs(np.arange(21) - lowest)
    results["best_check"][:] = lowest[:, 0]
    return results.assign_coords(patience=5, after_stop="continue")


def test_stops_are_dots_and_their_median_a_line_through_both_panels() -> None:
    figure = figures.stopping_points(overfitted(), (1, 5), marks={300: "here"})
    upper, lower = figure.axes
    dots = [np.asarray(mark.get_xydata()) for mark in marks(lower, "_seeds")]
    np.testing.assert_array_equal(dots[0], [[550, 0], [600, 0], [650, 0], [700, 0]])
    np.testing.assert_array_equal(dots[1], [[750, 1], [800, 1], [850, 1], [900, 1]])
    np.testing.assert_array_equal(dots[2], [[500, 2], [550, 2], [600, 2], [650, 2]])
    for axes in (upper, lower):
        assert [np.asarray(mark.get_xdata())[0] for mark in marks(axes, "_stop")] == [625, 825, 575]
        assert len(marks(axes, "_mark")) == 1
    assert [label.get_text() for label in lower.get_yticklabels()] == ["patience 1", "patience 5", "lowest loss"]
    assert upper.texts[0].get_text() == "here"


def test_losses_are_means_in_bands_and_the_training_loss_one_point_for_each_check() -> None:
    results = overfitted()
    figure = figures.stopping_points(results, (1, 5, 10))
    train, validation = lines(figure.axes[0])
    assert legend_texts(figure.axes[0]) == ["training loss", "validation loss"]
    np.testing.assert_allclose(np.asarray(validation.get_ydata()), mean_interval(results["validation_loss"])["mean"])
    blocks = results["train_loss"].values.reshape(4, 20, 50).mean(2)
    np.testing.assert_allclose(np.asarray(train.get_ydata()), blocks.mean(0), rtol=1e-5)
    assert len(bands(figure.axes[0])) == 2
    assert figure.axes[0].get_yscale() == "log"
    assert "mean over 50 steps" in words(figure)


def test_members_that_never_stop_are_counted_and_have_no_median_once_they_are_half() -> None:
    results = overfitted()
    lower = figures.stopping_points(results, (8, 10)).axes[1]  # stops at checks 18, 19, 20, never; and 20, never
    assert [text.get_text() for text in lower.texts] == ["1 of 4 never", "3 of 4 never"]
    assert [np.asarray(mark.get_ydata())[0] for mark in marks(lower, "_median")] == [0, 2]


def test_diverged_members_are_left_out_of_the_stops() -> None:
    results = overfitted()
    results["diverged_step"][0] = 700
    results["validation_loss"][0, 15:] = np.nan
    figure = figures.stopping_points(results, (1,))
    assert len(np.asarray(marks(figure.axes[1], "_seeds")[0].get_xdata())) == 3
    assert "1 of 4 members diverged" in words(figure)


def test_a_setting_must_be_selected_and_patience_be_few() -> None:
    with pytest.raises(ValueError, match="select one value of learning_rate"):
        figures.stopping_points(make_results(), (1,))
    with pytest.raises(ValueError, match="at most 4"):
        figures.stopping_points(overfitted(), (1, 2, 3, 4, 5))


def test_costs_are_paired_differences_over_seeds() -> None:
    results = overfitted()
    figure = figures.stopping_cost(results, (1, 5))
    stops = stopping(results, (1, 5))
    saved, loss, accuracy = (
        [np.asarray(points.get_ydata()) for points, _, _ in axes.containers] for axes in figure.axes
    )
    np.testing.assert_allclose(saved[0], 100 * stops["saved"].mean("seed"))
    np.testing.assert_allclose(
        loss[0], (stops["kept_validation_loss"] - results["final_validation_loss"]).mean("seed"), rtol=1e-5
    )
    np.testing.assert_allclose(
        accuracy[1], 100 * (stops["kept_test_accuracy"] - results["best_test_accuracy"]).mean("seed"), rtol=1e-5
    )
    assert legend_texts(figure.axes[2]) == ["after the last step", "at the best check of all"]
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["1", "5"]
    assert "4 of 8 never stop" in words(figures.stopping_cost(results, (1, 15)))


def test_the_time_of_a_step_and_who_still_trains() -> None:
    results = make_results(axes={"patience": [1, 5], "after_stop": ["halt", "continue"]}, seeds=2, num_checks=5)
    results["validation_loss"][0, 0, :, 3:] = np.nan
    seconds = np.array([[0.0, 1.0, 2.0, 2.5, 3.0], [0.0, 1.0, 2.0, 3.0, 4.0]])
    figure = figures.cost_of_steps(results.assign_coords(seconds=(("after_stop", "check"), seconds)))
    upper, lower = figure.axes
    assert legend_texts(upper) == ["halt: 3 s", "continue: 4 s"]
    np.testing.assert_allclose(np.asarray(upper.lines[0].get_ydata()), [20, 20, 10, 10])  # ms, 50 steps a check
    np.testing.assert_allclose(np.asarray(lower.lines[0].get_ydata()), [100, 100, 50, 50])
    np.testing.assert_allclose(np.asarray(lower.lines[1].get_ydata()), 100)
    assert len(figures.cost_of_steps(make_results(seeds=2)).axes[0].lines) == 1
