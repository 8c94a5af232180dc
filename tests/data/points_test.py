from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

from jaxreg.config import DataConfig
from jaxreg.data import Data, load
from jaxreg.data.points import NUM_POINTS, POINT_SETS, TEST_SIZE, VALIDATION_SIZE
from jaxreg.errors import ConfigError

SETS = pytest.mark.parametrize("name", POINT_SETS)


def drawn(name: str, **options: Any) -> Data:
    return load(DataConfig(name, **options))


def points_of(data: Data) -> tuple[np.ndarray, ...]:
    """x1, x2 and class of all examples."""
    splits = (data.train, data.validation, data.test)
    return (*np.concatenate([split.inputs for split in splits]).T, np.concatenate([split.labels for split in splits]))


@SETS
def test_sizes_and_classes(name: str) -> None:
    data = drawn(name)
    sizes = (NUM_POINTS, VALIDATION_SIZE, TEST_SIZE)
    for split, size in zip((data.train, data.validation, data.test), sizes, strict=True):
        assert (split.inputs.shape, split.labels.shape) == ((size, 2), (size,))
        assert (split.inputs.dtype, split.labels.dtype) == (np.dtype(np.float32), np.dtype(np.int32))
        np.testing.assert_array_equal(np.bincount(split.labels), [size / 2, size / 2])
    assert (data.name, data.input_shape, data.num_classes, data.class_names) == (name, (2,), 2, ("0", "1"))
    odd = drawn(name, num_points=7, validation_size=3)
    assert (np.bincount(odd.train.labels).tolist(), np.bincount(odd.validation.labels).tolist()) == ([4, 3], [2, 1])


@SETS
def test_without_noise_points_lie_on_their_shape(name: str) -> None:
    x1, x2, label = points_of(drawn(name, noise=0.0))
    radius, angle = np.hypot(x1, x2), np.arctan2(x2, x1)
    turned = np.exp(1j * (angle - 1.5 * np.pi * radius - np.pi * label))
    off = {
        "moons": np.where(label == 0, radius - 1, np.hypot(x1 - 1, x2 - 0.5) - 1),
        "circles": radius - np.where(label == 0, 1, 0.5),
        "spirals": np.abs(turned - 1),
        "blobs": np.abs(x1 - 2 * label + 1) + np.abs(x2 - 2 * label + 1),
        "xor": (x1 * x2 < 0) != label,
    }
    np.testing.assert_allclose(off[name], 0, atol=2e-6)
    if name == "moons":
        assert np.all(np.where(label == 0, x2 >= 0, x2 <= 0.5))
    if name == "xor":
        assert max(np.abs(x1).max(), np.abs(x2).max()) <= 1
        quadrants = np.unique(np.stack([x1 > 0, x2 > 0]), axis=1, return_counts=True)[1]
        assert (np.abs(quadrants / len(x1) - 0.25) < 0.05).all()


@SETS
def test_noise_is_gaussian_of_the_standard_deviation_asked_for(name: str) -> None:
    exact, noisy = (points_of(drawn(name, noise=noise, num_points=4000)) for noise in (0.0, 0.3))
    moved = np.stack(noisy[:2]) - np.stack(exact[:2])
    np.testing.assert_allclose(moved.mean(1), 0, atol=0.02)
    np.testing.assert_allclose(np.cov(moved), 0.09 * np.eye(2), atol=0.008)  # 4.6 standard errors
    np.testing.assert_array_equal(drawn(name).train.inputs, drawn(name, noise=POINT_SETS[name].noise).train.inputs)


@SETS
def test_splits_and_sets_are_drawn_independently(name: str) -> None:
    data = drawn(name, noise=1.0, num_points=500)
    exact = drawn(name, noise=0.0, num_points=500)
    others = [drawn(other, noise=1.0, num_points=500) for other in POINT_SETS if other != name]
    others_exact = [drawn(other, noise=0.0, num_points=500) for other in POINT_SETS if other != name]
    moved = (data.train.inputs - exact.train.inputs).ravel()
    further = [data.validation.inputs - exact.validation.inputs, data.test.inputs[:500] - exact.test.inputs[:500]]
    further += [a.train.inputs - b.train.inputs for a, b in zip(others, others_exact, strict=True)]
    for noise in further:
        assert abs(np.corrcoef(moved, noise.ravel())[0, 1]) < 0.15


@SETS
def test_of_more_points_the_first_are_those_of_fewer(name: str) -> None:
    few, many = drawn(name, num_points=30, validation_size=10), drawn(name, num_points=300)
    np.testing.assert_array_equal(many.train.inputs[:30], few.train.inputs)
    np.testing.assert_array_equal(many.validation.inputs[:10], few.validation.inputs)
    np.testing.assert_array_equal(many.test.inputs, few.test.inputs)


DIGESTS = {
    "moons": "45c6c0128bd3a5c4",
    "circles": "5f5401d4d9734dfd",
    "spirals": "9247436f78774ad8",
    "blobs": "1ee19d0568255323",
    "xor": "6f4d7565416eeed7",
}


@SETS
def test_the_draws_never_change(name: str) -> None:
    x1, x2, label = points_of(drawn(name))
    rounded = np.round(np.stack([x1, x2]).astype(np.float64), 3) + 0.0  # sines may differ in their last bit
    digest = hashlib.sha256(rounded.astype("<f4").tobytes() + label.astype("<i4").tobytes())
    assert digest.hexdigest()[:16] == DIGESTS[name]


@pytest.mark.parametrize(
    ("options", "refused"),
    [
        ({"noise": -0.1}, "--noise=-0.1: must be a finite number >= 0"),
        ({"num_points": 1}, "--num_points=1: must be a whole number from 2"),
        ({"downsample": 2}, "--downsample=2: moons has no pixels; leave it out"),
        (
            {"dataset": "digits", "noise": 0.1},
            r"--noise=0.1: digits is no set of points \(moons, .*xor\); leave it out",
        ),
        ({"dataset": "digits", "num_points": 9}, "--num_points=9: digits is no set of points"),
        ({"dataset": "moon"}, "--dataset=moon: must be one of digits, moons, circles, .*did you mean moons"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, Any], refused: str) -> None:
    with pytest.raises(ConfigError, match=refused):
        load(DataConfig(**{"dataset": "moons", **options}))
