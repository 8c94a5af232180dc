"""Files that are written completely or not at all, files that are read only if they are what they should be, JSON."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import math
import os
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxreg.errors import RunFolderError
from jaxreg.portable import BINARY, CLOEXEC, NOFOLLOW, NONBLOCK

MAX_TEXT_BYTES = 2**26  # of a text file that is read: hundreds of times what the largest sweep writes


def user_path(text: str | Path) -> Path:
    """A path as a user gives it: `~` is the home folder, which a shell does not put into `--workdir=~/runs`.

    Raises:
      RunFolderError: the home folder is not known, or the name cannot be that of a file.
    """
    try:
        path = Path(text).expanduser()
    except RuntimeError as error:
        raise RunFolderError(f"{text}: there is no such home folder; give the path without ~") from error
    if "\0" in str(path):
        raise RunFolderError(f"{str(path)!r}: holds a NUL character, which no path does; give another")
    return path


def shown(path: str | Path) -> str:
    """A path as text that can be printed and written anywhere: bytes that are not UTF-8 become U+FFFD."""
    return os.fsencode(path).decode("utf-8", "replace")


# Reading --------------------------------------------------------------------------------------------------------------


def refuse_links(path: Path, *, folders: frozenset[str] = frozenset()) -> None:
    """Refuses what is neither a file nor a folder, in `path` and everything below it.

    A link leads out of the folder that a command was given; a pipe or a device would be waited for without end.

    Args:
      path: what is looked at; it need not exist.
      folders: names that are those of folders; what has another name is a file.

    Raises:
      RunFolderError: in one line.
      OSError: it cannot be looked at.
    """
    if (kind := _kind(path)) is None:
        return
    if kind == "a folder" and path.name in folders:
        for entry in _below(path):
            if (found := _kind(entry)) not in ("a file", "a folder", None):
                raise _unfit(entry, str(found), "a file or a folder of its own")
    elif path.name in folders:
        raise _unfit(path, kind, "a folder")
    elif kind != "a file":
        raise _unfit(path, kind, "a file")


def _below(folder: Path) -> Iterator[Path]:
    def fail(error: OSError) -> None:
        raise error

    for parent, inner, files in os.walk(folder, onerror=fail, followlinks=False):
        yield from (Path(parent, name) for name in (*inner, *files))


def _kind(path: Path) -> str | None:
    """What is at a path, without following a link; None where nothing is."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return None
    return _kind_of(mode)


def _kind_of(mode: int) -> str:
    kinds = {stat.S_IFREG: "a file", stat.S_IFDIR: "a folder", stat.S_IFLNK: "a link", stat.S_IFIFO: "a pipe"}
    return kinds.get(stat.S_IFMT(mode), "a device or a socket")


def _unfit(path: Path, kind: str, wanted: str) -> RunFolderError:
    return RunFolderError(f"{path}: is {kind}, which jaxreg does not follow or open; put {wanted} in its place")


def open_regular(path: Path, *, follow: bool = False) -> io.BufferedReader:
    """Opens a regular file for reading; a pipe or a device is not waited for.

    Args:
      path: of the file.
      follow: whether `path` may be a link, as one that a user names may; what is found in a folder may not.

    Raises:
      OSError: it is missing, cannot be read, or is no regular file. `strerror` says so, `filename` where.
    """
    flags = os.O_RDONLY | NONBLOCK | CLOEXEC | BINARY | (0 if follow else NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ELOOP and not follow:
            raise OSError(errno.ELOOP, "is a link, which is not followed", str(path)) from error
        raise
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, f"is {_kind_of(mode)}, not a file", str(path))
    return open(descriptor, "rb")  # noqa: PTH123 - a descriptor, of which the kind is known


def read_bytes(path: Path, most: int, *, follow: bool = False) -> bytes:
    """The content of a regular file of at most `most` bytes, opened as by `open_regular`.

    Raises:
      OSError: as there, and where it is larger.
    """
    with open_regular(path, follow=follow) as file, naming(path):
        small = os.fstat(file.fileno()).st_size <= most
        content = file.read(most + 1) if small else b""
    if not small or len(content) > most:
        raise OSError(errno.EFBIG, f"is larger than {most / 2**20:.0f} MiB", str(path))
    return content


def read_text(path: Path, *, follow: bool = False) -> str:
    """The text of a regular file in UTF-8 of at most 64 MiB.

    Raises:
      OSError: as `read_bytes`, and where it is no such text.
    """
    content = read_bytes(path, MAX_TEXT_BYTES, follow=follow)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise OSError(errno.EILSEQ, "is not text in UTF-8", str(path)) from error


def reason(error: OSError) -> str:
    """Why a file could not be used, in a few words of lower case."""
    words = error.strerror or str(error)
    return words[:1].lower() + words[1:]


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """An OSError raised inside names `path`: those of a write, or of a full disk, name nothing by themselves."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno or errno.EIO, error.strerror or str(error), str(path)) from error


# Writing --------------------------------------------------------------------------------------------------------------


def write_atomically(path: Path, text: str) -> None:
    """Writes `text` to `path` in UTF-8, as `write_bytes_atomically` does."""
    write_bytes_atomically(path, text.encode("utf-8"))


def write_bytes_atomically(path: Path, *content: bytes | memoryview) -> None:
    """Writes `content`, piece after piece, so that a crash at any moment leaves the old file or the new one, no part.

    One writer per file at a time. A link at `path` is replaced, not followed.

    Raises:
      OSError: it cannot be written; the old file stands and nothing else is left behind.
    """
    partial = path.with_name(f".{path.name}.partial")
    with naming(path):
        partial.unlink(missing_ok=True)  # of a process that was killed
        try:
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | CLOEXEC | BINARY, 0o666)
            with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
                for part in content:
                    file.write(part)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)  # a part of a file keeps a full disk full
            raise
        flush_to_disk(path.parent)


def append_bytes(path: Path, content: bytes) -> None:
    """Appends all of `content` to a file, or nothing.

    Raises:
      OSError: it cannot be written; `path` is a link.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | NOFOLLOW | NONBLOCK | CLOEXEC | BINARY
    with naming(path):
        descriptor = os.open(path, flags, 0o666)
        try:
            size, left = os.fstat(descriptor).st_size, memoryview(content)
            try:
                while left:
                    left = left[os.write(descriptor, left) :]
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """An empty folder at `path`, to be filled and then renamed; on leaving, it is gone unless it was renamed.

    What a process that was killed left there is deleted first.

    Raises:
      OSError: it cannot be made.
    """
    made = [parent for parent in path.parents if not parent.exists()]
    try:
        remove(path)
        path.mkdir(parents=True)
        yield path
    except BaseException:
        remove(path)
        for parent in made:
            with contextlib.suppress(OSError):  # not made after all, or somebody else put something into it
                parent.rmdir()
        raise
    remove(path)


def remove(path: Path) -> None:
    """Deletes what is at a path, if anything; of a link the link.

    A folder is renamed first, so that a crash leaves all of it or nothing under its name; what it left under the other
    one, `finish_removing` deletes.

    Raises:
      OSError: it cannot be renamed or deleted.
    """
    if path.is_dir() and not path.is_symlink():
        finish_removing(path)
        path.rename(_aside(path))
        finish_removing(path)
    else:
        path.unlink(missing_ok=True)


def finish_removing(path: Path) -> None:
    """Deletes what is left of a folder of which `remove` was cut off."""
    shutil.rmtree(_aside(path), ignore_errors=True)


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.deleted")


def flush_to_disk(path: Path) -> None:
    """Waits until the content of a file, or the list of names in a folder, is on the disk itself.

    Windows cannot be asked to, of what is only read: there nothing is waited for.

    Raises:
      OSError: it is missing, or the disk failed.
    """
    if sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# JSON -----------------------------------------------------------------------------------------------------------------


def strict_json(value: object) -> str:
    """JSON text of `value`: NaN and infinities become null, NumPy and JAX values plain numbers and lists, paths text.

    Raises:
      TypeError: a value has no JSON form.
    """
    return json.dumps(_plain(value), indent=2, allow_nan=False) + "\n"


def signed_json(value: Mapping[str, Any]) -> str:
    """`strict_json` of a mapping with the SHA-256 of the rest as its first entry, `sha256`."""
    text = strict_json(value)
    return strict_json({"sha256": sha256_of_text(text), **json.loads(text)})


def verified_json(text: str) -> dict[str, Any]:
    """The mapping that `signed_json` wrote, without `sha256`; one that holds no digest is taken as it is.

    Raises:
      ValueError: it is no JSON of a mapping, or differs from what was written.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError("it is not JSON") from error
    if not isinstance(value, dict):
        raise ValueError("it is no mapping")
    if "sha256" in value and value.pop("sha256") != sha256_of_text(strict_json(value)):
        raise ValueError("it differs from what was written")
    return value


def sha256_of_text(text: str) -> str:
    """The SHA-256 of a text in UTF-8, as 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if hasattr(value, "__array__"):
        return _plain(np.asarray(value).tolist())
    raise TypeError(f"{value!r} of type {type(value).__name__} has no JSON form")
