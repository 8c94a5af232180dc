from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from jaxreg.measures.summary import summary
from jaxreg.reporting import figures, interactive
from jaxreg.reporting.answers import answer
from jaxreg.reporting.defaults import default_figures
from jaxreg.reporting.figures.choice import MAX_LINES
from jaxreg.reporting.tables import print_table
from jaxreg.statistics import mean_interval
from jaxreg.study import ReportFigure
from tests.reporting.pages import a_figure, make_report
from tests.synthetic import make_results

THREE: dict[str, list[Any]] = {"learning_rate": [0.1, 1.0], "init": ["normal", "he"], "momentum": [0.0, 0.5, 0.9]}
IN_WORDS = ("learning rate", "initial scheme", "momentum")


def charted(results: xr.Dataset, variable: str = "test_loss", **options: Any) -> dict[str, Any]:
    chart = interactive.chart(figures.curves(results, variable, **options), "A plot.")
    assert chart is not None
    return chart


def beside(results: xr.Dataset) -> dict[str, Any]:
    settings = interactive.side_by_side(results, summary(results))
    assert settings is not None
    return settings


def test_a_chart_holds_the_numbers_that_the_figure_draws() -> None:
    results = make_results(axes={"learning_rate": [0.1, 1.0]}, seeds=4, num_checks=5, diverged=1)
    figure = figures.curves(results, "test_loss", log_y=True)
    chart = interactive.chart(figure, "A plot.")
    assert chart is not None
    sound = results["test_loss"].where(results["diverged_step"] < 0)
    interval = mean_interval(sound).transpose("learning_rate", "check")
    for i, line in enumerate(chart["lines"]):
        for name in ("mean", "low", "high"):
            np.testing.assert_allclose(line[name], interval[name][i], rtol=1e-4)
    assert [line["n"] for line in chart["lines"]] == [4, 3]
    assert [line["label"] for line in chart["lines"]] == ["0.1", "1"]
    assert [line["note"] for line in chart["lines"]] == ["", "(1 of 4 diverged)"]
    assert [line["colour"] for line in chart["lines"]] == [line.get_color() for line in figure.axes[0].lines[:2]]
    assert chart["at"] == results["check_step"].values.tolist()
    assert chart["y"]["log"]
    assert chart["y"]["domain"] == list(figure.axes[0].get_ylim())
    assert chart["title"] == "Test loss for each learning rate"
    assert chart["notes"].startswith("Mean of 4 seeds, band: 95 % t interval, below n = 5 only if values are normal")
    (lost,) = chart["lost"]
    member = results["test_loss"].isel(learning_rate=1, seed=0).values
    assert lost["line"] == 1
    np.testing.assert_allclose(lost["value"], member[np.isfinite(member)], rtol=1e-4)


def test_what_is_missing_is_null_in_json() -> None:
    results = make_results(axes={"learning_rate": [0.1, 1.0]}, seeds=2, num_checks=5, diverged=2)
    chart = json.loads(json.dumps(charted(results), allow_nan=False))
    assert chart["lines"][1]["mean"] == [None] * 5
    assert chart["lines"][1]["n"] == 0
    assert len(chart["lost"]) == 2


def test_one_seed_has_no_interval() -> None:
    chart = charted(make_results(seeds=1, num_checks=3))
    assert not chart["has_interval"]
    assert chart["lines"][0]["low"] == [None] * 3
    assert chart["notes"] == "1 seed, no interval"


def test_settings_that_see_other_numbers_of_examples_have_places_of_their_own() -> None:
    results = make_results(axes={"batch_size": [10, 100]}, seeds=2, num_checks=3)
    seen = results["check_step"] * xr.DataArray([10, 100], dims="batch_size")
    results = results.assign_coords(
        examples_seen=(("batch_size", "check"), seen.transpose("batch_size", "check").values)
    )
    chart = charted(results, x="examples_seen")
    assert chart["at"] is None
    assert [line["at"][-1] for line in chart["lines"]] == [1000, 10000]
    assert chart["x"]["label"] == "training (examples seen)"


def test_an_accuracy_is_shown_in_percent() -> None:
    chart = charted(make_results(num_checks=3), "test_accuracy")
    assert chart["y"]["percent"]
    assert chart["y"]["label"] == "test accuracy"


def test_long_curves_are_thinned_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    results = make_results(num_checks=21)
    assert "points" not in charted(results)["notes"]
    monkeypatch.setattr(interactive, "MAX_POINTS", 11)
    chart = charted(results)
    assert chart["at"] == results["check_step"].values[::2].tolist()
    assert "11 of 21 points of each line" in chart["notes"]
    monkeypatch.setattr(interactive, "MAX_NUMBERS", 3 * 4 * 5)
    assert len(charted(results)["at"]) == 5


def test_points_that_nobody_has_reached_are_left_out() -> None:
    results = make_results(num_checks=5)
    results["test_loss"] = results["test_loss"].where(xr.DataArray(np.arange(5) < 3, dims="check"))
    chart = charted(results)
    assert chart["at"] == results["check_step"].values[:3].tolist()
    assert "points" not in chart["notes"]


def test_other_figures_and_crowds_stay_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    assert interactive.chart(a_figure(), "A plot.") is None
    monkeypatch.setattr(interactive, "MAX_LINES", 3)
    assert interactive.chart(figures.curves(make_results(num_checks=3), "test_loss"), "A plot.") is None


def test_a_page_has_few_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interactive, "MAX_CHARTS", 1)
    drawn = [ReportFigure(name, name, figures.curves(make_results(num_checks=3), "test_loss")) for name in "ab"]
    assert [
        content["chart"] is None for content in interactive.with_charts([*drawn, ReportFigure("c", "c", a_figure())])
    ] == [
        False,
        True,
        True,
    ]


def test_a_report_without_curves_gets_those_of_all_settings() -> None:
    results = make_results(num_checks=3)
    (added,) = interactive.curves_if_none([ReportFigure("a", "a", a_figure())], results)
    assert interactive.chart(added.figure, "A plot.") is not None
    assert interactive.curves_if_none([added], results) == []


def test_settings_stand_side_by_side_from_three_axes_on() -> None:
    two = make_results(axes={"learning_rate": [0.1, 1.0], "init": ["normal", "he"], "momentum": [0.9]}, num_checks=3)
    assert interactive.side_by_side(two, summary(two)) is None
    results = make_results(axes=THREE, seeds=3, num_checks=3)
    settings, table = beside(results), summary(results)
    assert [axis["label"] for axis in settings["axes"]] == [
        *IN_WORDS,
        "validation accuracy",
        "test accuracy",
        "validation loss",
        "test loss",
    ]
    assert [axis["choices"] for axis in settings["axes"][:3]] == [["0.1", "1"], ["normal", "he"], ["0", "0.5", "0.9"]]
    assert len(settings["rows"]) == 12
    best = table.iloc[table["final_validation_accuracy_mean"].argmax()]
    first = settings["rows"][0]
    assert [axis["choices"][place] for axis, place in zip(settings["axes"][:3], first[:3], strict=True)] == [
        f"{best['learning_rate']:g}",
        best["init"],
        f"{best['momentum']:g}",
    ]
    np.testing.assert_allclose(first[3], best["final_validation_accuracy_mean"], rtol=1e-4)
    np.testing.assert_allclose(first[6], best["final_test_loss_mean"], rtol=1e-4)
    assert settings["axes"][6]["domain"] == [table["final_test_loss_mean"].min(), table["final_test_loss_mean"].max()]


def test_a_setting_that_diverged_keeps_its_line_without_outcomes() -> None:
    results = make_results(axes=THREE, seeds=2, num_checks=3, diverged=2)
    results["final_validation_accuracy"][-1, -1, -1] = np.nan
    settings = json.loads(json.dumps(beside(results), allow_nan=False))
    assert settings["rows"][-1][:4] == [1, 1, 2, None]


def test_more_settings_than_can_be_told_apart_are_cut_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interactive, "MAX_ROWS", 5)
    settings = beside(make_results(axes=THREE, num_checks=3))
    assert len(settings["rows"]) == 5
    assert settings["left_out"] == 7


def test_importance_is_a_table_with_what_it_rests_on() -> None:
    results = make_results(axes=THREE, seeds=4, num_checks=3)
    shares = interactive.importance(results)
    assert shares is not None
    assert shares["columns"] == (
        "validation accuracy, by itself",
        "validation accuracy, in all",
        "validation loss, by itself",
        "validation loss, in all",
    )
    assert [row["name"] for row in shares["rows"]] == [*IN_WORDS, "axes together, none by itself"]
    cell = shares["rows"][0]["cells"][0]  # the rate alone decides how fast the made-up losses fall
    assert cell["value"] > 98
    assert re.fullmatch(r"\d+\u00a0% \(\d+ to 100\)", cell["text"])
    assert "The noise of seeds is taken out (n = 4); in brackets 95\u00a0% intervals" in shares["caption"]
    assert "percentage points of validation accuracy and" in shares["caption"]
    assert "Left out" not in shares["caption"]


def test_without_accuracies_and_units_the_loss_is_shown_without_either() -> None:
    """As of a regression by squared error, on all that a page and the terminal say."""
    made = make_results(axes=THREE, seeds=4, num_checks=3)
    results = made.drop_vars([name for name in made.data_vars if "accuracy" in str(name)])
    for name in results.data_vars:
        results[name].attrs["units"] = str(results[name].attrs.get("units", "1")).replace("nats", "1")
    shares = interactive.importance(results)
    assert shares is not None
    assert shares["columns"] == ("validation loss, by itself", "validation loss, in all")
    assert re.search(r"between settings: [\d.e-]+ of validation loss\.", shares["caption"])
    told = str(answer(results))
    assert re.search(r"is best on validation; its test loss is [\d.e-]+ \(95 % interval", told)
    console = Console(width=200, record=True)
    print_table(results, console)
    assert "validation loss" in console.export_text()
    assert {figure.name for figure in default_figures(results)} >= {"test_loss", "loss_against_learning_rate"}


@pytest.mark.parametrize(
    ("seeds", "words"), [(1, "its noise counts as axes together"), (2, "(n = 2); too few for intervals.")]
)
def test_importance_over_too_few_seeds_has_no_interval(seeds: int, words: str) -> None:
    shares = interactive.importance(make_results(axes=THREE, seeds=seeds, num_checks=3))
    assert shares is not None
    assert words in shares["caption"]
    assert "(" not in shares["rows"][0]["cells"][0]["text"]


def test_importance_names_what_diverged() -> None:
    results = make_results(axes=THREE, seeds=3, num_checks=3)
    results["diverged_step"].loc[{"momentum": 0.9}] = 7
    shares = interactive.importance(results)
    assert shares is not None
    assert shares["caption"].endswith("Left out, because members diverged there: momentum=0.9.")


def test_importance_names_some_of_many_that_diverged() -> None:
    results = make_results(axes={"learning_rate": [0.1, 1.0], "init_variance": [0.1, 1.0]}, seeds=40, num_checks=3)
    results["diverged_step"][..., :30] = 5
    found = interactive.importance(results)
    assert found is not None
    assert "seed=9, 20 more." in found["caption"]


def test_one_axis_has_no_importance() -> None:
    assert interactive.importance(make_results(num_checks=3)) is None


def test_zipped_axes_count_as_one_and_are_both_named() -> None:
    results = make_results(
        axes={"learning_rate": [0.1, 1.0], "init": ["he", "normal"]},
        zipped={"batch_size": ("learning_rate", [10, 100])},
        num_checks=3,
    )
    shares = interactive.importance(results)
    assert shares is not None
    assert [row["name"] for row in shares["rows"][:2]] == ["learning rate and batch size", "initial scheme"]


def test_vega_is_what_its_makers_published() -> None:
    folder = Path(interactive.__file__).with_name("vega")
    listed = re.findall(r"^\| ([0-9a-f]{64}) \| (\S+) \|$", (folder / "README.md").read_text(), re.MULTILINE)
    assert len(listed) == 2
    for digest, name in listed:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


def test_vega_is_on_the_page_only_where_something_needs_it(tmp_path: Path) -> None:
    assert "vega" not in make_report(tmp_path)
    figure = figures.curves(make_results(num_checks=3), "test_loss")
    assert "vega.interpreter" in make_report(tmp_path, figures=[ReportFigure("loss", "Loss.", figure)])


def test_names_cannot_leave_the_data_of_a_chart(tmp_path: Path) -> None:
    evil = "'><script>alert('x')</script>"
    results = make_results(
        axes={"init": [evil, "he"], "momentum": [0.0, 0.9], "learning_rate": [0.1, 1.0]}, num_checks=3
    )
    figure = figures.curves(results, "test_loss")
    text = make_report(tmp_path, results=results, figures=[ReportFigure("loss", "Loss.", figure)])
    assert evil not in text
    assert "'><script>" not in text
    assert text.count("</script>") == 1


def test_charts_take_no_more_room_than_the_figures_leave(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    drawn = [ReportFigure(name, name, figures.curves(make_results(num_checks=5), "test_loss")) for name in "ab"]
    full = interactive.with_charts(drawn)
    images, one = sum(len(content["data"]) for content in full), len(json.dumps(full[0]["chart"]))
    monkeypatch.setattr(interactive, "MAX_PAGE_BYTES", interactive.ELSE_BYTES + images + one + 1)
    assert [content["chart"] is None for content in interactive.with_charts(drawn)] == [False, True]
    bare = len(make_report(tmp_path, results=make_results(axes=THREE, num_checks=3), figures=[]))
    assert bare < interactive.ELSE_BYTES


def test_a_chart_of_too_many_settings_shows_those_of_the_figure_and_says_so() -> None:
    results = make_results(axes={"learning_rate": np.geomspace(1e-3, 1, 500).tolist()}, seeds=1, num_checks=2)
    chart = charted(results)
    assert len(chart["lines"]) == MAX_LINES
    assert "200 of 500 values of learning rate shown" in chart["notes"]


def test_the_largest_chart_is_below_a_megabyte() -> None:
    results = make_results(axes={"learning_rate": np.geomspace(1e-3, 1, 150).tolist()}, seeds=2, num_checks=151)
    assert len(json.dumps(charted(results))) < 1e6
