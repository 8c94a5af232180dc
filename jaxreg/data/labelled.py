"""Examples of the user's own with the names of their classes, before classes are numbered."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from jaxreg.errors import DataError

SPLITS = ("train", "validation", "test")
_WHOLE = re.compile(r"-?\d+")


class Examples(NamedTuple):
    """Inputs and the names of their classes."""

    inputs: npt.NDArray[Any]  # [examples, ...]
    classes: npt.NDArray[np.str_]  # [examples]

    def take(self, chosen: npt.NDArray[np.intp]) -> Examples:
        """The examples at these places, in this order."""
        return Examples(self.inputs[chosen], self.classes[chosen])


def class_names(labels: npt.NDArray[Any], shown: Callable[[int], str]) -> npt.NDArray[np.str_]:
    """Labels as the names of their classes: text as it is, whole numbers in digits (2.0 is 2).

    Args:
      labels: [examples].
      shown: names the place of a label, by its index, for a refusal.

    Raises:
      DataError: for other labels, naming the first.
    """
    kind = labels.dtype.kind
    if kind == "S":
        return np.char.decode(labels, "utf-8", "replace")
    if kind in "UO":
        return _of_texts(np.array([str(label) for label in labels], dtype=np.str_), shown)
    if kind in "biu":
        return labels.astype(np.str_)
    if kind == "f":
        return _of_numbers(labels, shown)
    raise DataError(f"{shown(0)} has dtype {labels.dtype}; classes are text or whole numbers")


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """The different names, each once: by their value if all are whole numbers, else by the alphabet."""
    different = sorted(set(map(str, names)))
    if all(map(_WHOLE.fullmatch, different)):
        different.sort(key=int)
    return tuple(different)


def _of_texts(texts: npt.NDArray[np.str_], shown: Callable[[int], str]) -> npt.NDArray[np.str_]:
    """Names; where every text is a number and one has a decimal point, the numbers must be whole."""
    if all(map(_WHOLE.fullmatch, texts)):
        return texts
    try:
        numbers = texts.astype(np.float64)
    except ValueError:
        return texts
    return _of_numbers(numbers, shown)


def _of_numbers(numbers: npt.NDArray[np.floating], shown: Callable[[int], str]) -> npt.NDArray[np.str_]:
    whole = np.isfinite(numbers) & (numbers == np.trunc(numbers))
    if not whole.all():
        place = int(np.flatnonzero(~whole)[0])
        raise DataError(
            f"{shown(place)}: {numbers[place]:g} is no class; classes are text or whole numbers: put a target that is "
            "a quantity into a few ranges"
        )
    return np.array([str(int(number)) for number in numbers], dtype=np.str_)
