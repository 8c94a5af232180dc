from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from jaxreg.data import Split, from_arrays
from jaxreg.errors import DataError

X = np.arange(24.0).reshape(4, 3, 2)
Y = np.array([0, 1, 2, 1])


def test_examples_are_flattened_row_major() -> None:
    data = from_arrays((X, Y), (X[:2], Y[:2]), (X[:1], Y[:1]))
    assert data.input_shape == (3, 2)
    assert data.num_classes == 3
    assert data.class_names == ("0", "1", "2")
    assert isinstance(data.train, Split)
    np.testing.assert_array_equal(data.train.inputs[1], [6, 7, 8, 9, 10, 11])
    assert data.train.inputs.dtype == np.float32
    assert data.train.labels.dtype == np.int32
    assert [len(split.labels) for split in (data.train, data.validation, data.test)] == [4, 2, 1]


@pytest.mark.parametrize("labels", [Y.tolist(), Y.astype(np.uint8), Y.astype(np.float64), jnp.asarray(Y)])
def test_whole_labels_of_any_type(labels: Any) -> None:
    np.testing.assert_array_equal(from_arrays((X, labels), (X, labels), (X, labels)).train.labels, Y)


def test_names_of_classes() -> None:
    data = from_arrays((X, Y), (X, Y), (X, Y), name="mine", class_names=["a", "b", "c", "d"])
    assert (data.name, data.num_classes, data.class_names) == ("mine", 4, ("a", "b", "c", "d"))


def test_user_arrays_are_not_shared() -> None:
    inputs = X.astype(np.float32)
    data = from_arrays((inputs, Y), (inputs, Y), (inputs, Y))
    inputs[:] = -1
    np.testing.assert_array_equal(data.train.inputs.ravel(), X.ravel())


def not_finite(value: float) -> np.ndarray:
    x = X.copy()
    x[2, 0, 1] = value
    return x


@pytest.mark.parametrize(
    ("inputs", "labels", "options", "message"),
    [
        (X, [0, 1, 2, -1], {}, r"test labels lie in \[-1, 2\]"),
        (X, [0, 1, 2, 3], {"num_classes": 3}, r"test labels lie in \[0, 3\]; 3 classes allow 0 to 2"),
        (X, [0, 1, 2, 0.5], {}, "whole numbers: 0.5"),
        (X, [0, 1, 2, np.nan], {}, "whole numbers: nan"),
        (X, ["a", "b", "a", "b"], {}, "dtype <U1"),
        (X, np.eye(4), {}, r"shape \(4, 4\).*one-hot"),
        (X, [0, 1, 2], {}, "4 inputs but 3 labels"),
        (X[:, :2], Y, {}, r"shape \(2, 2\), train examples \(3, 2\)"),
        (X[0, 0], Y, {}, r"shape \(2,\)"),
        (X[:0], [], {}, "at least one"),
        (X[:, :0], Y, {}, "at least one"),
        (not_finite(np.nan), Y, {}, "test inputs are not all finite.*example 2"),
        (not_finite(1e39), Y, {}, "not all finite in float32"),
        (X + 1j, Y, {}, "complex128"),
        ([[1, 2], [3]], [0, 1], {}, "not an array"),
        (X, Y, {"class_names": ["a"], "num_classes": 3}, "1 class_names for num_classes=3"),
        (X, Y, {"num_classes": 1}, "at least 2"),
    ],
)
def test_refused_in_one_line(inputs: Any, labels: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as refusal:
        from_arrays((X, Y), (X, Y), (inputs, labels), name="mine", **options)
    assert str(refusal.value).startswith("mine: ")
    assert "\n" not in str(refusal.value)
