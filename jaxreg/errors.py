"""The errors that a user can cause and put right: one line each, never a traceback from the command line."""

from __future__ import annotations

from pathlib import Path

_LONGEST_VALUE = 400  # characters of a value that a message repeats


def one_line(text: str) -> str:
    """The text as one line that any terminal can show: what is not printable as an escape, such as \\n."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


class JaxregError(Exception):
    """An error that the user can put right. The message is one line: what was given, what is allowed, what to do.

    `exit_code` is that of the command line.
    """

    exit_code = 1


class ConfigError(JaxregError):
    """A refused configuration: `--flag=value: what is allowed`.

    Attributes:
      flag: name of the flag, without dashes.
      value: what it was given.
      allowed: what it may be given, or what to do.
    """

    def __init__(self, flag: str, value: object, allowed: str) -> None:
        self.flag, self.value, self.allowed = flag, value, allowed
        shown = str(value)
        if len(shown) > _LONGEST_VALUE:
            shown = f"{shown[:_LONGEST_VALUE]}... ({len(shown)} characters)"
        super().__init__(one_line(f"--{flag}={shown}: {allowed}"))


class DataError(JaxregError):
    """A dataset that cannot be loaded, with what to do instead."""


class RunFolderError(JaxregError):
    """A run folder that is in use, not writable, not a run of jaxreg, or one of another configuration."""


class CheckpointError(JaxregError):
    """A checkpoint that could not be written, or a folder in which only damaged ones are left."""


class Stopped(Exception):  # noqa: N818 - not an error: the run saved its state and left in order
    """Training stopped before its end, after a checkpoint was saved where a run folder is kept.

    Attributes:
      exit_code: 75 for --max_minutes, 130 for SIGINT and 143 for SIGTERM, 129 for SIGHUP.
      folder: of the run, where one is kept.
      go_on: the command that goes on with the run, or the flag for it.
    """

    def __init__(self, reason: str, exit_code: int) -> None:
        self.exit_code = exit_code
        self.folder: Path | None = None
        self.go_on = "--resume"
        super().__init__(reason)
