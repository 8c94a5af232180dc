"""Histograms on the device: the bins of each quantity, and the count of values in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

NUM_BINS = 121  # of every histogram
_CELL_BITS = 17  # of a float32 are not looked at: sign, exponent and 6 bits of the mantissa are left


def bin_edges(quantity: str) -> np.ndarray[Any, Any]:
    """The ascending edges of the bins [a, b) of a quantity, [NUM_BINS + 1] float64, the first and last infinite.

    `activations`: width 0.025 centred on multiples of 0.025 up to 1, then 20 bins on each side whose edges grow
    geometrically to 1e3. All others: 6 bins per decade from 1e-7 to 1e3 on each side of one that holds what is smaller.
    Finite edges are float32 numbers, as the values are, so that the device and `np.histogram` count alike.
    """
    if quantity == "activations":
        linear = np.linspace(-1.0125, 1.0125, 82)
        positive = np.concatenate([linear[linear > 0], np.geomspace(1.0125, 1e3, 21)[1:]])
    else:
        positive = np.logspace(-7, 3, 61)
    positive = np.append(positive[:-1], np.inf).astype(np.float32).astype(np.float64)
    return np.concatenate([-positive[::-1], positive])


def count_values(layers: Sequence[Array], edges: np.ndarray[Any, Any]) -> Array:
    """How many values of each layer lie in which bin [edges[k], edges[k + 1]): int32 [layer, len(edges) - 1].

    The outermost edges are infinite; values that are not finite count nowhere. Bins must be wider than a cell, 1/64 of
    the value: the leading bits of a float32 name its cell, a table says in which bin the cell begins, and one
    comparison whether the value lies in the next. On a CPU that takes a third of a binary search.
    """
    num_bins = len(edges) - 1
    values = jnp.concatenate([layer.ravel() for layer in layers])
    offset = jnp.concatenate([jnp.full(layer.size, number * num_bins) for number, layer in enumerate(layers)])
    cell = jax.lax.bitcast_convert_type(values, jnp.uint32) >> _CELL_BITS
    first_bin = _first_bins(edges)
    next_edge = edges[1:].astype(np.float32)[first_bin]
    place = offset + jnp.asarray(first_bin)[cell] + (values >= jnp.asarray(next_edge)[cell])
    total = len(layers) * num_bins
    counts = jnp.zeros(total, jnp.int32).at[jnp.where(jnp.isfinite(values), place, total)].add(1, mode="drop")
    return counts.reshape(len(layers), num_bins)


def _first_bins(edges: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The bin of the smallest number of each cell of float32."""
    cells = np.arange(2 ** (32 - _CELL_BITS), dtype=np.uint32) << _CELL_BITS
    is_negative = cells >> 31 == 1
    smallest = np.where(is_negative, cells | (2**_CELL_BITS - 1), cells).astype(np.uint32).view(np.float32)
    return np.searchsorted(edges[1:-1].astype(np.float32), smallest, side="right").astype(np.int32)
