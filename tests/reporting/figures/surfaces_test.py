from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from matplotlib.contour import ContourSet

from jaxreg.reporting import figures
from tests.reporting.figures.reading import marks, words
from tests.synthetic import add_surfaces, make_results

METHODS = ["none", "l1", "l2", "early_stopping"]


def surfaces(methods: list[str] | None = None) -> xr.Dataset:
    """Methods at two strengths of L1 and L2 that go together; 11 checks of 50 steps."""
    made = make_results(
        axes={"method": methods or METHODS, "l1_strength": [0.001, 0.01]},
        zipped={"l2_strength": ("l1_strength", [0.1, 1.0])},
        seeds=2,
        num_checks=11,
    )
    return add_surfaces(made)


def titles(figure: figures.SurfaceFigure) -> list[str]:
    return [panel.axes.get_title() for panel in figure.panels]


def shown(figure: figures.SurfaceFigure, panel: int = 0) -> np.ndarray:
    return np.asarray(figure.panels[panel].image.get_array())


def test_each_member_has_one_panel_that_names_what_acts_in_it() -> None:
    results = surfaces()
    results["test_accuracy"][..., -1] = 0.875
    figure = figures.decision_surfaces(results, "method", "l1_strength")
    names = ["none", "l1, l1_strength=0.001", "l2, l2_strength=0.1", "early_stopping"]
    names += ["l1, l1_strength=0.01", "l2, l2_strength=1"]
    assert titles(figure) == [f"{name}\ntest error 12.5 %" for name in names]
    assert len(figure.axes) == len(names) + 1  # and one colour bar
    assert figure.axes[-1].get_ylabel() == "probability of class 1"
    labelled = [(panel.axes.get_xlabel(), panel.axes.get_ylabel()) for panel in figure.panels]
    assert labelled == [("x1", "x2"), ("", ""), ("", ""), ("x1", ""), ("x1", "x2"), ("x1", "")]


def test_a_panel_shows_the_last_check_its_half_line_and_the_points_by_class() -> None:
    results = surfaces()
    figure = figures.decision_surfaces(results.isel(l1_strength=0))
    axes = figure.panels[1].axes
    np.testing.assert_array_equal(shown(figure, 1), results["surface"][1, 0, -1])
    (line,) = (artist for artist in axes.collections if isinstance(artist, ContourSet))
    np.testing.assert_allclose(np.concatenate(line.allsegs[0])[:, 0], 0, atol=1e-6)
    circles, triangles = marks(axes, "_points")
    assert (circles.get_marker(), triangles.get_marker()) == ("o", "^")
    assert circles.get_color() != triangles.get_color()
    for label, points in enumerate((circles, triangles)):
        here = results["example_label"].values == label
        np.testing.assert_array_equal(points.get_xdata(), results["example_x1"][here])
        np.testing.assert_array_equal(points.get_ydata(), results["example_x2"][here])
    half = np.array([4 / 8, 2 / 8]) / 2  # of a cell
    np.testing.assert_allclose(axes.get_xlim(), (-2 - half[0], 2 + half[0]))
    np.testing.assert_allclose(axes.get_ylim(), (-1 - half[1], 1 + half[1]))


def test_a_halted_member_is_shown_as_it_is_kept() -> None:
    results = surfaces().isel(l1_strength=0).assign_coords(after_stop="halt")
    results["stopped_check"][3] = 7
    results["best_check"][3] = 2
    results["surface"][3, 8:] = np.nan
    figure = figures.decision_surfaces(results)
    np.testing.assert_array_equal(shown(figure, 3), results["surface"][3, 2])
    assert titles(figure)[3].endswith(", as after step 100")
    figure.move_to(6)
    np.testing.assert_array_equal(shown(figure, 3), results["surface"][3, 6])
    assert "as after" not in titles(figure)[3]


def test_moving_leaves_one_line_of_probability_one_half() -> None:
    results = surfaces().isel(l1_strength=0)
    results["surface"][:, 0] = 0.7
    figure = figures.decision_surfaces(results)
    for check, lines in ((0, 0), (4, 1), (10, 1)):
        figure.move_to(check)
        np.testing.assert_array_equal(shown(figure), results["surface"][0, check])
        drawn = [artist for artist in figure.panels[0].axes.collections if isinstance(artist, ContourSet)]
        assert len(drawn) == lines


def test_a_member_that_diverged_says_so() -> None:
    results = surfaces().isel(l1_strength=0)
    results["diverged_step"][2, 0] = 333
    results["surface"][2, 6:] = np.nan
    figure = figures.decision_surfaces(results)
    assert titles(figure)[2].endswith("diverged in step 333")
    np.testing.assert_array_equal(shown(figure, 2), results["surface"][2, 5])


def test_of_many_values_an_even_choice_is_drawn() -> None:
    results = add_surfaces(make_results(axes={"learning_rate": np.geomspace(0.01, 1, 9).tolist()}, seeds=1))
    figure = figures.decision_surfaces(results, "learning_rate")
    assert len(figure.panels) == 6
    assert "6 of 9 values of learning rate shown" in words(figure)


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="train with --surfaces"):
        figures.decision_surfaces(make_results(axes={"method": METHODS}))
    with pytest.raises(ValueError, match="select one value of l1_strength first"):
        figures.decision_surfaces(surfaces())
