"""Figures of very many settings, seeds and diverged members: what is shown, and that they say so."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import xarray as xr

from jaxreg.reporting import figures
from jaxreg.reporting.figures.choice import (
    MAX_BARS,
    MAX_COLOURS,
    MAX_DOTS,
    MAX_LINES,
    MAX_LOST,
    dots_note,
    dots_of,
    fewer_lost,
    fewer_settings,
)
from jaxreg.reporting.figures.rows import MAX_ROWS
from jaxreg.reporting.figures.style import MAX_QUADS
from tests.reporting.figures.propagation_test import at_start
from tests.reporting.figures.reading import lines, marks, words
from tests.synthetic import make_results


def rates(count: int) -> list[float]:
    return np.geomspace(1e-3, 1, count).tolist()


def test_few_settings_are_all_shown() -> None:
    results = make_results(axes={"learning_rate": rates(10), "init_variance": rates(20)}, seeds=1, num_checks=2)
    shown, note = fewer_settings(results, 200, (["learning_rate", "init_variance"], 5))
    assert shown is results
    assert note == ""


@pytest.mark.parametrize(
    ("limits", "sizes"),
    [
        (((["learning_rate", "init_variance"], 50),), (7, 7)),
        (((["learning_rate"], 50), (["init_variance"], 3)), (50, 3)),
        (((["learning_rate"], 1000), (["init_variance"], 3)), (100, 3)),
        (((["learning_rate", "init_variance"], 10),), (3, 3)),
        (((["learning_rate", "init_variance"], 1),), (1, 1)),
    ],
)
def test_an_even_choice_in_the_order_of_the_values_keeps_both_ends(
    limits: tuple[tuple[list[str], int], ...], sizes: tuple[int, int]
) -> None:
    axes = {"learning_rate": rates(100)[::-1], "init_variance": rates(20)}
    results = make_results(axes=axes, seeds=1, num_checks=2)
    shown, note = fewer_settings(results, 200, *limits)
    found = tuple(shown.sizes[dim] for dim in axes)
    assert found == sizes
    counts = zip(axes, found, strict=True)
    parts = [f"{n} of {len(axes[dim])} values of {dim.replace('init', 'initial')}" for dim, n in counts]
    said = [part.replace("_", " ") for part, dim in zip(parts, axes, strict=True) if shown.sizes[dim] < len(axes[dim])]
    assert note == f"{' and '.join(said)} shown"
    for dim, values in axes.items():
        if shown.sizes[dim] > 1:
            assert {min(values), max(values)} <= set(shown[dim].values.tolist())
            assert np.diff(np.log(np.sort(shown[dim].values))).max() < 3 * math.log(1000) / shown.sizes[dim]


def test_curves_of_a_thousand_settings_are_two_hundred_lines() -> None:
    one = figures.curves(make_results(axes={"learning_rate": rates(1000)}, seeds=2, num_checks=3), "test_loss")
    assert len(lines(one.axes[0])) == MAX_LINES
    assert "200 of 1000 values of learning rate shown" in words(one)
    grid = {"learning_rate": rates(100), "init_variance": rates(20)}
    two = figures.curves(make_results(axes=grid, seeds=2, num_checks=3), "test_loss")
    assert sum(len(lines(axes)) for axes in two.axes) == 6 * (MAX_LINES // 6)
    assert "6 of 20 values of initial variance and 33 of 100 values of learning rate shown" in words(two)


def test_views_of_many_settings_share_the_lines() -> None:
    figure = figures.views(make_results(axes={"learning_rate": rates(100)}, seeds=2, num_checks=3), "test_loss")
    assert [len(lines(axes)) for axes in figure.axes[:3]] == [MAX_LINES // 3] * 3
    assert "66 of 100 values of learning rate shown" in words(figure)


def test_signals_of_many_settings_are_a_choice() -> None:
    results = at_start().isel(init_variance=[0] * 100).assign_coords(init_variance=rates(100))
    figure = figures.signal_propagation(results, "init_variance")
    assert f"{MAX_COLOURS} of 100 values of initial variance shown" in words(figure)


def test_of_many_diverged_members_a_few_are_drawn() -> None:
    results = make_results(axes={"learning_rate": [0.1, 1.0]}, seeds=500, num_checks=5, diverged=450)
    figure = figures.curves(results, "test_loss")
    assert len(marks(figure.axes[0], "_diverged")) == MAX_LOST
    assert f"450 of 1000 members diverged, left out of the mean; at most {MAX_LOST} of a setting drawn" in words(figure)
    few = make_results(axes={"learning_rate": [0.1, 1.0]}, seeds=500, num_checks=5, diverged=30)
    assert len(marks(figures.curves(few, "test_loss").axes[0], "_diverged")) == 30
    assert "at most" not in words(figures.curves(few, "test_loss"))


def test_diverged_members_share_the_room_between_their_settings() -> None:
    diverged = xr.DataArray(np.arange(4)[:, None] * np.ones(300) > 0, dims=["learning_rate", "seed"])
    most, note = fewer_lost(diverged, ["learning_rate"])
    assert most == MAX_LOST // 3
    assert note == "at most 33 of a setting drawn"


@pytest.mark.parametrize(
    ("seeds", "settings", "shown", "note"),
    [
        (1, 7, 0, ""),
        (10, 7, 10, "dots: single seeds"),
        (100, 50, 100, "dots: single seeds"),
        (100, 1000, 5, "dots: 5 of 100 seeds"),
        (100_000, 2, MAX_DOTS // 2, "dots: 2500 of 100000 seeds"),
        (10, MAX_DOTS + 1, 0, ""),
    ],
)
def test_dots_have_room(seeds: int, settings: int, shown: int, note: str) -> None:
    assert len(dots_of(seeds, settings)) == shown
    assert dots_note(seeds, settings) == note


def test_values_of_thousands_of_settings_are_a_choice_of_bars_and_dots() -> None:
    grid = {"learning_rate": rates(200), "init_variance": rates(30)}
    results = make_results(axes=grid, seeds=3, num_checks=2, diverged=3)
    figure = figures.value_against(results, "learning_rate")
    drawn = [line for line in lines(figure.axes[0]) if len(np.asarray(line.get_xdata())) > 1]
    assert sum(len(np.asarray(line.get_xdata())) for line in drawn) <= MAX_BARS
    said = "dots: 2 of 3 seeds; 100 of 200 values of learning rate and 20 of 30 values of initial variance shown"
    assert said in words(figure)
    assert "3 of 18000 diverged" in words(figure)  # of all members, whatever is drawn


def test_seeds_of_a_few_settings_are_a_choice_of_dots() -> None:
    results = make_results(axes={"learning_rate": [0.1, 1.0]}, seeds=10_000, num_checks=2)
    for figure in (
        figures.value_against(results, "learning_rate"),
        figures.value_rows([results["final_test_accuracy"]], "learning_rate"),
        figures.differences(results, "learning_rate", 0.1),
    ):
        dots = [mark for label in ("_seeds", "_pairs") for mark in marks(figure.axes[0], label)]
        assert sum(len(np.asarray(mark.get_xdata())) for mark in dots) <= MAX_DOTS
        assert "of 10000" in words(figure)


def test_of_many_seeds_some_are_joined_to_lines() -> None:
    results = make_results(axes={"learning_rate": [0.1, 1.0]}, seeds=1000, num_checks=2)
    figure = figures.paired(results, "learning_rate")
    assert len(marks(figure.axes[0], "_seed")) == MAX_LINES
    assert f"thin lines join the runs of one seed, {MAX_LINES} of 1000 seeds" in words(figure)


def test_rows_of_many_values_fit_on_a_page() -> None:
    results = make_results(axes={"learning_rate": rates(500)}, seeds=2, num_checks=2)
    figure = figures.value_rows([results["final_test_accuracy"]], "learning_rate", baseline=str(rates(500)[1]))
    assert len(figure.axes[0].get_yticklabels()) == MAX_ROWS
    assert f"{MAX_ROWS} of 500 values of learning rate shown" in words(figure)
    assert figure.get_size_inches()[1] < 20


def test_maps_of_many_cells_are_pixels_with_crosses_in_one_go() -> None:
    size = math.isqrt(MAX_QUADS) + 5
    axes = {"learning_rate": rates(size), "init_variance": rates(size)}
    results = make_results(axes=axes, seeds=2, num_checks=2)
    results["diverged_step"][:] = np.where(np.arange(size)[:, None, None] % 2, 3, -1)
    figure = figures.heat_map(results, "final_test_accuracy", *axes)
    assert figure.axes[0].collections[0].get_rasterized()
    crosses = marks(figure.axes[0], "diverged")
    assert len(crosses) == 1  # all members of these cells diverged
    at = {(x - 0.5, y - 0.5) for x, y in np.asarray(crosses[0].get_xydata())}
    assert at == set(itertools.product(range(1, size, 2), range(size)))
