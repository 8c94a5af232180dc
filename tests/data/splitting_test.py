from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

from jaxreg.config import DataConfig
from jaxreg.data.labelled import Examples
from jaxreg.data.splitting import hold_out, with_all_splits
from jaxreg.errors import ConfigError, DataError


def examples(**counts: int) -> Examples:
    """So many examples of each class, class by class; the input of each is its number."""
    classes = np.repeat(list(counts), list(counts.values()))
    return Examples(np.arange(len(classes))[:, None], classes)


def test_every_class_is_held_out_in_proportion() -> None:
    classes = examples(a=60, b=30, c=10).classes
    rest, held_out = hold_out(classes, 20)
    assert np.unique(classes[held_out], return_counts=True)[1].tolist() == [12, 6, 2]
    np.testing.assert_array_equal(np.sort([*rest, *held_out]), np.arange(100))


@pytest.mark.parametrize(("size", "keep"), [(3, 1), (7, 2), (50, 2), (94, 2), (97, 1)])
def test_the_size_is_kept_and_so_is_an_example_of_each_class(size: int, keep: int) -> None:
    classes = examples(a=90, b=7, c=3).classes
    rest, held_out = hold_out(classes, size, keep)
    assert len(held_out) == size
    assert set(classes[held_out]) == {"a", "b", "c"}
    assert np.unique(classes[rest], return_counts=True)[1].min() >= keep


def test_the_draw_never_changes() -> None:
    held_out = hold_out(examples(a=60, b=30, c=10).classes, 20)[1]
    assert hashlib.sha256(held_out.astype("<i8").tobytes()).hexdigest()[:16] == "5dfe7a49039daaf1"


def test_splits_that_are_missing_are_a_tenth_each_and_hold_each_example_once() -> None:
    given = examples(a=60, b=60)
    splits = with_all_splits("set", {"train": given}, DataConfig())
    assert {name: len(split.classes) for name, split in splits.items()} == {"train": 96, "test": 12, "validation": 12}
    numbers = np.concatenate([split.inputs[:, 0] for split in splits.values()])
    np.testing.assert_array_equal(np.sort(numbers), np.arange(120))
    for split in splits.values():
        np.testing.assert_array_equal(split.classes, given.classes[split.inputs[:, 0]])


def test_another_validation_size_leaves_the_test_examples() -> None:
    given = {"train": examples(a=60, b=60)}
    one, other = (with_all_splits("set", given, DataConfig(validation_size=size)) for size in (None, 40))
    np.testing.assert_array_equal(one["test"].inputs, other["test"].inputs)
    assert len(other["validation"].classes) == 40


def test_splits_that_are_given_stay_as_they_are() -> None:
    given = {"train": examples(a=60, b=60), "test": examples(a=2, b=1)}
    splits = with_all_splits("set", given, DataConfig(validation_size=30))
    assert splits["test"] is given["test"]
    assert (len(splits["train"].classes), len(splits["validation"].classes)) == (90, 30)
    whole = given | {"validation": examples(a=1)}
    assert with_all_splits("set", whole, DataConfig()) == whole


@pytest.mark.parametrize(
    ("counts", "options", "refused"),
    [
        ({"a": 9}, {}, "set: all training labels are a; a classification needs at least 2 classes"),
        (
            {"a": 9, "b": 2},
            {},
            "set: class b has 2 of the 3 examples that it needs, one each for train, test and",
        ),
        (
            {f"{i}.5": 2 for i in range(30)},
            {},
            "there are 30 classes: put a target that is a quantity into a few",
        ),
        (
            {"a": 9, "b": 9},
            {"test_size": 1},
            "--test_size=1: must be from 2 to 14: each split needs an example of",
        ),
        ({"a": 9, "b": 9}, {"test_size": 15}, "--test_size=15: must be from 2 to 14"),
        ({"a": 9, "b": 9}, {"test_size": 8, "validation_size": 9}, "--validation_size=9: must be from 2 to 8"),
    ],
)
def test_what_cannot_be_split_is_refused(counts: dict[str, int], options: dict[str, Any], refused: str) -> None:
    with pytest.raises((ConfigError, DataError)) as refusal:
        with_all_splits("set", {"train": examples(**counts)}, DataConfig(**options))
    assert refused in str(refusal.value)


def test_a_size_of_a_split_that_is_given_is_refused() -> None:
    given = {"train": examples(a=9, b=9), "test": examples(a=1)}
    with pytest.raises(ConfigError, match=r"^--test_size=3: set brings its own test examples; leave it out"):
        with_all_splits("set", given, DataConfig(test_size=3))
