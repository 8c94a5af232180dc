from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from jaxreg.claims import Reported, compare
from jaxreg.reporting import figures
from jaxreg.statistics import mean_interval
from tests.reporting.figures.reading import marks, words
from tests.synthetic import make_results

METHODS = ["none", "l2", "dropout+max_norm"]


def quantities(seeds: int = 5, diverged: int = 0) -> list[xr.DataArray]:
    results = make_results(axes={"method": METHODS}, seeds=seeds, diverged=diverged)
    return [results[name] for name in ("final_test_accuracy", "final_test_loss", "train_accuracy")]


def test_every_quantity_has_a_plot_and_every_value_a_row() -> None:
    drawn = quantities()
    figure = figures.value_rows(drawn, "method")
    assert len(figure.axes) == len(drawn)
    first = figure.axes[0]
    assert [label.get_text() for label in first.get_yticklabels()] == METHODS
    assert first.get_ylim()[0] > first.get_ylim()[1]  # the first value on top
    assert [axes.get_xlabel() for axes in figure.axes][1] == "test loss (nats)"
    for axes, quantity in zip(figure.axes, drawn, strict=True):
        ((points, _, (bars,)),) = axes.containers
        interval = mean_interval(quantity)
        np.testing.assert_allclose(np.asarray(points.get_xdata()), interval["mean"])
        ends = np.array([segment[:, 0] for segment in bars.get_segments()])
        np.testing.assert_allclose(ends, np.stack([interval["low"], interval["high"]], 1))
        assert len(np.asarray(marks(axes, "_seeds")[0].get_xdata())) == 15
    assert "mean of 5 seeds" in words(figure)


def test_the_baseline_is_the_mean_of_its_row() -> None:
    (accuracy, *_) = quantities()
    figure = figures.value_rows([accuracy], "method", baseline="l2")
    dashed = [line for line in figure.axes[0].lines if line.get_linestyle() == "--"]
    np.testing.assert_allclose(np.asarray(dashed[0].get_xdata()), float(accuracy.sel({"method": "l2"}).mean()))
    assert "dashed: mean at method = l2" in words(figure)


def test_reported_numbers_stand_in_the_row_of_their_method() -> None:
    results = make_results(axes={"method": METHODS}, seeds=4)
    entry = Reported("A5-0.01-test", "final_test_accuracy", {"method": "l2"}, 0.853, "test accuracy")
    figure = figures.value_rows([results["final_test_accuracy"]], "method", reported=compare(results, [entry]))
    (mark,) = marks(figure.axes[0], "reported by the source")
    assert (list(np.asarray(mark.get_xdata())), list(np.asarray(mark.get_ydata()))) == ([0.853], [1.0])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["reported by the source"]


def test_one_seed_has_no_bars_and_says_so() -> None:
    assert "1 seed, no interval" in words(figures.value_rows(quantities(seeds=1), "method"))


def test_many_quantities_wrap_and_labels_hide_what_is_zipped_with_a_method() -> None:
    results = make_results(axes={"method": METHODS}, zipped={"l2_strength": ("method", [0.0, 0.1, 0.0])}, seeds=2)
    six = [results["final_test_loss"].rename(f"loss {number}") for number in range(6)]
    figure = figures.value_rows(six, "method", title="All of them")
    assert len(figure.axes) == 6
    assert words(figure).startswith("All of them")
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == METHODS


def test_further_dimensions_are_refused() -> None:
    results = make_results(axes={"method": METHODS, "learning_rate": [0.1, 1.0]}, seeds=2)
    with pytest.raises(ValueError, match="learning_rate"):
        figures.value_rows([results["final_test_loss"]], "method")
