"""The leaves of a state by their paths, and a tree from such paths."""

from __future__ import annotations

import ast
import collections
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

PyTree: TypeAlias = Any
Array: TypeAlias = jax.Array | np.ndarray[Any, Any]


def by_path(tree: PyTree) -> dict[str, Any]:
    """The leaves of a tree by their paths, such as `['params'][0].mu`; a tree that is one leaf has the path `state`."""
    return {jax.tree_util.keystr(path) or "state": leaf for path, leaf in jax.tree.leaves_with_path(tree)}


def named_leaves(state: PyTree) -> dict[str, Array]:
    """The leaves of a state by their paths.

    Raises:
      TypeError: a leaf is no JAX or NumPy array of real numbers or keys, or is weakly typed.
    """
    leaves = by_path(state)
    for path, leaf in leaves.items():
        if not isinstance(leaf, jax.Array | np.ndarray):
            raise TypeError(f"{path} is a {type(leaf).__name__}: a state holds JAX and NumPy arrays")
        if not (is_key(leaf) or jnp.issubdtype(leaf.dtype, jnp.bool) or _is_real(leaf)):
            raise TypeError(f"{path} has dtype {leaf.dtype}: a state holds real numbers and keys")
        if getattr(leaf, "weak_type", False):
            raise TypeError(f"{path} is weakly typed: give it a dtype where the state is made")
    return leaves


def is_key(leaf: Any) -> bool:
    """Whether a leaf is an array of typed random keys."""
    return bool(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key))


def _is_real(leaf: Any) -> bool:
    real = jnp.issubdtype(leaf.dtype, jnp.integer) or jnp.issubdtype(leaf.dtype, jnp.floating)
    return bool(real) and leaf.dtype.isnative


def tree_of(leaves: Iterable[Mapping[str, Any]]) -> Any:
    """Empty NumPy arrays in the tree that these leaves had, as far as their paths tell it from another one.

    Args:
      leaves: entries of a manifest, with `path`, `shape` and `dtype`.
    """
    root: dict[tuple[str, Any], Any] = {}
    for leaf in leaves:
        *parents, last = _keys(leaf["path"])
        node = root
        for key in parents:
            node = node.setdefault(key, {})
        node[last] = np.empty(leaf["shape"], jnp.dtype(leaf["dtype"]))
    return _collected(root)


def _keys(path: str) -> list[tuple[str, Any]]:
    """The keys of a path `['params'][0].mu`, each with its kind: key, index or field."""
    pattern = r"""\[(?P<index>\d+)\]|\[(?P<key>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\]|\.(?P<field>\w+)"""
    found = [(match.lastgroup or "", match[match.lastgroup or 0]) for match in re.finditer(pattern, path)]
    return [(kind, text if kind == "field" else ast.literal_eval(text)) for kind, text in found]


def _collected(node: Any) -> Any:
    """Tuples from indices, NamedTuples from fields, dicts from keys; what had no leaves is None."""
    if not isinstance(node, dict):
        return node
    children = {key: _collected(child) for (_, key), child in node.items()}
    kind = next(iter(node))[0]
    if kind == "index":
        return tuple(children.get(i) for i in range(max(children) + 1))
    if kind == "field":
        return collections.namedtuple("Fields", list(children))(**children)
    return children
