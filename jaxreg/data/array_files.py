"""Arrays in a .npz file of NumPy: with their splits, as Keras's mnist.npz has them, or in one piece."""

from __future__ import annotations

import pickle
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jaxreg.data.labelled import SPLITS, Examples, class_names
from jaxreg.errors import DataError

IN_ONE_PIECE = (("x", "y"), ("inputs", "labels"))
BY_SPLIT = {split: (f"x_{split}", f"y_{split}") for split in SPLITS}
ALLOWED = "x_train, y_train, x_test, y_test (and x_validation, y_validation), or x, y, or inputs, labels"


def read_npz(path: Path) -> dict[str, Examples]:
    """The splits that the file holds; examples in one piece are `train`.

    Raises:
      DataError: it is no such file, holds Python objects, arrays of other names or of shapes that do not agree, or an
        input that is not finite.
    """
    arrays = _arrays(path)
    names = _pairs(path.name, set(arrays))
    return {split: _examples(path.name, (x, y), (arrays[x], arrays[y])) for split, (x, y) in names.items()}


def _arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """All arrays of the file by name."""
    no_archive = f"{path.name}: is no .npz file of NumPy, or a damaged one; write it with numpy.savez"
    try:
        with path.open("rb") as stream:
            file = np.load(stream, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise DataError(no_archive)
            arrays = {}
            for name in file.files:
                try:
                    arrays[name] = np.asarray(file[name])
                except ValueError as error:
                    if "pickle" not in str(error):
                        raise
                    raise DataError(
                        f"{path.name}: {name} holds Python objects, which are not loaded, since they could run code; "
                        "save numbers, or text as numpy.asarray(names, dtype=str)"
                    ) from None
            return arrays
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, pickle.UnpicklingError) as error:
        raise DataError(no_archive) from error


def _pairs(name: str, found: set[str]) -> dict[str, tuple[str, str]]:
    """The names of inputs and labels by split."""
    for pair in IN_ONE_PIECE:
        if found == set(pair):
            return {"train": pair}
    pairs = {split: pair for split, pair in BY_SPLIT.items() if found & set(pair)}
    wanted = {array for pair in pairs.values() for array in pair}
    if "train" not in pairs or found != wanted:
        listed = ", ".join(sorted(found)) or "no arrays"
        raise DataError(f"{name}: holds {listed}; it must hold {ALLOWED}, and nothing else")
    return pairs


def _examples(name: str, names: tuple[str, str], arrays: tuple[npt.NDArray[Any], npt.NDArray[Any]]) -> Examples:
    (x, y), (inputs, labels) = names, arrays
    if inputs.ndim < 2 or not inputs.size:
        raise DataError(f"{name}: {x} has shape {inputs.shape}; it must be [examples, ...], at least one of each")
    if labels.ndim != 1:
        raise DataError(f"{name}: {y} has shape {labels.shape}; it must be [examples] (of one-hot, its argmax)")
    if len(inputs) != len(labels):
        raise DataError(f"{name}: {x} has {len(inputs)} examples but {y} {len(labels)}; give each input its label")
    if inputs.dtype.kind not in "biuf":
        raise DataError(f"{name}: {x} has dtype {inputs.dtype}; inputs are real numbers")
    if inputs.dtype.kind == "f" and not (finite := np.isfinite(inputs)).all():
        place = np.argwhere(~finite)[0, 0]
        raise DataError(f"{name}: {x}[{place}] is not finite; leave the example out, or put a number there")
    return Examples(inputs, class_names(labels, lambda place: f"{name}: {y}[{place}]"))
