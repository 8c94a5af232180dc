"""Trees of parameters: which leaves are weights, and what a leaf is called."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

Params = Any  # a pytree of float32 arrays
Layers = tuple[Array, ...]  # one array per layer, first layer first


def parameter_name(path: tuple[Any, ...]) -> str:
    """The path of a leaf in a tree of parameters as a name, layers counted from 1: `layer_1/weights`."""

    def part(key: Any) -> str:
        if isinstance(key, jax.tree_util.SequenceKey):
            return f"layer_{key.idx + 1}"
        return str(getattr(key, "key", getattr(key, "name", key)))

    return "/".join(map(part, path))


def weights_of(params: Params) -> list[Array]:
    """The weights, first layer first, without the biases."""
    return [leaf for leaf in jax.tree.leaves(params) if jnp.ndim(leaf) >= 2]


def weights_mask(params: Params) -> Any:
    """True for weights, which penalties and decay act on, and False for biases: a weight has two axes or more."""
    return jax.tree.map(lambda leaf: jnp.ndim(leaf) >= 2, params)
