"""MNIST and Fashion-MNIST, downloaded and prepared by tensorflow-datasets without TensorFlow, or read as published.

tfds's extractor and its image encoder import TensorFlow. So the archives are only downloaded (with tfds's checksums),
unpacked here, and each image is handed over as the bytes of a PNG file; name, version, order and layout are tfds's own.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import itertools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import requests
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core.download import resource
from tensorflow_datasets.image_classification import mnist

from jaxreg.data.images import Images
from jaxreg.data.prepared import first_line, prepared_sets
from jaxreg.errors import DataError
from jaxreg.portable import fcntl

CONNECT_SECONDS = 5
ARCHIVES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}

log = logging.getLogger(__name__)


class _FromArchives:
    """The two methods of a tfds builder that would import TensorFlow, written without it."""

    URL: str

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        paths = {split: dl_manager.download([self.URL + file for file in files]) for split, files in ARCHIVES.items()}
        return {split: self._generate_examples(images, labels) for split, (images, labels) in paths.items()}

    def _generate_examples(self, images: Path, labels: Path) -> Iterator[tuple[int, dict[str, Any]]]:
        for index, (image, label) in enumerate(zip(read_idx(images), read_idx(labels), strict=True)):
            yield index, {"image": png(image), "label": int(label)}


# tfds takes the checksums from beside a builder's module and notes that module in the prepared set.
class MNIST(_FromArchives, mnist.MNIST, skip_registration=True):  # type: ignore[misc, call-arg]
    """tfds's MNIST."""

    __module__ = mnist.__name__
    name = "mnist"


class FashionMNIST(_FromArchives, mnist.FashionMNIST, skip_registration=True):  # type: ignore[misc, call-arg]
    """tfds's Fashion-MNIST."""

    __module__ = mnist.__name__
    name = "fashion_mnist"


BUILDERS = {builder.name: builder for builder in (MNIST, FashionMNIST)}


def prepare(name: str, data_dir: Path) -> Path:
    """Downloads and prepares the set in data_dir, unless another process does so meanwhile; the prepared folder.

    An interrupted preparation leaves nothing that counts: tfds writes into a folder of another name and renames it at
    the end, and archives are only used when their checksums are right.

    Raises:
      DataError: where the archives cannot be had or data_dir cannot be written.
    """
    with _refusals(name, f"prepared in {data_dir}", f"point --data_dir at a folder in which tfds has prepared {name}"):
        data_dir.mkdir(parents=True, exist_ok=True)
        with _lock(data_dir / f".{name}.lock"):
            if name not in prepared_sets(data_dir):
                prepare_unlocked(name, data_dir)
    return prepared_sets(data_dir)[name]


def read_archives(name: str, data_dir: Path) -> Images:
    """The set in the order in which it is published, from the archives in data_dir/downloads.

    Those that are not there are downloaded; nothing is prepared. (tfds puts the examples into an order of its own.)

    Raises:
      DataError: where the archives cannot be had.
    """
    builder, downloads = BUILDERS[name](data_dir=data_dir), data_dir / "downloads"
    with _refusals(name, f"kept as archives in {downloads}", f"use --dataset={name}, the same images in tfds's order"):
        found = {url: _downloaded(builder, url, downloads) for url in _urls(builder)}
        if missing := [url for url, path in found.items() if path is None]:
            downloads.mkdir(parents=True, exist_ok=True)
            _ask_once(missing[0])
            manager = tfds.download.DownloadManager(
                download_dir=downloads,
                url_infos=builder.url_infos,
                dataset_name=builder.name,
                force_checksums_validation=True,
            )
            with _quiet():
                found |= manager.download({url: url for url in missing})
        arrays = [read_idx(Path(path)) for path in found.values() if path is not None]
    train_images, train_labels, test_images, test_labels = arrays
    class_names = np.array(builder.info.features["label"].names)
    labels = train_labels.astype(np.int32), test_labels.astype(np.int32)
    return Images(train_images[..., None], labels[0], test_images[..., None], labels[1], class_names)


@contextlib.contextmanager
def _refusals(name: str, there: str, instead: str) -> Iterator[None]:
    """Raises what keeps a set from being had as DataError, with what to do instead."""
    instead = f"{instead}, or use --dataset=digits"
    try:
        yield
    except PermissionError as error:
        raise DataError(f"{name} is not {there}, which cannot be written; {instead}") from error
    except requests.RequestException as error:
        reason = f"{type(error).__name__} at {BUILDERS[name].URL}"
        raise DataError(f"{name} is neither {there} nor downloadable ({reason}); {instead}") from error
    except (OSError, ValueError, RuntimeError, tfds.download.DownloadError) as error:
        raise DataError(f"{name} cannot be {there} ({first_line(error)}); {instead}") from error


def prepare_unlocked(name: str, data_dir: Path) -> None:
    """Downloads and prepares a set in `data_dir`; for one process at a time."""
    builder = BUILDERS[name](data_dir=data_dir)
    _set_aside(Path(builder.data_dir))
    downloads = data_dir / "downloads"
    missing = [url for url in _urls(builder) if _downloaded(builder, url, downloads) is None]
    if missing:
        _ask_once(missing[0])
    log.info("preparing %s in %s", name, data_dir)
    with _quiet():
        config = tfds.download.DownloadConfig(try_download_gcs=False, force_checksums_validation=True)
        builder.download_and_prepare(download_dir=downloads, download_config=config, file_format="array_record")


def _ask_once(url: str) -> None:
    """Finds out whether there is a network, with a time limit: tfds would retry for minutes."""
    requests.head(url, timeout=CONNECT_SECONDS, allow_redirects=True).raise_for_status()


def _urls(builder: Any) -> list[str]:
    return [builder.URL + archive for archive in itertools.chain(*ARCHIVES.values())]


def _downloaded(builder: Any, url: str, downloads: Path) -> Path | None:
    """The archive in tfds's download cache, if it is there; one that is cut short or damaged is removed, since tfds
    takes a file of the right name without looking at it."""
    checksum = builder.url_infos[url].checksum
    file_name = resource.get_dl_fname(url, checksum)
    found = None
    for archive in (downloads / builder.name / file_name, downloads / file_name):
        note = archive.with_name(f"{file_name}.INFO")
        if archive.is_file() and note.is_file() and hashlib.sha256(archive.read_bytes()).hexdigest() == checksum:
            found = archive
        else:
            archive.unlink(missing_ok=True)
            note.unlink(missing_ok=True)
    return found


def _set_aside(folder: Path) -> None:
    """Renames a version folder that tfds did not finish: it would take it for a prepared set."""
    if folder.exists():
        names = (folder.with_name(f"{folder.name}.damaged{i}") for i in itertools.count())
        aside = next(path for path in names if not path.exists())
        folder.rename(aside)
        log.warning("%s is not a prepared set; set aside as %s", folder, aside.name)


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """One process at a time; the lock dies with its process."""
    with path.open("a") as file:
        if fcntl is not None:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """tfds without its progress bars and banners; its warnings still come through."""
    tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        tfds.enable_progress_bar()


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """A gunzipped idx file of bytes (LeCun's format): 0, 0, 8, the number of dimensions, each as big-endian int32."""
    data = gzip.decompress(path.read_bytes())
    dimensions = data[3]
    shape = np.frombuffer(data, ">i4", dimensions, offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def png(image: npt.NDArray[np.uint8]) -> io.BytesIO:
    """The image [height, width] as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "png")
    file.seek(0)
    return file
