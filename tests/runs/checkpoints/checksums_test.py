"""Checksums of arrays."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from jaxreg.runs.checkpoints.checksums import checksums


def test_checksum_follows_every_element_and_its_place() -> None:
    w = np.arange(12, dtype=np.float32).reshape(3, 4)
    (whole,) = checksums([w])
    assert checksums([jnp.asarray(w)]) == [whole]
    assert checksums([w[::-1]]) != [whole]
    assert checksums([-w]) != [whole]
    assert checksums([np.array([0, 1])]) != checksums([np.array([1, 0])])
    # With one element it is MurmurHash3 of that word: 0x514E28B7 for 1, its published value for an empty text, seed 1.
    assert checksums([np.array([1], np.int32), jnp.array([1], jnp.uint8)]) == [0x514E28B7, 0x514E28B7]
    # One element of eight bytes is two words.
    assert checksums([np.array([2**32 + 5])]) == checksums([np.array([5, 1], np.uint32)])
