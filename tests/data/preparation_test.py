from __future__ import annotations

import io
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from jaxreg.config import DataConfig
from jaxreg.data import Data, load, prepared
from jaxreg.errors import DataError

Archives = Callable[[str], dict[str, np.ndarray]]


def config(data_dir: Path, dataset: str = "mnist") -> DataConfig:
    return DataConfig(dataset, str(data_dir), validation_size=5)


def archive_of(data_dir: Path, part: str) -> Path:
    (path,) = (data_dir / "downloads").glob(f"*{part}*.gz")
    return path


@pytest.mark.parametrize(("name", "first_class"), [("mnist", "0"), ("fashion_mnist", "T-shirt/top")])
def test_prepares_from_archives(
    data_dir: Path, archives: Archives, requested: list[str], name: str, first_class: str
) -> None:
    contents = archives(name)
    data = load(config(data_dir, name))
    assert requested == []
    assert [len(split.labels) for split in (data.train, data.validation, data.test)] == [35, 5, 10]
    assert data.class_names[0] == first_class
    assert prepared.prepared_sets(data_dir) == {name: data_dir / name / "3.0.1"}
    assert [path.name for path in data_dir.glob(f"{name}/*")] == ["3.0.1"]
    ours = np.concatenate([data.train.inputs, data.validation.inputs])
    theirs = contents["train-images-idx3-ubyte.gz"].reshape(40, 784) / np.float32(255)
    order = [int(np.flatnonzero((theirs == row).all(axis=1))[0]) for row in ours]
    assert sorted(order) == list(range(40))
    labels = np.concatenate([data.train.labels, data.validation.labels])
    np.testing.assert_array_equal(labels, contents["train-labels-idx1-ubyte.gz"][order])
    assert "tensorflow" not in sys.modules


def test_prepares_once_and_in_silence(
    data_dir: Path, archives: Archives, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    archives("mnist")
    load(config(data_dir))
    assert capfd.readouterr() == ("", "")
    from jaxreg.data import preparation

    monkeypatch.setattr(preparation, "prepare_unlocked", None)
    assert preparation.prepare("mnist", data_dir) == data_dir / "mnist" / "3.0.1"


def test_leftovers_of_an_interrupted_run_do_no_harm(data_dir: Path, archives: Archives) -> None:
    archives("mnist")
    incomplete = data_dir / "mnist" / "incomplete.ABCDEF_3.0.1"
    incomplete.mkdir(parents=True)
    (incomplete / "mnist-train.array_record-00000-of-00001").write_bytes(b"half")
    unfinished_download = data_dir / "downloads" / "mnist" / "archive.gz.tmp.0123"
    unfinished_download.mkdir(parents=True)
    (unfinished_download / "train-images-idx3-ubyte.gz").write_bytes(b"half")
    assert len(load(config(data_dir)).train.labels) == 35


def test_an_unfinished_version_folder_is_set_aside(data_dir: Path, archives: Archives) -> None:
    archives("mnist")
    (data_dir / "mnist" / "3.0.1").mkdir(parents=True)
    (data_dir / "mnist" / "3.0.1" / "features.json").write_text("{")
    assert len(load(config(data_dir)).train.labels) == 35
    assert (data_dir / "mnist" / "3.0.1.damaged0" / "features.json").read_text() == "{"


@pytest.mark.parametrize("damage", ["cut", "flipped", "no note", "note only"])
def test_a_damaged_archive_is_downloaded_again(
    data_dir: Path, archives: Archives, requested: list[str], damage: str
) -> None:
    archives("mnist")
    archive = archive_of(data_dir, "train-images")
    note, whole = archive.with_name(f"{archive.name}.INFO"), archive.read_bytes()
    match damage:
        case "cut":
            archive.write_bytes(whole[:100])
        case "flipped":
            archive.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
        case "no note":
            note.unlink()
        case "note only":
            archive.unlink()
    with pytest.raises(DataError, match=r"^mnist is neither prepared"):
        load(config(data_dir))
    assert [url.rpartition("/")[2] for url in requested] == ["train-images-idx3-ubyte.gz"]
    archives("mnist")  # as a download would
    assert len(load(config(data_dir)).train.labels) == 35


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_offline_says_what_to_do(data_dir: Path, requested: list[str], name: str) -> None:
    start = time.monotonic()
    with pytest.raises(DataError, match=rf"^{name} is neither prepared .*--data_dir .*--dataset=digits$") as refusal:
        load(config(data_dir, name))
    assert "\n" not in str(refusal.value)
    assert len(requested) == 1
    assert time.monotonic() - start < 10


def test_an_unwritable_folder_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tensorflow_datasets").touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    with pytest.raises(DataError, match=r"^mnist cannot be prepared in .*--dataset=digits$"):
        load(DataConfig("mnist"))


def test_only_one_prepares_at_a_time(data_dir: Path, archives: Archives, monkeypatch: pytest.MonkeyPatch) -> None:
    archives("mnist")
    from jaxreg.data import preparation

    prepare, calls, others = preparation.prepare_unlocked, [], []

    def slow(name: str, folder: Path) -> None:
        calls.append(name)
        others.append(threading.Thread(target=preparation.prepare, args=(name, folder)))
        others[0].start()
        others[0].join(0.2)
        assert others[0].is_alive()
        prepare(name, folder)

    monkeypatch.setattr(preparation, "prepare_unlocked", slow)
    preparation.prepare("mnist", data_dir)
    others[0].join(10)
    assert not others[0].is_alive()
    assert calls == ["mnist"]


@pytest.mark.parametrize(("name", "first_class"), [("mnist", "0"), ("fashion_mnist", "T-shirt/top")])
def test_as_published_the_examples_stand_in_the_order_of_the_archives(
    data_dir: Path, archives: Archives, requested: list[str], name: str, first_class: str
) -> None:
    contents = archives(name)
    data = load(config(data_dir, f"{name}_as_published"))
    assert requested == []
    assert (data.name, data.class_names[0], data.input_shape) == (f"{name}_as_published", first_class, (28, 28))
    train = slice(35), slice(35, 40)  # the last are for validation
    for split, part in zip((data.train, data.validation, data.test), (*train, slice(10)), strict=True):
        kind = "t10k" if split is data.test else "train"
        images, labels = contents[f"{kind}-images-idx3-ubyte.gz"], contents[f"{kind}-labels-idx1-ubyte.gz"]
        np.testing.assert_array_equal(split.inputs, images[part].reshape(-1, 784) / np.float32(255))
        np.testing.assert_array_equal(split.labels, labels[part])
    assert prepared.prepared_sets(data_dir) == {}
    shutil.rmtree(data_dir / "downloads")  # from now on it is in the cache
    np.testing.assert_array_equal(load(config(data_dir, f"{name}_as_published")).train.inputs, data.train.inputs)
    assert "tensorflow" not in sys.modules


def test_archives_that_are_missing_are_downloaded(
    data_dir: Path, archives: Archives, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = archives("mnist")
    packed = {path.name: path.read_bytes() for path in (data_dir / "downloads").glob("*.gz")}
    for path in (data_dir / "downloads").glob("*labels*"):
        path.unlink()

    def answer(_session: requests.Session, request: requests.PreparedRequest, **_options: Any) -> requests.Response:
        name = str(request.url).rpartition("/")[2]
        response = requests.Response()
        response.status_code, response.url = 200, str(request.url)
        (body,) = (data for file, data in packed.items() if name.removesuffix(".gz") in file)
        response.raw = io.BytesIO(b"" if request.method == "HEAD" else body)
        return response

    monkeypatch.setattr(requests.Session, "send", answer)
    data = load(config(data_dir, "mnist_as_published"))
    np.testing.assert_array_equal(data.test.labels, contents["t10k-labels-idx1-ubyte.gz"])
    images = contents["train-images-idx3-ubyte.gz"].reshape(-1, 784) / np.float32(255)
    np.testing.assert_array_equal(data.train.inputs, images[:35])


@pytest.mark.parametrize("damage", ["cut", "missing"])
def test_as_published_a_damaged_archive_is_refused_offline(data_dir: Path, archives: Archives, damage: str) -> None:
    archives("mnist")
    archive = archive_of(data_dir, "train-labels")
    archive.unlink() if damage == "missing" else archive.write_bytes(archive.read_bytes()[:20])
    said = r"^mnist is neither kept as archives in .* nor downloadable .*; use --dataset=mnist, .*--dataset=digits$"
    with pytest.raises(DataError, match=said):
        load(config(data_dir, "mnist_as_published"))


def test_mnist_as_published_has_the_examples_of_mnist_in_another_order(mnist_archives: Path, mnist: Data) -> None:
    published = load(DataConfig("mnist_as_published", str(mnist_archives.parent)))
    assert published.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]  # as LeCun's files begin
    examples = []
    for data in (mnist, published):
        inputs, labels = (np.concatenate(both) for both in zip(data.train, data.validation, strict=True))
        examples.append(sorted(zip(labels.tolist(), inputs.sum(axis=1).tolist(), strict=True)))
    assert examples[0] == examples[1]


def test_mnist_counts(mnist: Data) -> None:
    assert [len(split.labels) for split in (mnist.train, mnist.validation, mnist.test)] == [55000, 5000, 10000]
    assert np.bincount(mnist.test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    both = np.bincount(np.concatenate([mnist.train.labels, mnist.validation.labels]))
    assert both.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]


def test_mnist_pixels(mnist: Data) -> None:
    assert (mnist.input_shape, mnist.num_classes, mnist.class_names) == ((28, 28), 10, tuple("0123456789"))
    for split in (mnist.train, mnist.validation, mnist.test):
        assert (split.inputs.min(), split.inputs.max(), split.inputs.dtype) == (0, 1, np.dtype(np.float32))
    assert mnist.train.inputs.shape == (55000, 784)
    pixels = np.concatenate([mnist.train.inputs, mnist.validation.inputs])
    np.testing.assert_allclose([pixels.mean(dtype=float), pixels.std(dtype=float)], [0.1307, 0.3081], atol=5e-5)


def test_mnist_pooled_to_7x7(mnist: Data, mnist_7x7: Data) -> None:
    assert mnist_7x7.input_shape == (7, 7)
    means = mnist.test.inputs.reshape(-1, 7, 4, 7, 4).mean(axis=(2, 4))
    np.testing.assert_allclose(mnist_7x7.test.inputs, means.reshape(-1, 49), atol=1e-6)


@pytest.mark.slow
def test_mnist_prepared_from_the_original_archives(
    mnist_archives: Path, mnist: Data, data_dir: Path, requested: list[str]
) -> None:
    (data_dir / "downloads").mkdir()
    for file in mnist_archives.glob("*mnist*"):
        shutil.copyfile(file, data_dir / "downloads" / file.name)
    ours = load(DataConfig("mnist", str(data_dir)))
    assert requested == []
    for split in ("train", "validation", "test"):
        for prepared_here, original in zip(getattr(ours, split), getattr(mnist, split), strict=True):
            np.testing.assert_array_equal(prepared_here, original)
