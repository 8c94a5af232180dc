"""results.nc: what is saved comes back, what is foreign is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import xarray as xr

from jaxreg.config.experiment import Experiment
from jaxreg.config.hparams import Hparams
from jaxreg.config.sweeps import Sweep
from jaxreg.errors import RunFolderError
from jaxreg.results import load, save
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


def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "results.nc"
    path.write_text("old")

    def full(_: xr.Dataset, temporary: Path, **__: Any) -> None:
        temporary.write_text("a part")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(xr.Dataset, "to_netcdf", full)
    with pytest.raises(OSError, match="No space"):
        save(xr.Dataset(), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
