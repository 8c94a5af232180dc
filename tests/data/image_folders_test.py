from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jaxreg.config import DataConfig
from jaxreg.data import Data, load
from jaxreg.errors import DataError

RNG = np.random.default_rng(0)
BEES, ANTS = RNG.integers(0, 256, (2, 9, 4, 6, 3), dtype=np.uint8)


def save(folder: Path, images: np.ndarray, ending: str = "png", mode: str = "RGB") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, pixels in enumerate(images):
        Image.fromarray(pixels).convert(mode).save(folder / f"{number}.{ending}")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Nine images each of two classes."""
    save(tmp_path / "photos" / "bee", BEES)
    save(tmp_path / "photos" / "ant", ANTS)
    return tmp_path / "photos"


def read(folder: Path, **options: Any) -> Data:
    return load(DataConfig(str(folder), **options))


def test_folders_are_classes(photos: Path) -> None:
    (photos / ".DS_Store").touch()
    (photos / "README.txt").touch()
    (photos / "ant" / "Thumbs.db").touch()
    data = read(photos)
    assert (data.name, data.class_names, data.input_shape) == ("photos", ("ant", "bee"), (4, 6, 3))
    assert [np.bincount(split.labels).tolist() for split in data.splits.values()] == [[7, 7], [1, 1], [1, 1]]
    for of_class, images in enumerate((ANTS, BEES)):
        read_back = np.concatenate([split.inputs[split.labels == of_class] for split in data.splits.values()])
        written = (images / np.float32(255)).astype(np.float32).reshape(9, -1)
        np.testing.assert_array_equal(read_back[np.lexsort(read_back.T)], written[np.lexsort(written.T)])
    assert len(set(data.train.labels[:7])) == 2  # not class by class


def test_splits_may_be_given_and_images_pooled(tmp_path: Path) -> None:
    for split, rows in {"train": slice(0, 5), "test": slice(5, 7), "validation": slice(7, 9)}.items():
        save(tmp_path / split / "bee", BEES[rows], mode="L")
        save(tmp_path / split / "ant", ANTS[rows], mode="L")
    data = read(tmp_path, downsample=2)
    assert [np.bincount(split.labels).tolist() for split in data.splits.values()] == [[5, 5], [2, 2], [2, 2]]
    assert data.input_shape == (2, 3)
    grey = np.asarray(Image.fromarray(BEES[7]).convert("L")) / 255
    means = grey.reshape(2, 2, 3, 2).mean((1, 3)).ravel()
    bees = data.validation.inputs[data.validation.labels == 1]
    assert np.isclose(bees, means, rtol=1e-6).all(axis=1).sum() == 1


def test_the_order_of_files_on_the_disk_does_not_count(photos: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for place in reversed(range(9)):
        for name, images in (("bee", BEES), ("ant", ANTS)):
            (other / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(images[place]).save(other / name / f"{place}.png")
    assert read(photos).digest == read(other).digest


@pytest.mark.parametrize(("mode", "channels"), [("1", 1), ("L", 1), ("P", 3), ("RGB", 3), ("RGBA", 4), ("LA", 4)])
def test_modes_of_eight_bits_are_read(mode: str, channels: int, tmp_path: Path) -> None:
    save(tmp_path / "bee", BEES, mode=mode)
    save(tmp_path / "ant", ANTS, mode=mode)
    assert read(tmp_path).input_shape == (4, 6, channels)[: 2 if channels == 1 else 3]


@pytest.mark.parametrize(
    ("place", "image", "refused"),
    [
        (
            "bee/x.png",
            np.zeros((4, 7, 3), np.uint8),
            "bee/x.png: has 7x4 pixels of 3 channels, but the first image",
        ),
        ("bee/x.png", np.zeros((4, 6), np.uint8), "bee/x.png: has 6x4 pixels of 1 channels, but the first"),
        ("bee/x.png", np.zeros((4, 6), np.uint16), "bee/x.png: has pixels of Pillow's mode I;16; save it with 8 bits"),
        ("bee/x.png", b"", "bee/x.png: is no image that Pillow reads, or a damaged one"),
        ("bee/x.txt", b"", "bee/x.txt: is no image by its ending"),
        ("bee/more/x.png", b"", "bee/more: is a folder in that of a class"),
        ("x.png", b"", "x.png: lies in no folder of a class"),
        ("train/cat/x.png", b"", "photos: holds the folders ant, bee, train; it must hold either folders of classes"),
        ("cat/.x", b"", "cat: is a class without images"),
    ],
)
def test_what_is_no_such_folder_is_refused(place: str, image: Any, refused: str, photos: Path) -> None:
    (photos / place).parent.mkdir(parents=True, exist_ok=True)
    if isinstance(image, bytes):
        (photos / place).write_bytes(image)
    else:
        Image.fromarray(image).save(photos / place)
    with pytest.raises(DataError) as refusal:
        read(photos)
    assert refused in str(refusal.value).replace("\\", "/")
    assert "\n" not in str(refusal.value)


def test_a_part_of_an_image_and_a_film_are_refused(photos: Path) -> None:
    whole = (photos / "bee" / "3.png").read_bytes()
    (photos / "bee" / "3.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"3\.png: is a damaged image"):
        read(photos)
    (photos / "bee" / "3.png").unlink()
    frames = [Image.fromarray(pixels) for pixels in BEES[:2]]
    frames[0].save(photos / "bee" / "3.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match=r"3\.gif: has 2 frames"):
        read(photos)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no folders; put the images of each class into a folder of its name"):
        read(tmp_path)
