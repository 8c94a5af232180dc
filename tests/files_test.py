"""Atomic writes and strict JSON."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from jaxreg.files import (
    append_bytes,
    new_folder,
    read_bytes,
    read_text,
    remove,
    signed_json,
    strict_json,
    verified_json,
    write_atomically,
)


@pytest.fixture
def full_disk() -> Iterator[None]:
    """No file may grow: what a full disk is like."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_strict_json_and_atomic_writes(tmp_path: Path) -> None:
    value = {"nan": [float("nan"), -np.inf], "scalar": np.float32(0.5), 3: (np.int64(1), True, None), "path": Path("a")}
    expected = {"nan": [None, None], "scalar": 0.5, "3": [1, True, None], "path": "a"}
    assert json.loads(strict_json(value), parse_constant=pytest.fail) == expected
    assert json.loads(strict_json(np.array([1.0, np.nan]))) == [1.0, None]
    with pytest.raises(TypeError, match="no JSON form"):
        strict_json({"set": {1}})
    path = tmp_path / "file"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\ud800")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.usefixtures("full_disk")
@pytest.mark.parametrize("append", [False, True])
def test_a_write_that_fails_names_the_file_and_leaves_what_was_there(tmp_path: Path, append: bool) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(OSError, match="File too large") as failure:
        append_bytes(path, b"much longer") if append else write_atomically(path, "much longer")
    assert failure.value.filename == str(path)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_write_goes_through_no_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("mine")
    for name in ("file", ".file.partial", "log"):
        (tmp_path / name).symlink_to(tmp_path / "elsewhere")
    write_atomically(tmp_path / "file", "text")
    assert (tmp_path / "file").read_text() == "text"
    with pytest.raises(OSError, match="levels of symbolic links"):
        append_bytes(tmp_path / "log", b"text")
    assert (tmp_path / "elsewhere").read_text() == "mine"


def test_only_regular_files_of_a_size_are_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "endless").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    assert read_bytes(tmp_path / "file", 5) == read_bytes(tmp_path / "link", 5, follow=True) == b"12345"
    for name, words in {
        "link": "is a link",
        "folder": "is a folder",
        "pipe": "is a pipe",
        "missing": "No such file",
        "endless": "is a link",
    }.items():
        with pytest.raises(OSError, match=words):
            read_bytes(tmp_path / name, 100)
    with pytest.raises(OSError, match="is a device"):
        read_bytes(tmp_path / "endless", 100, follow=True)
    with pytest.raises(OSError, match="is larger than"):
        read_bytes(tmp_path / "file", 4)
    (tmp_path / "file").write_bytes(b"\xff")
    with pytest.raises(OSError, match="is not text in UTF-8"):
        read_text(tmp_path / "file")


def test_json_that_was_changed_is_not_believed() -> None:
    text = signed_json({"a": 1.5, "b": [float("nan")]})
    assert verified_json(text) == {"a": 1.5, "b": [None]}
    assert verified_json('{"a": 1}') == {"a": 1}  # without a digest
    with pytest.raises(ValueError, match="differs from what was written"):
        verified_json(text.replace("1.5", "1.6"))
    for other in ("{", "[1]", "[" * 100_000):
        with pytest.raises(ValueError, match="it is no"):
            verified_json(other)


def test_a_new_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "made" / "folder"
    with pytest.raises(KeyError), new_folder(path) as folder:  # noqa: PT012 - what happens in between is meant
        (folder / "file").touch()
        raise KeyError
    assert not list(tmp_path.iterdir())
    with new_folder(path) as folder:
        (folder / "file").touch()
        folder.rename(tmp_path / "final")
    assert (tmp_path / "final" / "file").exists()
    (tmp_path / "link").symlink_to(tmp_path / "final")
    remove(tmp_path / "link")
    remove(tmp_path / "missing")
    assert (tmp_path / "final" / "file").exists()
    remove(tmp_path / "final")
    assert {entry.name for entry in tmp_path.iterdir()} == {"made"}
