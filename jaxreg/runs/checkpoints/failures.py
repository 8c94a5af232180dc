"""What can go wrong with a checkpoint, in words."""

from __future__ import annotations

from jaxreg.errors import CheckpointError


class Damaged(Exception):  # noqa: N818 - a finding, never seen outside of checkpoints
    """Why a folder is not the checkpoint that was written."""


# What TensorStore says where the operating system fails, and what that means; the more telling words first.
_OF_THE_DISK = {
    "File too large": "file too large",
    "Too many open files": "too many open files",
    "Read-only file system": "read-only file system",
    "Input/output error": "input/output error",
    "Disk quota exceeded": "disk quota exceeded",
    "RESOURCE_EXHAUSTED": "no space left on device",
}


def is_disk_error(error: Exception) -> bool:
    """Whether the disk is to blame, as far as the operating system and TensorStore tell."""
    return isinstance(error, OSError | CheckpointError) or any(words in str(error) for words in _OF_THE_DISK)


def reason(error: Exception) -> str:
    """One short line: TensorStore tells of a full disk in several hundred characters."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    for words, meaning in _OF_THE_DISK.items():
        if words in str(error):
            return meaning
    return str(error).partition("\n")[0][:200] or type(error).__name__
