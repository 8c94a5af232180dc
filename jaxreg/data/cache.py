"""Decoded arrays kept on disk: a sha256 of what follows, then the arrays in NumPy's own format.

A cache only ever saves time: what cannot be written is not kept, what is damaged is made anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import platformdirs

from jaxreg.data.images import Images

FORMAT = 2  # raised when the same set is decoded or ordered otherwise
DIGEST_SIZE = hashlib.sha256().digest_size

log = logging.getLogger(__name__)


def cache_path(key: str) -> Path:
    """The file of a key, in JAXREG_CACHE_DIR or in the user's cache folder."""
    folder = Path(os.environ.get("JAXREG_CACHE_DIR") or platformdirs.user_cache_dir("jaxreg"))
    try:
        folder = folder.expanduser()
    except RuntimeError:  # there is no home directory
        folder = Path(os.devnull)  # in which nothing is kept
    return folder / "data" / f"{key}.arrays"


def cached(key: str, make: Callable[[], Images]) -> Images:
    """The image set of the key from the cache, else made and kept."""
    path = cache_path(f"{key}-format{FORMAT}")
    arrays = load_arrays(path, len(Images._fields))
    if arrays is not None:
        return Images(*arrays)
    images = make()
    save_arrays(path, images)
    return images


def load_arrays(path: Path, count: int) -> list[npt.NDArray[Any]] | None:
    """The `count` arrays of the file, or None where there is none, or a damaged one."""
    try:
        with path.open("rb") as file:
            digest = file.read(DIGEST_SIZE)
            if hashlib.file_digest(file, "sha256").digest() != digest:
                log.warning("%s is damaged; decoding the data set again", path)
                return None
            file.seek(DIGEST_SIZE)
            return [np.load(file) for _ in range(count)]
    except (OSError, ValueError, EOFError):
        return None


def save_arrays(path: Path, arrays: Iterable[npt.NDArray[Any]]) -> None:
    """Writes the file whole or not at all; goes on without where the folder cannot be written."""
    payload = io.BytesIO()
    for array in arrays:
        np.save(payload, array, allow_pickle=False)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            file.write(hashlib.sha256(payload.getbuffer()).digest())
            file.write(payload.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        log.debug("the decoded data set is not cached: %s", error)
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()
