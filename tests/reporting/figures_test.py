from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot
import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from jaxreg.measures import steps_to_train
from jaxreg.replication import Reported, compare
from jaxreg.reporting import figures
from jaxreg.statistics import mean_interval
from tests.synthetic import make_results

RATES = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0]


def lines(axes: Axes) -> list[Line2D]:
    """The lines that stand for a setting or variable."""
    return [line for line in axes.lines if not str(line.get_label()).startswith("_")]


def marks(axes: Axes, label: str) -> list[Line2D]:
    return [line for line in axes.lines if line.get_label() == label]


def bands(axes: Axes) -> list[PolyCollection]:
    return [collection for collection in axes.collections if isinstance(collection, PolyCollection)]


def words(figure: Figure) -> str:
    """The title and the notes below it."""
    notes = [artist.get_text() for artist in figure.artists if isinstance(artist, mpl.text.Text)]
    return " ".join("\n".join([figure.get_suptitle(), *notes]).split())


def legend_texts(axes: Axes) -> list[str]:
    legend = axes.get_legend()
    return [text.get_text() for text in legend.get_texts()] if legend else []


# curves


@pytest.mark.parametrize(("rates", "bar"), [([0.1, 1.0], False), (RATES, False), (list(np.logspace(-3, 0, 64)), True)])
def test_curves_hold_a_line_and_a_band_per_setting(rates: list[float], bar: bool) -> None:
    figure = figures.curves(make_results(axes={"learning_rate": rates}, seeds=3), "test_loss")
    axes = figure.axes[0]
    assert len(lines(axes)) == len(bands(axes)) == len(rates)
    assert len(figure.axes) == 1 + bar
    assert legend_texts(axes) == ([] if bar else [f"{rate:g}" for rate in rates])
    assert (figure.axes[-1].get_ylabel() == "learning_rate") == bar
    assert axes.get_ylabel() == "test loss (nats)"
    assert axes.get_xlabel() == "training (steps)"
    assert words(figure) == "Test loss for each learning_rate mean of 3 seeds, band: 95 % t interval"


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
    assert legend_texts(axes) == ["learning_rate", "0.1", "1", "2", "activation", "relu", "tanh"]


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


# panels


@pytest.mark.parametrize("count", [1, 4, 7, 40])
def test_panels_have_a_column_per_value(count: int) -> None:
    results = make_results(axes={"learning_rate": list(np.logspace(-3, 0, count))}, seeds=2)
    figure = figures.panels(results, "learning_rate")
    shown = min(count, figures.MAX_PANELS)
    assert len(figure.axes) == 2 * shown
    assert all(len(lines(axes)) == len(bands(axes)) == 2 for axes in figure.axes)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert len(titles) == shown
    assert titles[0] == "learning_rate = 0.001"
    assert (f"16 of {count} values shown" in words(figure)) == (count == 40)
    assert len({axes.get_ylim() for axes in figure.axes}) == 2  # one per row of variables
    labels = {axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()}
    assert labels == {"loss (nats)", "accuracy (fraction)"}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["train", "test", "validation"]


def test_variables_of_a_panel_differ_in_colour_and_style() -> None:
    rows = [["train_loss", "validation_loss", "test_loss", "test_batch_loss"]]
    drawn = lines(figures.panels(make_results(seeds=2), "learning_rate", rows).axes[0])
    assert len({line.get_color() for line in drawn}) == len({line.get_linestyle() for line in drawn}) == 4
    clash = figures.panels(make_results(seeds=2), "learning_rate", [["train_loss", "train_objective"]])
    assert len({line.get_color() for line in lines(clash.axes[0])}) == 2
    assert [text.get_text() for text in clash.legends[0].get_texts()] == ["train loss", "train objective"]


def test_panels_of_an_axis_with_one_value_or_zipped() -> None:
    assert figures.panels(make_results(axes={}), "learning_rate").axes[0].get_title() == "learning_rate = 0.1"
    zipped = make_results(axes={"batch_size": [10, 100]}, zipped={"learning_rate": ("batch_size", [0.1, 1.0])})
    titles = [axes.get_title().replace("\n", " ") for axes in figures.panels(zipped, "learning_rate").axes]
    assert "batch_size, learning_rate = 100, 1" in titles


def test_panels_refuse_a_second_axis_and_an_unknown_one() -> None:
    results = make_results(axes={"learning_rate": [0.1, 1.0], "activation": ["relu", "tanh"]}, seeds=1)
    with pytest.raises(ValueError, match="select one value of activation"):
        figures.panels(results, "learning_rate")
    figures.panels(results.sel(activation="relu"), "learning_rate")
    with pytest.raises(ValueError, match="learning_rate, activation"):
        figures.panels(results, "lr")


# value_against


@pytest.mark.parametrize(
    ("values", "scale"), [(RATES, "log"), ([0.0, 0.1, 2.0], "linear"), ([1, 10], "linear"), ([1, 2, 100], "log")]
)
def test_x_is_logarithmic_beyond_a_decade_of_positive_values(values: list[float], scale: str) -> None:
    axes = figures.value_against(make_results(axes={"l2_strength": values}, seeds=2), "l2_strength").axes[0]
    assert axes.get_xscale() == scale


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
    assert axes.get_ylabel() == "final test loss (nats)"
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
    assert figure.axes[1].get_ylabel() == "batch_size"


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
        Reported(f"A5-{rate:g}-test", "final_test_accuracy", {"learning_rate": rate}, fitted=rate != 0.01)
        for rate in (0.001, 0.005, 0.01)
    ]
    declared.append(Reported("A5-0.01-loss", "final_test_batch_loss", {"learning_rate": 0.01}))
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
    assert axes.get_ylabel() == "steps to train (steps)"
    assert "no mean where a seed never got there" in words(figure)


def test_values_with_further_dimensions_are_refused() -> None:
    with pytest.raises(ValueError, match="select one value of check"):
        figures.value_against(make_results(), "learning_rate", "test_loss")


# heat_map


@pytest.mark.parametrize(("size", "annotated"), [(4, True), (11, False)])
def test_heat_map_shows_the_mean_over_seeds(size: int, annotated: bool) -> None:
    axes_of = {"learning_rate": list(np.logspace(-3, 0, size)), "init_variance": list(np.linspace(0.1, 2, size))}
    results = make_results(axes=axes_of, seeds=4, diverged=1)
    figure = figures.heat_map(results, "final_test_accuracy", "learning_rate", "init_variance")
    axes, bar = figure.axes
    mean = results["final_test_accuracy"].mean("seed").transpose("init_variance", "learning_rate").values
    np.testing.assert_allclose(axes.collections[0].get_array(), mean, rtol=1e-6)  # type: ignore[arg-type]
    assert len(axes.texts) == (size**2 if annotated else 0)
    assert bar.get_ylabel() == "final test accuracy (fraction)"
    (cross,) = marks(axes, "diverged")
    assert (np.floor(np.asarray(cross.get_xydata())) == size - 1).all()
    assert "mean of 4 seeds; cross: 1 of" in words(figure)


def test_heat_map_of_nothing_but_diverged_members_and_of_names() -> None:
    results = make_results(axes={"init": ["he"], "activation": ["relu"]}, seeds=2, diverged=2)
    axes = figures.heat_map(results, "final_test_loss", "init", "activation").axes[0]
    assert len(marks(axes, "diverged")) == 1
    assert [label.get_text() for label in axes.get_xticklabels()] == ["he"]


def test_heat_map_refuses_a_third_axis() -> None:
    results = make_results(axes={"a": [1, 2], "b": [1, 2], "activation": ["relu", "tanh"]}, seeds=1)
    with pytest.raises(ValueError, match="select one value of activation"):
        figures.heat_map(results, "final_test_loss", "a", "b")


# all


def drawings() -> dict[str, Callable[[], Figure]]:
    one, grid = make_results(seeds=3, diverged=1), make_results(axes={"a": [1, 2], "b": [1, 2]}, seeds=2)
    return {
        "curves": lambda: figures.curves(one, "train_loss"),
        "panels": lambda: figures.panels(one, "learning_rate"),
        "value_against": lambda: figures.value_against(one, "learning_rate"),
        "heat_map": lambda: figures.heat_map(grid, "final_test_loss", "a", "b"),
    }


@pytest.mark.parametrize("name", list(drawings()))
def test_figures_are_files_with_the_same_bytes_twice(name: str, tmp_path: Path) -> None:
    draw, settings_before = drawings()[name], dict(mpl.rcParams)
    figure = draw()
    first = figures.save(figure, tmp_path / "new", name)
    again = figures.save(figure, tmp_path / "again", name)
    anew = figures.save(draw(), tmp_path / "anew", name)
    assert [path.name for path in first] == [f"{name}.png", f"{name}.svg"]
    for paths in zip(first, again, anew, strict=True):
        assert len({path.read_bytes() for path in paths}) == 1
    with Image.open(first[0]) as image:
        np.testing.assert_allclose(image.size, figure.get_size_inches() * 150, atol=1)
    svg = first[1].read_text(encoding="utf-8")
    assert "<text" in svg
    assert "dc:date" not in svg
    assert dict(mpl.rcParams) == settings_before


@pytest.mark.parametrize("name", list(drawings()))
def test_nothing_is_cut_off_by_the_edge_of_the_page(name: str) -> None:
    figure = drawings()[name]()
    width, height = figure.get_size_inches()
    FigureCanvasAgg(figure)
    drawn = figure.get_tightbbox()
    assert 0 <= drawn.x0 < drawn.x1 <= width
    assert 0 <= drawn.y0 < drawn.y1 <= height


def test_a_title_can_be_given() -> None:
    figure = figures.curves(make_results(axes={}), "test_loss", title="All rates (figure 36)")
    assert words(figure) == "All rates (figure 36) mean of 5 seeds, band: 95 % t interval"


def test_pyplot_knows_nothing_of_the_figures() -> None:
    figures.curves(make_results(axes={}), "test_loss")
    assert matplotlib.pyplot.get_fignums() == []
