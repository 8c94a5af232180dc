"""What a user should be told about data before anything is trained on them: what is most likely not meant so."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from jaxreg.data.arrays import Data

UNSCALED = 100.0  # inputs of such a magnitude saturate a network of any usual initial weights
UNEQUAL = 1000.0  # times as large as another feature, one hides the other from a network
FEW_PER_CLASS = 5  # training examples, on average
MANY_CLASSES = 30
MOST_LISTED = 5


def remarks_on(data: Data) -> list[str]:
    """What a user should be told about these data, a line each."""
    if not data.num_classes:
        return [*_of_splits(data), *_of_inputs(data)]
    counts = {part: np.bincount(split.labels, minlength=data.num_classes) for part, split in data.splits.items()}
    return [*_of_splits(data), *_of_classes(data, counts), *_of_inputs(data)]


def _of_splits(data: Data) -> list[str]:
    if not data.unread_splits:
        return []
    names = ", ".join(data.unread_splits)
    return [
        f"{data.name}: its own split {names} is not read; validation is the last {len(data.validation.labels)} "
        "examples of train, and --validation_size says how many"
    ]


def _of_classes(data: Data, counts: dict[str, npt.NDArray[np.intp]]) -> list[str]:
    """Labels that name no classes, or leave some out."""
    num_train, num_classes = len(data.train.labels), data.num_classes
    if num_classes >= MANY_CLASSES and num_train < FEW_PER_CLASS * num_classes:
        return [
            f"{data.name}: {num_classes} classes for {num_train} training examples; a target that is a quantity has no "
            "classes: put it into a few ranges, or take more examples"
        ]
    if not sum(part[0] for part in counts.values()) and num_classes > 2:
        return [f"{data.name}: no label is 0, so that class {data.class_names[0]} is never seen; labels count from 0"]
    missing = {part: np.flatnonzero(count == 0) for part, count in counts.items()}
    lines = []
    if len(missing["train"]):
        classes = _listed([data.class_names[i] for i in missing["train"]])
        lines.append(f"{data.name}: no training example of class {classes}, which cannot be learned")
    for part in ("validation", "test"):
        if len(missing[part]):
            classes = _listed([data.class_names[i] for i in missing[part]])
            size = len(data.splits[part].labels)
            sorted_ = size >= FEW_PER_CLASS * num_classes
            remedy = "is the set sorted? shuffle it first" if sorted_ else f"there are {size} examples: take more"
            lines.append(f"{data.name}: no {part} example of class {classes}; {remedy}")
    return lines


def _of_inputs(data: Data) -> list[str]:
    """Inputs that were not scaled, or not all alike."""
    largest = {part: float(max(split.inputs.max(), -split.inputs.min())) for part, split in data.splits.items()}
    if largest["train"] >= UNSCALED:
        return [
            f"{data.name}: training inputs reach {largest['train']:g} and are taken as they are; a network wants them "
            "of about 1: give pixels/255, or features of standard deviation 1"
        ]
    own = f"training inputs {largest['train']:g}; scale them alike"
    parts = ("validation", "test")
    lines = [
        f"{data.name}: {part} inputs reach {largest[part]:g}, {own}" for part in parts if largest[part] >= UNSCALED
    ]
    return lines + _of_features(data)


def _of_features(data: Data) -> list[str]:
    """Features of scales so different that one hides the other; not of images, whose margins may be dark."""
    if len(data.input_shape) != 1:
        return []
    magnitudes = np.abs(data.train.inputs).max(axis=0)
    used = np.flatnonzero(magnitudes)
    if not len(used):
        return []
    small, large = used[np.argmin(magnitudes[used])], used[np.argmax(magnitudes[used])]
    if magnitudes[large] < UNEQUAL * magnitudes[small]:
        return []
    return [
        f"{data.name}: training inputs reach {magnitudes[large]:g} in feature {large + 1} but {magnitudes[small]:g} in "
        f"feature {small + 1}, and are taken as they are; give features of standard deviation 1"
    ]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return ", ".join(names[:MOST_LISTED]) + more
