"""Arrays in portions: the same arrays come back, however they were written."""

from __future__ import annotations

import shutil
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from jaxreg.runs.checkpoints import arrays
from jaxreg.runs.checkpoints.leaves import Array

LEAVES: list[Array] = [jnp.arange(10.0), np.zeros((0, 3)), np.arange(6, dtype=np.int64), jnp.float32(3), np.ones(30)]


def same(folder: Path) -> None:
    for kept, leaf in zip(arrays.read_arrays(folder, LEAVES, range(len(LEAVES))), LEAVES, strict=True):
        assert isinstance(kept, np.ndarray) == isinstance(leaf, np.ndarray)
        np.testing.assert_array_equal(kept, leaf, strict=True)


@pytest.mark.parametrize(
    ("portion", "folders"),
    [(1, [[0], [2], [3], [4]]), (60, [[0], [2, 3], [4]]), (90, [[0, 2], [3], [4]]), (10**9, [])],
)
def test_portions_come_back_together(
    portion: int, folders: list[list[int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "PORTION", portion)
    arrays.write_arrays(tmp_path / "state", LEAVES)
    made = sorted(path.name for path in (tmp_path / "state").glob("portion-*"))
    assert made == [f"portion-{number:03d}" for number in range(len(folders))]
    same(tmp_path / "state")


def test_what_was_written_in_one_is_read_in_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays.write_arrays(tmp_path / "state", LEAVES)
    monkeypatch.setattr(arrays, "PORTION", 1)
    same(tmp_path / "state")


def test_portions_that_hold_nothing_that_is_chosen_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "PORTION", 60)  # the leaves 0; 2 and 3; 4
    arrays.write_arrays(tmp_path / "state", LEAVES)
    for number in (0, 2):
        shutil.rmtree(tmp_path / "state" / f"portion-{number:03d}" / "d")
    for chosen in ([3], [1, 2], [2, 3]):
        for kept, number in zip(arrays.read_arrays(tmp_path / "state", LEAVES, chosen), chosen, strict=True):
            np.testing.assert_array_equal(kept, LEAVES[number], strict=True)
    with pytest.raises(Exception, match=r"portion-002|not found|NOT_FOUND|does not exist"):
        arrays.read_arrays(tmp_path / "state", LEAVES, [3, 4])


def test_nothing_is_nothing(tmp_path: Path) -> None:
    arrays.write_arrays(tmp_path / "state", LEAVES[1:2])
    assert not (tmp_path / "state").exists()
    (kept,) = arrays.read_arrays(tmp_path / "state", LEAVES[1:2], [0])
    assert kept.shape == (0, 3)
