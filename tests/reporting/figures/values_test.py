from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from jaxreg.claims import Reported, compare
from jaxreg.measures import steps_to_train
from jaxreg.reporting import figures
from jaxreg.statistics import mean_interval
from tests.reporting.figures.reading import legend_texts, marks, words
from tests.synthetic import make_results

RATES = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0]


@pytest.mark.parametrize(
    ("values", "scale"), [(RATES, "log"), ([0.0, 0.1, 2.0], "linear"), ([1, 10], "linear"), ([1, 2, 100], "log")]
)
def test_x_is_logarithmic_beyond_a_decade_of_positive_values(values: list[float], scale: str) -> None:
    axes = figures.value_against(make_results(axes={"l2_strength": values}, seeds=2), "l2_strength").axes[0]
    assert axes.get_xscale() == scale


def test_numbers_of_which_one_is_infinite_are_categories() -> None:
    axes = figures.value_against(make_results(axes={"max_norm": [1.0, 3.0, np.inf]}, seeds=2), "max_norm").axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "3", "inf"]
    np.testing.assert_array_equal(axes.get_xticks(), [0, 1, 2])


def test_points_and_bars_are_those_of_mean_interval() -> None:
    results = make_results(axes={"learning_rate": RATES}, seeds=5)
    figure = figures.value_against(results, "learning_rate", "final_test_loss")
    axes = figure.axes[0]
    interval = mean_interval(results["final_test_loss"])
    ((points, _, (bars,)),) = axes.containers
    np.testing.assert_allclose(np.asarray(points.get_ydata()), interval["mean"])
    ends = np.array([segment[:, 1] for segment in bars.get_segments()])
    np.testing.assert_allclose(ends, np.stack([interval["low"], interval["high"]], 1))
    assert len(np.asarray(marks(axes, "_seeds")[0].get_ydata())) == 35
    assert axes.get_ylabel() == "test loss (nats)"
    assert [label.get_text() for label in axes.get_xticklabels()] == [f"{rate:g}" for rate in RATES]
    assert "bars: 95 % t interval; dots: single seeds" in words(figure)


def test_other_axes_become_lines() -> None:
    results = make_results(axes={"learning_rate": RATES, "batch_size": [10, 100, 1000]}, seeds=2)
    axes = figures.value_against(results, "learning_rate").axes[0]
    assert len(axes.containers) == 3
    assert legend_texts(axes) == ["10", "100", "1000"]
    many = make_results(axes={"learning_rate": RATES[:2], "batch_size": list(range(1, 14))}, seeds=2)
    figure = figures.value_against(many, "learning_rate")
    assert len(figure.axes) == 2
    assert figure.axes[1].get_ylabel() == "batch size (examples)"


@pytest.mark.parametrize("kind", ["numbers", "names"])
def test_diverged_members_are_counted_at_their_setting(kind: str) -> None:
    name, values = ("learning_rate", RATES) if kind == "numbers" else ("method", ["none", "L2"])
    results = make_results(axes={name: list(values)}, seeds=10, diverged=3)
    figure = figures.value_against(results, name)
    (note,) = figure.axes[0].texts
    assert note.get_text().split() == ["3", "of", "10", "diverged"]
    across = (
        figure.axes[0]
        .transAxes.inverted()
        .transform(figure.axes[0].transData.transform((values[-1] if kind == "numbers" else len(values) - 1, 0.5)))[0]
    )
    np.testing.assert_allclose(note.xy[0], across)  # type: ignore[attr-defined]


def test_crowded_counts_move_below_the_title() -> None:
    results = make_results(axes={"learning_rate": list(np.logspace(-3, 0, 64))}, seeds=2)
    figure = figures.value_against(steps_to_train(results, 0.8), "learning_rate")
    assert not figure.axes[0].texts
    never = int(np.isinf(steps_to_train(results, 0.8)).sum())
    assert f"{never} of 128 never reached 0.8" in words(figure)


def test_reported_numbers_are_marked_and_fitted_ones_apart() -> None:
    results = make_results(axes={"learning_rate": [np.float32(rate) for rate in RATES]}, seeds=3)
    declared = [
        Reported(
            *(f"A5-{rate:g}-test", "final_test_accuracy", {"learning_rate": rate}, value, "test accuracy"),
            fitted=rate != 0.01,
        )
        for rate, value in {0.001: 0.4176, 0.005: 0.7239, 0.01: 0.853}.items()
    ]
    declared.append(
        Reported("A5-0.01-loss", "final_test_batch_loss", {"learning_rate": 0.01}, 0.6414, "test batch loss")
    )
    axes = figures.value_against(results, "learning_rate", reported=compare(results, declared)).axes[0]
    (evidence,) = marks(axes, "reported by the source")
    (fitted,) = marks(axes, "reported by the source\n(fitted: no evidence)")
    np.testing.assert_allclose(np.asarray(evidence.get_xydata()), [[0.01, 0.853]], rtol=1e-6)
    np.testing.assert_allclose(np.asarray(fitted.get_ydata()), [0.4176, 0.7239])
    assert evidence.get_markerfacecolor() != fitted.get_markerfacecolor()
    assert "reported by the source" in legend_texts(axes)
    nothing = figures.value_against(results, "learning_rate", reported=compare(results, [])).axes[0]
    assert legend_texts(nothing) == []


def test_censored_members_sit_at_the_upper_edge_without_a_mean() -> None:
    values = xr.DataArray(
        [[100.0, 200.0, 300.0], [100.0, np.inf, np.inf]],
        coords={"learning_rate": [0.1, 1.0], "seed": range(3)},
        name="steps_to_train",
        attrs={"units": "steps", "threshold": 0.85},
    )
    figure = figures.value_against(values, "learning_rate")
    axes = figure.axes[0]
    (censored,) = marks(axes, "_censored")
    assert np.asarray(censored.get_xydata()).tolist() == [[1.0, 1.0]]
    assert censored.get_marker() == "^"
    ((points, _, _),) = axes.containers
    np.testing.assert_array_equal(np.asarray(points.get_ydata()), [200, np.nan])
    assert axes.texts[0].get_text().split() == ["2", "of", "3", "never", "reached", "0.85"]
    assert axes.get_ylabel() == "steps to train"
    assert "no mean where a seed never got there" in words(figure)


def test_values_with_further_dimensions_are_refused() -> None:
    with pytest.raises(ValueError, match="select one value of check"):
        figures.value_against(make_results(), "learning_rate", "test_loss")


@pytest.mark.parametrize(
    ("values", "scale"), [([10.0, 100.0], "log"), ([10.0, 10.0], "linear"), ([0.0, 10.0], "linear")]
)
def test_y_is_logarithmic_where_values_are_positive_and_differ(values: list[float], scale: str) -> None:
    steps = xr.DataArray([values] * 2, coords={"batch_size": [1, 10], "seed": [0, 1]}, name="steps_to_train")
    assert figures.value_against(steps, "batch_size", log_y=True).axes[0].get_yscale() == scale
