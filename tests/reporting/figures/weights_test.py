from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from jaxreg.reporting import figures
from tests.reporting.figures.reading import words


def weights(units: int, shape: tuple[int, int] = (3, 4)) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1, (shape[0] * shape[1], units))


@pytest.mark.parametrize(("units", "shown"), [(1, 1), (7, 7), (64, 64), (100, 64)])
def test_an_image_per_hidden_unit(units: int, shown: int) -> None:
    values = weights(units)
    figure = figures.weight_images(values, (3, 4))
    axes, bar = figure.axes
    assert len(axes.images) == len(axes.texts) == shown
    for image, text in zip(axes.images, axes.texts, strict=True):
        np.testing.assert_allclose(np.asarray(image.get_array()), values[:, int(text.get_text())].reshape(3, 4))
    assert bar.get_ylabel() == "weight"
    assert (f"64 of {units} hidden units shown" in words(figure)) == (units == 100)


def test_colours_are_symmetric_about_zero_and_few_large_weights_leave_them_readable() -> None:
    values = np.full((100, 10), 0.1)
    values[0, 0] = -50.0
    figure = figures.weight_images(xr.DataArray(values, dims=("feature", "unit")), (10, 10))
    assert {image.get_clim() for image in figure.axes[0].images} == {(-0.1, 0.1)}
    assert "colours end at the 99.5th percentile of |weight|" in words(figure)
    assert "colours end" not in words(figures.weight_images(np.full((4, 2), 0.1), (2, 2)))


def test_images_do_not_overlap() -> None:
    extents = [image.get_extent() for image in figures.weight_images(weights(7), (3, 4)).axes[0].images]
    for i, (left, right, bottom, top) in enumerate(extents):
        for other_left, other_right, other_bottom, other_top in extents[:i]:
            assert left >= other_right or right <= other_left or top >= other_bottom or bottom <= other_top


def test_zero_and_diverged_weights_are_drawn() -> None:
    assert figures.weight_images(np.zeros((4, 2)), (2, 2)).axes[0].images[0].get_clim() == (-1, 1)
    image = figures.weight_images(np.full((4, 2), np.nan), (2, 2)).axes[0].images[0]
    assert np.ma.getmaskarray(np.ma.asarray(image.get_array())).all()


@pytest.mark.parametrize("values", [np.zeros((5, 2)), np.zeros(4)])
def test_features_that_do_not_fill_the_image_are_refused(values: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"shape=2x2: weights must be \[4, units\]"):
        figures.weight_images(values, (2, 2))
