"""MNIST-1D: ten classes of signals of 40 numbers, made by its authors' generator; nothing to download.

Greydanus and Kobak (2024), Scaling down deep learning with MNIST-1D.
"""

from __future__ import annotations

import importlib.metadata
import random

import numpy as np
import numpy.typing as npt

from jaxreg.config import DataConfig
from jaxreg.data.arrays import Data, from_arrays
from jaxreg.data.cache import cache_path, load_arrays, save_arrays
from jaxreg.errors import ConfigError

NAME = "mnist1d"
Arrays = list[npt.NDArray[np.floating | np.integer]]


def load_mnist1d(config: DataConfig) -> Data:
    """4000 training examples, of which the last `validation_size` (400) are held out for validation, and 1000 for test.

    The generator has shuffled them. Their mean is 0 and their variance 1, over all numbers of all examples.

    Raises:
      ConfigError: downsample is above 1, or validation_size leaves nothing to train on.
    """
    if config.downsample > 1:
        raise ConfigError("downsample", config.downsample, f"{NAME} has no pixels; leave it out")
    x, y, x_test, y_test = _arrays()
    size = len(y) // 10 if config.validation_size is None else config.validation_size
    if size >= len(y):
        raise ConfigError("validation_size", size, f"must be below {len(y)}, the size of the training split")
    return from_arrays((x[:-size], y[:-size]), (x[-size:], y[-size:]), (x_test, y_test), name=NAME, num_classes=10)


def _arrays() -> Arrays:
    """Inputs and labels for training and test, cached, because making them takes seconds."""
    versions = "-".join(importlib.metadata.version(package) for package in (NAME, "numpy", "scipy"))
    path = cache_path(f"{NAME}-{versions}")
    arrays = load_arrays(path, 4)
    if arrays is None:
        arrays = _made()
        save_arrays(path, arrays)
    return arrays


def _made() -> Arrays:
    """What the generator makes by default, with its seed 42; the global random states are left as they were."""
    from mnist1d.data import get_dataset_args, make_dataset  # imports pyplot

    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - which the generator seeds
    try:
        made = make_dataset(get_dataset_args())
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002 - the generator draws from the global state
    return [made["x"].astype(np.float32), made["y"], made["x_test"].astype(np.float32), made["y_test"]]
