from __future__ import annotations

import numpy as np
import pytest

from jaxreg.config import DataConfig
from jaxreg.data import load
from jaxreg.data.images import input_shape, sum_pool, to_split
from jaxreg.errors import ConfigError

RNG = np.random.default_rng(0)


def test_pixels_over_255_row_major() -> None:
    pixels = np.arange(6, dtype=np.uint8).reshape(1, 2, 3, 1) * 51
    split = to_split(pixels, np.array([7], np.int32), 255, 1)
    np.testing.assert_array_equal(split.inputs, np.array([[0, 51, 102, 153, 204, 255]], np.float32) / 255)
    assert split.inputs.dtype == np.float32


def test_average_of_blocks_by_hand() -> None:
    pixels = np.array([[0, 255, 10, 20], [255, 0, 30, 40]], np.uint8).reshape(1, 2, 4, 1)
    split = to_split(pixels, np.array([0], np.int32), 255, 2)
    np.testing.assert_allclose(split.inputs, [[0.5, 25 / 255]], rtol=1e-7)


@pytest.mark.parametrize(("shape", "factor"), [((28, 28, 1), 4), ((28, 28, 1), 28), ((6, 4, 3), 2), ((5, 5, 3), 1)])
def test_pooling_is_the_mean_of_each_block_and_channel(shape: tuple[int, int, int], factor: int) -> None:
    pixels = RNG.integers(0, 256, (3, *shape), np.uint8)
    means = to_split(pixels, np.zeros(3, np.int32), 255, factor).inputs.reshape(
        3, *np.array(shape[:2]) // factor, shape[2]
    )
    for row, column in np.ndindex(means.shape[1:3]):
        block = pixels[:, row * factor : (row + 1) * factor, column * factor : (column + 1) * factor]
        np.testing.assert_allclose(means[:, row, column], block.mean(axis=(1, 2)) / 255, rtol=1e-6)


def test_saturated_blocks_do_not_overflow() -> None:
    assert to_split(np.full((1, 32, 32, 1), 255, np.uint8), np.zeros(1, np.int32), 255, 32).inputs.item() == 1


def test_input_shape_after_pooling() -> None:
    assert input_shape(np.zeros((1, 28, 28, 1), np.uint8), 4) == (7, 7)
    assert input_shape(np.zeros((1, 32, 32, 3), np.uint8), 2) == (16, 16, 3)


@pytest.mark.parametrize("factor", [3, 5, 56])
def test_a_factor_must_divide_the_image(factor: int) -> None:
    with pytest.raises(ConfigError, match=rf"--downsample={factor}: must divide"):
        sum_pool(np.zeros((1, 28, 28, 1), np.uint8), factor)


@pytest.mark.parametrize("config", [DataConfig(downsample=0), DataConfig(downsample=3), DataConfig(validation_size=0)])
def test_bad_options_are_refused(config: DataConfig) -> None:
    with pytest.raises(ConfigError, match=r"--(downsample|validation_size)=[03]: must"):
        load(config)


def test_digits_are_pooled_too() -> None:
    fine, coarse = load(DataConfig()), load(DataConfig(downsample=4))
    assert coarse.input_shape == (2, 2)
    means = fine.test.inputs.reshape(-1, 2, 4, 2, 4).mean(axis=(2, 4))
    np.testing.assert_allclose(coarse.test.inputs, means.reshape(-1, 4), rtol=1e-6)
