from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg

from jaxreg.reporting import figures
from jaxreg.reporting.figures.style import Figure, style
from jaxreg.reporting.figures.ticks import is_logarithmic, plain, set_given_ticks, set_plain_ticks
from tests.synthetic import make_results


@pytest.mark.parametrize(
    ("values", "logarithmic"),
    [
        ([0.003, 0.01, 0.03], True),
        ([0.0003, 0.001, 0.003], True),
        ([0.1, 0.2, 0.3, 1, 2], True),
        ([1, 2, 100], True),
        ([0.01, 1], True),
        ([1, 10], False),
        ([0.1, 1], False),
        ([0.3, 1, 2.9], False),
        (np.linspace(1, 100, 7), False),
        ([0, 1, 100], False),
        ([1, 10, np.inf], False),
        ([5, 5, 5], False),
        ([3], False),
    ],
)
def test_an_axis_is_logarithmic_by_one_rule(values: Any, logarithmic: bool) -> None:
    assert is_logarithmic(values) is logarithmic


DECIMALS = st.lists(
    st.integers(1, 99).map(lambda digits: digits / 10), min_size=1, max_size=6, unique=True
) | st.sampled_from([[1.0, 10.0], [1.0, 3.0, 10.0], [3.0, 10.0, 30.0], [1.0, 2.0, 5.0, 10.0]])


@settings(derandomize=True, deadline=None)
@given(DECIMALS, st.integers(-8, 8), st.sampled_from([1.0, 2.0, 3.0, 7.0]), st.permutations(range(6)))
def test_neither_rounding_nor_units_nor_order_decide(
    values: list[float], power: int, factor: float, order: list[int]
) -> None:
    rule = is_logarithmic(values)
    assert is_logarithmic(values + values) is rule
    assert is_logarithmic([float(f"{value}e{power}") for value in values]) is rule
    assert is_logarithmic(np.array(values, np.float32)) is rule
    assert is_logarithmic(factor * np.array(values)) is rule
    assert is_logarithmic([values[i] for i in order if i < len(values)]) is rule


@pytest.mark.parametrize("rates", [[0.003, 0.01, 0.03], [0.0003, 0.001, 0.003]])
def test_the_figures_follow_it(rates: list[float]) -> None:
    results = make_results(axes={"learning_rate": rates}, seeds=2, num_checks=3)
    for figure in (figures.value_against(results, "learning_rate"), figures.paired(results, "learning_rate")):
        assert figure.axes[0].get_xscale() == "log"


def boxes(axes: Axes, side: str) -> list[tuple[float, float]]:
    """Where the labels of the ticks within the view begin and end, in pixels."""
    renderer: Any = FigureCanvasAgg(axes.figure).get_renderer()  # type: ignore[arg-type]
    axis = axes.xaxis if side == "x" else axes.yaxis
    low, high = sorted(axis.get_view_interval())
    found = []
    for which in ("major", "minor"):
        for tick in axis.get_major_ticks() if which == "major" else axis.get_minor_ticks():
            label = tick.label1
            if label.get_text() and label.get_visible() and low * (1 - 1e-9) <= tick.get_loc() <= high * (1 + 1e-9):
                box = label.get_window_extent(renderer)
                found.append((box.x0, box.x1) if side == "x" else (box.y0, box.y1))
    return sorted(found)


@pytest.mark.parametrize("side", ["x", "y"])
@settings(derandomize=True, deadline=None, max_examples=25)
@given(
    low=st.floats(1e-9, 1e6), decades=st.floats(0.01, 9), inches=st.sampled_from([1.4, 2.2, 5.0]), shares=st.booleans()
)
def test_labels_of_logarithmic_axes_never_overlap(
    side: str, low: float, decades: float, inches: float, shares: bool
) -> None:
    with style():
        figure = Figure(figsize=(inches, inches))
        axes = figure.add_axes((0.25, 0.25, 0.7, 0.7))
        if side == "x":
            axes.set(xscale="log", xlim=(low, low * 10**decades))
        else:
            axes.set(yscale="log", ylim=(low, low * 10**decades))
        set_plain_ticks(axes.xaxis if side == "x" else axes.yaxis, *([lambda x: f"{100 * x:.6g}"] if shares else []))
        found = boxes(axes, side)
    assert all(end < begin for (_, end), (begin, _) in itertools.pairwise(found))


def test_a_logarithmic_axis_has_several_ticks_where_it_has_room() -> None:
    with style():
        figure = Figure(figsize=(5, 5), layout="constrained")
        axes = figure.subplots()
        for low, high in ((0.1, 0.7), (1, 1000), (0.2, 0.5), (1e-6, 1e3)):
            axes.set(yscale="log", ylim=(low, high))
            set_plain_ticks(axes.yaxis)
            figure.draw_without_rendering()
            assert 4 <= len(boxes(axes, "y")) <= 9


def test_given_ticks_give_way_to_zero_and_to_the_largest() -> None:
    with style():
        figure = Figure(figsize=(2, 2), layout="constrained")
        axes = figure.subplots()
        axes.set_yscale("symlog", linthresh=1e-6)
        axes.set_ylim(-1, 1)
        ticks = np.array([0.0, *(sign * 10.0**power for sign in (-1, 1) for power in range(-6, 1))])
        set_given_ticks(axes.yaxis, ticks)
        figure.draw_without_rendering()
        kept = axes.yaxis.get_majorticklocs()
        found = [(box[0], box[1]) for box in boxes(axes, "y")]
    assert {-1.0, 0.0, 1.0} <= set(kept) < set(ticks)
    assert all(end < begin for (_, end), (begin, _) in itertools.pairwise(found))


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.003, "0.003"),
        (200, "200"),
        (100_000, "100k"),
        (2e6, "2M"),
        (1e9, "10⁹"),
        (1e-5, "10⁻⁵"),
        (-2e-6, "\u22122\u00d710⁻⁶"),
        (0, "0"),
    ],
)
def test_numbers_of_ticks_are_plain(number: float, text: str) -> None:
    assert plain(number) == text
