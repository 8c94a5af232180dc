"""Checksums of arrays on any devices, and digests of files."""

from __future__ import annotations

import collections
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxreg.files import open_regular
from jaxreg.runs.checkpoints.leaves import Array, is_key


def checksums(leaves: Iterable[Array]) -> list[int]:
    """One number per leaf, Σᵢ mix(bᵢ xor mix(i)) mod 2³², over the bits bᵢ of its elements i.

    Modular sums do not depend on the order of summation, hence not on layout, sharding or devices. `mix` is one to one,
    so that one changed element always shows; exchanged elements and changed signs show but for a chance of 2⁻³².
    """
    leaves = list(leaves)
    groups: collections.defaultdict[frozenset[jax.Device], list[int]] = collections.defaultdict(list)
    sums: dict[int, Any] = {}
    for i, leaf in enumerate(leaves):
        if isinstance(leaf, jax.Array):
            groups[frozenset(leaf.sharding.device_set)].append(i)
        else:
            words = _host_words(leaf)
            sums[i] = np.sum(_mix(words ^ _mix(np.arange(words.size).astype(np.uint32))), dtype=np.uint32)
    for members in groups.values():  # one program runs on one set of devices
        sums |= zip(members, _device_checksums([leaves[i] for i in members]), strict=True)
    return [int(sums[i]) for i in range(len(leaves))]


@jax.jit
def _device_checksums(leaves: list[jax.Array]) -> list[jax.Array]:
    def checksum(leaf: jax.Array) -> jax.Array:
        words = _device_words(leaf)
        strides = [int(np.prod(words.shape[axis + 1 :], dtype=np.uint64)) % 2**32 for axis in range(words.ndim)]
        index = jnp.zeros(words.shape, jnp.uint32)
        for axis, stride in enumerate(strides):
            index += jax.lax.broadcasted_iota(jnp.uint32, words.shape, axis) * np.uint32(stride)
        return jnp.sum(_mix(words ^ _mix(index)), dtype=jnp.uint32)

    return [checksum(leaf) for leaf in leaves]


def _mix(word: Any) -> Any:
    """The last step of MurmurHash3 (Appleby, 2011) on uint32 arrays of host or device: one to one, 0 stays 0."""
    word = (word ^ (word >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    word = (word ^ (word >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return word ^ (word >> np.uint32(16))


_WORDS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint32}  # by bytes per element; eight bytes make two words


def _host_words(leaf: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.ascontiguousarray(leaf).reshape(-1).view(_WORDS[leaf.dtype.itemsize]).astype(np.uint32)


def _device_words(leaf: jax.Array) -> jax.Array:
    if is_key(leaf):
        leaf = jax.random.key_data(leaf)
    if leaf.dtype == jnp.bool:
        return leaf.astype(jnp.uint32)
    return jax.lax.bitcast_convert_type(leaf, _WORDS[leaf.dtype.itemsize]).astype(jnp.uint32)


def sha256_of_file(path: Path) -> str:
    """The SHA-256 of the content of a regular file, as 64 hexadecimal digits.

    Raises:
      OSError: it cannot be read, or is a link, a pipe or the like.
    """
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
