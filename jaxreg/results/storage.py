"""The results of a run on the disk: results.nc."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from jaxreg.errors import RunFolderError
from jaxreg.files import flush_to_disk


def save(dataset: xr.Dataset, path: Path) -> None:
    """Writes the results to `path` as NetCDF; a crash at any moment leaves the old file or the new one.

    Raises:
      OSError: it cannot be written; the old file stands.
    """
    temporary = path.with_name(path.name + ".tmp")
    compressed = {
        name: {"zlib": True, "complevel": 1}
        for name, values in dataset.data_vars.items()
        if values.ndim and values.size
    }
    try:
        dataset.to_netcdf(temporary, engine="h5netcdf", encoding=compressed)
        flush_to_disk(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)  # a part of a file keeps a full disk full
        raise
    flush_to_disk(path.parent)


def load(path: str | Path) -> xr.Dataset:
    """Reads the results of a run, given its folder or its results.nc.

    Raises:
      RunFolderError: the file is missing or was not written by jaxreg.
    """
    path = Path(path)
    path = path / "results.nc" if path.is_dir() else path
    try:
        dataset = xr.load_dataset(path, engine="h5netcdf")
    except (OSError, ValueError) as error:
        raise RunFolderError(
            f"{path}: cannot be read as results of jaxreg; give the folder of a finished run"
        ) from error
    if "experiment" not in dataset.attrs or "diverged_step" not in dataset:
        raise RunFolderError(f"{path}: holds something else than results of jaxreg")
    return dataset
