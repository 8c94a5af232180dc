from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from jaxreg.training.draws import draw_examples
from jaxreg.training.state import TRAIN_DRAW, keys_on_host


def draws(size: int, num_examples: int, seeds: int = 3, base_seed: int = 0) -> np.ndarray:
    return draw_examples(keys_on_host(base_seed, range(seeds), TRAIN_DRAW), size, num_examples)


@pytest.mark.parametrize(("size", "num_examples"), [(1, 1), (5, 9), (9, 9), (100, 1197)])
def test_each_seed_draws_without_replacement(size: int, num_examples: int) -> None:
    rows = draws(size, num_examples)
    assert rows.dtype == np.int32
    assert rows.shape == (3, size)
    assert all(len(set(of_seed)) == size for of_seed in rows.tolist())
    assert rows.min() >= 0
    assert rows.max() < num_examples


def test_a_smaller_set_is_the_head_of_a_larger_one() -> None:
    np.testing.assert_array_equal(draws(20, 1197), draws(300, 1197)[:, :20])


def test_seeds_and_base_seeds_draw_differently_and_a_seed_always_the_same() -> None:
    rows = draws(50, 1197, seeds=4)
    assert len({frozenset(of_seed) for of_seed in rows.tolist()}) == 4
    assert set(rows[1].tolist()) != set(draws(50, 1197, base_seed=1)[1].tolist())
    alone = draw_examples(keys_on_host(0, [2], TRAIN_DRAW), 50, 1197)
    np.testing.assert_array_equal(alone[0], rows[2])


def test_every_pair_of_five_examples_is_drawn_as_often() -> None:
    rows = np.sort(draws(2, 5, seeds=5000), axis=1)
    counts = np.unique(rows[:, 0] * 5 + rows[:, 1], return_counts=True)[1]
    assert counts.size == 10
    assert scipy.stats.chisquare(counts).pvalue > 1e-3
