"""The lock of a run folder: one process at a time, and none once that process has ended, however it ended."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import IO

from jaxreg.errors import RunFolderError

LOCK = ".lock"


class FolderLock:
    """The lock of `folder`, which is made where it is missing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._file: IO[str] | None = None
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
            self._file = lock.open("a", encoding="utf-8")
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not lock.exists() or not os.path.samestat(os.fstat(self._file.fileno()), lock.stat()):
                raise BlockingIOError  # its holder has just removed it, and a third process may hold the next one
        except OSError as error:
            if isinstance(error, BlockingIOError | FileExistsError):
                self._made = []  # by the other process
            self.release()
            if isinstance(error, FileExistsError) and new:
                raise
            raise unusable(self.folder, error) from error

    def release(self, *, keep_folder: bool = False) -> None:
        """Releases the lock; unless `keep_folder`, the folders that `acquire` made go too, where they are empty."""
        for path in [] if keep_folder else self._made:
            with contextlib.suppress(OSError):  # not made after all, or somebody else put something into it
                path.unlink() if path.name == LOCK else path.rmdir()
        if self._file is not None:
            self._file.close()
            self._file = None


def unusable(folder: Path, error: OSError) -> RunFolderError:
    """The refusal of a run folder that cannot be locked, made, read or written."""
    if isinstance(error, BlockingIOError):
        return RunFolderError(f"--workdir={folder}: in use by another run; choose another folder")
    reason = (error.strerror or str(error)).lower()
    return RunFolderError(f"--workdir={folder}: cannot be used ({reason}); give a folder that can be written")
