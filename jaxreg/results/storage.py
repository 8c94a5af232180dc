"""The results of a run on the disk: results.nc, with a digest of itself at its end."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from jaxreg.errors import RunFolderError
from jaxreg.files import open_regular, read_bytes, reason, user_path, write_bytes_atomically
from jaxreg.slow_imports import xr

MAX_LABEL = 1000  # characters of a name, a coordinate or an attribute that a page or a figure shows

# What follows the NetCDF file: a mark and the SHA-256 of all that stands before it. Readers of HDF5 ignore what lies
# behind its end, so any of them opens the file; and the digest goes along when the file is copied.
_MARK = b"\njaxreg sha256 "
_DIGEST_BYTES = len(_MARK) + 64 + 1
_PIECE = 2**24  # bytes that are compared at once
_SHARE = 0.8  # of the memory of the machine that a file and its values may take


def save(dataset: xr.Dataset, path: Path) -> None:
    """Writes the results to `path` as NetCDF; a crash at any moment leaves the old file or the new one.

    The file is made in memory: HDF5 ends the process where a disk is full.

    Raises:
      OSError: it cannot be written; the old file stands.
    """
    from jaxreg.results import netcdf  # slow to import

    content = netcdf.content_of(dataset)
    digest = hashlib.sha256(content).hexdigest().encode()
    write_bytes_atomically(path, content, _MARK + digest + b"\n")


def load(path: str | Path) -> xr.Dataset:
    """Reads the results of a run, given its folder or its results.nc, and compares them with the digest they carry.

    Results of an earlier version carry none.

    Raises:
      RunFolderError: the file is missing, damaged, or was not written by jaxreg.
    """
    path, follow = _located(path)
    try:
        content = read_bytes(path, int(_SHARE * psutil.virtual_memory().total), follow=follow)
    except OSError as error:
        raise _unreadable(path, error) from error
    _compare(path, len(content), [memoryview(content)])
    from jaxreg.results import netcdf  # slow to import

    try:
        dataset = netcdf.dataset_of(content, _SHARE * psutil.virtual_memory().total)
    except netcdf.TooLargeError as error:
        raise _damaged(path, str(error)) from error
    except Exception as error:  # HDF5, h5py and xarray raise many types for what they cannot read
        raise _foreign(path) from error
    _check(dataset, path)
    return dataset


def open_lazily(path: str | Path, *, chunks: Any = None, verify: bool = False) -> xr.Dataset:
    """Opens the results of a run, given its folder or its results.nc: names and coordinates are read, values when used.

    For results that do not fit in memory, or of which a few settings are wanted. What is selected is read at each use,
    unless it is kept by `.load()`. The dataset holds the file open until it is closed, as one of
    `with jaxreg.open_results(run) as results:` is at the end. A run that is resumed puts another file in its place;
    what is open stays as it was.

    That the file is whole, and results of jaxreg, is looked at. Whether each of its bits is as it was written is only
    compared by `load_results`, or with `verify`.

    Args:
      path: of a run folder, or of its results.nc.
      chunks: as in `xarray.open_dataset`: with it values are arrays of Dask, which has to be installed.
      verify: read the file once, in pieces, and compare it with the digest that it carries.

    Raises:
      RunFolderError: the file is missing, cut off, or was not written by jaxreg; with `verify`, it is damaged.
    """
    path, follow = _located(path)
    try:
        with open_regular(path, follow=follow) as file:
            size = os.fstat(file.fileno()).st_size
            if verify:
                _compare(path, size, iter(partial(file.read, _PIECE), b""))
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        dataset = xr.open_dataset(path, engine="h5netcdf", chunks=chunks)
    except ImportError:  # there is no Dask for the chunks
        raise
    except Exception as error:  # as in `load`
        raise _foreign(path) from error
    try:
        for name in dataset.coords:
            dataset[name].load()
        _check(dataset, path)
    except BaseException:
        dataset.close()
        raise
    return dataset


def _located(path: str | Path) -> tuple[Path, bool]:
    """The file with the results, and whether it may be a link: one that a user names may, one of a run folder not."""
    path = user_path(path)
    in_folder = path.is_dir()
    return path / "results.nc" if in_folder else path, not in_folder


def _compare(path: Path, size: int, pieces: Iterable[bytes | memoryview]) -> None:
    """Compares the content of a file, given in pieces, with the digest at its end, if there is one.

    Raises:
      RunFolderError: they differ.
    """
    digest, left, end = hashlib.sha256(), size - _DIGEST_BYTES, b""
    for piece in pieces:
        digest.update(piece[: max(left, 0)])
        end += bytes(piece[max(left, 0) :])
        left -= len(piece)
    if end.startswith(_MARK) and digest.hexdigest().encode() != end[len(_MARK) : -1]:
        raise _damaged(path, "its content differs from what was written")


def _check(dataset: xr.Dataset, path: Path) -> None:
    """Refuses what are no results of jaxreg, or none that can be shown."""
    if "experiment" not in dataset.attrs or "diverged_step" not in dataset:
        raise RunFolderError(f"{path}: holds something else than results of jaxreg")
    _check_names(dataset, path)


def _unreadable(path: Path, error: OSError) -> RunFolderError:
    return RunFolderError(
        f"{path}: cannot be read as results of jaxreg ({reason(error)}); give the folder of a finished run"
    )


def _foreign(path: Path) -> RunFolderError:
    return RunFolderError(
        f"{path}: cannot be read as results of jaxreg; give the folder of a finished run, or make them again from "
        "its last checkpoint with --resume"
    )


def _damaged(path: Path, why: str) -> RunFolderError:
    return RunFolderError(
        f"{path}: is damaged ({why}); its run with --resume makes it again from the last checkpoint, or put a copy back"
    )


def _check_names(dataset: xr.Dataset, path: Path) -> None:
    """Refuses what a run does not write and a page or a figure cannot show: names and texts without end."""
    texts = [str(name) for name in (*dataset.variables, *dataset.dims)]
    texts += [value for value in dataset.attrs.values() if isinstance(value, str)]
    for variable in dataset.variables.values():
        texts += [text for text in variable.attrs.values() if isinstance(text, str)]
        if variable.dtype.kind in "OUST":
            texts += map(str, variable.values.ravel().tolist())
    if longest := max((text for text in texts if len(text) > MAX_LABEL), key=len, default=None):
        raise RunFolderError(
            f"{path}: holds a name of {len(longest)} characters ({longest[:20]!r}...), which no table or figure can "
            f"show; give names of at most {MAX_LABEL}"
        )
