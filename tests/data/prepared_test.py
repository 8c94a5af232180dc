from __future__ import annotations

import dataclasses
import io
import json
import shutil
import struct
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

import jaxreg
from jaxreg.config import DataConfig
from jaxreg.data import load, prepared
from jaxreg.data.remarks import remarks_on
from jaxreg.errors import ConfigError, DataError, RunFolderError
from tests.training_run import experiment

if TYPE_CHECKING:
    from tests.data.conftest import WriteTfds

RNG = np.random.default_rng(0)
GREY = {"train": RNG.integers(0, 256, (20, 4, 6, 1), np.uint8), "test": RNG.integers(0, 256, (5, 4, 6, 1), np.uint8)}
COLOUR = {"train": RNG.integers(0, 256, (12, 4, 4, 3), np.uint8), "test": RNG.integers(0, 256, (5, 4, 4, 3), np.uint8)}


def tfds_image(channels: int) -> Any:
    import tensorflow_datasets as tfds

    return tfds.features.Image(shape=(None, None, channels))


def tfds_label() -> Any:
    import tensorflow_datasets as tfds

    return tfds.features.ClassLabel(names=["ant", "bee", "cat"])


def config(data_dir: Path, dataset: str = "tiny", **options: Any) -> DataConfig:
    return DataConfig(dataset, str(data_dir), **options)


@pytest.mark.parametrize("num_shards", [1, 3])
def test_grey_images_in_the_order_of_the_set(data_dir: Path, write_tfds: WriteTfds, num_shards: int) -> None:
    folder = write_tfds(GREY, num_shards=num_shards)
    assert len(list(folder.glob("*-train.*"))) == num_shards
    data = load(config(data_dir))
    assert (data.name, data.input_shape, data.num_classes) == ("tiny", (4, 6), 3)
    assert data.class_names == ("ant", "bee", "cat")
    pixels, labels = GREY["train"].reshape(20, 24) / np.float32(255), np.arange(20) % 3
    np.testing.assert_array_equal(data.train.inputs, pixels[:18])  # a tenth, the last two, is held out
    np.testing.assert_array_equal(data.train.labels, labels[:18])
    np.testing.assert_array_equal(data.validation.inputs, pixels[18:])
    np.testing.assert_array_equal(data.validation.labels, labels[18:])
    np.testing.assert_array_equal(data.test.inputs, GREY["test"].reshape(5, 24) / np.float32(255))


def test_colour_images(data_dir: Path, write_tfds: WriteTfds) -> None:
    write_tfds(COLOUR)
    data = load(config(data_dir, validation_size=4, downsample=2))
    assert data.input_shape == (2, 2, 3)
    means = COLOUR["train"].reshape(12, 2, 2, 2, 2, 3).mean(axis=(2, 4)) / 255
    np.testing.assert_allclose(data.train.inputs, means.reshape(12, 12)[:8], rtol=1e-6)
    np.testing.assert_allclose(data.validation.inputs, means.reshape(12, 12)[8:], rtol=1e-6)


def png(image: np.ndarray, depth: int) -> bytes:
    """A PNG file, [height, width, channels], of a bit depth that Pillow does not write, as its specification says."""
    height, width, channels = image.shape
    bits = np.unpackbits(image.astype(">u2")[..., None].view(np.uint8), axis=-1)[..., -depth:].reshape(height, -1)
    rows = b"".join(b"\0" + np.packbits(row).tobytes() for row in bits)  # filter 0
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    framed = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


@pytest.mark.parametrize(
    ("depth", "stored", "declared"),
    [(16, 1, 1), (16, 2, 1), (16, 3, 3), (16, 4, 3), (16, 1, 3), (1, 1, 1), (2, 1, 1), (4, 1, 1), (8, 2, 1), (8, 4, 3)],
)
def test_pixels_of_any_depth_are_read_at_eight_bits(
    data_dir: Path, write_tfds: WriteTfds, depth: int, stored: int, declared: int
) -> None:
    """16 bits were cut off at 255: a set of mean 0.33 was nearly white."""
    highest = 2**depth - 1
    splits = {split: RNG.integers(0, highest + 1, (4, 3, 5, stored)) for split in ("train", "test")}
    features = {"image": tfds_image(declared), "label": tfds_label()}
    write_tfds(splits, features=features, encoded=lambda image: png(image, depth))
    seen = splits["test"][..., :1] if declared == 1 or stored < 3 else splits["test"][..., :3]  # without alpha
    seen = np.broadcast_to(seen, (4, 3, 5, declared)).reshape(4, -1)
    expected = (seen >> 8) if depth == 16 else seen * (255 // highest)
    np.testing.assert_array_equal(load(config(data_dir)).test.inputs, expected.astype(np.uint8) / np.float32(255))


def test_black_and_white_and_palettes_are_read_as_what_they_show(data_dir: Path, write_tfds: WriteTfds) -> None:
    def indexed(image: np.ndarray) -> bytes:
        file = io.BytesIO()
        Image.fromarray(image).convert("P", palette=Image.Palette.ADAPTIVE).save(file, "png")
        return file.getvalue()

    splits = {split: np.repeat(RNG.integers(0, 256, (4, 3, 5, 1), np.uint8), 3, -1) for split in ("train", "test")}
    write_tfds(splits, encoded=indexed)
    np.testing.assert_array_equal(load(config(data_dir)).test.inputs, splits["test"].reshape(4, -1) / np.float32(255))


def test_pixels_without_a_known_white_are_refused(data_dir: Path, write_tfds: WriteTfds) -> None:
    def floats(image: np.ndarray) -> bytes:
        file = io.BytesIO()
        Image.fromarray(image[..., 0].astype(np.float32)).save(file, "tiff")
        return file.getvalue()

    write_tfds(GREY, encoded=floats)
    with pytest.raises(DataError, match=r"tiny cannot be read from .*a TIFF image of mode F") as refusal:
        load(config(data_dir))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("shape", [(9, 9), (2, 12), (6, 4)])  # the last two have as many pixels
def test_test_images_of_another_size_are_refused(data_dir: Path, write_tfds: WriteTfds, shape: tuple[int, int]) -> None:
    write_tfds(GREY | {"test": np.zeros((5, *shape, 1), np.uint8)})
    height, width = shape
    with pytest.raises(DataError, match=f"--dataset=tiny: test images are {height}x{width}, train images 4x6"):
        load(config(data_dir))


def test_a_split_that_is_not_read_is_said(data_dir: Path, write_tfds: WriteTfds) -> None:
    write_tfds(GREY | {"validation": GREY["test"]})
    data = load(config(data_dir))
    assert data.unread_splits == ("validation",)
    assert len(data.validation.labels) == 2
    (line,) = [line for line in remarks_on(data) if "split" in line]
    assert line.startswith("tiny: its own split validation is not read; validation is the last 2 examples of train")
    assert data.digest == dataclasses.replace(data, unread_splits=()).digest


def test_tensorflow_is_never_imported(data_dir: Path, write_tfds: WriteTfds) -> None:
    write_tfds(GREY)
    load(config(data_dir))
    assert "tensorflow" not in sys.modules


def test_the_newest_version_counts(data_dir: Path, write_tfds: WriteTfds) -> None:
    for version, start in (("2.0.0", 4), ("10.0.0", 8), ("9.0.0", 0)):
        write_tfds(
            {split: pixels[start:] for split, pixels in GREY.items() if split == "train"} | {"test": GREY["test"]},
            version=version,
        )
    assert prepared.prepared_sets(data_dir) == {"tiny": data_dir / "tiny" / "10.0.0"}
    np.testing.assert_array_equal(load(config(data_dir)).train.inputs[0], GREY["train"][8].ravel() / np.float32(255))


def test_second_load_comes_from_the_cache(
    data_dir: Path, write_tfds: WriteTfds, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tfds(GREY)
    first = load(config(data_dir))
    monkeypatch.setattr(prepared, "decode", None)
    second = load(config(data_dir))
    np.testing.assert_array_equal(second.train.inputs, first.train.inputs)
    np.testing.assert_array_equal(second.test.labels, first.test.labels)
    assert second.class_names == first.class_names


def test_a_damaged_cache_is_made_anew(data_dir: Path, cache_dir: Path, write_tfds: WriteTfds) -> None:
    write_tfds(GREY)
    first = load(config(data_dir))
    (cached,) = cache_dir.glob("data/*")
    whole = cached.read_bytes()
    cached.write_bytes(whole[: len(whole) // 2])
    np.testing.assert_array_equal(load(config(data_dir)).train.inputs, first.train.inputs)
    assert cached.read_bytes() == whole


def test_another_set_of_the_same_name_is_not_taken_from_the_cache(
    tmp_path: Path, data_dir: Path, write_tfds: WriteTfds
) -> None:
    write_tfds(GREY)
    load(config(data_dir))
    data_dir.rename(tmp_path / "moved")
    data_dir.mkdir()
    write_tfds({"train": GREY["train"][:10], "test": GREY["test"]})
    assert len(load(config(data_dir)).train.labels) == 9
    assert len(load(config(tmp_path / "moved")).train.labels) == 18


def test_a_set_that_was_remade_with_other_labels_in_as_many_bytes_is_read_anew(
    data_dir: Path, write_tfds: WriteTfds
) -> None:
    folder = write_tfds(GREY)
    before, sizes = load(config(data_dir)), {path.name: path.stat().st_size for path in folder.iterdir()}
    shutil.rmtree(folder)
    write_tfds(GREY, lambda i: (i + 1) % 3)
    assert {path.name: path.stat().st_size for path in folder.iterdir()} == sizes
    after = load(config(data_dir))
    np.testing.assert_array_equal(after.train.labels, (before.train.labels + 1) % 3)
    assert after.digest != before.digest


def test_a_run_is_resumed_where_its_data_moved_and_not_on_other_data(
    tmp_path: Path, data_dir: Path, write_tfds: WriteTfds
) -> None:
    def run(where: Path, **how: Any) -> None:
        settings = jaxreg.RunConfig(workdir=str(tmp_path / "run"), report=False, tensorboard=False, **how)
        asked = experiment(batch_size=5, num_steps=2, data=config(where))
        jaxreg.run(dataclasses.replace(asked, run=settings))

    write_tfds(GREY)
    run(data_dir)
    data_dir.rename(tmp_path / "moved")
    run(tmp_path / "moved", resume=True)
    data_dir.mkdir()
    write_tfds(GREY, lambda i: (i + 1) % 3)
    with pytest.raises(RunFolderError, match=r"another configuration \(other data: SHA-256 "):
        run(data_dir, resume=True)


def test_damaged_records_are_named(data_dir: Path, write_tfds: WriteTfds) -> None:
    (records,) = write_tfds(GREY).glob("*-train.*")
    records.write_bytes(records.read_bytes()[: records.stat().st_size // 2])
    with pytest.raises(DataError, match=r"^tiny cannot be read from .*delete it and prepare it again$") as refusal:
        load(config(data_dir))
    assert "\n" not in str(refusal.value)


def test_missing_records_are_named(data_dir: Path, write_tfds: WriteTfds) -> None:
    (records,) = write_tfds(GREY).glob("*-train.*")
    records.unlink()
    with pytest.raises(DataError, match=r"^tiny cannot be read from "):
        load(config(data_dir))


def test_a_cut_description_is_named(data_dir: Path, write_tfds: WriteTfds) -> None:
    (write_tfds(GREY) / "dataset_info.json").write_text('{"name": "ti')
    with pytest.raises(DataError, match=r"^tiny cannot be read from "):
        load(config(data_dir))


def test_tfrecords_need_tensorflow(data_dir: Path, write_tfds: WriteTfds) -> None:
    info = write_tfds(GREY) / "dataset_info.json"
    info.write_text(json.dumps(json.loads(info.read_text()) | {"fileFormat": "tfrecord"}))
    with pytest.raises(DataError, match=r"stored as tfrecord.*--file_format=array_record"):
        load(config(data_dir))


def test_unlabelled_examples_are_refused(data_dir: Path, write_tfds: WriteTfds) -> None:
    write_tfds(GREY, lambda i: -1 if i == 4 else 0)
    with pytest.raises(DataError, match=r"train labels lie in \[-1, 0\]"):
        load(config(data_dir))


def test_a_test_split_is_needed(data_dir: Path, write_tfds: WriteTfds) -> None:
    write_tfds({"train": GREY["train"], "validation": GREY["test"]})
    with pytest.raises(DataError, match=r"--dataset=tiny: needs .*it has 1, 1 and train, validation"):
        load(config(data_dir))


def test_a_class_label_is_needed(data_dir: Path, write_tfds: WriteTfds) -> None:
    import tensorflow_datasets as tfds

    write_tfds(GREY, features={"image": tfds.features.Image(shape=(4, 6, 1)), "id": tfds.features.Text()})
    with pytest.raises(DataError, match=r"--dataset=tiny: needs .*it has 1, 0 and test, train"):
        load(config(data_dir))


def test_unknown_names_get_the_nearest(data_dir: Path, write_tfds: WriteTfds) -> None:
    write_tfds(GREY)
    with pytest.raises(ConfigError, match=r"--dataset=tinny: must be one of .*, tiny, .*did you mean tiny"):
        load(config(data_dir, "tinny"))
    with pytest.raises(ConfigError, match=r"did you mean fashion_mnist"):
        load(config(data_dir, "fashion-mnist"))


def test_a_named_folder_must_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(ConfigError, match=r"--data_dir=.*missing: no such folder; "):
        load(config(missing, "mnist"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(missing))
    with pytest.raises(ConfigError, match=r"--data_dir=.*missing: no such folder \(from TFDS_DATA_DIR\)"):
        load(DataConfig("mnist"))
    assert len(load(DataConfig("digits")).test.labels) == 300


def test_data_dir_falls_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    assert prepared.find_data_dir(None) == tmp_path / "tensorflow_datasets"
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert prepared.find_data_dir(None) == tmp_path
    assert prepared.find_data_dir("/") == Path("/")
    with pytest.raises(ConfigError, match="--data_dir=~nobody-here/sets: there is no such home folder"):
        prepared.find_data_dir("~nobody-here/sets")


def test_unfinished_sets_do_not_count(data_dir: Path) -> None:
    for folder in ("incomplete.ABCDEF_1.0.0", "1.0.0.damaged0", "current"):
        (data_dir / "tiny" / folder).mkdir(parents=True)
        (data_dir / "tiny" / folder / "dataset_info.json").write_text("{}")
    (data_dir / "tiny" / "1.0.0").mkdir()
    assert prepared.prepared_sets(data_dir) == {}
