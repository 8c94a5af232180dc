"""How earlier versions told one run from another, so that their run folders can be resumed.

At first meta.json kept one hash, of all compared lines of flags.cfg and of the user's own parts; then `identity` with a
hash of the source of each own part, before traced programs and data were compared.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import itertools
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from jaxreg.config.flagfile import NOT_COMPARED
from jaxreg.data import Data


def hash_differences(meta: Mapping[str, Any], lines: Iterable[str], parts: Mapping[str, Any]) -> list[str]:
    """How a run that keeps no `identity` differs from one with these lines of flags.cfg and own parts, in words."""
    named = ([f"\n{name}: ".encode(), *_pieces(part)] for name, part in parts.items())
    text = "\n".join(compared_lines(lines, NOT_COMPARED - {"data_dir"}))
    if meta.get("configuration") == _digest([text.encode(), *itertools.chain.from_iterable(named)]):
        return []
    names = list(dict.fromkeys([*meta.get("own", ()), *parts]))
    changed = f"{', '.join(names)} of your own, or its flags.cfg," if names else "its flags.cfg"
    return [f"{changed} changed since"]


def source_digests(parts: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 of each own part: arrays by content, functions by source and by the values they close over."""
    return {name: _digest(_pieces(part)) for name, part in parts.items()}


def compared_lines(lines: Iterable[str], not_compared: Container[str]) -> list[str]:
    """The lines of a flags.cfg that must agree; the number of seeds can be added to."""
    stripped = (line.strip() for line in lines)
    flags = (line for line in stripped if line.startswith("-"))
    return [line for line in flags if (name := split_flag(line)[0]) != "seeds" and name not in not_compared]


def split_flag(line: str) -> tuple[str, str]:
    """Name and value of a line of a flags.cfg."""
    name, equals, value = line.lstrip("-").partition("=")
    return name.strip(), value.strip() if equals else "true"


def _digest(pieces: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def _pieces(part: Any) -> Iterator[bytes]:
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
