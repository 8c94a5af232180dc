"""The random numbers of JAX's threefry on the host, for the few keys that programs begin with.

Inside a program each of these derivations would be a part of its own to be traced and compiled. The numbers are those
of `jax.random`, bit for bit.

References: Salmon, Moraes, Dror and Shaw (2011), Parallel random numbers: as easy as 1, 2, 3.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint32]

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)


def key_of(seed: int) -> Words:
    """The key of a seed below 2^32, uint32 [2]: `jax.random.key_data(jax.random.key(seed))`."""
    return np.array([0, seed], np.uint32)


def fold_in(keys: Words, numbers: npt.ArrayLike) -> Words:
    """The keys that `jax.random.fold_in` gives, uint32 [..., 2].

    Args:
      keys: uint32 [..., 2].
      numbers: whole numbers below 2^32, [...]; both broadcast.
    """
    return np.stack(_threefry(keys, np.uint32(0), np.asarray(numbers, np.uint32)), axis=-1)


def bits(keys: Words, count: int) -> Words:
    """`jax.random.bits(key, (count,))` for each of the keys [..., 2]: uint32 [..., count]."""
    first, second = _threefry(keys[..., None, :], np.uint32(0), np.arange(count, dtype=np.uint32))
    return first ^ second


def _threefry(keys: Words, first: Words | np.uint32, second: Words) -> tuple[Words, Words]:
    """Threefry-2x32 with 20 rounds: keys [..., 2] and two words of a counter, [...] -> two words, [...]."""
    schedule = keys[..., 0], keys[..., 1], keys[..., 0] ^ keys[..., 1] ^ _PARITY
    with np.errstate(over="ignore"):  # words are numbers modulo 2^32
        x: Words = first + schedule[0]
        y: Words = second + schedule[1]
        for turn in range(5):
            for distance in _ROTATIONS[turn % 2]:
                x = x + y
                y = x ^ ((y << np.uint32(distance)) | (y >> np.uint32(32 - distance)))
            x = x + schedule[(turn + 1) % 3]
            y = y + schedule[(turn + 2) % 3] + np.uint32(turn + 1)
    return x, y
