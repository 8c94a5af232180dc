from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from jaxreg.reporting import figures
from tests.reporting.figures.reading import cells, words


def confusion(matrix: Any, dims: tuple[str, ...] = ("label", "prediction")) -> xr.DataArray:
    return xr.DataArray(np.asarray(matrix), dims=dims, name="confusion")


THREE = [[90, 10, 0], [0, 199, 1], [30, 0, 70]]  # rows: 90 10 0, 0 99.5 0.5 and 30 0 70 %


def test_rows_are_shares_and_only_errors_are_coloured() -> None:
    figure = figures.confusion(confusion(THREE))
    axes, bar = figure.axes
    errors, diagonal = map(cells, axes.collections)
    np.testing.assert_allclose(errors.filled(-1), np.array([[-1, 10, 0], [0, -1, 0.5], [30, 0, -1]]))
    np.testing.assert_array_equal(~np.ma.getmaskarray(diagonal), np.eye(3, dtype=bool))
    assert axes.collections[0].get_clim() == (0, 30)
    texts = {text.get_position(): text.get_text() for text in axes.texts}  # (prediction, label)
    assert texts == {
        **{(0.5, 0.5): "90.0", (1.5, 1.5): "99.5", (2.5, 2.5): "70.0"},
        **{(1.5, 0.5): "10.0", (2.5, 1.5): "0.5", (0.5, 2.5): "30.0"},
    }
    assert axes.yaxis_inverted()
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
    assert bar.get_ylabel() == "errors: share of the true class (%)"
    assert "accuracy 89.75 % (400 examples, 1 seed)" in words(figure)  # (90 + 199 + 70) / 400
    assert "most frequent confusion: 2 taken for 0 (30.0 % of class 2)" in words(figure)


def test_seeds_are_summed_and_the_order_of_dimensions_is_free() -> None:
    stacked = confusion([THREE, THREE], ("seed", "label", "prediction"))
    figure = figures.confusion(stacked.transpose("prediction", "seed", "label"))
    np.testing.assert_allclose(cells(figure.axes[0].collections[0])[2, 0], 30)
    assert "(800 examples, 2 seeds together)" in words(figure)


@pytest.mark.parametrize(("classes", "written"), [(2, True), (12, True), (64, False)])
def test_cells_are_written_where_they_are_large(classes: int, written: bool) -> None:
    matrix = np.full((classes, classes), 10)
    figure = figures.confusion(confusion(matrix))
    assert len(figure.axes[0].texts) == (classes**2 if written else 0)
    assert f"accuracy {100 / classes:.2f} %" in words(figure)


def test_perfect_and_empty_classes() -> None:
    figure = figures.confusion(confusion([[10, 0], [0, 0]]))
    assert [text.get_text() for text in figure.axes[0].texts] == ["100"]
    assert "no errors" in words(figure)
    assert "no examples" in words(figures.confusion(confusion(np.zeros((2, 2)))))


@pytest.mark.parametrize(
    ("shape", "match"), [((2, 3), "of the same classes"), ((2, 2, 2), "select one value of init_variance")]
)
def test_other_shapes_are_refused(shape: tuple[int, ...], match: str) -> None:
    dims = ("label", "prediction", "init_variance")[: len(shape)]
    with pytest.raises(ValueError, match=match):
        figures.confusion(confusion(np.ones(shape), dims))
