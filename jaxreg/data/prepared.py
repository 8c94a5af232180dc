"""Image classification sets that tensorflow-datasets has prepared: found by their files, decoded through tfds."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jaxreg.data.arrays import check_labels
from jaxreg.data.cache import cached
from jaxreg.data.images import Images, Pixels
from jaxreg.errors import ConfigError, DataError

RECORDS_AT_ONCE = 4096
VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")
MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # Pillow's names, by channels
READABLE = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")  # those that Pillow converts to them


def find_data_dir(given: str | None) -> Path:
    """The folder of `--data_dir`, else of TFDS_DATA_DIR, else tfds's default, which need not exist yet.

    Raises:
      ConfigError: where a folder was named that does not exist, or there is no home folder.
    """
    named = given or os.environ.get("TFDS_DATA_DIR")
    path = Path(named or "~/tensorflow_datasets")
    try:
        folder = path.expanduser()
    except RuntimeError:
        raise ConfigError("data_dir", path, "there is no such home folder; name one without ~") from None
    if named and not folder.is_dir():
        source = "" if given else " (from TFDS_DATA_DIR)"
        raise ConfigError("data_dir", named, f"no such folder{source}; create it, or name one that tfds has prepared")
    return folder


def prepared_sets(data_dir: Path) -> dict[str, Path]:
    """The folder of the newest version of each set, by name (`mnist`, with a configuration `emnist/balanced`)."""
    newest: dict[str, tuple[tuple[int, ...], Path]] = {}
    for info in (*data_dir.glob("*/*/dataset_info.json"), *data_dir.glob("*/*/*/dataset_info.json")):
        folder = info.parent
        if match := VERSION.fullmatch(folder.name):
            name = folder.parent.relative_to(data_dir).as_posix()
            version = tuple(map(int, match.groups()))
            newest[name] = max(newest.get(name, (version, folder)), (version, folder))
    return {name: folder for name, (_, folder) in sorted(newest.items())}


def unread_splits(folder: Path) -> tuple[str, ...]:
    """The splits of a prepared set besides train and test, none where it does not say."""
    try:
        splits = json.loads((folder / "dataset_info.json").read_bytes()).get("splits", [])
        return tuple(split["name"] for split in splits if split["name"] not in ("train", "test"))
    except (OSError, ValueError, AttributeError, KeyError, TypeError):  # a damaged set, which `decode` refuses
        return ()


def load_prepared(name: str, folder: Path) -> Images:
    """The decoded set, from the cache where this very set was decoded before.

    Raises:
      DataError: where it is not an image classification set with a train and a test split, or is damaged.
    """
    try:
        key = f"{name.replace('/', '-')}-{folder.name}-{fingerprint(folder)}"
    except OSError as error:
        raise _unreadable(name, folder, error) from error
    return cached(key, lambda: decode(name, folder))


def fingerprint(folder: Path) -> str:
    """A digest of the names and bytes of the files of a prepared set.

    Raises:
      OSError: one cannot be read.
    """
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.name} {content}\n".encode())
    return digest.hexdigest()[:32]


def decode(name: str, folder: Path) -> Images:
    """Reads the set through tfds, in its order; tfds's own decoder would import TensorFlow, so Pillow decodes."""
    try:
        stored_as = json.loads((folder / "dataset_info.json").read_bytes()).get("fileFormat")
        if stored_as == "tfrecord":
            raise DataError(
                f"{folder} is stored as tfrecord, which only TensorFlow reads; "
                "prepare it with --file_format=array_record in another --data_dir"
            )
        return _decode(name, folder)
    except (OSError, ValueError, RuntimeError, IndexError, KeyError, NotImplementedError) as error:
        raise _unreadable(name, folder, error) from error


def _unreadable(name: str, folder: Path, error: Exception) -> DataError:
    return DataError(
        f"{name} cannot be read from {folder} ({first_line(error)}); if it is damaged, delete it and prepare it again"
    )


def _decode(name: str, folder: Path) -> Images:
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(folder)
    features = builder.info.features
    fields = dict(features.items()) if isinstance(features, tfds.features.FeaturesDict) else {}
    image_keys = [key for key, feature in fields.items() if type(feature) is tfds.features.Image]
    label_keys = [key for key, feature in fields.items() if isinstance(feature, tfds.features.ClassLabel)]
    missing = {"train", "test"} - set(builder.info.splits)
    if len(image_keys) != 1 or len(label_keys) != 1 or missing:
        raise DataError(
            f"--dataset={name}: needs one image, one class label, and the splits train and test; "
            f"it has {len(image_keys)}, {len(label_keys)} and {', '.join(sorted(builder.info.splits))}"
        )
    (image_key,), (label_key,) = image_keys, label_keys
    shape, dtype = fields[image_key].shape, np.dtype(fields[image_key].np_dtype)
    if dtype != np.uint8 or shape[-1] not in MODES:
        raise DataError(f"--dataset={name}: images of shape {shape} and dtype {dtype}; 8-bit grey or colour is read")
    class_names = fields[label_key].names

    def read(split: str) -> tuple[Pixels, npt.NDArray[np.int32]]:
        source = builder.as_data_source(split, decoders={image_key: tfds.decode.SkipDecoding()})
        images, labels = [], []
        for start in range(0, len(source), RECORDS_AT_ONCE):
            stop = min(start + RECORDS_AT_ONCE, len(source))
            for example in source.__getitems__(list(range(start, stop))):
                images.append(_pixels(example[image_key], shape[-1]))
                labels.append(example[label_key])
        sizes = {image.shape for image in images}
        if len(sizes) != 1:
            raise DataError(f"--dataset={name}: {split} has images of {len(sizes)} sizes; jaxreg needs a single one")
        check_labels(f"--dataset={name}: {split} labels", np.array(labels), len(class_names))
        return np.stack(images), np.array(labels, np.int32)

    train, test = read("train"), read("test")
    if train[0].shape[1:] != test[0].shape[1:]:
        sizes = ["x".join(map(str, pixels.shape[1:3])) for pixels, _ in (test, train)]
        raise DataError(f"--dataset={name}: test images are {sizes[0]}, train images {sizes[1]}; jaxreg needs one size")
    return Images(*train, *test, np.array(class_names))


def _pixels(encoded: Any, channels: int) -> Pixels:
    """One encoded image -> [height, width, channels], 8 bits each.

    Pillow converts the modes of 8 bits and fewer: grey, black and white, palettes, colour, with or without alpha, which
    is dropped where the set declares none. Of 16 bits the upper 8 are kept, as libpng and TensorFlow do; Pillow would
    cut off at 255.

    Raises:
      ValueError: pixels of another kind, such as floats, of which nothing says what is white.
    """
    from PIL import Image

    file = Image.open(io.BytesIO(encoded))
    image: Image.Image = file
    if file.format == "PNG" and (image.mode == "I" or image.mode.startswith("I;16")):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode not in READABLE:
        raise ValueError(f"a {file.format} image of mode {image.mode}, where 8-bit grey or colour is read")
    pixels = np.asarray(image if image.mode == MODES[channels] else image.convert(MODES[channels]))
    return pixels.reshape(*pixels.shape[:2], channels)


def first_line(error: BaseException) -> str:
    """The first line of an error, with its type where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
