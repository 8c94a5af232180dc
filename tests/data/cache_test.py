from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxreg.data.cache import cache_path, load_arrays, save_arrays

ARRAYS: list[np.ndarray[Any, Any]] = [
    np.arange(12, dtype=np.uint8).reshape(3, 4),
    np.array([-1, 5], np.int32),
    np.array(["ant", "bee"]),
]


@pytest.fixture
def path() -> Path:
    path = cache_path("tiny-1.0.0")
    save_arrays(path, ARRAYS)
    return path


def test_arrays_come_back(path: Path, cache_dir: Path) -> None:
    assert path.is_relative_to(cache_dir)
    loaded = load_arrays(path, 3)
    assert loaded is not None
    for ours, theirs in zip(loaded, ARRAYS, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_without_a_home_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAXREG_CACHE_DIR", "~nobody-here/caches")
    path = cache_path("tiny-1.0.0")
    save_arrays(path, ARRAYS)
    assert load_arrays(path, 3) is None
    assert not list(tmp_path.iterdir())


def test_every_flipped_bit_is_noticed(path: Path) -> None:
    whole = path.read_bytes()
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        assert load_arrays(path, 3) is None


@pytest.mark.parametrize("size", [0, 10, 32, 100, -1])
def test_a_cut_file_is_noticed(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])
    assert load_arrays(path, 3) is None


def test_no_file_is_no_cache() -> None:
    assert load_arrays(cache_path("never written"), 3) is None


def test_a_file_with_other_arrays_is_no_cache(path: Path) -> None:
    assert load_arrays(path, 4) is None


def test_an_unwritable_folder_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("JAXREG_CACHE_DIR", str(tmp_path / "file"))
    save_arrays(cache_path("tiny"), ARRAYS)
    assert load_arrays(cache_path("tiny"), 3) is None


def test_a_failed_write_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    save_arrays(path, ARRAYS[:1])
    assert load_arrays(path, 3) is not None
    assert [file.name for file in path.parent.iterdir()] == [path.name]
