"""From a `DataConfig` to arrays."""

from __future__ import annotations

import dataclasses
import difflib
import importlib.util
from pathlib import Path

import numpy as np
import numpy.typing as npt

from jaxreg.config import DataConfig, check_value, describe
from jaxreg.config.dataset_paths import FILES, names_path
from jaxreg.data import digits, mnist1d, own_files, points
from jaxreg.data.arrays import Data, Split
from jaxreg.data.cache import cached
from jaxreg.data.images import Images, Pixels, input_shape, to_split
from jaxreg.data.prepared import find_data_dir, load_prepared, prepared_sets, unread_splits
from jaxreg.errors import ConfigError

DOWNLOADABLE = ("mnist", "fashion_mnist")
AS_PUBLISHED = {f"{name}_as_published": name for name in DOWNLOADABLE}  # in the order of their own archives
BUILT_IN = ("digits", *points.POINT_SETS, mnist1d.NAME, *DOWNLOADABLE, *AS_PUBLISHED)
VALIDATION_SIZES = {"digits": 300, **dict.fromkeys((*DOWNLOADABLE, *AS_PUBLISHED), 5000)}  # others: a tenth


def load(config: DataConfig) -> Data:
    """The data set in memory.

    Images: pixels in [0, 1], the last `validation_size` training examples held out for validation. Points in the plane:
    as `jaxreg.data.points` draws them. Files and folders of the user's own: as `jaxreg.data.own_files` reads them.

    Raises:
      ConfigError: for an unknown dataset, a data_dir or a path that does not exist, a downsample factor that does not
        divide the image, a validation_size or test_size that leaves nothing to train on, an option that the set has no
        use for.
      DataError: for a set that cannot be had or read; it says what to do instead.
    """
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if value is not None:
            check_value(field.name, value, field.metadata["rule"])
    config = located(config)
    _refuse_useless(config)
    if names_path(config.dataset):
        return own_files.load_path(config)
    if config.dataset in points.POINT_SETS:
        return points.make_points(config)
    if config.dataset == mnist1d.NAME:
        return mnist1d.load_mnist1d(config)
    images, unread = _read_images(config)
    brightest = digits.BRIGHTEST if config.dataset == "digits" else 255
    train_size = len(images.train_labels) - _validation_size(config, len(images.train_labels))
    held_out, rest = slice(train_size, None), slice(train_size)

    def split(pixels: Pixels, labels: npt.NDArray[np.int32]) -> Split:
        return to_split(pixels, labels, brightest, config.downsample)

    return Data(
        train=split(images.train_pixels[rest], images.train_labels[rest]),
        validation=split(images.train_pixels[held_out], images.train_labels[held_out]),
        test=split(images.test_pixels, images.test_labels),
        name=config.dataset,
        input_shape=input_shape(images.train_pixels, config.downsample),
        num_classes=len(images.class_names),
        class_names=tuple(map(str, images.class_names)),
        unread_splits=unread,
    )


def located(config: DataConfig) -> DataConfig:
    """The configuration with a path made absolute, so that its flags mean the same files in any working directory.

    A folder may be named as a set is, `photos`: it is taken where there is no set of that name, in data_dir neither.

    Raises:
      ConfigError: for a path that cannot be one, a data_dir that does not exist.
    """
    if names_path(config.dataset) or _is_own_folder(config):
        return own_files.with_absolute_path(config)
    return config


def _is_own_folder(config: DataConfig) -> bool:
    name = config.dataset
    if name in BUILT_IN or not own_files.is_folder(name):
        return False
    return name not in prepared_sets(find_data_dir(config.data_dir))


def _refuse_useless(config: DataConfig) -> None:
    """Refuses options that the data set does not read."""
    reasons: dict[str, str] = {}
    if config.dataset not in points.POINT_SETS:
        reason = f"is no set of points ({', '.join(points.POINT_SETS)})"
        reasons |= {"num_points": reason, "noise": reason}
    if not names_path(config.dataset):
        reasons |= {"label": "is no table (.csv, .parquet)", "test_size": "brings its own test examples"}
    for name, reason in reasons.items():
        if (value := getattr(config, name)) is not None:
            shown = Path(config.dataset).name if names_path(config.dataset) else config.dataset
            raise ConfigError(name, describe(value), f"{shown} {reason}; leave it out")


def _read_images(config: DataConfig) -> tuple[Images, tuple[str, ...]]:
    """The set in its own order, and its splits that are not read."""
    if config.dataset == "digits":
        return digits.read_digits(), ()
    if config.dataset in AS_PUBLISHED:
        return _read_as_published(AS_PUBLISHED[config.dataset], find_data_dir(config.data_dir)), ()
    return _read_tfds(config)


def _read_as_published(name: str, data_dir: Path) -> Images:
    """The set in the order of its archives, whose checksums are fixed: what was once read is always the same."""

    def read() -> Images:
        from jaxreg.data import preparation  # imports tfds: seconds

        return preparation.read_archives(name, data_dir)

    return cached(f"{name}-as_published", read)


def _read_tfds(config: DataConfig) -> tuple[Images, tuple[str, ...]]:
    """The set as prepared in data_dir, and its splits that are not read.

    MNIST and Fashion-MNIST are downloaded and prepared where they are not.
    """
    name, data_dir = config.dataset, find_data_dir(config.data_dir)
    prepared = prepared_sets(data_dir)
    if name not in prepared:
        if name not in DOWNLOADABLE:
            known = [*BUILT_IN, *(other for other in prepared if other not in BUILT_IN)]
            nearest = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {nearest[0]}?" if nearest else ""
            own = f"a {', '.join(FILES)} file or a folder of images"
            prepared_there = f"be prepared by tfds (array_record) in {data_dir}"
            allowed = f"must be one of {', '.join(known)}, {own}, or {prepared_there}{hint}"
            raise ConfigError("dataset", name, allowed)
        _refuse_without_array_record(name)
        from jaxreg.data import preparation  # imports tfds: seconds

        prepared[name] = preparation.prepare(name, data_dir)
    _refuse_without_array_record(name)
    return load_prepared(name, prepared[name]), unread_splits(prepared[name])


def _refuse_without_array_record(name: str) -> None:
    if importlib.util.find_spec("array_record") is None:
        raise ConfigError(
            "dataset",
            name,
            "is read by the package array-record, which is not installed and does not exist for Windows; take digits, "
            f"mnist1d, points ({', '.join(points.POINT_SETS)}) or data of your own, or work in WSL",
        )


def _validation_size(config: DataConfig, available: int) -> int:
    default = VALIDATION_SIZES.get(config.dataset, max(1, available // 10))
    size = default if config.validation_size is None else config.validation_size
    if size >= available:
        raise ConfigError("validation_size", size, f"must be below {available}, the size of the training split")
    return size
