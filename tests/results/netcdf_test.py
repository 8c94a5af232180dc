"""Files written and read by h5py alone: any reader opens them, and they read as xarray reads them."""

from __future__ import annotations

import io
import math
from typing import Any

import h5netcdf
import numpy as np
import pytest
import xarray as xr

from jaxreg.config.sweeps import Sweep
from jaxreg.results import netcdf
from jaxreg.runs.history import History


def assert_same(ours: xr.Dataset, theirs: xr.Dataset) -> None:
    """Equal in values, types, attributes and the order of everything."""
    xr.testing.assert_identical(ours, theirs)
    assert list(ours.variables) == list(theirs.variables)
    assert list(ours.coords) == list(theirs.coords)
    assert list(ours.sizes) == list(theirs.sizes)
    for name in theirs.variables:
        assert ours[name].dtype == theirs[name].dtype, name
    for mine, other in [(ours, theirs), *((ours[name], theirs[name]) for name in theirs.variables)]:
        assert list(mine.attrs) == list(other.attrs)
        assert {key: type(value) for key, value in mine.attrs.items()} == {
            key: type(value) for key, value in other.attrs.items()
        }


def read(content: memoryview) -> xr.Dataset:
    return netcdf.dataset_of(bytes(content), math.inf)


def by_xarray(content: memoryview) -> xr.Dataset:
    return xr.load_dataset(io.BytesIO(content), engine="h5netcdf")


def written_by_xarray(dataset: xr.Dataset) -> memoryview:
    file = io.BytesIO()
    dataset.to_netcdf(file, engine="h5netcdf")
    return file.getbuffer()


def test_xarray_reads_the_same(unequal: tuple[Sweep, list[History], xr.Dataset]) -> None:
    _, _, results = unequal
    content = netcdf.content_of(results)
    assert_same(read(content), by_xarray(content))
    assert_same(read(content), by_xarray(written_by_xarray(results)))


def test_files_of_another_writer_are_read(unequal: tuple[Sweep, list[History], xr.Dataset]) -> None:
    _, _, results = unequal
    content = written_by_xarray(results)
    assert_same(read(content), by_xarray(content))


SMALL = xr.Dataset({"loss": (("seed", "step"), np.ones((2, 3), np.float32))}, {"seed": [3, 4]})


@pytest.mark.parametrize(
    "dataset",
    [
        SMALL,
        SMALL.assign_attrs(numbers=[1.5, 2.5], one=[7], words=["a", "b"], word=["alone"], size=np.float32(2), none=""),
        SMALL.assign_coords(name=("seed", ["näme", ""]), kind="cnn", at=("step", [0.0, np.nan, np.inf])),
        SMALL.assign(steps=("step", np.array([1, 2, 3], np.uint8))).assign(total=3.5),
        xr.Dataset(),
        # Left to xarray:
        SMALL.assign(sound=("seed", [True, False])),
        SMALL.assign(began=np.datetime64("2026-11-29T12:00:00", "ns")),
        SMALL.isel(step=slice(0)),
    ],
    ids=["small", "attributes", "text", "numbers", "nothing", "truth values", "dates", "no steps"],
)
def test_whatever_a_dataset_holds_comes_back(dataset: xr.Dataset) -> None:
    content = netcdf.content_of(dataset)
    assert_same(read(content), by_xarray(content))
    xr.testing.assert_equal(read(content), dataset)
    assert_same(read(content), by_xarray(written_by_xarray(dataset)))


@pytest.mark.parametrize("attrs", [{"units": None}, {"CLASS": "x"}, {"about": {"a": 1}}], ids=str)
def test_attributes_that_netcdf_does_not_have_are_refused(attrs: dict[str, Any]) -> None:
    with pytest.raises((TypeError, AttributeError)):
        netcdf.content_of(SMALL.assign_attrs(attrs))


def test_dimensions_are_those_of_netcdf4() -> None:
    with h5netcdf.File(io.BytesIO(netcdf.content_of(SMALL)), "r") as file:
        assert {name: len(dim) for name, dim in file.dimensions.items()} == {"seed": 2, "step": 3}
        assert file["loss"].dimensions == ("seed", "step")
        assert set(file.variables) == {"loss", "seed"}  # the steps have no coordinate


def test_large_variables_lie_in_compressed_chunks() -> None:
    zeros = xr.Dataset({"loss": (("config", "seed", "step"), np.zeros((40, 100, 200), np.float32))})
    content = netcdf.content_of(zeros.assign(small=("config", np.zeros(40))))
    with h5netcdf.File(io.BytesIO(content), "r") as file:
        assert file["loss"].chunks == (10, 100, 200)
        assert (file["loss"].compression, file["loss"].shuffle) == ("gzip", True)
        assert (file["small"].chunks, file["small"].compression) == (None, None)
    assert len(content) < zeros.nbytes / 20
    assert_same(read(content), by_xarray(content))


@pytest.mark.parametrize(
    ("shape", "chunks"),
    [
        ((3, 5), (3, 5)),
        ((1000, 100, 20), (125, 100, 20)),
        ((100_000, 3), (50_000, 3)),
        ((2, 1_000_000), (1, 250_000)),
        ((7, 200_000), (1, 200_000)),
    ],
)
def test_a_chunk_holds_the_last_dimensions_whole(shape: tuple[int, ...], chunks: tuple[int, ...]) -> None:
    assert netcdf.chunk_shape(shape, 4) == chunks
    assert 4 * math.prod(chunks) <= netcdf.CHUNK_BYTES


def test_a_file_that_claims_too_much_is_not_read() -> None:
    for content in (netcdf.content_of(SMALL), written_by_xarray(SMALL)):
        with pytest.raises(netcdf.TooLargeError, match="claims to hold"):
            netcdf.dataset_of(bytes(content), most=20)
