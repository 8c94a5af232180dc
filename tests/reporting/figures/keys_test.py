"""Several axes at once: which of them colours, line styles and panels show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jaxreg.reporting import figures
from jaxreg.reporting.figures.data import value_data
from jaxreg.reporting.figures.keys import MAX_PARTS, divided
from tests.reporting.figures.reading import legend_texts, lines, words
from tests.synthetic import make_results

RATES = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0]
THREE: dict[str, list[Any]] = {"hidden_sizes": ["8", "32"], "init_variance": [0.01, 0.1], "learning_rate": RATES}


@pytest.mark.parametrize(
    ("sizes", "lines_of", "panels_of"),
    [
        ((), "", ""),
        ((64,), "a", ""),
        ((7, 4), "ab", ""),
        ((4, 7), "ba", ""),
        ((2, 6), "ba", ""),
        ((7, 5), "a", "b"),
        ((20, 6), "a", "b"),
        ((2, 2, 7), "c", "ab"),
        ((3, 4, 7), "cb", "a"),
        ((2, 2, 2), "a", "bc"),
        ((3, 3, 3, 5), "da", "bc"),
    ],
)
def test_lines_of_a_panel_stay_few(sizes: tuple[int, ...], lines_of: str, panels_of: str) -> None:
    axes = {name: list(range(1, size + 1)) for name, size in zip("abcd", sizes, strict=False)}
    data = value_data(make_results(axes=axes, seeds=1, num_checks=3), "final_test_loss", ())
    assert divided(data, tuple(axes)) == (tuple(lines_of), tuple(panels_of))


def test_twenty_eight_settings_of_three_axes_are_four_panels_of_seven_lines() -> None:
    figure = figures.curves(make_results(axes=THREE, seeds=2, num_checks=4), "test_accuracy")
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [
        f"hidden sizes = {size}, initial variance = {variance:g}" for size in (8, 32) for variance in (0.01, 0.1)
    ]
    assert [len(lines(axes)) for axes in figure.axes] == [7] * 4
    assert len({axes.get_ylim() for axes in figure.axes}) == 1
    assert legend_texts(figure.axes[1]) == [f"{rate:g}" for rate in RATES]
    assert figure.get_supylabel() == "test accuracy (%)"
    assert words(figure).startswith(
        "Test accuracy for each setting of hidden sizes, initial variance and learning rate"
    )


def test_each_line_is_that_of_its_setting() -> None:
    results = make_results(axes=THREE, seeds=2, num_checks=4)
    figure = figures.curves(results, "test_loss")
    for axes, (size, variance) in zip(figure.axes, [(s, v) for s in ("8", "32") for v in (0.01, 0.1)], strict=True):
        part = results["test_loss"].sel(hidden_sizes=size, init_variance=variance).mean("seed")
        for line, rate in zip(lines(axes), RATES, strict=True):
            np.testing.assert_allclose(np.asarray(line.get_ydata()), part.sel(learning_rate=rate), rtol=1e-6)


def test_of_many_panels_an_even_choice_is_drawn_and_said() -> None:
    axes: dict[str, list[Any]] = {"learning_rate": RATES, "l2_strength": list(np.linspace(0.1, 1, 9))}
    figure = figures.curves(make_results(axes=axes, seeds=1, num_checks=3), "test_loss")
    assert len(figure.axes) == MAX_PARTS
    assert f"{MAX_PARTS} of 7 values of learning rate shown" in words(figure)


def test_values_over_four_axes_become_panels() -> None:
    axes: dict[str, list[Any]] = {**THREE, "momentum": [0.0, 0.9]}
    results = make_results(axes=axes, seeds=2, num_checks=3)
    figure = figures.value_against(results, "learning_rate")
    assert len(figure.axes) == 4
    assert all(len(panel.containers) == 2 for panel in figure.axes)
    assert figure.get_supxlabel() == "learning rate"
