"""A setting whose seeds all diverged stays in every figure, named as diverged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from jaxreg.measures import steps_to_train, with_divergence
from jaxreg.reporting import figures
from jaxreg.reporting.defaults import default_figures
from tests.experiments.watched import watched
from tests.reporting.figures.reading import legend_texts, marks, words
from tests.synthetic import make_results

RATES = [0.1, 1.0, 10.0, 100.0, 1000.0]
ALL = "(2 of 2 diverged)"


def lost(axes: dict[str, list[Any]] | None = None, first: int = 3, **changes: Any) -> xr.Dataset:
    """Results in which every seed of the rates from the `first` on diverged before it was measured."""
    results = make_results(axes=axes or {"learning_rate": RATES}, **({"seeds": 2, "num_checks": 5} | changes))
    gone = results["learning_rate"] > RATES[first - 1]
    for name, values in results.data_vars.items():
        if values.dtype.kind == "f":
            results[name] = values.where(~gone).assign_attrs(values.attrs)
    results["diverged_step"] = results["diverged_step"].where(~gone, 0)
    return results.assign_attrs(train_examples=1000, test_examples=300)


def errors(results: xr.Dataset) -> xr.DataArray:
    return with_divergence((1 - results["final_test_accuracy"]).rename("final_test_error"), results)


def strengths() -> xr.DataArray:
    results = lost().rename(learning_rate="l2_strength")
    return errors(results).expand_dims(method=["l2"])


BATCHES: dict[str, list[Any]] = {"learning_rate": [1.0, 1000.0], "batch_size": [1, 30]}
DRAWN: dict[str, Callable[[], Figure]] = {
    "value_against": lambda: figures.value_against(lost(), "learning_rate"),
    "steps": lambda: figures.value_against(
        with_divergence(steps_to_train(lost(), 0.5), lost()), "learning_rate", log_y=True
    ),
    "paired": lambda: figures.paired(lost(), "learning_rate"),
    "differences": lambda: figures.differences(lost(), "learning_rate", 0.1),
    "strengths": lambda: figures.strengths(strengths()),
}


@pytest.mark.parametrize("name", list(DRAWN))
def test_its_value_stays_on_the_axis_with_a_cross_and_a_count(name: str) -> None:
    figure = DRAWN[name]()
    axes = figure.axes[0]
    low, high = axes.get_xlim()
    assert low < RATES[0]
    assert RATES[-1] < high
    at = np.concatenate([np.asarray(mark.get_xdata()) for mark in marks(axes, "_lost")])
    assert at.tolist() == RATES[3:]
    assert "cross: all seeds diverged" in words(figure)
    texts = [" ".join(text.get_text().split()) for text in axes.texts]
    assert len([text for text in texts if text.startswith("2 of 2 diverged") or text.startswith("2 diverged at")]) == 2
    renderer: Any = FigureCanvasAgg(figure).get_renderer()
    for text in axes.texts:
        box = text.get_window_extent(renderer)
        assert 0 <= box.x0 < box.x1 <= figure.bbox.width


def test_a_reference_that_diverged_is_named() -> None:
    figure = figures.differences(lost(), "learning_rate", 1000.0)
    assert "no differences: all seeds of the reference diverged" in words(figure)


@pytest.mark.parametrize("variable", ["test_loss", "train_loss"])
def test_curves_hold_a_cross_at_the_start_and_count_it_in_the_legend(variable: str) -> None:
    for figure in (figures.curves(lost(), variable, log_y=True), figures.views(lost(), variable)):
        axes = figure.axes[-1]
        assert [text.split("\n")[-1] for text in legend_texts(axes)] == ["0.1", "1", "10", ALL, ALL]
        assert len(marks(figure.axes[0], "_end")) == 4
        assert "4 of 10 members diverged, left out of the mean (all seeds at learning rate 100, 1000)" in words(figure)


def test_a_legend_of_two_axes_and_a_colour_bar_name_it_too() -> None:
    two = figures.curves(lost({"learning_rate": RATES, "batch_size": [1, 30]}), "test_loss")
    assert "100\n(4 of 4 diverged)" in legend_texts(two.axes[0])
    assert "30\n(4 of 10 diverged)" in legend_texts(two.axes[0])
    many = figures.curves(lost({"learning_rate": [*np.linspace(0.1, 10, 12), 1000.0]}), "test_loss")
    assert "(all seeds at learning rate 1000)" in words(many)


def test_lost_settings_are_named_by_the_axis_that_loses_them() -> None:
    figure = figures.curves(lost({"learning_rate": RATES, "batch_size": [1, 30]}), "test_loss")
    assert "(all seeds at learning rate 100, 1000)" in words(figure)


def test_ratios_of_a_panel_that_diverged_say_so() -> None:
    ratio = xr.DataArray(
        np.where([[[False]], [[True]]], np.nan, np.ones((2, 2, 3))), dims=("learning_rate", "seed", "t"), name="ratio"
    ).assign_coords(
        t=[1, 2, 3], learning_rate=[0.1, 1e30], diverged_step=(("learning_rate", "seed"), [[-1, -1], [1, 1]])
    )
    figure = figures.moment_ratios(ratio, {"one": xr.ones_like(ratio.isel(seed=0, learning_rate=0, drop=True))})
    assert [axes.get_title() for axes in figure.axes] == ["learning rate = 0.1", f"learning rate = 1e+30\n{ALL}"]


def test_a_column_of_panels_says_so() -> None:
    figure = figures.panels(lost(), "learning_rate")
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles[2:] == ["learning rate = 10", f"learning rate = 100\n{ALL}", f"learning rate = 1000\n{ALL}"]


def test_rows_and_cells_keep_their_place() -> None:
    results = lost()
    rows = figures.value_rows([errors(results)], "learning_rate")
    labels = [label.get_text() for label in rows.axes[0].get_yticklabels()]
    assert labels == ["0.1", "1", "10", f"100\n{ALL}", f"1000\n{ALL}"]
    cells = figures.heat_map(lost(BATCHES), "final_test_accuracy", "learning_rate", "batch_size")
    assert {x for mark in marks(cells.axes[0], "diverged") for x in np.asarray(mark.get_xdata())} == {1.5}


def test_lines_of_a_further_axis_are_counted_in_the_legend() -> None:
    figure = figures.value_against(lost(BATCHES, first=3), "batch_size")
    assert legend_texts(figure.axes[0]) == ["1", "1000\n(4 of 4 diverged)"]
    assert len(marks(figure.axes[0], "_lost")) == 1


def test_fluctuations_keep_a_batch_size_that_diverged() -> None:
    results = lost(num_checks=21).drop_vars("batch_size").rename(learning_rate="batch_size")
    results = results.assign_coords(batch_size=[1, 10, 100, 1000, 1200])
    figure = figures.fluctuations(results)
    assert figure.axes[0].get_xlim()[1] > 1200
    assert "cross: all seeds diverged" in words(figure)


def test_a_curve_that_never_began_leaves_the_axis_of_training_as_long_as_it_was() -> None:
    results = lost({"learning_rate": RATES[3:]}, num_checks=5)
    for variable in ("test_loss", "train_loss"):
        assert figures.curves(results, variable).axes[0].get_xlim()[1] > 190


def test_maps_and_histograms_of_layers_say_from_where_there_is_nothing() -> None:
    codes = xr.DataArray([[[0, -1], [0, 1]]], dims=("init", "seed", "check"), coords={"init": ["he"]}, name="diagnosis")
    codes = codes.assign_attrs(flag_values=[0, 1], flag_meanings="healthy dead")
    results = xr.Dataset({"diverged_step": (("init", "seed"), [[3, -1]])})
    said = "1 of 2 members diverged, nothing is measured from there on"
    assert said in words(figures.verdict_map(with_divergence(codes, results), "check", "init"))
    assert "diverged" not in words(figures.verdict_map(codes, "check", "init"))
    layers = watched({}, layers=2, seeds=2)
    layers["diverged_step"] = xr.DataArray([3, -1], dims="seed")
    assert said in words(figures.layer_histograms(layers, ("weights",)))


def test_a_mean_that_diverged_is_no_dashed_line() -> None:
    results = make_results(axes={"method": ["none", "l2"]}, seeds=2, diverged=2)
    figure = figures.value_rows([errors(results)], "method", baseline="l2")
    assert "dashed" not in words(figure)


@pytest.mark.parametrize("axes", [{}, {"learning_rate": [1.0, 10.0]}, {"init": ["he"], "batch_size": [1, 30]}])
def test_the_default_figures_of_a_run_in_which_all_diverged_are_drawn(axes: dict[str, list[Any]]) -> None:
    results = make_results(axes=axes, seeds=20, num_checks=3)
    results = results.map(lambda values: values.where(values.dtype.kind != "f")).assign_attrs(results.attrs)
    results["diverged_step"] = xr.zeros_like(results["diverged_step"])
    assert all("diverged" in words(drawn.figure) for drawn in default_figures(results))
