"""The lock of a run folder: one process at a time, and none once that process has ended, however it ended."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import platform
from pathlib import Path
from typing import Any

import psutil

from jaxreg.errors import RunFolderError
from jaxreg.files import read_text, reason, strict_json
from jaxreg.portable import CLOEXEC, NOFOLLOW, NONBLOCK, fcntl
from jaxreg.runs.provenance import utc_stamp

LOCK = ".lock"
STAND_IN = ".lock.held"  # where the file system has no locks

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF}
_log = logging.getLogger("jaxreg")


class FolderLock:
    """The lock of `folder`, which is made where it is missing.

    Held are the file `.lock`, whose text says by whom, and the folder itself: whoever deletes `.lock` lets nobody in.
    Where the file system has no locks, a file `.lock.held` that only one process can make stands in for both.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._descriptors: list[int] = []
        self._stand_in: Path | None = None
        self._made: list[Path] = []  # by this lock, innermost first

    def acquire(self, *, new: bool) -> None:
        """Takes the lock, or raises without leaving a trace.

        Args:
          new: the folder must not be there yet.

        Raises:
          FileExistsError: it is there, though `new`.
          RunFolderError: another process holds the lock, or the folder cannot be made or written.
        """
        try:
            lock = self.folder / LOCK
            self._made = [path for path in (lock, self.folder, *self.folder.parents) if not path.exists()]
            self.folder.mkdir(parents=True, exist_ok=not new)
            # Not through a link, and without waiting for the other end of a pipe.
            file = self._open(lock, os.O_RDWR | os.O_CREAT | NOFOLLOW | NONBLOCK)
            if self._locked(file):
                if not lock.exists() or not os.path.samestat(os.fstat(file), lock.stat()):
                    raise BlockingIOError  # its holder has just removed it, and a third process may hold the next one
                self._locked(self._open(self.folder, os.O_RDONLY))
            else:
                self._take_stand_in()
        except OSError as error:
            if isinstance(error, BlockingIOError | FileExistsError):
                self._made = []  # by the other process
            self.release()
            if isinstance(error, FileExistsError) and new:
                raise
            raise unusable(self.folder, error) from error

    def sign(self) -> None:
        """Writes into the lock who holds it, for refusals to name; on a full disk it holds without."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptors[0], 0)
            os.lseek(self._descriptors[0], 0, os.SEEK_SET)
            os.write(self._descriptors[0], strict_json(_this_process()).encode())

    def release(self, *, keep_folder: bool = False) -> None:
        """Releases the lock; unless `keep_folder`, the folders that `acquire` made go too, where they are empty."""
        if self._stand_in is not None:
            self._stand_in.unlink(missing_ok=True)
            self._stand_in = None
        for path in [] if keep_folder else self._made:
            with contextlib.suppress(OSError):  # not made after all, or somebody else put something into it
                path.unlink() if path.name == LOCK else path.rmdir()
        while self._descriptors:
            os.close(self._descriptors.pop())

    def _open(self, path: Path, flags: int) -> int:
        descriptor = os.open(path, flags | CLOEXEC, 0o666)
        self._descriptors.append(descriptor)
        return descriptor

    def _locked(self, descriptor: int) -> bool:
        """Locks what is open; False where the file system, or the platform, has no locks that end with a process.

        Raises:
          BlockingIOError: another process holds it.
        """
        if fcntl is None:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            return False
        return True

    def _take_stand_in(self) -> None:
        path = self.folder / STAND_IN
        if _has_ended(_holder(path)):
            path.unlink(missing_ok=True)
        try:
            descriptor = self._open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        except FileExistsError as error:
            raise BlockingIOError from error
        self._stand_in = path
        os.write(descriptor, strict_json(_this_process()).encode())
        _log.warning("%s: there are no file locks here; %s stands in for one", self.folder, STAND_IN)


def unusable(folder: Path, error: OSError) -> RunFolderError:
    """The refusal of a run folder that cannot be locked, made, read or written."""
    if not isinstance(error, BlockingIOError):
        return RunFolderError(
            f"--workdir={folder}: cannot be used ({reason(error)}); give a folder that can be written"
        )
    stand_in = folder / STAND_IN
    holder = _holder(stand_in if stand_in.exists() else folder / LOCK)
    holder = None if _has_ended(holder) else holder  # of an earlier run: the holder of now has not signed yet
    by = f" (process {holder['pid']} on {holder['host']}, since {holder['started']})" if holder else ""
    ended = f"; if that process has ended, delete {stand_in}" if stand_in.exists() else ""
    return RunFolderError(f"--workdir={folder}: in use by another run{by}; choose another folder{ended}")


def _this_process() -> dict[str, Any]:
    # Two processes of one number, one after the other, began at different times.
    process = psutil.Process()
    return {"pid": process.pid, "host": platform.node(), "started": utc_stamp(), "begun": process.create_time()}


def _holder(path: Path) -> dict[str, Any] | None:
    """What the text of a lock says of the process that holds it; None where it says nothing that can be understood."""
    try:
        holder = json.loads(read_text(path))
        pid, begun = int(holder["pid"]), float(holder["begun"])
        host, started = str(holder["host"]), str(holder["started"])
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    if not all(len(word) < 100 and word.isprintable() for word in (host, started)):
        return None
    return {"pid": pid, "host": host, "started": started, "begun": begun}


def _has_ended(holder: dict[str, Any] | None) -> bool:
    """Whether the process that a lock names ran on this machine and has ended."""
    if holder is None or holder["host"] != platform.node():
        return False  # as far as can be seen from here
    try:
        return abs(psutil.Process(holder["pid"]).create_time() - holder["begun"]) > 1
    except (psutil.Error, ValueError):
        return True
