"""What has to agree for a run to be resumed, as one hash."""

from __future__ import annotations

import functools
import hashlib
import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from jaxreg.config import Experiment
from jaxreg.config.flagfile import compared_lines
from jaxreg.data import Data


def fingerprint(experiment: Experiment, own: Mapping[str, Any]) -> str:
    """A hash of the flags, seeds apart, and of the user's own data and functions, by the names in `own`."""
    digest = hashlib.sha256("\n".join(compared_lines(experiment)).encode())
    for name, part in own.items():
        digest.update(f"\n{name}: ".encode())
        for piece in _identity(part):
            digest.update(piece)
    return digest.hexdigest()


def _identity(part: Any) -> Iterator[bytes]:
    """What tells a value from another one: arrays by content, functions by source and by the values they close over."""
    if isinstance(part, Data):
        yield from _identity((*part.train, *part.validation, *part.test))
    elif isinstance(part, np.ndarray | jax.Array):
        yield np.asarray(part).tobytes()
    elif isinstance(part, tuple | list):
        for entry in part:
            yield from _identity(entry)
    elif isinstance(part, functools.partial):
        yield from _identity((part.func, part.args, sorted(part.keywords.items())))
    elif inspect.isfunction(part):
        try:
            yield inspect.getsource(part).encode()
        except OSError:
            yield part.__code__.co_code
        yield from _identity((part.__defaults__ or (), [cell.cell_contents for cell in part.__closure__ or ()]))
    else:
        yield re.sub(" at 0x[0-9a-f]+", "", repr(part)).encode()  # an address is another one in the next process
