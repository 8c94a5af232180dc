"""Data sets for the tests: tiny ones written by tfds on the spot, and the real MNIST where TFDS_DATA_DIR has it."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from PIL import Image

from jaxreg.config import DataConfig
from jaxreg.data import Data, load


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """A data_dir with MNIST prepared in it."""
    data_dir = Path(os.environ.get("TFDS_DATA_DIR", ""))
    if not list(data_dir.glob("mnist/*/dataset_info.json")):
        pytest.skip("TFDS_DATA_DIR names no folder with a prepared mnist")
    return data_dir


@pytest.fixture(scope="session")
def mnist_archives(mnist_dir: Path) -> Path:
    """The folder with the archives of MNIST, which whoever prepared it may have deleted since."""
    folder = mnist_dir / "downloads"
    if not folder.is_dir():
        pytest.skip("TFDS_DATA_DIR holds no downloads/")
    return folder


@pytest.fixture(scope="session")
def mnist(mnist_dir: Path) -> Data:
    return load(DataConfig("mnist", str(mnist_dir)))


@pytest.fixture(scope="session")
def mnist_7x7(mnist_dir: Path, mnist: Data) -> Data:  # noqa: ARG001 - decoded once, then cached
    return load(DataConfig("mnist", str(mnist_dir), downsample=4))


@pytest.fixture(autouse=True)
def cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for each test."""
    monkeypatch.setenv("JAXREG_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def requested(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No network; the urls that were asked for."""
    urls: list[str] = []

    def refuse(_session: requests.Session, request: requests.PreparedRequest, **_options: Any) -> requests.Response:
        urls.append(str(request.url))
        raise requests.ConnectionError("no network in tests")

    monkeypatch.setattr(requests.Session, "send", refuse)
    return urls


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "tfds"
    folder.mkdir()
    return folder


WriteTfds = Callable[..., Path]


def encode(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(file, "png")
    return file.getvalue()


@pytest.fixture
def write_tfds(data_dir: Path) -> WriteTfds:
    """Prepares a set by tfds in data_dir from pixels [examples, height, width, channels] per split."""
    import tensorflow_datasets as tfds

    def write(
        splits: dict[str, np.ndarray],
        labels: Callable[[int], int] = lambda i: i % 3,
        *,
        name: str = "tiny",
        version: str = "1.0.0",
        num_shards: int = 1,
        features: dict[str, Any] | None = None,
        encoded: Callable[[np.ndarray], bytes] = encode,
    ) -> Path:
        channels = next(iter(splits.values())).shape[-1]

        builder: Any = tfds.core.GeneratorBasedBuilder

        class Tiny(builder, skip_registration=True):  # type: ignore[misc, call-arg]  # tfds is untyped
            VERSION = tfds.core.Version(version)
            pkg_dir_path = data_dir

            def _info(self) -> tfds.core.DatasetInfo:
                default = {
                    "image": tfds.features.Image(shape=(None, None, channels)),
                    "label": tfds.features.ClassLabel(names=["ant", "bee", "cat"]),
                }
                return tfds.core.DatasetInfo(
                    builder=self, features=tfds.features.FeaturesDict(features or default), disable_shuffling=True
                )

            def _split_generators(self, _manager: Any) -> dict[str, Any]:
                return {split: self._generate_examples(pixels) for split, pixels in splits.items()}

            def _generate_examples(self, pixels: np.ndarray) -> Any:
                for i, image in enumerate(pixels):
                    example = {"image": io.BytesIO(encoded(image)), "label": labels(i), "id": str(i)}
                    yield i, {key: example[key] for key in self.info.features}

        Tiny.name = name
        builder = Tiny(data_dir=data_dir)
        config = tfds.download.DownloadConfig(num_shards=num_shards)
        builder.download_and_prepare(download_config=config, file_format="array_record")
        return Path(builder.data_dir)

    return write


@pytest.fixture
def archives(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, np.ndarray]]:
    """Plants the archives of a tiny MNIST or Fashion-MNIST in tfds's download cache, checksums made to match."""
    from tensorflow_datasets.core.download import checksums, resource

    from jaxreg.data import preparation

    def plant(name: str) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(0)
        builder, infos, contents = preparation.BUILDERS[name], {}, {}
        (data_dir / "downloads").mkdir(exist_ok=True)
        for split, (images, labels) in preparation.ARCHIVES.items():
            size = {"train": 40, "test": 10}[split]
            contents[images] = rng.integers(0, 256, (size, 28, 28), np.uint8)
            contents[labels] = (np.arange(size) % 10).astype(np.uint8)
        for file, array in contents.items():
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
            packed = gzip.compress(header + array.tobytes())
            url, checksum = builder.URL + file, hashlib.sha256(packed).hexdigest()
            infos[url] = checksums.UrlInfo(size=len(packed), checksum=checksum, filename=file)
            path = data_dir / "downloads" / resource.get_dl_fname(url, checksum)
            path.write_bytes(packed)
            path.with_name(f"{path.name}.INFO").write_text(json.dumps({"original_fname": file, "urls": [url]}))
        monkeypatch.setattr(builder, "url_infos", infos)
        return contents

    return plant
