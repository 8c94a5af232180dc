"""The stream of training examples: which ones step t of a seed sees, from (seed, t) alone.

One endless stream per seed: epoch 0 in an order of its own, then epoch 1 in another, and so on. Step t of batch size B
reads positions t B ... t B + B - 1 across epoch ends, so all batch sizes of a seed read one stream, and no state is
needed to go on from any step. The order of an epoch is a keyed bijection of {0, ..., N - 1} that is evaluated at the
positions that are read: no sort, no stored permutation.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

ROUNDS = 8
_MIN_BITS = 8  # with fewer, the halves are too small for all orders of a tiny range to be equally likely


class Cursor(NamedTuple):
    """A position in the stream. It counts beyond 32 bits: (epoch, offset within it), 0 <= offset < N."""

    epoch: ArrayLike
    offset: ArrayLike


def cursor_at(step: int, batch_size: int, num_examples: int) -> Cursor:
    """Where step `step` starts to read."""
    return Cursor(*divmod(step * batch_size, num_examples))


def permute(positions: Array, round_keys: Array, num_examples: int) -> Array:
    """The keyed bijection of {0, ..., num_examples - 1}, at `positions`.

    An alternating Feistel network (Luby & Rackoff 1988) over the smallest power of two that holds the range, walked
    along its cycles until it is back inside (Black & Rogaway 2002, section 4).

    Args:
      positions: uint32, any shape, each < num_examples.
      round_keys: uint32 [ROUNDS, *positions.shape], or a shape that broadcasts to it.
      num_examples: length of the range, 1 to 2^31.

    Returns:
      uint32 like `positions`, each < num_examples; different positions give different values.
    """
    bits = max(_MIN_BITS, (num_examples - 1).bit_length())

    def encrypt(x: Array) -> Array:
        left_bits, right_bits = bits - bits // 2, bits // 2
        left, right = x >> right_bits, x & jnp.uint32(2**right_bits - 1)
        for round_key in round_keys:
            left, right = right, left ^ (_mix(right ^ round_key) >> (32 - left_bits))
            left_bits, right_bits = right_bits, left_bits
        return (left << right_bits) | right

    def outside(x: Array) -> Array:
        return jnp.any(x >= num_examples)

    return jax.lax.while_loop(outside, lambda x: jnp.where(x >= num_examples, encrypt(x), x), encrypt(positions))


def batch_indices(key: Array, cursor: Cursor, num_steps: int, batch_size: int, num_examples: int) -> Array:
    """The examples that the `num_steps` steps from `cursor` on see: int32 [num_steps, batch_size].

    Args:
      key: the seed's key of this stream.
      cursor: where the first step starts to read.
      num_steps, batch_size, num_examples: static; num_steps * batch_size + num_examples < 2^31.
    """
    count = num_steps * batch_size
    positions = jnp.asarray(cursor.offset, jnp.uint32) + jnp.arange(count, dtype=jnp.uint32)
    epochs_ahead = positions // jnp.uint32(num_examples)
    num_epochs = (count - 1) // num_examples + 2
    epochs = jnp.asarray(cursor.epoch, jnp.uint32) + jnp.arange(num_epochs, dtype=jnp.uint32)
    keys = jax.vmap(lambda epoch: jax.random.bits(jax.random.fold_in(key, epoch), (ROUNDS,)))(epochs)
    examples = permute(positions % jnp.uint32(num_examples), keys[epochs_ahead].T, num_examples)
    return examples.astype(jnp.int32).reshape(num_steps, batch_size)


def _mix(x: Array) -> Array:
    """A 32-bit finalizer in which every input bit moves every output bit (Appleby's MurmurHash3, public domain)."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
