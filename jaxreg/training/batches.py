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
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxreg.training import threefry
from jaxreg.training.threefry import Words

ROUNDS = 8
_MIN_BITS = 8  # with fewer, the halves are too small for all orders of a tiny range to be equally likely


class Cursor(NamedTuple):
    """A position in the stream. It counts beyond 32 bits: (epoch, offset within it), 0 <= offset < N."""

    epoch: int
    offset: int


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
    left_bits, right_bits = bits - bits // 2, bits // 2

    def encrypt(x: Array) -> Array:
        def two_rounds(number: Array, halves: tuple[Array, Array]) -> tuple[Array, Array]:
            left, right = halves
            left ^= _mix(right ^ round_keys[2 * number]) >> (32 - left_bits)
            right ^= _mix(left ^ round_keys[2 * number + 1]) >> (32 - right_bits)
            return left, right

        halves = x >> right_bits, x & jnp.uint32(2**right_bits - 1)
        left, right = jax.lax.fori_loop(0, ROUNDS // 2, two_rounds, halves)
        return (left << right_bits) | right

    def walk(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        x, outside = carry
        x = jnp.where(outside, encrypt(x), x)
        return x, x >= num_examples

    everywhere = jnp.ones(positions.shape, bool)  # a walk begins with a step
    return jax.lax.while_loop(lambda carry: jnp.any(carry[1]), walk, (positions, everywhere))[0]


def round_keys(keys: Words, epoch: int, num_steps: int, batch_size: int, num_examples: int) -> Words:
    """What the orders of the epochs follow from that `num_steps` steps can touch: uint32 [..., epochs, ROUNDS].

    Args:
      keys: the key of this stream of each seed, uint32 [..., 2].
      epoch: in which the first step starts to read.
      num_steps, batch_size, num_examples: as in `batch_indices`.
    """
    num_epochs = (num_steps * batch_size - 1) // num_examples + 2
    epochs = np.arange(epoch, epoch + num_epochs).astype(np.uint32)  # modulo 2^32
    return threefry.bits(threefry.fold_in(keys[..., None, :], epochs), ROUNDS)


def batch_indices(
    round_keys: ArrayLike, offset: ArrayLike, num_steps: int, batch_size: int, num_examples: int
) -> Array:
    """The examples that `num_steps` steps see: int32 [num_steps, batch_size].

    Args:
      round_keys: of these steps and of one seed, uint32 [epochs, ROUNDS].
      offset: where the first step starts to read within its epoch.
      num_steps, batch_size, num_examples: static; num_steps * batch_size + num_examples < 2^31.
    """
    positions = jnp.asarray(offset, jnp.uint32) + jnp.arange(num_steps * batch_size, dtype=jnp.uint32)
    keys = jnp.asarray(round_keys)[positions // jnp.uint32(num_examples)].T
    examples = permute(positions % jnp.uint32(num_examples), keys, num_examples)
    return examples.astype(jnp.int32).reshape(num_steps, batch_size)


def _mix(x: Array) -> Array:
    """A 32-bit finalizer in which every input bit moves every output bit (Appleby's MurmurHash3, public domain)."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
