from __future__ import annotations

import hashlib

import numpy as np
import pytest

from jaxreg.config import DataConfig
from jaxreg.data import load
from jaxreg.data.digits import even_order
from jaxreg.errors import ConfigError


def test_sizes_and_range() -> None:
    data = load(DataConfig())
    assert [split.inputs.shape for split in (data.train, data.validation, data.test)] == [
        (1197, 64),
        (300, 64),
        (300, 64),
    ]
    assert (data.input_shape, data.num_classes, data.class_names) == ((8, 8), 10, tuple("0123456789"))
    assert (data.train.inputs.min(), data.train.inputs.max()) == (0, 1)
    assert (data.train.inputs.dtype, data.train.labels.dtype) == (np.dtype(np.float32), np.dtype(np.int32))
    np.testing.assert_array_equal(data.train.inputs * 16 % 1, 0)


def test_every_split_holds_the_classes_in_proportion() -> None:
    data = load(DataConfig())
    whole = np.concatenate([split.labels for split in (data.train, data.validation, data.test)])
    for split in (data.train, data.validation, data.test):
        expected = np.bincount(whole) * len(split.labels) / len(whole)
        assert np.abs(np.bincount(split.labels) - expected).max() < 1.5


def test_all_examples_are_used_once() -> None:
    from sklearn.datasets import load_digits

    data = load(DataConfig())
    ours = np.concatenate([split.inputs for split in (data.train, data.validation, data.test)])
    theirs = load_digits().data / 16
    np.testing.assert_array_equal(ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)].astype(np.float32))


def test_the_split_never_changes() -> None:
    data = load(DataConfig())
    digest = hashlib.sha256()
    for split in (data.train, data.validation, data.test):
        digest.update(split.inputs.astype("<f4").tobytes())
        digest.update(split.labels.astype("<i4").tobytes())
    assert digest.hexdigest() == "a6eacb9e463cb6dea8ea6e09a6f98fc0eacd3299c4d3dd793275220de466186c"


def test_validation_size_changes_validation_only() -> None:
    default, small = load(DataConfig()), load(DataConfig(validation_size=100))
    np.testing.assert_array_equal(small.test.inputs, default.test.inputs)
    np.testing.assert_array_equal(small.validation.inputs, default.validation.inputs[-100:])
    np.testing.assert_array_equal(small.train.inputs[:1197], default.train.inputs)
    assert len(small.train.labels) == 1397


def test_order_spreads_each_class() -> None:
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    order = even_order(labels)
    np.testing.assert_array_equal(np.sort(order), np.arange(100))
    for start in range(0, 100, 10):
        assert np.abs(np.bincount(labels[order[start : start + 10]], minlength=3) - [6, 3, 1]).max() <= 1


@pytest.mark.parametrize("size", [1497, 5000])
def test_something_is_left_to_train_on(size: int) -> None:
    assert len(load(DataConfig(validation_size=1496)).train.labels) == 1
    with pytest.raises(ConfigError, match=rf"--validation_size={size}: must be below 1497"):
        load(DataConfig(validation_size=size))
