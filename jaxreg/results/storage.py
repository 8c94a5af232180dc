"""The results of a run on the disk: results.nc, with a digest of itself at its end."""

from __future__ import annotations

import hashlib
from pathlib import Path

import psutil

from jaxreg.errors import RunFolderError
from jaxreg.files import read_bytes, reason, user_path, write_bytes_atomically
from jaxreg.slow_imports import xr

MAX_LABEL = 1000  # characters of a name, a coordinate or an attribute that a page or a figure shows

# What follows the NetCDF file: a mark and the SHA-256 of all that stands before it. Readers of HDF5 ignore what lies
# behind its end, so any of them opens the file; and the digest goes along when the file is copied.
_MARK = b"\njaxreg sha256 "
_DIGEST_BYTES = len(_MARK) + 64 + 1
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
    path = user_path(path)
    in_folder = path.is_dir()
    path = path / "results.nc" if in_folder else path
    try:
        content = read_bytes(path, int(_SHARE * psutil.virtual_memory().total), follow=not in_folder)
    except OSError as error:
        raise RunFolderError(
            f"{path}: cannot be read as results of jaxreg ({reason(error)}); give the folder of a finished run"
        ) from error
    marked = content[-_DIGEST_BYTES:]
    signed = marked.startswith(_MARK)
    if signed and hashlib.sha256(memoryview(content)[:-_DIGEST_BYTES]).hexdigest().encode() != marked[len(_MARK) : -1]:
        raise _damaged(path, "its content differs from what was written")
    from jaxreg.results import netcdf  # slow to import

    try:
        dataset = netcdf.dataset_of(content, _SHARE * psutil.virtual_memory().total)
    except netcdf.TooLargeError as error:
        raise _damaged(path, str(error)) from error
    except Exception as error:  # HDF5, h5py and xarray raise many types for what they cannot read
        raise RunFolderError(
            f"{path}: cannot be read as results of jaxreg; give the folder of a finished run, or make them again from "
            "its last checkpoint with --resume"
        ) from error
    if "experiment" not in dataset.attrs or "diverged_step" not in dataset:
        raise RunFolderError(f"{path}: holds something else than results of jaxreg")
    _check_names(dataset, path)
    return dataset


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
