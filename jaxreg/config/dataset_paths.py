"""Which values of --dataset are paths of the user's own files, and which are names of sets."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath

FILES = (".npz", ".csv", ".parquet")
IN_PLACE_OF_PATH = "PATH"  # wherever the files are: two runs are one if the data in them are


def names_path(dataset: str) -> bool:
    """Whether a value of --dataset, in quotation marks or not, cannot be the name of a set.

    That is so of files by their ending, and of what begins as a path does. A relative `photos` may be a folder or a
    name: `jaxreg.data.located` tells which, and makes the path of it that a run keeps.
    """
    text = dataset.strip("\"'")
    absolute = PurePosixPath(text).is_absolute() or PureWindowsPath(text).is_absolute()
    return absolute or text.lower().endswith(FILES) or text.startswith(("~", "./", "../", ".\\", "..\\")) or text == "."


def without_place(dataset: str) -> str:
    """The value as runs are compared by it: of a path only that it is one; the digest of the data says the rest."""
    return IN_PLACE_OF_PATH if names_path(dataset) else dataset
