from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jaxreg.reporting import figures
from jaxreg.statistics import mean_interval
from tests.reporting.figures.reading import bands, legend_texts, lines, marks, words
from tests.synthetic import make_results

RATES = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0]


@pytest.mark.parametrize(("rates", "bar"), [([0.1, 1.0], False), (RATES, False), (list(np.logspace(-3, 0, 64)), True)])
def test_curves_hold_a_line_and_a_band_per_setting(rates: list[float], bar: bool) -> None:
    figure = figures.curves(make_results(axes={"learning_rate": rates}, seeds=3), "test_loss")
    axes = figure.axes[0]
    assert len(lines(axes)) == len(bands(axes)) == len(rates)
    assert len(figure.axes) == 1 + bar
    assert legend_texts(axes) == ([] if bar else [f"{rate:g}" for rate in rates])
    assert (figure.axes[-1].get_ylabel() == "learning rate") == bar
    assert axes.get_ylabel() == "test loss (nats)"
    assert axes.get_xlabel() == "training (steps)"
    band = "band: 95 % t interval, below n = 5 only if values are normal"
    assert words(figure) == f"Test loss for each learning rate mean of 3 seeds, {band}"


def test_band_limits_are_those_of_mean_interval() -> None:
    results = make_results(axes={"learning_rate": [0.1, 1.0]}, seeds=4)
    axes = figures.curves(results, "test_accuracy").axes[0]
    interval = mean_interval(results["test_accuracy"])
    for i, (line, band) in enumerate(zip(lines(axes), bands(axes), strict=True)):
        np.testing.assert_allclose(np.asarray(line.get_ydata()), interval["mean"][i])
        np.testing.assert_allclose(np.asarray(line.get_xdata()), results["check_step"])
        corners = np.asarray(band.get_paths()[0].vertices)
        for end, extreme in (("low", np.min), ("high", np.max)):
            drawn = [extreme(corners[corners[:, 0] == step, 1]) for step in results["check_step"].values]
            np.testing.assert_allclose(drawn, interval[end][i])


def test_one_seed_has_no_band_and_says_so() -> None:
    figure = figures.curves(make_results(seeds=1), "test_loss")
    assert bands(figure.axes[0]) == []
    assert "1 seed, no interval" in words(figure)


def test_step_curves_are_averaged_per_seed_and_say_so() -> None:
    results = make_results(axes={"learning_rate": [0.1, 1.0]}, seeds=3, eval_every=100)  # 2000 steps
    figure = figures.curves(results, "train_loss", max_points=500)
    (first, _) = lines(figure.axes[0])
    blocks = results["train_loss"].isel(learning_rate=0).values.reshape(3, 500, 4).mean(2)
    np.testing.assert_allclose(np.asarray(first.get_ydata()), blocks.mean(0), rtol=1e-5)
    np.testing.assert_allclose(np.asarray(first.get_xdata()), np.arange(500) * 4 + 1.5)
    assert "mean over 4 steps" in words(figure)
    assert "mean over" not in words(figures.curves(results, "train_loss", max_points=2000))
    sparse = make_results(seeds=2, eval_every=100, record_every=5)
    assert "mean over 20 steps, one in 5 recorded" in words(figures.curves(sparse, "train_loss", max_points=100))


@pytest.mark.parametrize("x", ["examples_seen", "seconds"])
def test_other_x_axes(x: Any) -> None:
    results = make_results(axes={"learning_rate": [0.1]}, seeds=2)
    for variable in ("test_loss", "train_loss"):
        axes = figures.curves(results, variable, x=x).axes[0]
        last = results[x].values[-1] * (1 if variable == "test_loss" else 999 / 1000)
        np.testing.assert_allclose(np.asarray(lines(axes)[0].get_xdata())[-1], last, rtol=1e-3)
        assert {"examples_seen": "examples", "seconds": "seconds"}[x] in axes.get_xlabel()


def test_groups_with_their_own_checks() -> None:
    results = make_results(axes={"batch_size": [10, 100]}, seeds=2)
    steps = np.stack([results["check_step"] / 2, results["check_step"]])
    steps[0, 11:] = np.nan
    results = results.assign_coords(check_step=(("batch_size", "check"), steps))
    results["test_loss"][0, :, 11:] = np.nan
    short, long = lines(figures.curves(results, "test_loss").axes[0])
    assert np.nanmax(np.asarray(short.get_xdata())) == 250
    assert np.nanmax(np.asarray(long.get_xdata())) == 1000


def test_diverged_members_end_in_a_cross_and_leave_the_mean_alone() -> None:
    results = make_results(seeds=5, diverged=2)
    results["test_loss"][-1, 0, 9] = 1e6  # the last check before it diverged
    figure = figures.curves(results, "test_loss")
    axes = figure.axes[0]
    survivors = results["test_loss"].isel(learning_rate=-1, seed=slice(2, None)).mean("seed")
    np.testing.assert_allclose(np.asarray(lines(axes)[-1].get_ydata()), survivors, rtol=1e-6)
    assert len(marks(axes, "_diverged")) == len(marks(axes, "_end")) == 2
    assert axes.get_ylim()[1] < 5
    assert max(np.max(np.asarray(mark.get_ydata())) for mark in marks(axes, "_end")) <= axes.get_ylim()[1]
    assert legend_texts(axes)[-1] == "1\n(2 of 5 diverged)"
    assert "2 of 20 members diverged, left out of the mean" in words(figure)


def test_settings_where_all_diverged_are_still_drawn() -> None:
    axes = figures.curves(make_results(axes={}, seeds=2, diverged=2), "train_loss").axes[0]
    assert len(marks(axes, "_diverged")) == 2
    assert axes.get_ylim()[0] < 1.5 < axes.get_ylim()[1] < 5


def test_a_second_axis_is_told_by_line_style() -> None:
    results = make_results(axes={"learning_rate": [0.1, 1.0, 2.0], "activation": ["relu", "tanh"]}, seeds=2)
    axes = figures.curves(results, "test_loss").axes[0]
    assert len({line.get_color() for line in lines(axes)}) == 3
    assert [line.get_linestyle() for line in lines(axes)] == ["-", "--"] * 3
    assert legend_texts(axes) == ["learning rate", "0.1", "1", "2", "activation", "relu", "tanh"]


def test_axes_of_numbers_are_drawn_in_order_and_names_in_okabe_ito() -> None:
    shuffled = make_results(axes={"learning_rate": [1.0, 0.01, 0.1]}, seeds=2)
    assert legend_texts(figures.curves(shuffled, "test_loss").axes[0]) == ["0.01", "0.1", "1"]
    names = make_results(axes={"method": ["none", "L2", "max-norm"]}, seeds=2)
    colours = [line.get_color() for line in lines(figures.curves(names, "test_loss").axes[0])]
    assert colours == list(figures.OKABE_ITO[:3])


def test_losses_may_be_logarithmic_with_plain_numbers() -> None:
    axes = figures.curves(make_results(seeds=2), "test_loss", log_y=True).axes[0]
    assert axes.get_yscale() == "log"
    assert {"0.5", "1", "2"} <= {label.get_text() for label in axes.get_yticklabels()}


@pytest.mark.parametrize(("variable", "x"), [("final_test_loss", "step"), ("test_loss", "epochs")])
def test_what_is_no_curve_is_refused(variable: str, x: Any) -> None:
    with pytest.raises(ValueError, match=variable if x == "step" else "examples_seen"):
        figures.curves(make_results(), variable, x=x)
    layered = make_results(seeds=2)
    layered["test_loss"] = layered["test_loss"].expand_dims(layer=2)
    with pytest.raises(ValueError, match="select one value of layer"):
        figures.curves(layered, "test_loss")


@pytest.mark.parametrize("count", [1, 4, 7, 40])
def test_panels_have_a_column_per_value(count: int) -> None:
    results = make_results(axes={"learning_rate": list(np.logspace(-3, 0, count))}, seeds=2)
    figure = figures.panels(results, "learning_rate")
    shown = min(count, figures.MAX_PANELS)
    assert len(figure.axes) == 2 * shown
    assert all(len(lines(axes)) == len(bands(axes)) == 2 for axes in figure.axes)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert len(titles) == shown
    assert titles[0] == "learning rate = 0.001"
    assert (f"{shown} of {count} values shown" in words(figure)) == (count == 40)
    assert len({axes.get_ylim() for axes in figure.axes}) == 2  # one per row of variables
    labels = {axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()}
    assert labels == {"loss (nats)", "accuracy (%)"}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["training", "test", "validation"]


def test_variables_of_a_panel_differ_in_colour_and_style() -> None:
    rows = [["train_loss", "validation_loss", "test_loss", "test_batch_loss"]]
    drawn = lines(figures.panels(make_results(seeds=2), "learning_rate", rows).axes[0])
    assert len({line.get_color() for line in drawn}) == len({line.get_linestyle() for line in drawn}) == 4
    clash = figures.panels(make_results(seeds=2), "learning_rate", [["train_loss", "train_objective"]])
    assert len({line.get_color() for line in lines(clash.axes[0])}) == 2
    assert [text.get_text() for text in clash.legends[0].get_texts()] == [
        "training loss",
        "training loss with penalties",
    ]


def test_panels_of_an_axis_with_one_value_or_zipped() -> None:
    assert figures.panels(make_results(axes={}), "learning_rate").axes[0].get_title() == "learning rate = 0.1"
    zipped = make_results(axes={"batch_size": [10, 100]}, zipped={"learning_rate": ("batch_size", [0.1, 1.0])})
    titles = [axes.get_title().replace("\n", " ") for axes in figures.panels(zipped, "learning_rate").axes]
    assert "batch size and learning rate = 100, 1" in titles


def test_panels_refuse_a_second_axis_and_an_unknown_one() -> None:
    results = make_results(axes={"learning_rate": [0.1, 1.0], "activation": ["relu", "tanh"]}, seeds=1)
    with pytest.raises(ValueError, match="select one value of activation"):
        figures.panels(results, "learning_rate")
    figures.panels(results.sel(activation="relu"), "learning_rate")
    with pytest.raises(ValueError, match="learning_rate, activation"):
        figures.panels(results, "lr")


def test_views_share_y_and_measure_training_in_several_ways() -> None:
    results = make_results(axes={"batch_size": [1, 10]}, seeds=3)
    results = results.assign_coords(seconds=results["seconds"].assign_attrs(long_name="time per member (seconds)"))
    figure = figures.views(results, "test_accuracy")
    assert [axes.get_xlabel() for axes in figure.axes] == [
        "training (steps)",
        "training (examples seen)",
        "time per member (seconds)",
    ]
    for axes, name in zip(figure.axes, ("check_step", "examples_seen", "seconds"), strict=True):
        assert (axes.get_xscale(), len(lines(axes)), len(bands(axes))) == ("log", 2, 2)
        assert axes.get_ylim() == figure.axes[0].get_ylim()
        drawn = np.asarray(lines(axes)[0].get_xdata())
        np.testing.assert_allclose(drawn[1:], results[name][1:])
        assert np.isnan(drawn[0])  # no place for 0 on a logarithmic axis
        np.testing.assert_allclose(axes.get_xlim(), (results[name][1], results[name][-1]))
    assert legend_texts(figure.axes[-1]) == ["1", "10"]
    assert figures.views(results, "test_loss", ["step"], log_x=False).axes[0].get_xscale() == "linear"
