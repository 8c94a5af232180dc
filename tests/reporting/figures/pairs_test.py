from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from jaxreg.reporting import figures
from jaxreg.statistics import mean_interval
from tests.reporting.figures.reading import marks, words
from tests.synthetic import make_results

RATES = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0]
CENSORED = xr.DataArray(
    [[100.0, 200.0, 300.0], [150.0, 150.0, np.inf]],
    coords={"learning_rate": [0.1, 1.0], "seed": range(3)},
    name="steps_to_train",
    attrs={"units": "steps", "threshold": 0.85},
)


@pytest.mark.parametrize("rates", [RATES, list(np.logspace(-3, 0, 64))])
def test_a_line_joins_the_runs_of_a_seed(rates: list[float]) -> None:
    results = make_results(axes={"learning_rate": rates}, seeds=5)
    figure = figures.paired(results, "learning_rate")
    (axes,) = figure.axes
    values = results["final_test_accuracy"]
    for seed, line in enumerate(marks(axes, "_seed")):
        np.testing.assert_allclose(np.asarray(line.get_xdata()), rates)
        np.testing.assert_allclose(np.asarray(line.get_ydata()), values.isel(seed=seed), rtol=1e-6)
    (means,) = marks(axes, "_means")
    interval = mean_interval(values)
    np.testing.assert_allclose(np.asarray(means.get_ydata()), interval["mean"])
    ((_, _, (bars,)),) = axes.containers
    ends = np.array([segment[:, 1] for segment in bars.get_segments()])
    np.testing.assert_allclose(ends, np.stack([interval["low"], interval["high"]], 1))
    assert len(marks(axes, "_seed")) == 5
    assert axes.get_xscale() == "log"
    assert axes.get_ylabel() == "test accuracy (%)"
    assert "mean of 5 seeds, bars: 95 % t interval; thin lines join the runs of one seed" in words(figure)


def test_a_diverged_run_leaves_a_gap_in_its_line() -> None:
    results = make_results(axes={"method": ["none", "L2"]}, seeds=4, diverged=1)
    results["train_accuracy"][...] = 0.5  # the training accuracy of a diverged run is a number all the same
    (axes,) = figures.paired(results, "method", "train_accuracy").axes
    first, *others = marks(axes, "_seed")
    np.testing.assert_array_equal(np.isnan(np.asarray(first.get_ydata())), [False, True])
    assert not any(np.isnan(np.asarray(line.get_ydata())).any() for line in others)
    assert axes.texts[0].get_text().split() == ["1", "of", "4", "diverged"]


def test_censored_pairs_have_no_mean() -> None:
    figure = figures.paired(CENSORED, "learning_rate", log_y=True)
    (axes,) = figure.axes
    (edge,) = marks(axes, "_censored")
    assert np.asarray(edge.get_xydata()).tolist() == [[1.0, 1.0]]
    np.testing.assert_array_equal(np.asarray(marks(axes, "_means")[0].get_ydata()), [200, np.nan])
    assert axes.get_yscale() == "log"
    assert "no mean where a seed never got there" in words(figure)


@pytest.mark.parametrize("rates", [RATES, list(np.logspace(-3, 0, 64))])
def test_differences_are_those_of_the_pairs(rates: list[float]) -> None:
    results = make_results(axes={"learning_rate": rates}, seeds=5)
    figure = figures.differences(results, "learning_rate", rates[2], "final_test_loss")
    (axes,) = figure.axes
    values = results["final_test_loss"].astype(float)
    pairs = (values - values.isel(learning_rate=2)).drop_isel(learning_rate=2)
    interval = mean_interval(pairs)
    low, high = interval["low"].values, interval["high"].values
    apart = (low > 0) | (high < 0)
    (filled,), (empty,) = marks(axes, "_means"), marks(axes, "_open")
    np.testing.assert_allclose(np.asarray(filled.get_ydata()), interval["mean"].values[apart])
    np.testing.assert_allclose(np.asarray(empty.get_ydata()), interval["mean"].values[~apart])
    ((_, _, (bars,)),) = axes.containers
    np.testing.assert_allclose([segment[:, 1] for segment in bars.get_segments()], np.stack([low, high], 1))
    (dots,) = marks(axes, "_pairs")
    np.testing.assert_allclose(np.asarray(dots.get_ydata()), pairs.values.ravel(), rtol=1e-6)
    (reference,) = marks(axes, "_reference")
    assert np.asarray(reference.get_xydata()).tolist() == [[rates[2], 0.0]]
    assert axes.get_ylabel() == "difference in test loss (nats)"
    assert f"difference to learning rate = {rates[2]:.6g} mean of 5 paired differences" in words(figure)


def test_an_interval_that_holds_zero_is_open() -> None:
    values = [[0.0, 0.0, 0.0], [4.0, 5.0, 6.0], [-2.0, 0.0, 2.0]]  # t intervals 5 ± 2.48 and 0 ± 4.97
    results = xr.DataArray(values, coords={"method": ["none", "L1", "L2"], "seed": range(3)}, name="final_test_loss")
    (axes,) = figures.differences(results, "method", "none").axes
    assert np.asarray(marks(axes, "_means")[0].get_xydata()).tolist() == [[1, 5]]
    assert np.asarray(marks(axes, "_open")[0].get_xydata()).tolist() == [[2, 0]]
    half_width = 4.302653 / np.sqrt(3)  # t quantile at 2 degrees of freedom, s = 1
    (bars,) = axes.containers[0][2]
    np.testing.assert_allclose(bars.get_segments()[0][:, 1], [5 - half_width, 5 + half_width], rtol=1e-6)


def test_incomplete_pairs_are_left_out_and_counted() -> None:
    figure = figures.differences(CENSORED, "learning_rate", 0.1)
    (axes,) = figure.axes
    np.testing.assert_allclose(np.asarray(marks(axes, "_open")[0].get_ydata()), [0.0])  # 50 and -50
    assert "1 of 3 pairs left out" in words(figure)
    assert axes.texts[0].get_text().split() == ["1", "of", "3", "never", "reached", "0.85"]
    left, right = axes.get_xlim()
    assert left < 0.1 < 1.0 < right


def test_one_seed_has_no_interval_and_says_so() -> None:
    for figure in (
        figures.paired(make_results(seeds=1), "learning_rate"),
        figures.differences(make_results(seeds=1), "learning_rate", 0.1),
    ):
        assert "1 seed, no interval" in words(figure)


def test_a_reference_in_single_precision_is_found_and_an_unknown_one_refused() -> None:
    results = make_results(axes={"learning_rate": [0.1, 1.0]}, seeds=2)
    figures.differences(results, "learning_rate", np.float32(0.1))
    with pytest.raises(ValueError, match=r"reference=0\.2: no value of learning_rate, which has 0\.1, 1"):
        figures.differences(results, "learning_rate", 0.2)


def test_further_axes_are_refused() -> None:
    results = make_results(axes={"learning_rate": [0.1, 1.0], "activation": ["relu", "tanh"]}, seeds=2)
    with pytest.raises(ValueError, match="select one value of activation"):
        figures.paired(results, "learning_rate")
    with pytest.raises(ValueError, match="select one value of activation"):
        figures.differences(results, "learning_rate", 0.1)
