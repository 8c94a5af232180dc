"""What training reads: splits of inputs and labels, checked, because JAX takes bad labels without a word."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from jaxreg.errors import DataError

LONGEST_NAME = 200  # characters of the name of a class; more would fill figures, and hang what lays them out


class Split(NamedTuple):
    """Examples with their labels: classes, or numbers."""

    inputs: npt.NDArray[np.float32]  # [examples, features]
    labels: npt.NDArray[Any]  # int32 [examples], in [0, num_classes); or float32 [examples, outputs]


@dataclasses.dataclass(frozen=True)
class Data:
    """A data set in memory. `input_shape` is that of one example before it was flattened, row-major.

    Labels are classes, int32 [examples]; or, where `num_classes` is 0, numbers, float32 [examples, outputs]: values to
    come close to, or several yes (1) and no (0).
    """

    train: Split
    validation: Split
    test: Split
    name: str
    input_shape: tuple[int, ...]  # (28, 28), (8, 8), (32, 32, 3); its product is the number of features
    num_classes: int  # 0 where labels are numbers
    class_names: tuple[str, ...]
    unread_splits: tuple[str, ...] = ()  # of a prepared set that has more than train and test

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of all that decides what is trained on: inputs, labels, shapes and classes, but not the name."""
        splits = self.splits.values()
        about = (self.input_shape, self.num_classes, self.class_names, [len(part.labels) for part in splits])
        digest = hashlib.sha256(repr(about).encode())
        for part in splits:
            for array in part:
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def training_on(self, size: int, *, first: bool = False) -> Data:
        """The same sets with `size` training examples: the first ones after a shuffle that is always the same.

        So a smaller set is a part of a larger one. All of them stay in their own order. (NumPy promises that the
        streams of RandomState never change.)

        Args:
          size: of the new training set.
          first: take the first ones as they stand, without the shuffle.
        """
        available = len(self.train.labels)
        if size == available:
            return self
        order = np.arange(available) if first else np.random.RandomState(0).permutation(available)
        return self.training_on_rows(order[:size])

    def training_on_rows(self, rows: npt.NDArray[np.integer]) -> Data:
        """The same sets with these training examples only, in this order."""
        return dataclasses.replace(self, train=Split(*(array[rows] for array in self.train)))

    @property
    def num_outputs(self) -> int:
        """What a network gives for an example: one output per class, or per number of a label."""
        return self.num_classes or self.train.labels.shape[1]

    @functools.cached_property
    def has_accuracy(self) -> bool:
        """Whether a prediction is right or wrong: of classes, and of labels that are all yes (1) or no (0)."""
        return bool(self.num_classes) or all(np.isin(part.labels, (0, 1)).all() for part in self.splits.values())

    @property
    def splits(self) -> dict[str, Split]:
        """The three splits by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    def __post_init__(self) -> None:
        """Refuses what JAX would take without a word and read as something else.

        Raises:
          DataError: naming the split, where splits differ in shape, inputs are not finite float32, or labels are not
            one int32 in [0, num_classes) for each example, or finite float32 where they are numbers; where names of
            classes are not one for each.
        """
        _check_names(self.name, self.class_names, self.num_classes)
        for part, split in self.splits.items():
            _check_split(f"{self.name}: {part}", split, self.input_shape, of_classes=self.num_classes > 0)
            if self.num_classes:
                check_labels(f"{self.name}: {part} labels", split.labels, self.num_classes)
            elif split.labels.shape[1] != self.train.labels.shape[1]:
                found = f"{split.labels.shape[1]} numbers to a label, train {self.train.labels.shape[1]}"
                raise DataError(f"{self.name}: {part} has {found}; give all splits as many")


def from_arrays(
    train: tuple[npt.ArrayLike, npt.ArrayLike],
    validation: tuple[npt.ArrayLike, npt.ArrayLike],
    test: tuple[npt.ArrayLike, npt.ArrayLike],
    name: str = "own data",
    num_classes: int | None = None,
    class_names: Sequence[str] | npt.NDArray[Any] | None = None,
) -> Data:
    """The user's own arrays as `Data`.

    Inputs are cast to float32 and flattened per example, nothing else: scale them first (pixels/255).

    Args:
      train: Inputs [examples, ...] and labels: of classes [examples], whole numbers in [0, num_classes); or numbers
        [examples, outputs], to come close to (`--loss=squared_error`), or yes and no as 1 and 0
        (`--loss=sigmoid_cross_entropy`).
      validation: The same, for early stopping and for choosing between settings.
      test: The same, only reported.
      name: What tables and figures call it.
      num_classes: Number of classes, at least 2; by default one more than the largest label, or len(class_names). Not
        for labels that are numbers.
      class_names: A name per class, all different; by default "0", "1", ...

    Raises:
      DataError: where a split is no pair of arrays, shapes disagree, a split is empty, an input is not finite in
        float32, or a label is not a whole number in [0, num_classes), or where it is a number not finite. (JAX would
        take label -1 as the last class and clamp one that is too large.)
    """
    given = {"train": train, "validation": validation, "test": test}
    parts = {part: _pair(f"{name}: {part}", split) for part, split in given.items()}
    images = {part: _finite(f"{name}: {part} inputs", x) for part, (x, _) in parts.items()}
    of_numbers = _array(f"{name}: train labels", parts["train"][1]).ndim == 2
    read = _finite if of_numbers else _whole
    labels: dict[str, npt.NDArray[Any]] = {part: read(f"{name}: {part} labels", y) for part, (_, y) in parts.items()}
    input_shape = images["train"].shape[1:]
    for part, x in images.items():
        if x.shape[1:] != input_shape:
            raise DataError(f"{name}: {part} examples have shape {x.shape[1:]}, train examples {input_shape}")
        if len(labels[part]) != len(x):
            raise DataError(f"{name}: {part} has {len(x)} inputs but {len(labels[part])} labels; give one each")
    names = None if class_names is None else _names(name, class_names)
    if of_numbers:
        if names or num_classes:
            raise DataError(f"{name}: labels [examples, outputs] are numbers, which have no classes; give no names")
        num_classes, names = 0, ()
    elif num_classes is None:
        num_classes = len(names) if names else 1 + max(int(y.max()) for y in labels.values())
    if num_classes < 2 and not of_numbers:
        raise DataError(f"{name}: num_classes={num_classes}; a classification needs at least 2")
    for part, y in labels.items() if num_classes else ():
        check_labels(f"{name}: {part} labels", y, num_classes)
    names = tuple(map(str, range(num_classes))) if names is None else names

    def split(part: str) -> Split:
        inputs = images[part].reshape(len(images[part]), math.prod(input_shape))
        return Split(inputs, labels[part].astype(np.float32 if of_numbers else np.int32))

    return Data(split("train"), split("validation"), split("test"), name, input_shape, num_classes, names)


def check_labels(what: str, labels: npt.NDArray[np.integer], num_classes: int) -> None:
    """Raises DataError where a label lies outside [0, num_classes)."""
    lowest, highest = labels.min(), labels.max()
    if lowest < 0 or highest >= num_classes:
        raise DataError(f"{what} lie in [{lowest}, {highest}]; {num_classes} classes allow 0 to {num_classes - 1}")


def _check_names(name: str, names: tuple[str, ...], num_classes: int) -> None:
    """Raises DataError where the names of the classes are not one for each, all different and of bearable length."""
    if len(names) != num_classes:
        raise DataError(f"{name}: {len(names)} class_names for num_classes={num_classes}; give one each")
    for number, class_name in enumerate(names):
        if len(class_name) > LONGEST_NAME:
            found = f"the name of class {number} has {len(class_name)} characters"
            raise DataError(f"{name}: {found}; give at most {LONGEST_NAME}")
    if len(set(names)) < len(names):
        twice = next(each for each in names if names.count(each) > 1)
        raise DataError(f"{name}: two classes are named {twice}; give each its own of the class_names")


def _check_split(what: str, split: Split, input_shape: tuple[int, ...], *, of_classes: bool) -> None:
    """Raises DataError where a split is not what training reads."""
    inputs, labels, features = split.inputs, split.labels, math.prod(input_shape)
    if inputs.shape[1:] != (features,):
        found, shape = ("x".join(map(str, sizes)) for sizes in (inputs.shape[1:], input_shape))
        raise DataError(
            f"{what} examples have {found} features, {shape} inputs have {features}; give all splits one shape"
        )
    if labels.shape[: 1 if of_classes else -1] != inputs.shape[:1] or labels.ndim > 2 or not labels.size:
        raise DataError(f"{what} has {len(inputs)} inputs but {len(labels)} labels; give one each, at least one")
    if inputs.dtype != np.float32 or labels.dtype != (np.int32 if of_classes else np.float32):
        raise DataError(f"{what} has {inputs.dtype} inputs and {labels.dtype} labels; jaxreg.from_arrays casts them")
    if not (np.isfinite(inputs.min()) and np.isfinite(inputs.max())):  # a NaN is both
        raise DataError(f"{what} inputs are not all finite: see example {np.argwhere(~np.isfinite(inputs))[0, 0]}")
    if not (of_classes or np.isfinite(labels).all()):
        raise DataError(f"{what} labels are not all finite: see example {np.argwhere(~np.isfinite(labels))[0, 0]}")


def _pair(what: str, split: Any) -> tuple[Any, Any]:
    """Inputs and labels of a split that the user gave."""
    if isinstance(split, tuple | list) and len(split) == 2:
        return split[0], split[1]
    found = f"{type(split).__name__} of {len(split)} parts" if isinstance(split, tuple | list) else type(split).__name__
    raise DataError(f"{what} is given as {'None' if split is None else found}; give a pair of arrays (inputs, labels)")


def _names(name: str, class_names: Any) -> tuple[str, ...]:
    """The names of the classes from a list, an array or what else holds them."""
    if isinstance(class_names, str) or np.ndim(class_names) != 1:
        raise DataError(f"{name}: class_names must be a list of names, one for each class")
    return tuple(map(str, class_names))


def _finite(what: str, values: npt.ArrayLike) -> npt.NDArray[np.float32]:
    array = _array(what, values)
    if array.dtype.kind not in "biuf":
        raise DataError(f"{what} have dtype {array.dtype}; give real numbers")
    if array.ndim < 2 or array.size == 0:
        raise DataError(f"{what} have shape {array.shape}; give [examples, features], at least one of each")
    with np.errstate(over="ignore"):
        inputs = array.astype(np.float32)
    finite = np.isfinite(inputs)
    if not finite.all():
        raise DataError(f"{what} are not all finite in float32: see example {np.argwhere(~finite)[0, 0]}")
    return inputs


def _whole(what: str, values: npt.ArrayLike) -> npt.NDArray[np.int64]:
    array = _array(what, values)
    if array.dtype.kind not in "biuf":
        raise DataError(f"{what} have dtype {array.dtype}; give whole numbers")
    if array.ndim != 1 or array.size == 0:
        raise DataError(f"{what} have shape {array.shape}; give [examples], at least one (for one-hot, its argmax)")
    with np.errstate(invalid="ignore"):
        whole = array.astype(np.int64)
    if not np.array_equal(whole, array):
        raise DataError(
            f"{what} are not all whole numbers: {array[whole != array][0]} is among them; for numbers to come close to "
            "give labels [examples, outputs]"
        )
    return whole


def _array(what: str, values: npt.ArrayLike) -> npt.NDArray[Any]:
    arrays = values if isinstance(values, list | tuple) else [values]
    if any(isinstance(array, np.ma.MaskedArray) and np.ma.getmaskarray(array).any() for array in arrays):
        raise DataError(f"{what} are masked in places, and masked values would be trained on; fill or drop them first")
    try:
        return np.asarray(values)
    except Exception as error:  # what is no array refuses in its own ways: a tensor that requires grad, say
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{what} are not an array: {reason}") from error
