"""What can go wrong with a checkpoint, in words."""

from __future__ import annotations

from jaxreg.errors import CheckpointError


class Damaged(Exception):  # noqa: N818 - a finding, never seen outside of checkpoints
    """Why a folder is not the checkpoint that was written."""


def is_disk_error(error: Exception) -> bool:
    """Whether the disk is to blame, as far as the operating system and TensorStore tell."""
    return isinstance(error, OSError | CheckpointError) or "RESOURCE_EXHAUSTED" in str(error)


def reason(error: Exception) -> str:
    """One short line: TensorStore tells of a full disk in several hundred characters."""
    if "RESOURCE_EXHAUSTED" in str(error):
        return "no space left on device"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error).partition("\n")[0][:200] or type(error).__name__
