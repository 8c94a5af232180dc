"""Image sets as they are decoded, and the way from their pixels to inputs: pool, scale, flatten."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from jaxreg.data.arrays import Split
from jaxreg.errors import ConfigError

Pixels = npt.NDArray[np.uint8]


class Images(NamedTuple):
    """A decoded image set in its own order; arrays throughout, so that it can be cached."""

    train_pixels: Pixels  # [examples, height, width, channels]
    train_labels: npt.NDArray[np.int32]  # [examples]
    test_pixels: Pixels
    test_labels: npt.NDArray[np.int32]
    class_names: npt.NDArray[np.str_]  # [classes]


def to_split(pixels: Pixels, labels: npt.NDArray[np.int32], brightest: int, downsample: int) -> Split:
    """Pixels pooled, over `brightest` (255; digits: 16), in [0, 1], flattened row-major to [examples, features]."""
    sums = sum_pool(pixels, downsample)
    inputs = np.divide(sums, np.float32(brightest * downsample**2), dtype=np.float32)
    return Split(inputs.reshape(len(inputs), -1), labels)


def sum_pool(pixels: Pixels, factor: int) -> npt.NDArray[np.integer]:
    """Sums over factor x factor blocks of each channel: [n, h, w, c] -> [n, h/factor, w/factor, c], exact integers.

    Raises:
      ConfigError: where the factor does not divide height and width.
    """
    examples, height, width, channels = pixels.shape
    if height % factor or width % factor:
        raise ConfigError("downsample", factor, f"must divide the image's {height} rows and {width} columns")
    if factor == 1:
        return pixels
    blocks = pixels.reshape(examples, height // factor, factor, width // factor, factor, channels)
    sums: npt.NDArray[np.uint32] = blocks.sum(axis=(2, 4), dtype=np.uint32)
    return sums


def input_shape(pixels: Pixels, downsample: int) -> tuple[int, ...]:
    """(height, width), or (height, width, channels) in colour, after pooling."""
    height, width, channels = pixels.shape[1:]
    pooled = (height // downsample, width // downsample)
    return pooled if channels == 1 else (*pooled, channels)
