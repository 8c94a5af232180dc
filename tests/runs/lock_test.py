"""The lock of a run folder, and the folders that are made for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from jaxreg.errors import RunFolderError
from jaxreg.runs.lock import LOCK, FolderLock


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    first, second = FolderLock(tmp_path), FolderLock(tmp_path)
    first.acquire(new=False)
    with pytest.raises(RunFolderError, match="in use by another run"):
        second.acquire(new=False)
    assert (tmp_path / LOCK).exists(), "a refused lock removes nothing of its holder's"
    first.release()
    second.acquire(new=False)
    second.release()


@pytest.mark.parametrize("keep", [False, True])
def test_folders_that_were_made_for_the_lock_go_with_it_unless_kept(tmp_path: Path, keep: bool) -> None:
    folder = tmp_path / "a" / "run"
    lock = FolderLock(folder)
    lock.acquire(new=True)
    assert folder.is_dir()
    lock.release(keep_folder=keep)
    assert (tmp_path / "a").exists() == keep
    assert (folder / LOCK).exists() == keep


def test_folders_with_something_of_others_stay(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path / "a" / "run")
    lock.acquire(new=True)
    (tmp_path / "a" / "notes").touch()
    lock.release()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["notes"]


def test_a_new_folder_must_not_be_there(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        FolderLock(tmp_path).acquire(new=True)
    assert not list(tmp_path.iterdir())
