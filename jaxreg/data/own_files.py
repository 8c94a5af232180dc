"""A data set of the user's own: --dataset=PATH of a .npz, .csv or .parquet file, or of a folder of images by class."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jaxreg.config import DataConfig
from jaxreg.config.dataset_paths import FILES
from jaxreg.data.array_files import read_npz
from jaxreg.data.arrays import Data, from_arrays
from jaxreg.data.image_folders import read_image_folder
from jaxreg.data.images import input_shape, sum_pool
from jaxreg.data.labelled import SPLITS, Examples, in_order
from jaxreg.data.splitting import with_all_splits
from jaxreg.data.tables import read_csv, read_parquet
from jaxreg.errors import ConfigError, DataError, RunFolderError
from jaxreg.files import reason, user_path

TABLES = {".csv": read_csv, ".parquet": read_parquet}


def with_absolute_path(config: DataConfig) -> DataConfig:
    """The configuration with its path, relative or of `~`, as one that holds in any working directory."""
    return dataclasses.replace(config, dataset=str(_path(config.dataset).absolute()))


def is_folder(dataset: str) -> bool:
    """Whether there is a folder of that name."""
    try:
        return user_path(dataset).is_dir()
    except (RunFolderError, OSError):
        return False


def load_path(config: DataConfig) -> Data:
    """The data set at the path `config.dataset`, named after its file or folder.

    Pixels (arrays of dtype uint8) are scaled to [0, 1], all other inputs taken as they are. Splits that the set does
    not bring are held out of its training examples, every class in proportion.

    Raises:
      ConfigError: there is no such file; an option does not fit the set.
      DataError: the file cannot be read, or does not hold such a set.
    """
    path = _path(config.dataset)
    name = path.absolute().name
    given = _read(path, config)
    if not len(given["train"].classes):
        raise DataError(f"{name}: has no training examples")
    splits = with_all_splits(name, given, config)
    classes = in_order(np.concatenate([examples.classes for examples in splits.values()]))
    number = {of_class: place for place, of_class in enumerate(classes)}
    inputs = _scaled(name, {split: splits[split].inputs for split in SPLITS}, config.downsample)
    labels = {split: np.array([number[str(each)] for each in splits[split].classes]) for split in SPLITS}
    train, validation, test = ((inputs[split], labels[split]) for split in SPLITS)
    return from_arrays(train, validation, test, name=name, num_classes=len(classes), class_names=classes)


def _path(dataset: str) -> Path:
    try:
        return user_path(dataset)
    except RunFolderError:
        raise ConfigError("dataset", dataset, "no path, or there is no such home folder; name it in full") from None


def _read(path: Path, config: DataConfig) -> Mapping[str, Examples]:
    """The examples by split, as they are in the files."""
    ending = path.suffix.lower()
    try:
        if not path.exists():
            raise ConfigError("dataset", path, "no such file or folder; if it was moved, name it where it is now")
        if path.is_dir() == (ending in FILES):
            allowed = f"must be a {', '.join(FILES)} file, or a folder of images by class of another name"
            raise ConfigError("dataset", path, allowed)
        if ending in TABLES:
            return TABLES[ending](path, config.label)
        if config.label is not None:
            raise ConfigError("label", config.label, f"{path.name} is no table with columns; leave it out")
        return read_npz(path) if ending == ".npz" else read_image_folder(path.absolute())
    except OSError as error:
        remedy = "see that it is whole and that you may read it"
        raise DataError(f"{error.filename or path}: cannot be read ({reason(error)}); {remedy}") from error


def _scaled(name: str, inputs: dict[str, npt.NDArray[Any]], downsample: int) -> dict[str, npt.NDArray[Any]]:
    """Pixels pooled and in [0, 1]; other inputs as they are."""
    is_pixels = {split: array.dtype == np.uint8 for split, array in inputs.items()}
    if len(set(is_pixels.values())) > 1:
        kinds = ", ".join(f"{split} {array.dtype}" for split, array in inputs.items())
        raise DataError(f"{name}: inputs are uint8, which is scaled to [0, 1], in some splits only ({kinds}); give one")
    if is_pixels["train"] and inputs["train"].ndim in (3, 4):
        return {split: _pooled(array, downsample) for split, array in inputs.items()}
    if downsample > 1:
        raise ConfigError("downsample", downsample, f"{name} has no images of dtype uint8; leave it out")
    return {split: array / np.float32(255) if is_pixels[split] else array for split, array in inputs.items()}


def _pooled(pixels: npt.NDArray[np.uint8], downsample: int) -> npt.NDArray[np.float32]:
    """Images [examples, height, width] or [..., channels], average-pooled and in [0, 1], as `images.to_split` does."""
    with_channels = pixels if pixels.ndim == 4 else pixels[..., None]
    sums = sum_pool(with_channels, downsample)
    pooled = np.divide(sums, np.float32(255 * downsample**2), dtype=np.float32)
    return pooled.reshape(len(pixels), *input_shape(with_channels, downsample))
