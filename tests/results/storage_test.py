"""results.nc: what is saved comes back, what is foreign is refused."""

from __future__ import annotations

import collections
import io
import os
import resource
import shutil
from pathlib import Path
from typing import Any

import h5netcdf
import numpy as np
import pytest
import xarray as xr

from jaxreg.config.experiment import Experiment
from jaxreg.config.hparams import Hparams
from jaxreg.config.sweeps import Sweep
from jaxreg.errors import RunFolderError
from jaxreg.results import load, open_lazily, save
from jaxreg.runs.history import History
from tests.results.measured import measured


def test_what_is_saved_comes_back_bit_for_bit(unequal: tuple[Sweep, list[History], xr.Dataset], tmp_path: Path) -> None:
    _, _, results = unequal
    save(results, tmp_path / "results.nc")
    loaded = load(tmp_path / "results.nc")
    assert set(loaded.variables) == set(results.variables)
    assert dict(loaded.attrs) == dict(results.attrs)
    for name in results.variables:
        ours, theirs = loaded[name], results[name]
        assert (ours.dims, ours.attrs) == (theirs.dims, theirs.attrs), name
        if theirs.dtype.kind in "if":
            assert ours.dtype == theirs.dtype, name
            assert ours.values.tobytes() == theirs.values.tobytes(), name
        else:
            assert (ours == theirs).all(), name
    assert [path.name for path in tmp_path.iterdir()] == ["results.nc"]


def test_a_single_member_is_saved_too(tmp_path: Path) -> None:
    _, _, results = measured(Experiment(hparams=Hparams(num_steps=1, batch_size=1)))
    save(results, tmp_path / "results.nc")
    xr.testing.assert_equal(load(tmp_path / "results.nc"), results)


def test_saving_replaces_what_is_there(tmp_path: Path) -> None:
    for key in (0, 1):
        _, _, results = measured(Experiment(hparams=Hparams(num_steps=3, batch_size=1)), key)
        save(results, tmp_path / "results.nc")
    xr.testing.assert_equal(load(tmp_path / "results.nc"), results)


@pytest.mark.parametrize("content", ["missing", "text", "empty", "truncated", "another data set", "a folder"])
def test_a_foreign_file_is_refused_in_one_line(content: str, tmp_path: Path) -> None:
    path = tmp_path / "results.nc"
    match content:
        case "text":
            path.write_text("step,loss\n0,2.3\n")
        case "empty":
            path.touch()
        case "a folder":
            path.mkdir()
        case "another data set":
            xr.Dataset({"temperature": ("time", [1.0, 2.0])}).to_netcdf(path, engine="h5netcdf")
        case "truncated":
            save(measured(Experiment(hparams=Hparams(num_steps=3, batch_size=1)))[2], path)
            path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RunFolderError) as refusal:
        load(path)
    assert str(refusal.value).startswith(str(path))
    assert "\n" not in str(refusal.value)


@pytest.fixture
def results() -> xr.Dataset:
    return measured(Experiment(hparams=Hparams(num_steps=3, batch_size=1), seeds=2))[2]


def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, results: xr.Dataset) -> None:
    path = tmp_path / "results.nc"
    path.write_text("old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # HDF5 itself would end the process here
    try:
        with pytest.raises(OSError, match="File too large") as failure:
            save(results, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert failure.value.filename == str(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_no_single_flipped_bit_loads_other_values(tmp_path: Path, results: xr.Dataset) -> None:
    path = tmp_path / "results.nc"
    save(results, path)
    content = path.read_bytes()
    outcomes = collections.Counter[str]()
    for bit in np.random.default_rng(0).choice(8 * len(content), 250, replace=False).tolist():
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            outcome = "right" if load(path).identical(load_plainly(content)) else "other values"
        except RunFolderError as refusal:
            one_line = "is damaged" in str(refusal) and "--resume" in str(refusal) and "\n" not in str(refusal)
            outcome = "refused" if one_line else str(refusal)
        outcomes[outcome] += 1
    assert set(outcomes) <= {"refused", "right"}  # right where the mark of the digest was hit
    assert outcomes["refused"] > 240


def load_plainly(content: bytes) -> xr.Dataset:
    return xr.load_dataset(io.BytesIO(content), engine="h5netcdf")


def test_the_digest_goes_along_and_is_in_nobodys_way(tmp_path: Path, results: xr.Dataset) -> None:
    save(results, tmp_path / "results.nc")
    copy = Path(shutil.copy(tmp_path / "results.nc", tmp_path / "copy.nc"))
    xr.testing.assert_identical(xr.load_dataset(copy), load(copy))
    content = copy.read_bytes()
    mark = content.rindex(b"\njaxreg sha256 ")
    assert mark == len(content) - 80
    copy.write_bytes(content[:mark])  # as an earlier version wrote it
    xr.testing.assert_identical(load(copy), load(tmp_path / "results.nc"))


def test_names_without_end_are_refused(tmp_path: Path, results: xr.Dataset) -> None:
    path = tmp_path / "results.nc"
    for hostile in (results.assign_attrs(dataset="x" * 2000), results.assign_coords(note="y" * 1_000_000)):
        save(hostile, path)
        with pytest.raises(RunFolderError, match="holds a name of"):
            load(path)


@pytest.mark.parametrize("kind", ["a link", "a pipe", "a folder"])
def test_only_a_file_of_the_folder_itself_is_read(tmp_path: Path, results: xr.Dataset, kind: str) -> None:
    save(results, tmp_path / "elsewhere.nc")
    run = tmp_path / "run"
    run.mkdir()
    path = run / "results.nc"
    match kind:
        case "a link":
            path.symlink_to(tmp_path / "elsewhere.nc")
        case "a pipe":
            os.mkfifo(path)
        case "a folder":
            path.mkdir()
    with pytest.raises(RunFolderError, match=kind):
        load(run)
    (tmp_path / "link.nc").symlink_to(tmp_path / "elsewhere.nc")
    load(tmp_path / "link.nc")  # which the user names


def test_results_are_opened_without_reading_their_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, results = measured(Experiment(axes={"learning_rate": (0.1, 0.2, 0.3)}, seeds=4))
    save(results, tmp_path / "results.nc")
    read, plainly = [], h5netcdf.Variable.__getitem__

    def noted(variable: h5netcdf.Variable, key: Any) -> Any:
        read.append(variable.name.removeprefix("/"))
        return plainly(variable, key)

    monkeypatch.setattr(h5netcdf.Variable, "__getitem__", noted)
    one = {"learning_rate": 0.2, "seed": 3}
    for path in (tmp_path, tmp_path / "results.nc"):
        read.clear()
        with open_lazily(path) as opened:
            assert set(read) == set(results.coords)
            xr.testing.assert_identical(opened["test_loss"].sel(one).load(), results["test_loss"].sel(one))
            assert set(read) - set(results.coords) == {"test_loss"}
            xr.testing.assert_identical(opened.load(), load(path))


def test_what_is_open_stays_as_it_was(tmp_path: Path, results: xr.Dataset) -> None:
    path = tmp_path / "results.nc"
    save(results, path)
    with open_lazily(path) as opened:
        save(results + 1, path)
        xr.testing.assert_equal(opened["test_loss"], results["test_loss"])
    assert opened["seed"].values.tolist() == results["seed"].values.tolist()  # coordinates outlive the file


def test_only_who_asks_for_it_compares_the_whole_file(tmp_path: Path, results: xr.Dataset) -> None:
    path = tmp_path / "results.nc"
    save(results, path)
    open_lazily(path, verify=True).close()
    content = bytearray(path.read_bytes())
    at = content.index(results["train_loss"].values.tobytes())
    content[at] ^= 1
    path.write_bytes(content)
    with open_lazily(path) as opened:
        assert not opened["train_loss"].equals(results["train_loss"])
    with pytest.raises(RunFolderError, match="its content differs"):
        open_lazily(path, verify=True)
    path.write_bytes(content[: content.rindex(b"\njaxreg sha256 ")])  # an earlier version wrote no digest
    open_lazily(path, verify=True).close()


@pytest.mark.parametrize("content", ["missing", "text", "cut off", "another data set", "a pipe"])
def test_what_are_no_results_is_not_opened(tmp_path: Path, results: xr.Dataset, content: str) -> None:
    path = tmp_path / "results.nc"
    match content:
        case "text":
            path.write_text("step,loss\n0,2.3\n")
        case "cut off":
            save(results, path)
            path.write_bytes(path.read_bytes()[:-100])
        case "another data set":
            xr.Dataset({"temperature": ("time", [1.0, 2.0])}).to_netcdf(path, engine="h5netcdf")
        case "a pipe":
            os.mkfifo(path)
    with pytest.raises(RunFolderError) as refusal:
        open_lazily(tmp_path)
    assert str(refusal.value).startswith(str(path))
    assert "\n" not in str(refusal.value)
