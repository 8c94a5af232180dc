from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes

from jaxreg.reporting import figures
from tests.reporting.figures.reading import words
from tests.synthetic import make_results

L2 = [0.0, 1e-4, 1e-3, 1e-2]
RADII = [np.inf, 3.0, 2.0, 1.0]


def levels(methods: list[str], **changes: int) -> xr.DataArray:
    results = make_results(
        axes={"method": methods, "l2_strength": L2}, zipped={"max_norm": ("l2_strength", RADII)}, **changes
    )
    return results["final_test_loss"]


def panel(values: xr.DataArray, method: str) -> Axes:
    figure = figures.strengths(values)
    return next(axes for axes in figure.axes if axes.get_title() == method)


@pytest.mark.parametrize(
    ("method", "field", "x"), [("l2", "L2 strength", L2[1:]), ("max_norm", "max-norm radius", [1, 2, 3])]
)
def test_a_method_stands_over_its_own_strength(method: str, field: str, x: list[float]) -> None:
    values = levels(["l2", "max_norm"], seeds=4)
    axes = panel(values, method)
    ((points, *_),) = axes.containers
    np.testing.assert_allclose(np.asarray(points.get_xdata()), x)
    mean = values.sel({"method": method}).mean("seed").values[1:]
    np.testing.assert_allclose(np.asarray(points.get_ydata()), mean if method == "l2" else mean[::-1])
    assert axes.get_xlabel() == field
    assert axes.get_xscale() == ("log" if method == "l2" else "linear")


def test_off_is_a_dashed_line_with_its_band() -> None:
    values = levels(["l2", "max_norm"], seeds=4)
    axes = panel(values, "max_norm")
    (dashed,) = [line for line in axes.lines if line.get_linestyle() == "--"]
    off = float(values.sel({"method": "max_norm"}).isel(l2_strength=0).mean("seed"))
    np.testing.assert_allclose(np.asarray(dashed.get_ydata()), off)
    assert axes.patches
    assert "dashed: switched off" in words(figures.strengths(values))


def test_nothing_is_said_of_a_dashed_line_that_is_not_drawn() -> None:
    values = levels(["l2", "max_norm"], seeds=4).isel(l2_strength=slice(1, None))
    assert "dashed" not in words(figures.strengths(values))


def test_strengths_that_go_together_are_named() -> None:
    assert panel(levels(["l2+max_norm", "dropout"], seeds=2), "l2+max_norm").get_xlabel() == (
        "L2 strength\n(and max-norm radius with it)"
    )
    (text,) = panel(levels(["l2", "dropout"], seeds=2), "dropout").texts
    assert text.get_text() == "its strength is not swept"


def test_one_seed_is_drawn_without_interval() -> None:
    assert "1 seed, no interval" in words(figures.strengths(levels(["l2", "max_norm"], seeds=1)))


def test_other_dimensions_are_refused() -> None:
    values = levels(["l2"], seeds=2)
    with pytest.raises(ValueError, match="needs the dimensions method and one of strengths"):
        figures.strengths(values.isel(method=0))
    with pytest.raises(ValueError, match="needs the dimensions method and one of strengths"):
        figures.strengths(values.expand_dims(learning_rate=[0.1, 1.0]))
