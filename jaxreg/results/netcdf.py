"""Labelled results as NetCDF4 files in memory, written and read by h5py alone: xarray takes fifteen times as long.

The layout is that of any NetCDF4 file (Unidata, NetCDF-4 file format: an HDF5 file of dimension scales), so xarray and
every other reader open it. What results of a run do not hold, such as truth values and dates, is left to xarray, and
so are files that were not written here.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np
import xarray as xr
from h5py import h5, h5a, h5d, h5ds, h5g, h5p, h5s, h5t

CHUNK_BYTES = 2**20  # before compression; what is read of a variable is read in whole chunks
_COMPRESSED_FROM = 2**14  # bytes; the filters of a smaller variable take longer than it would on any disk
_LEVEL = 1  # of zlib, after a shuffle of the bytes

_WRITER = b"version=2,jaxreg=1"  # in the place where every NetCDF4 library leaves its name
_WRITER_NAME = b"_NCProperties"
_NO_VARIABLE = b"This is a netCDF dimension but not a netCDF variable.%10d"
_TEXT = h5py.string_dtype()
_IN_ORDER = h5p.CRT_ORDER_TRACKED | h5p.CRT_ORDER_INDEXED
_RESERVED = frozenset(
    ("CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST", "_Netcdf4Dimid", "_Netcdf4Coordinates", "_NCProperties")
)  # of the file format
_CODED = frozenset(
    ("coordinates", "_FillValue", "missing_value", "scale_factor", "add_offset", "dtype", "_Unsigned", "grid_mapping")
)  # attributes that change how values are read, by the conventions for climate and forecast data


class TooLargeError(ValueError):
    """A file claims to hold more than there is room for."""


def content_of(dataset: xr.Dataset) -> memoryview:
    """The content of a NetCDF4 file with this dataset; large variables in chunks of `CHUNK_BYTES`, compressed."""
    file = io.BytesIO()
    if _is_plain(dataset):
        with h5py.File(file, "w", track_order=True) as opened:
            _write(h5g.open(opened.id, b"/"), dataset)
    else:
        compressed = {
            name: {"zlib": True, "complevel": _LEVEL} for name, v in dataset.data_vars.items() if v.ndim and v.size
        }
        dataset.to_netcdf(file, engine="h5netcdf", encoding=compressed)
    return file.getbuffer()


def dataset_of(content: bytes, most: float) -> xr.Dataset:
    """The dataset in the content of a NetCDF4 file, with names and order as xarray reads them, all in memory.

    Args:
      content: of a file that was written here, or by anyone else; the file may end before the content does.
      most: the bytes that its values may take.

    Raises:
      TooLargeError: they claim to take more.
      Exception: of many types, for what cannot be read.
    """
    with h5py.File(io.BytesIO(content), "r") as opened:
        root = h5g.open(opened.id, b"/")
        if h5a.exists(root, _WRITER_NAME) and _value(h5a.open(root, _WRITER_NAME)) == _WRITER.decode():
            return _read(root, most)
    with xr.open_dataset(io.BytesIO(content), engine="h5netcdf") as file:
        _require_room(file.nbytes, most)
        return file.load()


def _require_room(claimed: int, most: float) -> None:
    if claimed > most:
        raise TooLargeError(f"it claims to hold {claimed / 2**30:.0f} GiB")


def _is_plain(dataset: xr.Dataset) -> bool:
    """Whether all that is in a dataset is written here, and reads back as it is."""
    names = {str(name) for name in (*dataset.variables, *dataset.dims)}
    if not all(dataset.sizes.values()) or any(set(name) & set("/ ") for name in names):
        return False
    own_name = all(v.dims == (name,) for name, v in dataset.variables.items() if name in dataset.dims)
    attrs = (dataset.attrs, *(variable.attrs for variable in dataset.variables.values()))
    return own_name and all(map(_are_plain, attrs)) and all(map(_is_plain_array, dataset.variables.values()))


def _are_plain(attrs: Mapping[Any, Any]) -> bool:
    return not (_RESERVED | _CODED) & set(attrs) and all(map(_is_plain_value, attrs.values()))


def _is_plain_value(value: Any) -> bool:
    array = np.asarray(value)
    return array.ndim <= 1 and array.size > 0 and array.dtype.kind in "iufU"


def _is_plain_array(variable: xr.Variable) -> bool:
    kind = variable.dtype.kind
    return kind in "iufU" or (kind in "OT" and all(isinstance(text, str) for text in variable.values.flat))


# Writing --------------------------------------------------------------------------------------------------------------


def _write(root: h5g.GroupID, dataset: xr.Dataset) -> None:
    """Writes variables in their order, then dimensions that have none, then what ties them together."""
    numbers = {str(dim): number for number, dim in enumerate(dataset.sizes)}
    made = {str(name): _write_values(root, str(name), v.values) for name, v in dataset.variables.items()}
    scales = {}
    for dim, number in numbers.items():
        size = dataset.sizes[dim]
        scales[dim] = made[dim] if dim in made else _create(root, dim, h5t.IEEE_F32BE, (size,))
        h5ds.set_scale(scales[dim], dim.encode() if dim in made else _NO_VARIABLE % size)
        _write_attribute(scales[dim], "_Netcdf4Dimid", np.int32(number))
    beside = {
        str(name): set(coord.dims) for name, coord in dataset.coords.variables.items() if name not in dataset.dims
    }
    for name, variable in dataset.variables.items():
        of, dims = made[str(name)], [str(dim) for dim in variable.dims]
        if name not in scales:
            for axis, dim in enumerate(dims):
                h5ds.attach_scale(of, scales[dim], axis)
        if dims:
            _write_attribute(of, "_Netcdf4Coordinates", np.array([numbers[dim] for dim in dims], np.int32))
        for key, value in variable.attrs.items():
            _write_attribute(of, str(key), value)
        if name not in dataset.coords:
            own = [coord for coord, along in beside.items() if along <= set(dims)]
            _write_attribute(of, "coordinates", " ".join(own))
    for key, value in dataset.attrs.items():
        _write_attribute(root, str(key), value)
    _write_attribute(root, "coordinates", " ".join(beside))  # those of no variable are found by it
    _write_attribute(root, _WRITER_NAME.decode(), _WRITER)


def _write_values(root: h5g.GroupID, name: str, values: np.ndarray) -> h5d.DatasetID:
    is_text = values.dtype.kind in "UOT"
    values = np.asarray(values.astype(_TEXT) if is_text else values, order="C")
    large = values.nbytes >= _COMPRESSED_FROM and not is_text
    chunks = chunk_shape(values.shape, values.dtype.itemsize) if large else None
    dataset = _create(root, name, h5t.py_create(values.dtype, logical=True), values.shape, chunks)
    dataset.write(h5s.ALL, h5s.ALL, values)
    return dataset


def _create(
    root: h5g.GroupID, name: str, kind: h5t.TypeID, shape: tuple[int, ...], chunks: tuple[int, ...] | None = None
) -> h5d.DatasetID:
    how = h5p.create(h5p.DATASET_CREATE)
    how.set_obj_track_times(False)  # equal results are equal files
    how.set_attr_creation_order(_IN_ORDER)
    if chunks:
        how.set_chunk(chunks)
        how.set_shuffle()
        how.set_deflate(_LEVEL)
    return h5d.create(root, name.encode(), kind, _space(shape), how)


def chunk_shape(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """The chunks of a variable: its last dimensions whole, as far as `CHUNK_BYTES` goes, the one before them in parts.

    So a setting, or a member, lies in few chunks, and reading its curves reads little else.
    """
    room, chunks = max(CHUNK_BYTES // itemsize, 1), []
    for size in reversed(shape):
        parts = math.ceil(size / room)
        chunks.append(math.ceil(size / parts))
        room = max(room // chunks[-1], 1)
    return tuple(reversed(chunks))


def _space(shape: tuple[int, ...]) -> h5s.SpaceID:
    return h5s.create_simple(shape) if shape else h5s.create(h5s.SCALAR)


def _write_attribute(of: h5g.GroupID | h5d.DatasetID, name: str, value: Any) -> None:
    """Writes an attribute; numbers of Python as arrays of one, as other writers of NetCDF4 do."""
    array = np.asarray(value)
    if array.dtype.kind == "U":
        array = array.astype(_TEXT)
    elif array.ndim == 0 and array.dtype.kind != "S" and not name.startswith("_"):
        array = array[None]
    h5a.create(of, name.encode(), h5t.py_create(array.dtype, logical=True), _space(array.shape)).write(array)


# Reading --------------------------------------------------------------------------------------------------------------


def _read(root: h5g.GroupID, most: float) -> xr.Dataset:
    names: list[bytes] = []
    root.links.iterate(names.append, idx_type=h5.INDEX_CRT_ORDER)
    datasets = {name.decode(): h5d.open(root, name) for name in names}
    _require_room(sum(math.prod(of.shape) * of.dtype.itemsize for of in datasets.values()), most)
    attrs = {name: _attributes(of) for name, of in datasets.items()}
    dims = {int(about["_Netcdf4Dimid"]): name for name, about in attrs.items() if "_Netcdf4Dimid" in about}
    beside = set(_attributes(root).get("coordinates", "").split())
    variables = {
        name: xr.Variable(
            [dims[number] for number in np.atleast_1d(about.get("_Netcdf4Coordinates", ())).tolist()],
            _values(datasets[name]),
            {key: value for key, value in about.items() if key not in _RESERVED and key != "coordinates"},
        )
        for name, about in attrs.items()
        if not str(about.get("NAME", "")).startswith(_NO_VARIABLE[:20].decode())
    }
    coords = {name: v for name, v in variables.items() if name in beside or v.dims == (name,)}
    about = {key: value for key, value in _attributes(root).items() if key not in _RESERVED and key != "coordinates"}
    return xr.Dataset({name: v for name, v in variables.items() if name not in coords}, coords, about)


def _values(dataset: h5d.DatasetID) -> np.ndarray:
    values = np.empty(dataset.shape, dataset.dtype)
    dataset.read(h5s.ALL, h5s.ALL, values)
    if values.dtype.kind != "O":
        return values
    return np.array([text.decode("utf-8", "surrogateescape") for text in values.flat]).reshape(values.shape)


def _attributes(of: h5g.GroupID | h5d.DatasetID) -> dict[str, Any]:
    """The attributes of a group or a dataset, but the references of the file format."""
    by_order = (h5a.open(of, index=i, index_type=h5.INDEX_CRT_ORDER) for i in range(h5a.get_num_attrs(of)))
    return {
        attribute.name.decode(): _value(attribute)
        for attribute in by_order
        if attribute.name not in (b"DIMENSION_LIST", b"REFERENCE_LIST")
    }


def _value(attribute: h5a.AttrID) -> Any:
    """The value of an attribute as xarray gives it: text, a list of texts, a NumPy number, or an array of several."""
    array = np.empty(attribute.shape, attribute.dtype)
    attribute.read(array)
    if array.dtype.kind in "SO":
        texts = [text.decode("utf-8", "surrogateescape") for text in array.flat]
        return texts[0] if len(texts) == 1 else texts
    return array.flat[0] if array.size == 1 else array
