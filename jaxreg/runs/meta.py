"""meta.json of a run: what it must look like before it is believed, and what is said of one that does not."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jaxreg.errors import RunFolderError
from jaxreg.files import read_text, reason, verified_json

NAME = "meta.json"
STATUSES = ("running", "done", "interrupted", "failed")

Check = Callable[[Any], bool]


def read_meta(folder: Path) -> dict[str, Any] | None:
    """meta.json of a jaxreg run, None where there is none or it is something else's.

    Raises:
      RunFolderError: it cannot be read, differs from what the run wrote, or holds what no run writes.
    """
    path = folder / NAME
    try:
        meta = verified_json(read_text(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise unreadable(path, reason(error)) from error
    except ValueError as error:
        raise unreadable(path, str(error)) from error
    if "experiment" not in meta or meta.get("status") not in STATUSES:
        return None
    for name, is_fit in _ENTRIES.items():
        if name in meta and not is_fit(meta[name]):
            raise unreadable(path, f"{name} is not what a run writes")
    return meta


def unreadable(path: Path, why: str) -> RunFolderError:
    """The refusal of a file of a run folder, with what brings it back."""
    remedies = {
        "flags.cfg": "the run's command (in meta.json) with --resume writes it anew",
        NAME: "put a copy of it back, or, if you edited it, take its line sha256 out",
    }
    return RunFolderError(f"{path}: cannot be used ({why}); {remedies.get(path.name, 'give another folder')}")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _is_time(value: Any) -> bool:
    with contextlib.suppress(TypeError, ValueError):
        datetime.datetime.fromisoformat(value)
        return True
    return False


def _is_part(value: Any) -> bool:
    """First seed and number of seeds."""
    return isinstance(value, list) and len(value) == 2 and all(map(_is_count, value)) and 0 < value[1] <= 2**32


def _none_or(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _either(one: Check, other: Check) -> Check:
    return lambda value: one(value) or other(value)


def _all(check: Check) -> Check:
    """A list of such entries."""
    return lambda value: isinstance(value, list) and all(map(check, value))


def _by_name(check: Check) -> Check:
    """A mapping to such entries."""
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))


def _with(entries: Mapping[str, Check]) -> Check:
    """A mapping in which these entries, where they are there, are so; others are not looked at."""
    return lambda value: (
        isinstance(value, dict) and all(name not in value or check(value[name]) for name, check in entries.items())
    )


_SESSION = {"command": _none_or(_is_text), "started": _none_or(_is_time), "ended": _none_or(_is_time)}
_GIT = {"commit": _none_or(_is_text)}
_LAYOUT = dict.fromkeys(("seeds", "configs", "devices", "chunk_steps", "eval_block"), _is_count)
_DEVICE = {"count": _is_count, "processes": _is_count, "cpu_cores": _none_or(_is_count)}
_STUDY = dict.fromkeys(("module", "attribute", "name"), _is_text) | {"file": _none_or(_is_text)}
_COUNTS = ("members", "finished", "stopped", "diverged", "train_compilations", "peak_memory_bytes")
# What is read of meta.json; more may be there, and any of it be missing.
_ENTRIES: dict[str, Check] = {
    "experiment": _is_text,
    "configuration": _is_text,
    "flags_sha256": _is_text,
    "identity": _by_name(lambda value: isinstance(value, dict | str)),
    "parts": _all(_is_part),
    "sessions": _all(_with(_SESSION)),
    "own": _all(_is_text),
    "study": _none_or(_either(_is_text, lambda value: _with(_STUDY)(value) and {"module", "attribute"} <= set(value))),
    "git": _none_or(_with(_GIT)),
    "versions": _by_name(_is_text),
    "device": _either(_is_text, _with(_DEVICE)),
    "layout": _all(_with(_LAYOUT)),
    "joined": _all(_with({"part": _is_text, "device": _none_or(_with(_DEVICE))})),
    "seconds": _by_name(_none_or(_is_number)),
    "member_steps_per_second": _none_or(_is_number),
    **_SESSION,
    **dict.fromkeys(_COUNTS, _none_or(_is_count)),
}
