from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from jaxreg.data import Data, Split, from_arrays
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


def test_masked_values_are_refused_and_a_mask_that_hides_nothing_is_not() -> None:
    inputs, labels = np.ones((4, 2)), np.array([0, 1, 0, 1])
    for hidden in (np.ma.masked_equal(np.eye(4, 2), 1), np.ma.masked_invalid(np.full((4, 2), np.nan))):
        with pytest.raises(DataError, match="train inputs are masked in places"):
            from_arrays((hidden, labels), (inputs, labels), (inputs, labels))
    with pytest.raises(DataError, match="test labels are masked in places"):
        from_arrays((inputs, labels), (inputs, labels), (inputs, np.ma.masked_equal(labels, 1)))
    nothing_hidden = np.ma.array(inputs, mask=False)
    assert from_arrays((nothing_hidden, labels), (inputs, labels), (inputs, labels)).num_classes == 2


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_splits_of_different_shapes_are_refused(part: str) -> None:
    def split(features: int) -> Split:
        return Split(np.zeros((5, features), np.float32), np.zeros(5, np.int32))

    train, validation, test = (split(81 if name == part else 64) for name in ("train", "validation", "test"))
    with pytest.raises(DataError, match=f"{part} examples have 81 features, 8x8 inputs have 64"):
        Data(train, validation, test, "nine", input_shape=(8, 8), num_classes=2, class_names=("0", "1"))


class OfTorch:
    """Looks like a data set of PyTorch: neither an array nor a pair of them."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return X[index], Y[index]


class RequiresGrad:
    """Refuses to become an array, as a tensor that requires grad does."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.\nUse tensor.detach().numpy() instead.")


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (None, r"train is given as None; give a pair of arrays \(inputs, labels\)"),
        ((X, Y, Y), "train is given as tuple of 3 parts"),
        (zip(X, Y, strict=True), "train is given as zip"),
        (OfTorch(), "train is given as OfTorch"),
        (X[:2], "train is given as ndarray"),  # two examples are no pair of inputs and labels
        ({"inputs": X, "labels": Y}, "train is given as dict"),
        ((RequiresGrad(), Y), "train inputs are not an array: Can't call numpy.. on Tensor that requires grad"),
        ((X, RequiresGrad()), "train labels are not an array: "),
        ((None, Y), "train inputs have dtype object"),
    ],
    ids=lambda part: type(part).__name__ if not isinstance(part, str) else "",
)
def test_what_is_no_pair_of_arrays_is_refused_in_one_line(split: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as refusal:
        from_arrays(split, (X, Y), (X, Y))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("names", [np.array(["a", "b", "c"]), ("a", "b", "c"), np.array(["a", "b", "c"], object)])
def test_names_of_classes_may_be_an_array(names: Any) -> None:
    assert from_arrays((X, Y), (X, Y), (X, Y), class_names=names).class_names == ("a", "b", "c")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("abc", "class_names must be a list of names"),
        (np.eye(3), "class_names must be a list of names"),
        (["a", "b", "a"], "two classes are named a"),
        (["a", "b", "c" * 1_000_000], "the name of class 2 has 1000000 characters; give at most 200"),
        ([], "0 class_names for num_classes=3"),
    ],
)
def test_names_that_cannot_name_classes_are_refused(names: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as refusal:
        from_arrays((X, Y), (X, Y), (X, Y), class_names=names)
    assert len(str(refusal.value)) < 200


def test_masked_arrays_inside_a_list_are_refused_too() -> None:
    rows = [np.ma.array([1.0, 2.0], mask=[False, True]), np.ma.array([1.0, 2.0])]
    with pytest.raises(DataError, match="train inputs are masked in places"):
        from_arrays((rows, [0, 1]), (np.ones((2, 2)), [0, 1]), (np.ones((2, 2)), [0, 1]))


SPLIT: Any = Split(np.zeros((5, 4), np.float32), np.array([0, 1, 0, 1, 0], np.int32))


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (SPLIT._replace(inputs=np.zeros((5, 4))), "float64 inputs and int32 labels; jaxreg.from_arrays casts them"),
        (Split(SPLIT.inputs, SPLIT.labels.astype(np.int64)), "float32 inputs and int64 labels"),
        (Split(SPLIT.inputs, SPLIT.labels + 1), r"labels lie in \[1, 2\]"),
        (Split(SPLIT.inputs, SPLIT.labels[:4]), "5 inputs but 4 labels"),
        (Split(SPLIT.inputs[:0], SPLIT.labels[:0]), "at least one"),
        (Split(np.full((5, 4), np.nan, np.float32), SPLIT.labels), "not all finite: see example 0"),
        (Split(np.full((5, 4), np.inf, np.float32), SPLIT.labels), "not all finite"),
        (Split(SPLIT.inputs.reshape(5, 2, 2), SPLIT.labels), "2x2 features"),
    ],
)
def test_data_of_unchecked_arrays_is_checked(part: Any, message: str) -> None:
    with pytest.raises(DataError, match=f"mine: test.*{message}"):
        Data(SPLIT, SPLIT, part, name="mine", input_shape=(2, 2), num_classes=2, class_names=("0", "1"))
    with pytest.raises(DataError, match="1 class_names for num_classes=2"):
        Data(SPLIT, SPLIT, SPLIT, name="mine", input_shape=(2, 2), num_classes=2, class_names=("0",))


def test_labels_of_two_dimensions_are_numbers() -> None:
    values = np.array([[0.5, 2], [1, 1], [0, 3], [2, 2]])
    data = from_arrays((X, values), (X, values), (X, values))
    assert (data.num_classes, data.num_outputs, data.has_accuracy, data.class_names) == (0, 2, False, ())
    assert data.train.labels.dtype == np.float32
    yes, more = (X, values > 1), (X, values > 0)
    yes_and_no = from_arrays(yes, yes, yes)
    assert (yes_and_no.num_outputs, yes_and_no.has_accuracy) == (2, True)
    assert yes_and_no.digest != from_arrays(more, more, more).digest


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        ([[1], [2], [3]], {}, "mine: test has 4 inputs but 3 labels"),
        ([[1], [2], [3], [np.inf]], {}, "mine: test labels are not all finite in float32: see example 3"),
        ([[1, 2]] * 4, {}, "mine: test has 2 numbers to a label, train 1"),
        ([1, 2, 3, 4], {}, r"mine: test labels have shape \(4,\)"),
        ([[1]] * 4, {"num_classes": 2}, "which have no classes; give no names"),
    ],
)
def test_numbers_are_refused_in_one_line(labels: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as refusal:
        from_arrays((X, [[0.5]] * 4), (X, [[0.5]] * 4), (X, labels), name="mine", **options)
    assert "\n" not in str(refusal.value)
