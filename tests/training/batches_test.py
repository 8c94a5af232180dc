from __future__ import annotations

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxreg.training.batches import ROUNDS, Cursor, batch_indices, cursor_at, permute, round_keys

KEY = jax.random.key(0)
NUM_EPOCHS = {1: 3, 2: 3, 3: 6000, 5: 24_000, 17: 6000, 100: 3, 1197: 3}  # read at once, by the size of the set
START = Cursor(0, 0)

compiled_rows = jax.jit(batch_indices, static_argnums=(2, 3, 4))


def compiled(key: jax.Array, cursor: Cursor, num_steps: int, batch_size: int, num_examples: int) -> jax.Array:
    """The examples that steps see from `cursor` on."""
    sizes = num_steps, batch_size, num_examples
    keys = round_keys(np.asarray(jax.random.key_data(key)), cursor.epoch, *sizes)
    return compiled_rows(keys, np.uint32(cursor.offset), *sizes)


@functools.cache
def epochs(num_examples: int, key: int = 0, first: int = 0) -> np.ndarray:
    """The orders of successive epochs, [epoch, position]: the batch is the whole set."""
    cursor = Cursor(first, 0)
    rows = compiled(jax.random.key(key), cursor, NUM_EPOCHS[num_examples], num_examples, num_examples)
    assert rows.dtype == jnp.int32
    return np.asarray(rows)


@pytest.mark.parametrize("num_examples", NUM_EPOCHS)
def test_every_epoch_reads_every_example_once(num_examples: int) -> None:
    orders = np.sort(epochs(num_examples), axis=1)
    np.testing.assert_array_equal(orders, np.broadcast_to(np.arange(num_examples), orders.shape))


@pytest.mark.parametrize(("num_examples", "batch_size"), [(3, 2), (17, 5)])
def test_batches_run_across_the_ends_of_epochs(num_examples: int, batch_size: int) -> None:
    stream = np.asarray(compiled(KEY, START, 40, batch_size, num_examples)).ravel()
    np.testing.assert_array_equal(stream, epochs(num_examples).ravel()[: stream.size])


def test_reading_from_a_cursor_is_reading_from_the_start() -> None:
    stream = np.asarray(compiled(KEY, START, 40, 5, 17))
    for step in (1, 3, 4, 16, 17, 33, 39):
        cursor = cursor_at(step, 5, 17)
        np.testing.assert_array_equal(compiled(KEY, cursor, 40, 5, 17)[: 40 - step], stream[step:])


def test_the_cursor_is_a_position_within_an_epoch() -> None:
    for step, expected in ((0, (0, 0)), (3, (0, 15)), (4, (1, 3)), (17, (5, 0))):
        assert cursor_at(step, 5, 17) == Cursor(*expected)


def test_a_late_epoch_is_an_order_of_its_own() -> None:
    late = epochs(17, first=2**32 - 3)[:3]
    np.testing.assert_array_equal(np.sort(late), [np.arange(17)] * 3)
    assert not (late == epochs(17)[:3]).all(1).any()


def test_epochs_and_seeds_have_different_orders() -> None:
    orders = np.concatenate([epochs(100, key) for key in range(3)])
    for one, other in itertools.combinations(orders, 2):
        assert (one == other).sum() < 10  # one match is expected of two random orders


def test_all_orders_of_a_tiny_set_are_equally_likely() -> None:
    orders, counts = np.unique(epochs(5), axis=0, return_counts=True)
    assert len(orders) == 120
    assert 1e-3 < scipy.stats.chisquare(counts).pvalue < 1 - 1e-3


@pytest.mark.parametrize("num_examples", [3, 17])
def test_every_example_is_equally_likely_at_every_position(num_examples: int) -> None:
    orders = epochs(num_examples)
    counts = np.array([np.bincount(column, minlength=num_examples) for column in orders.T])
    statistic = ((counts - 6000 / num_examples) ** 2).sum() / (6000 / num_examples)
    statistic *= (num_examples - 1) / num_examples  # rows and columns both have fixed sums
    assert 1e-3 < scipy.stats.chi2((num_examples - 1) ** 2).sf(statistic) < 1 - 1e-3


def test_neighbours_in_an_epoch_are_unrelated() -> None:
    order = epochs(1197)[0]
    assert abs(scipy.stats.spearmanr(order[:-1], order[1:]).statistic) < 4 / np.sqrt(1197)
    assert abs(scipy.stats.spearmanr(order, np.arange(1197)).statistic) < 4 / np.sqrt(1197)


def test_seeds_mapped_are_seeds_one_by_one() -> None:
    keys = jax.random.split(KEY, 3)
    of_seeds = round_keys(np.asarray(jax.random.key_data(keys)), 0, 40, 5, 17)
    mapped = jax.jit(jax.vmap(lambda keys: batch_indices(keys, 3, 40, 5, 17)))(of_seeds)
    for key, rows in zip(keys, mapped, strict=True):
        np.testing.assert_array_equal(compiled(key, Cursor(0, 3), 40, 5, 17), rows)


def test_the_round_keys_are_those_that_jax_draws() -> None:
    """Of each epoch the bits of a key of its own; epochs count modulo 2^32."""
    keys = jax.random.split(jax.random.key(7), 3)
    found = round_keys(np.asarray(jax.random.key_data(keys)), 2**32 - 1, 4, 5, 10)
    epochs = jnp.array([2**32 - 1, 0, 1], jnp.uint32)

    def draw(key: jax.Array, epoch: jax.Array) -> jax.Array:
        return jax.random.bits(jax.random.fold_in(key, epoch), (ROUNDS,))

    np.testing.assert_array_equal(found, jax.vmap(jax.vmap(draw, (None, 0)), (0, None))(keys, epochs))


@pytest.mark.parametrize("num_examples", [255, 256, 257])
def test_the_bijection_is_one_also_at_the_edges_of_its_powers_of_two(num_examples: int) -> None:
    round_keys = np.random.default_rng(3).integers(0, 2**32, (ROUNDS, 1), np.uint32)
    positions = jnp.arange(num_examples, dtype=jnp.uint32)
    reached = jax.jit(permute, static_argnums=2)(positions, round_keys, num_examples)
    np.testing.assert_array_equal(np.sort(reached), positions)
