"""What tells one run from another: the flags that are not at their defaults, and the parts of the user's own."""

from __future__ import annotations

import functools
import hashlib
import inspect
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from jaxreg.config.experiment import Experiment
from jaxreg.config.flagfile import NOT_COMPARED, experiment_from_flags, flag_lines
from jaxreg.data import Data
from jaxreg.errors import ConfigError
from jaxreg.files import strict_json

ABSENT = "absent"  # the value, in a refusal, of a flag that is not given and has no default


class Identity:
    """What must agree for a run to be resumed; seeds apart, which can be added.

    Attributes:
      flags: the compared flags by name, as a flagfile spells them. One that is not named has its default, so that a
        new flag does not make older runs other ones.
      own: SHA-256 of each part of the user's own (data, model, penalties, ...) by name: arrays by content, functions
        by source and by the values they close over.
    """

    def __init__(self, experiment: Experiment, own: Mapping[str, Any]) -> None:
        self.flags = _compared(flag_lines(experiment))
        self.own = {name: _digest(_pieces(part)) for name, part in own.items()}
        self._lines, self._parts = flag_lines(experiment), dict(own)

    @property
    def configuration(self) -> str:
        """The hash that checkpoints of a new run carry: of the flags that are not at their defaults, and of `own`."""
        usual = default_flags()
        chosen = {name: value for name, value in sorted(self.flags.items()) if value != usual.get(name)}
        return _digest([strict_json({"flags": chosen, "own": self.own}).encode()])

    def record(self) -> dict[str, dict[str, str]]:
        """What meta.json keeps under `identity`: all compared flags, so that a default may change, and `own`."""
        return {"flags": self.flags, "own": self.own}

    def differences(self, meta: Mapping[str, Any], flags_text: str | None) -> list[str]:
        """How the run of a folder differs from this one, in words; empty where it is the same run.

        Args:
          meta: its meta.json. Runs from before `identity` was kept there have a hash of all their flags and own parts
            as `configuration`; it is compared with that of their flags and the own parts of this run.
          flags_text: its flags.cfg, None where that is missing.
        """
        if kept := meta.get("identity"):
            differing = _in_words(_flag_differences(kept["flags"], self.flags))
            return differing + _own_differences(kept["own"], self.own)
        lines = self._lines if flags_text is None else flags_text.splitlines()
        if differing := _in_words(flag_differences("\n".join(lines), "\n".join(self._lines))):
            return differing
        if meta.get("configuration") == _earlier_hash(lines, self._parts):
            return []
        names = list(dict.fromkeys([*meta.get("own", ()), *self.own]))
        changed = f"{', '.join(names)} of your own, or its flags.cfg," if names else "its flags.cfg"
        return [f"{changed} changed since"]


def default_flags() -> dict[str, str]:
    """The compared flags at their defaults; those without a default are left out."""
    return _compared(flag_lines(Experiment()))


def flag_differences(there: str, here: str) -> dict[str, tuple[str, str]]:
    """Flags that differ between two flags.cfg texts, name -> (there, here); one that is not named has its default.

    Comments, order, seeds and the flags that only say how a run is kept and shown do not count.
    """
    return _flag_differences(_parsed(there), _parsed(here))


def _flag_differences(there: Mapping[str, str], here: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    usual = default_flags()
    old, new = usual | dict(there), usual | dict(here)
    pairs = {name: (old.get(name, ABSENT), new.get(name, ABSENT)) for name in {**there, **here}}
    return {name: (one, other) for name, (one, other) in pairs.items() if one != other}


def _own_differences(there: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    return [
        f"another {name} of your own" if name in there and name in here else f"{name} of your own only {where}"
        for name in {**there, **here}
        if there.get(name) != here.get(name)
        for where in ["there" if name in there else "here"]
    ]


def _in_words(differing: Mapping[str, tuple[str, str]]) -> list[str]:
    return [f"--{name}={old} there, {new} here" for name, (old, new) in differing.items()]


def _parsed(text: str) -> dict[str, str]:
    """The compared flags of a flags.cfg in today's spelling, as they stand where this version does not know one."""
    try:
        return _compared(flag_lines(experiment_from_flags(text)))
    except ConfigError:
        return _compared(text.splitlines())


def _compared(lines: Iterable[str]) -> dict[str, str]:
    """Compared flags by name; of a repeated one all values, semicolons between."""
    flags: dict[str, str] = {}
    for name, value in map(_flag, _compared_lines(lines)):
        flags[name] = f"{flags[name]}; {value}" if name in flags else value
    return flags


def _compared_lines(lines: Iterable[str]) -> list[str]:
    stripped = (line.strip() for line in lines)
    return [line for line in stripped if line.startswith("-") and _flag(line)[0] not in NOT_COMPARED | {"seeds"}]


def _flag(line: str) -> tuple[str, str]:
    name, equals, value = line.lstrip("-").partition("=")
    return name.strip(), value.strip() if equals else "true"


def _digest(pieces: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


# The user's own parts -------------------------------------------------------------------------------------------------


def _earlier_hash(lines: Iterable[str], parts: Mapping[str, Any]) -> str:
    """The `configuration` of runs that keep no `identity`: of all compared lines, defaults too, and the own parts."""
    named = ([f"\n{name}: ".encode(), *_pieces(part)] for name, part in parts.items())
    return _digest(["\n".join(_compared_lines(lines)).encode(), *itertools.chain.from_iterable(named)])


def _pieces(part: Any) -> Iterator[bytes]:
    """What tells a value from another one: arrays by content, functions by source and by the values they close over."""
    if isinstance(part, Data):
        yield from _pieces((*part.train, *part.validation, *part.test))
    elif isinstance(part, np.ndarray | jax.Array):
        yield np.asarray(part).tobytes()
    elif isinstance(part, tuple | list):
        for entry in part:
            yield from _pieces(entry)
    elif isinstance(part, functools.partial):
        yield from _pieces((part.func, part.args, sorted(part.keywords.items())))
    elif inspect.isfunction(part):
        try:
            yield inspect.getsource(part).encode()
        except OSError:
            yield part.__code__.co_code
        yield from _pieces((part.__defaults__ or (), [cell.cell_contents for cell in part.__closure__ or ()]))
    else:
        yield re.sub(" at 0x[0-9a-f]+", "", repr(part)).encode()  # an address is another one in the next process
