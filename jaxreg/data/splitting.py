"""Splits that a data set does not bring are held out of its training examples, every class in proportion.

The same examples in the same order are always split alike: what is held out is drawn once and for all. (NumPy promises
that RandomState's streams never change.)
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from jaxreg.config import DataConfig
from jaxreg.data.labelled import Examples, in_order
from jaxreg.errors import ConfigError, DataError

MANY_CLASSES = 20  # from here on, labels are more likely quantities where a class is too small

Places = npt.NDArray[np.intp]


def with_all_splits(name: str, given: Mapping[str, Examples], config: DataConfig) -> dict[str, Examples]:
    """Training, validation and test examples: those given, and the others held out of `given["train"]`.

    The test examples are held out first, so that another --validation_size leaves them as they are. A size that is not
    set is a tenth of the examples, at least one of every class.

    Raises:
      ConfigError: a size for a split that is given, or one that does not leave an example of each class in each split.
      DataError: there are fewer than two classes, or a class has too few examples.
    """
    missing = [split for split in ("test", "validation") if split not in given]
    for split in ("test", "validation"):
        size = getattr(config, f"{split}_size")
        if size is not None and split in given:
            raise ConfigError(f"{split}_size", size, f"{name} brings its own {split} examples; leave it out")
    train, all_splits = given["train"], dict(given)
    names = in_order(train.classes)
    if len(names) < 2:
        raise DataError(f"{name}: all training labels are {names[0]}; a classification needs at least 2 classes")
    _refuse_small_class(name, names, train, missing)
    tenth = max(len(train.classes) // 10, len(names))
    for left, split in zip(range(len(missing), 0, -1), missing, strict=True):
        size, most = getattr(config, f"{split}_size"), len(train.classes) - left * len(names)
        if size is not None and not len(names) <= size <= most:
            allowed = (
                f"must be from {len(names)} to {most}: each split needs an example of each of the classes of {name}"
            )
            raise ConfigError(f"{split}_size", size, allowed)
        rest, held_out = hold_out(train.classes, min(tenth, most) if size is None else size, keep=left)
        all_splits[split], train = train.take(held_out), train.take(rest)
    all_splits["train"] = train
    return all_splits


def hold_out(classes: npt.NDArray[np.str_], size: int, keep: int = 1) -> tuple[Places, Places]:
    """The places of the examples that are left, and those of the `size` held out; both in a shuffled order.

    Of every class as many are held out as is its share, rounded so that the sum is `size`: at least one, and all but
    `keep` at most.
    """
    order = np.random.RandomState(0).permutation(len(classes))
    _, numbers, counts = np.unique(classes[order], return_inverse=True, return_counts=True)
    held_out = np.zeros(len(classes), dtype=bool)
    for number, share in enumerate(_shares(counts, size, keep)):
        held_out[np.flatnonzero(numbers == number)[:share]] = True
    return order[~held_out], order[held_out]


def shuffled(examples: Examples) -> Examples:
    """The examples in an order that is always the same, for those that come class by class."""
    return examples.take(np.random.RandomState(0).permutation(len(examples.classes)))


def _shares(counts: npt.NDArray[np.intp], size: int, keep: int) -> npt.NDArray[np.intp]:
    """Whole numbers of sum `size` next to counts * size/sum(counts), each from 1 to counts - keep."""
    exact = counts * (size / counts.sum())
    shares = np.clip(np.floor(exact).astype(np.intp), 1, counts - keep)
    while (off := size - shares.sum()) != 0:
        step = 1 if off > 0 else -1
        can_move = shares < counts - keep if step > 0 else shares > 1
        shares[np.argmax(np.where(can_move, step * (exact - shares), -np.inf))] += step
    return shares


def _refuse_small_class(name: str, names: tuple[str, ...], train: Examples, missing: list[str]) -> None:
    """Raises DataError where a class has not one example for each split that is to be made."""
    present, counts = np.unique(train.classes, return_counts=True)
    smallest = int(np.argmin(counts))
    needed = 1 + len(missing)
    if counts[smallest] >= needed:
        return
    remedy = (
        f"there are {len(names)} classes: put a target that is a quantity into a few ranges"
        if len(names) >= MANY_CLASSES
        else "take more, leave the class out, or give the splits"
    )
    parts = f"train, {' and '.join(missing)}"
    raise DataError(
        f"{name}: class {present[smallest]} has {counts[smallest]} of the {needed} examples that it needs, one each "
        f"for {parts}; {remedy}"
    )
