"""The 8x8 handwritten digits inside scikit-learn: nothing to download.

Alpaydin and Kaynak (1998), Optical Recognition of Handwritten Digits (its test set: 1797 images of 13 writers).
"""

from __future__ import annotations

import importlib.metadata

import numpy as np
import numpy.typing as npt

from jaxreg.data.cache import cached
from jaxreg.data.images import Images

BRIGHTEST = 16
TEST_SIZE = 300


def read_digits() -> Images:
    """1497 training and 300 test images [8, 8, 1] of brightness 0 ... 16, in one fixed order.

    The order spreads every class evenly, so that any run of it, the test set and a validation set cut from the end of
    the training set, holds all classes in proportion. Cached, because importing scikit-learn takes seconds.
    """
    return cached(f"digits-{importlib.metadata.version('scikit-learn')}", _read)


def _read() -> Images:
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = even_order(digits.target)
    pixels = digits.images[order].astype(np.uint8)[..., None]
    labels = digits.target[order].astype(np.int32)
    names = np.array([str(name) for name in digits.target_names])
    return Images(pixels[:-TEST_SIZE], labels[:-TEST_SIZE], pixels[-TEST_SIZE:], labels[-TEST_SIZE:], names)


def even_order(labels: npt.NDArray[np.integer]) -> npt.NDArray[np.intp]:
    """A permutation in which the i-th of the n examples of a class stands near the fraction (i + 1/2)/n of the whole.

    Which example is the i-th is drawn once and for all: NumPy promises that RandomState's streams never change.
    """
    shuffled = np.random.RandomState(0).permutation(len(labels))
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels[shuffled] == label)
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return shuffled[np.argsort(place, kind="stable")]
