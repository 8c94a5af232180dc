"""The lock of a run folder, and the folders that are made for it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from pathlib import Path

import pytest

from jaxreg.errors import RunFolderError
from jaxreg.runs.lock import LOCK, STAND_IN, FolderLock


def refusal(folder: Path) -> str:
    with pytest.raises(RunFolderError) as refused:
        FolderLock(folder).acquire(new=False)
    assert "\n" not in str(refused.value)
    return str(refused.value)


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


def test_a_refusal_names_the_other_process_and_its_start(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    lock.acquire(new=False)
    told = json.loads((tmp_path / LOCK).read_text())
    assert f"(process {os.getpid()} on {told['host']}, since {told['started']})" in refusal(tmp_path)
    for garbage in (b"", b"\xff\0", b"[1]", b'{"pid": 1e999}', b"{" * 100_000, b'{"pid": 1, "host": "a\\nb"}'):
        (tmp_path / LOCK).write_bytes(garbage)
        assert "in use by another run;" in refusal(tmp_path)
    lock.release()
    FolderLock(tmp_path).acquire(new=False)


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_whoever_deletes_the_lock_file_lets_nobody_in(tmp_path: Path, how: str) -> None:
    lock = FolderLock(tmp_path)
    lock.acquire(new=False)
    (tmp_path / LOCK).unlink()
    if how == "replaced":
        (tmp_path / LOCK).touch()
    assert "in use by another run" in refusal(tmp_path)
    lock.release()
    FolderLock(tmp_path).acquire(new=False)


def test_where_there_are_no_locks_a_file_stands_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    lock = FolderLock(tmp_path)
    lock.acquire(new=False)
    assert f"process {os.getpid()}" in refusal(tmp_path)
    assert f"if that process has ended, delete {tmp_path / STAND_IN}" in refusal(tmp_path)
    held = json.loads((tmp_path / STAND_IN).read_text())
    lock.release()
    assert not (tmp_path / STAND_IN).exists()
    (tmp_path / STAND_IN).write_text(json.dumps(held | {"begun": held["begun"] - 1000}))  # of a process that has ended
    FolderLock(tmp_path).acquire(new=False)
    assert json.loads((tmp_path / STAND_IN).read_text())["begun"] == held["begun"]
    (tmp_path / STAND_IN).write_text(json.dumps(held | {"host": "another", "begun": 0}))
    assert "on another" in refusal(tmp_path)


def test_a_lock_is_not_taken_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / LOCK).symlink_to(tmp_path / "elsewhere")
    assert "cannot be used" in refusal(tmp_path / "run")
    assert not (tmp_path / "elsewhere").exists()
