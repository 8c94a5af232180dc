"""What tells one traced function from another: its operations, their constants and shapes, and nothing of its source.

A function that is edited without another effect keeps its digest; one that reads a changed global, or calls a changed
helper, gets another one.
"""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core as jex

# Of operations: names that carry no number, and rules for derivatives, which act in the traces of derivatives only.
_NO_NUMBERS = {"name", "debug_info", "jvp_jaxpr_fun", "jvp_jaxpr_thunk", "fwd_jaxpr_thunk", "bwd", "call_jaxpr_fun"}


def trace_digest(function: Callable[..., Any], *arguments: Any) -> str:
    """SHA-256 of what a function computes.

    Args:
      function: pure, as JAX traces it.
      arguments: trees of arrays or of their shapes; values do not matter.
    """
    # As a function of its own, since JAX takes a function that it has traced before for the same one.
    return digest_of(jax.make_jaxpr(lambda *given: function(*given))(*arguments))


def digest_of(*values: Any) -> str:
    """SHA-256 of arrays, numbers, text, jaxprs, and tuples, lists and mappings of them."""
    digest = hashlib.sha256()
    for piece in _pieces(values):
        digest.update(piece)
    return digest.hexdigest()


def _pieces(value: Any) -> Iterator[bytes]:
    if isinstance(value, jex.ClosedJaxpr):
        yield from _pieces(value.consts)
        yield from _of_jaxpr(value.jaxpr)
    elif isinstance(value, jex.Jaxpr):
        yield from _of_jaxpr(value)
    elif isinstance(value, tuple | list):
        yield f"{len(value)} of:".encode()
        for entry in value:
            yield from _pieces(entry)
    elif isinstance(value, Mapping):
        yield from _pieces([entry for key in sorted(value, key=str) for entry in (str(key), value[key])])
    elif isinstance(value, jax.Array | np.ndarray | np.generic):
        yield from _of_array(value)
    elif inspect.isroutine(function := getattr(value, "callback_func", value)):
        yield _source(function)
    else:
        yield f"{type(value).__name__}:{_without_addresses(repr(value))};".encode()


def _of_jaxpr(jaxpr: jex.Jaxpr) -> Iterator[bytes]:
    """The operations in order, with variables numbered as they appear."""
    numbers: dict[Any, int] = {}

    def named(atom: Any) -> Iterator[bytes]:
        if isinstance(atom, jex.Literal):
            yield f"literal {atom.aval}".encode()
            yield from _pieces(np.asarray(atom.val))
        else:
            yield f"{numbers.setdefault(atom, len(numbers))}:{atom.aval};".encode()

    for variable in (*jaxpr.constvars, *jaxpr.invars):
        yield from named(variable)
    for equation in jaxpr.eqns:
        yield f"\n{equation.primitive.name}".encode()
        yield from _pieces({name: part for name, part in equation.params.items() if name not in _NO_NUMBERS})
        for atom in (*equation.invars, *equation.outvars):
            yield from named(atom)
    for atom in jaxpr.outvars:
        yield from named(atom)


def _of_array(array: Any) -> Iterator[bytes]:
    if isinstance(array, jax.Array) and jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
        yield str(array.dtype).encode()
        array = jax.random.key_data(array)
    content = np.ascontiguousarray(array)
    yield f"{content.dtype}{content.shape}".encode()
    yield content.tobytes()


def _source(function: Any) -> bytes:
    """Of a function that the host calls back, which no trace shows."""
    try:
        return inspect.getsource(function).encode()
    except (OSError, TypeError):
        return _without_addresses(repr(function)).encode()


def _without_addresses(text: str) -> str:
    return re.sub(" at 0x[0-9a-f]+", "", text)  # an address is another one in the next process
