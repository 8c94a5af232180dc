from __future__ import annotations

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxreg.batches import ROUNDS, Cursor, batch_indices, cursor_at, permute

KEY = jax.random.key(0)
SIZES = [1, 2, 3, 5, 17, 100, 1197]

compiled = jax.jit(batch_indices, static_argnums=(2, 3, 4))


@functools.cache
def epochs(num_examples: int, count: int, key: int = 0) -> np.ndarray:
    """The orders of the first epochs, [epoch, position]: the batch is the whole set."""
    rows = compiled(jax.random.key(key), Cursor(0, 0), count, num_examples, num_examples)
    assert rows.dtype == jnp.int32
    return np.asarray(rows)


@pytest.mark.parametrize("num_examples", SIZES)
def test_every_epoch_reads_every_example_once(num_examples: int) -> None:
    for epoch in epochs(num_examples, 3):
        np.testing.assert_array_equal(np.sort(epoch), np.arange(num_examples))


@pytest.mark.parametrize(("num_examples", "batch_size"), [(3, 2), (17, 5), (100, 32), (5, 5)])
def test_batches_run_across_the_ends_of_epochs(num_examples: int, batch_size: int) -> None:
    steps = -(-3 * num_examples // batch_size)
    stream = np.asarray(compiled(KEY, Cursor(0, 0), steps, batch_size, num_examples)).ravel()
    np.testing.assert_array_equal(stream[: 3 * num_examples], epochs(num_examples, 3).ravel())


def test_reading_from_a_cursor_is_reading_from_the_start() -> None:
    num_examples, batch_size = 17, 5
    stream = np.asarray(compiled(KEY, Cursor(0, 0), 40, batch_size, num_examples))
    for step in (0, 1, 3, 4, 16, 17, 33, 37):
        cursor = cursor_at(step, batch_size, num_examples)
        np.testing.assert_array_equal(compiled(KEY, cursor, 3, batch_size, num_examples), stream[step : step + 3])


def test_the_cursor_is_a_position_within_an_epoch() -> None:
    for step, expected in ((0, (0, 0)), (3, (0, 15)), (4, (1, 3)), (17, (5, 0))):
        assert cursor_at(step, 5, 17) == Cursor(*expected)


def test_a_late_epoch_is_an_order_of_its_own() -> None:
    late = np.asarray(compiled(KEY, Cursor(np.uint32(2**32 - 3), np.uint32(0)), 3, 17, 17))
    for order in late:
        np.testing.assert_array_equal(np.sort(order), np.arange(17))
    assert not (late == epochs(17, 3)).all(1).any()


def test_epochs_and_seeds_have_different_orders() -> None:
    orders = np.concatenate([epochs(100, 3, key) for key in range(3)])
    for one, other in itertools.combinations(orders, 2):
        assert (one == other).sum() < 10  # one match is expected of two random orders


def test_all_orders_of_a_tiny_set_are_equally_likely() -> None:
    orders, counts = np.unique(epochs(5, 24_000), axis=0, return_counts=True)
    assert len(orders) == 120
    assert 1e-3 < scipy.stats.chisquare(counts).pvalue < 1 - 1e-3


@pytest.mark.parametrize("num_examples", [3, 17])
def test_every_example_is_equally_likely_at_every_position(num_examples: int) -> None:
    orders = epochs(num_examples, 6000)
    counts = np.array([np.bincount(column, minlength=num_examples) for column in orders.T])
    statistic = ((counts - 6000 / num_examples) ** 2).sum() / (6000 / num_examples)
    statistic *= (num_examples - 1) / num_examples  # rows and columns both have fixed sums
    assert 1e-3 < scipy.stats.chi2((num_examples - 1) ** 2).sf(statistic) < 1 - 1e-3


def test_neighbours_in_an_epoch_are_unrelated() -> None:
    order = epochs(1197, 3)[0]
    assert abs(scipy.stats.spearmanr(order[:-1], order[1:]).statistic) < 4 / np.sqrt(1197)
    assert abs(scipy.stats.spearmanr(order, np.arange(1197)).statistic) < 4 / np.sqrt(1197)


def test_seeds_mapped_are_seeds_one_by_one() -> None:
    keys = jax.random.split(KEY, 3)
    mapped = jax.vmap(lambda key: compiled(key, Cursor(0, 3), 4, 5, 17))(keys)
    for key, rows in zip(keys, mapped, strict=True):
        np.testing.assert_array_equal(compiled(key, Cursor(0, 3), 4, 5, 17), rows)


@pytest.mark.parametrize("num_examples", [1, 2, 255, 256, 257, 1000])
def test_the_bijection_is_one_also_at_the_edges_of_its_powers_of_two(num_examples: int) -> None:
    round_keys = np.random.default_rng(3).integers(0, 2**32, (ROUNDS, 1), np.uint32)
    positions = jnp.arange(num_examples, dtype=jnp.uint32)
    reached = jax.jit(permute, static_argnums=2)(positions, round_keys, num_examples)
    np.testing.assert_array_equal(np.sort(reached), positions)
