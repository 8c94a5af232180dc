"""Folders of images by class: DIR/CLASS/IMAGE, or DIR/train/CLASS/IMAGE with the other splits beside train."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jaxreg.data.images import Pixels
from jaxreg.data.labelled import SPLITS, Examples
from jaxreg.data.splitting import shuffled
from jaxreg.errors import DataError
from jaxreg.files import reason

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pgm", ".ppm", ".tif", ".tiff", ".webp")
# What Pillow turns the modes of files into; sixteen bits, floats and others would be cut or scaled unasked.
MODES = {
    **{"1": "L", "L": "L", "P": "RGB", "RGB": "RGB", "RGBA": "RGBA", "LA": "RGBA", "PA": "RGBA"},
    **{"CMYK": "RGB", "YCbCr": "RGB"},
}
IGNORED = ("thumbs.db", "desktop.ini")  # and what begins with a dot


def read_image_folder(folder: Path) -> dict[str, Examples]:
    """The splits of a folder, pixels [examples, height, width, channels]; images by class without splits are `train`.

    Files are taken in the order of their names and shuffled in a way that is always the same.

    Raises:
      DataError: the folder is laid out otherwise; a file is no image, or one of another size or mode than the first.
      OSError: a file cannot be read.
    """
    inner = [entry for entry in _entries(folder) if entry.is_dir()]
    names = [entry.name for entry in inner]
    if not inner:
        raise DataError(f"{folder.name}: holds no folders; put the images of each class into a folder of its name")
    by_split = {entry.name: entry for entry in inner if entry.name in SPLITS}
    if not by_split:
        files = {"train": _files(folder, folder)}
    elif "train" in by_split and len(by_split) == len(inner):
        files = {split: _files(folder, by_split[split]) for split in SPLITS if split in by_split}
    else:
        allowed = "either folders of classes, or train with test and validation and nothing else"
        raise DataError(f"{folder.name}: holds the folders {', '.join(names[:12])}; it must hold {allowed}")
    example = _pixels(folder, files["train"][0][0]).shape
    return {split: shuffled(_read(folder, of_split, example)) for split, of_split in files.items()}


def _entries(folder: Path) -> list[Path]:
    """What is in a folder, by name, without what systems leave there."""
    entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    return [entry for entry in entries if not entry.name.startswith(".") and entry.name.lower() not in IGNORED]


def _files(root: Path, folder: Path) -> list[tuple[Path, str]]:
    """The images below a folder of classes, each with its class."""
    files = list(_images(root, folder))
    if not files:
        raise DataError(f"{_shown(root, folder)}: holds no images by class; give the images of each class a folder")
    return files


def _images(root: Path, folder: Path) -> Iterator[tuple[Path, str]]:
    for entry in _entries(folder):
        if entry.is_dir():
            of_class = _entries(entry)
            if not of_class:
                raise DataError(f"{_shown(root, entry)}: is a class without images; put some there, or delete it")
            for file in of_class:
                if file.is_dir() or file.suffix.lower() not in ENDINGS:
                    what = "is a folder in that of a class" if file.is_dir() else "is no image by its ending"
                    raise DataError(f"{_shown(root, file)}: {what} ({', '.join(ENDINGS)}); move it elsewhere")
                yield file, entry.name
        elif entry.suffix.lower() in ENDINGS:
            raise DataError(f"{_shown(root, entry)}: lies in no folder of a class; move it into one")


def _read(root: Path, files: list[tuple[Path, str]], shape: tuple[int, ...]) -> Examples:
    """All images, [examples, height, width, channels]."""
    pixels: Pixels = np.empty((len(files), *shape), np.uint8)
    for place, (file, _) in enumerate(files):
        image = _pixels(root, file)
        if image.shape != shape:
            found, first = (f"{sizes[1]}x{sizes[0]} pixels of {sizes[2]} channels" for sizes in (image.shape, shape))
            raise DataError(f"{_shown(root, file)}: has {found}, but the first image {first}; make all images alike")
        pixels[place] = image
    return Examples(pixels, np.array([of_class for _, of_class in files], dtype=np.str_))


def _pixels(root: Path, file: Path) -> Pixels:
    """One image, [height, width, channels], 8 bits each: grey, colour, or colour with alpha."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as image:
            if (frames := getattr(image, "n_frames", 1)) > 1:
                raise DataError(f"{_shown(root, file)}: has {frames} frames; save one of them as an image")
            if image.mode not in MODES:
                found = f"has pixels of Pillow's mode {image.mode}"
                raise DataError(f"{_shown(root, file)}: {found}; save it with 8 bits a channel, in grey or colour")
            mode = MODES[image.mode]
            pixels = np.asarray(image if image.mode == mode else image.convert(mode))
    except (ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DataError(f"{_shown(root, file)}: is no image that Pillow reads, or a damaged one") from error
    except OSError as error:  # a part of an image has no number of an error of the system
        why = "is a damaged image" if error.errno is None else f"cannot be read ({reason(error)})"
        raise DataError(f"{_shown(root, file)}: {why}") from error
    return pixels.reshape(*pixels.shape[:2], len(mode))


def _shown(root: Path, path: Path) -> str:
    """A path as messages name it: from the folder of the data set on."""
    return str(Path(root.name) / path.relative_to(root))
