"""Two classes of points in the plane, generated: nothing to download, and a network's answer can be drawn.

With u, v uniform on [0, 1) and c = 0, 1 the class, a point lies without noise at

  moons    (cos t, sin t) for c = 0 and (1 - cos t, 1/2 - sin t) for c = 1, t = pi u: two interleaved half circles
  circles  r (cos t, sin t), t = 2 pi u, r = 1 for c = 0 and 1/2 for c = 1
  spirals  r (cos t, sin t), r = 2 sqrt(u), t = 3/2 pi r + pi c: one and a half turns each, evenly dense
  blobs    (-1, -1) for c = 0 and (1, 1) for c = 1: all of their width is noise
  xor      (2u - 1, s v), s = sign(2u - 1) for c = 0 and -sign(2u - 1) for c = 1: the sign of x1 x2 tells the class

and Gaussian noise is added to both coordinates. Moons and circles are those of scikit-learn (Pedregosa et al. 2011),
spirals go back to Lang and Witbrock (1988), Learning to tell two spirals apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from jaxreg.config import DataConfig
from jaxreg.data.arrays import Data, Split
from jaxreg.errors import ConfigError

NUM_POINTS, VALIDATION_SIZE, TEST_SIZE = 200, 500, 1000  # the first two unless they are asked for

Values = npt.NDArray[np.float64]
Shape = Callable[[Values, Values, Values], tuple[Values, Values]]  # (u, v, c), each [examples] -> (x1, x2)


def moons(u: Values, _v: Values, c: Values) -> tuple[Values, Values]:
    """Two interleaved half circles."""
    t = np.pi * u
    return np.where(c == 0, np.cos(t), 1 - np.cos(t)), np.where(c == 0, np.sin(t), 0.5 - np.sin(t))


def circles(u: Values, _v: Values, c: Values) -> tuple[Values, Values]:
    """A circle in a circle."""
    t, r = 2 * np.pi * u, np.where(c == 0, 1, 0.5)
    return r * np.cos(t), r * np.sin(t)


def spirals(u: Values, _v: Values, c: Values) -> tuple[Values, Values]:
    """Two spirals, one of them turned by half a circle."""
    r = 2 * np.sqrt(u)
    t = 1.5 * np.pi * r + np.pi * c
    return r * np.cos(t), r * np.sin(t)


def blobs(_u: Values, _v: Values, c: Values) -> tuple[Values, Values]:
    """Two points, which noise makes Gaussian."""
    return 2 * c - 1, 2 * c - 1


def xor(u: Values, v: Values, c: Values) -> tuple[Values, Values]:
    """The four quadrants of a square, opposite ones of one class."""
    x1 = 2 * u - 1
    return x1, np.where(x1 < 0, -v, v) * (1 - 2 * c)


class PointSet(NamedTuple):
    """The shape of a set, the standard deviation of its noise unless another is asked for, the seed of its draws."""

    shape: Shape
    noise: float
    seed: int


POINT_SETS: Mapping[str, PointSet] = {
    "moons": PointSet(moons, 0.2, 0),
    "circles": PointSet(circles, 0.1, 1),
    "spirals": PointSet(spirals, 0.1, 2),
    "blobs": PointSet(blobs, 0.7, 3),
    "xor": PointSet(xor, 0.1, 4),
}


def make_points(config: DataConfig) -> Data:
    """A set of POINT_SETS: `num_points` training, `validation_size` validation and 1000 test examples.

    Each split is drawn by itself, its examples alternate between the classes, and their draws never change: of more
    points the first are those of fewer, and another noise moves each point along the same line.

    Raises:
      ConfigError: downsample is above 1.
    """
    if config.downsample > 1:
        raise ConfigError("downsample", config.downsample, f"{config.dataset} has no pixels; leave it out")
    chosen = POINT_SETS[config.dataset]
    noise = chosen.noise if config.noise is None else config.noise
    sizes = (config.num_points or NUM_POINTS, config.validation_size or VALIDATION_SIZE, TEST_SIZE)
    train, validation, test = (_draw(chosen, noise, size, number) for number, size in enumerate(sizes))
    return Data(train, validation, test, config.dataset, input_shape=(2,), num_classes=2, class_names=("0", "1"))


def _draw(chosen: PointSet, noise: float, size: int, split: int) -> Split:
    """The first `size` points of a split; NumPy promises that RandomState's streams never change."""
    places, displacements = (np.random.RandomState([chosen.seed, split, part]) for part in (0, 1))
    labels = np.arange(size) % 2
    u, v = places.random_sample((size, 2)).T
    points = np.stack(chosen.shape(u, v, labels.astype(float)), axis=1) + noise * displacements.randn(size, 2)
    return Split(points.astype(np.float32), labels.astype(np.int32))
