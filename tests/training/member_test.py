from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxreg.config import Hparams
from jaxreg.nn.losses import loss_named
from jaxreg.training.member import Metrics, StepMetrics, after_check, confusion, evaluate, update
from jaxreg.training.problem import Problem
from jaxreg.training.state import INIT, TEST_ORDER, TRAIN_ORDER, TrainState, init_state, keys_on_host, member_key
from jaxreg.training.stopping import DIVERGED_LOSS

FEATURES, CLASSES = 4, 3
PROBLEM = Problem()
structure: Any = jax.tree.structure
_rng = np.random.default_rng(0)
INPUTS: Any = _rng.normal(size=(23, FEATURES)).astype(np.float32)
LABELS: Any = _rng.integers(0, CLASSES, 23).astype(np.int32)
SOFTMAX = Hparams(hidden_sizes=(), init="zeros", init_variance=1.0, num_steps=10)
MLP = Hparams(hidden_sizes=(4,), optimizer="adam", init_variance=1.0, num_steps=10)


@functools.cache
def initial_state(hparams: Hparams) -> TrainState:
    return jax.jit(lambda key: init_state(key, hparams, PROBLEM, (FEATURES,), CLASSES))(jax.random.key(0))


def start(hparams: Hparams, params: Any = None) -> TrainState:
    state = initial_state(hparams)
    return state if params is None else state._replace(params=params, best_params=params)


@jax.jit
def one_step(
    state: TrainState, hparams: Hparams, inputs: Any, labels: Any, step: Any = 0
) -> tuple[TrainState, StepMetrics]:
    return update(state, hparams, PROBLEM, inputs, labels, jnp.int32(step))


def linear(*rows: list[float]) -> Any:
    """A softmax regression with these weights and no biases."""
    return ({"weights": np.array(rows, np.float32), "bias": np.zeros(len(rows[0]), np.float32)},)


def assert_equal_trees(a: Any, b: Any) -> None:
    assert structure(a) == structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


def assert_close_trees(a: Any, b: Any) -> None:
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)


# One step


def test_a_step_of_softmax_regression_by_hand() -> None:
    rng = np.random.default_rng(1)
    w, b = rng.normal(size=(FEATURES, CLASSES)), rng.normal(size=CLASSES)
    params = ({"weights": w.astype(np.float32), "bias": b.astype(np.float32)},)
    state, metrics = one_step(start(SOFTMAX, params), dataclasses.replace(SOFTMAX, learning_rate=0.7), INPUTS, LABELS)

    exponentials = np.exp(INPUTS @ w + b)
    probabilities = exponentials / exponentials.sum(1, keepdims=True)
    residual = (probabilities - np.eye(CLASSES)[LABELS]) / len(LABELS)
    np.testing.assert_allclose(state.params[0]["weights"], w - 0.7 * INPUTS.T @ residual, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(state.params[0]["bias"], b - 0.7 * residual.sum(0), rtol=1e-5, atol=1e-6)
    loss = -np.log(probabilities[np.arange(len(LABELS)), LABELS]).mean()
    np.testing.assert_allclose([metrics.loss, metrics.objective], [loss, loss], rtol=1e-5)  # before the update


def test_zero_weights_start_at_log_classes() -> None:
    _, metrics = one_step(start(SOFTMAX), SOFTMAX, INPUTS, LABELS)
    np.testing.assert_allclose(metrics.loss, np.log(CLASSES), rtol=1e-6)


@pytest.mark.parametrize(
    "hparams", [SOFTMAX, MLP, dataclasses.replace(MLP, optimizer="momentum", momentum=0.5)], ids=repr
)
def test_an_update_keeps_tree_shapes_dtypes_and_strong_types(hparams: Hparams) -> None:
    before = jax.eval_shape(lambda: init_state(jax.random.key(0), hparams, PROBLEM, (FEATURES,), CLASSES))
    after, metrics = jax.eval_shape(one_step, before, hparams, INPUTS, LABELS)
    assert structure(before) == structure(after)
    for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        assert (a.shape, a.dtype, a.weak_type) == (b.shape, b.dtype, False)
        assert not b.weak_type
    assert {(leaf.shape, leaf.dtype) for leaf in metrics} == {((), np.dtype(np.float32))}


def test_training_lowers_the_loss() -> None:
    state, losses = start(MLP), []
    for step in range(5):
        state, metrics = one_step(state, MLP, INPUTS, LABELS, step)
        losses.append(metrics.loss)
    assert np.all(np.diff(losses) < 0)


def test_members_mapped_are_members_one_by_one() -> None:
    states, rates = [start(SOFTMAX), start(SOFTMAX, linear(*INPUTS[:4, :3].tolist()))], [0.1, 0.9]
    looped = [
        one_step(state, dataclasses.replace(SOFTMAX, learning_rate=rate), INPUTS, LABELS)
        for state, rate in zip(states, rates, strict=True)
    ]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *states)
    hparams = jax.tree.map(lambda leaf: np.full(2, leaf, np.float32), SOFTMAX)
    mapped = jax.vmap(one_step, (0, 0, None, None))(
        stacked, dataclasses.replace(hparams, learning_rate=np.array(rates, np.float32)), INPUTS, LABELS
    )
    assert_close_trees(mapped, jax.tree.map(lambda *leaves: np.stack(leaves), *looped))


@pytest.mark.parametrize(("inputs", "labels"), [(INPUTS[:, :3], LABELS), (INPUTS, LABELS[:5]), (INPUTS[0], LABELS)])
def test_a_batch_of_the_wrong_shape_raises(inputs: np.ndarray, labels: np.ndarray) -> None:
    with pytest.raises((AssertionError, TypeError, ValueError)):
        one_step(start(SOFTMAX), SOFTMAX, inputs, labels)


# Divergence

ONE, FIRST = np.ones((1, 1), np.float32), np.zeros(1, np.int32)


@pytest.mark.parametrize(("logit", "diverges"), [(9_999.0, False), (DIVERGED_LOSS, False), (10_001.0, True)])
def test_a_loss_above_the_threshold_diverges(logit: float, diverges: bool) -> None:
    # One example of class 0 with logits (0, z) costs log(1 + e^z), which is z in float32.
    before = start(SOFTMAX, linear([0.0, logit]))
    after, metrics = one_step(before, SOFTMAX, ONE, FIRST, 7)
    assert metrics.loss == logit
    assert after.diverged_step == (7 if diverges else -1)
    assert bool((after.params[0]["weights"] == before.params[0]["weights"]).all()) == diverges


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_diverges(bad: float) -> None:
    before = start(SOFTMAX, linear([0.0, 1.0]))
    after, metrics = one_step(before, SOFTMAX, np.array([[bad]], np.float32), FIRST, 3)
    assert not np.isfinite(metrics.loss)
    assert after.diverged_step == 3
    assert_equal_trees(after._replace(diverged_step=before.diverged_step), before)


def test_a_parameter_that_is_not_finite_diverges_though_the_loss_was() -> None:
    before = start(SOFTMAX, linear([0.0, 1.0]))
    after, metrics = one_step(before, dataclasses.replace(SOFTMAX, learning_rate=3e38), 10 * ONE, FIRST, 5)
    assert np.isfinite(metrics.loss)
    assert after.diverged_step == 5
    assert_equal_trees(after._replace(diverged_step=before.diverged_step), before)


def test_a_halted_member_does_not_change() -> None:
    before = start(MLP)._replace(diverged_step=jnp.int32(2))
    after, metrics = one_step(before, MLP, INPUTS, LABELS, 9)
    assert_equal_trees(after, before)
    assert np.isnan([metrics.loss, metrics.objective]).all()


# Evaluation


measure = jax.jit(
    lambda params, hparams, block_size: evaluate(params, hparams, PROBLEM, INPUTS, LABELS, block_size), static_argnums=2
)


@pytest.mark.parametrize(
    ("name", "block_size"),
    [*[("cross_entropy", size) for size in (1, 5, 22, 23, 100)], ("cross_entropy_on_probabilities", 5)],
)
def test_blocks_of_any_size_give_the_mean_over_the_whole_set(name: str, block_size: int) -> None:
    hparams, weights = (
        dataclasses.replace(SOFTMAX, loss=name),
        np.random.default_rng(2).normal(size=(FEATURES, CLASSES)),
    )
    measured = measure(linear(*weights.tolist()), hparams, block_size)
    logits = INPUTS @ weights.astype(np.float32)
    np.testing.assert_allclose(measured.loss, np.asarray(loss_named(name).function(logits, LABELS)).mean(), rtol=1e-6)
    hits = int((logits.argmax(1) == LABELS).sum())
    assert 0 < hits < len(LABELS)
    assert measured.accuracy == np.float32(hits) / np.float32(len(LABELS))


@pytest.mark.parametrize("block_size", [1, 5, 23, 100])
def test_confusion_counts_every_example_once_and_its_diagonal_is_the_accuracy(block_size: int) -> None:
    params = start(MLP).params
    counts = np.asarray(confusion(params, MLP, PROBLEM, INPUTS, LABELS, CLASSES, block_size))
    logits, _ = PROBLEM.model.forward(params, MLP, INPUTS)
    expected = np.zeros((CLASSES, CLASSES), int)
    np.add.at(expected, (LABELS, np.argmax(logits, axis=-1)), 1)
    np.testing.assert_array_equal(counts, expected)
    accuracy = evaluate(params, MLP, PROBLEM, INPUTS, LABELS, block_size).accuracy
    assert np.trace(counts) / len(LABELS) == pytest.approx(float(accuracy))


def test_own_penalties_are_no_part_of_an_evaluation() -> None:
    penalised = Problem(penalties=(lambda *_: jnp.float32(100),))
    with_penalty, without = (
        evaluate(linear(*[[0.0] * 3] * 4), SOFTMAX, p, INPUTS, LABELS, 23) for p in (penalised, PROBLEM)
    )
    assert_equal_trees(with_penalty, without)


# The best check


def test_only_a_strictly_lower_validation_loss_is_better() -> None:
    state, bests = start(SOFTMAX), []
    for check, loss in enumerate([2.0, 2.0, 1.5, 1.6, np.nan, np.inf, 1.5, 1.4]):
        state = state._replace(params=linear([float(check)] * 3))
        state = after_check(state, SOFTMAX, Metrics(jnp.float32(loss), jnp.float32(0)), jnp.int32(check))
        bests.append(int(state.best_check))
        assert (state.best_params[0]["weights"] == bests[-1]).all()
    assert bests == [0, 0, 2, 2, 2, 2, 2, 7]
    assert state.best_loss == np.float32(1.4)


def test_a_diverged_member_keeps_its_best_check() -> None:
    state = after_check(start(SOFTMAX), SOFTMAX, Metrics(jnp.float32(2), jnp.float32(0)), jnp.int32(0))
    halted = state._replace(diverged_step=jnp.int32(4))
    assert_equal_trees(after_check(halted, SOFTMAX, Metrics(jnp.float32(1), jnp.float32(0)), jnp.int32(1)), halted)


def test_before_the_first_check_nothing_is_best() -> None:
    state = start(SOFTMAX)
    assert state.best_loss == np.inf
    assert state.best_check == state.diverged_step == -1
    assert_equal_trees(state.best_params, state.params)


# Keys


def test_keys_differ_between_seeds_base_seeds_and_purposes() -> None:
    purposes = (INIT, TRAIN_ORDER, TEST_ORDER)
    keys = [
        tuple(jax.random.key_data(member_key(base, seed, purpose)).tolist())
        for base in (0, 1)
        for seed in (0, 1, 2**32 - 1)
        for purpose in purposes
    ]
    assert len(set(keys)) == len(keys) == 18
    traced = jax.jit(member_key)(jnp.uint32(1), jnp.uint32(2**32 - 1), TEST_ORDER)
    assert tuple(jax.random.key_data(traced).tolist()) == keys[-1]


def test_keys_are_the_same_on_the_host() -> None:
    seeds = [0, 1, 7, 2**31, 2**32 - 1]
    for base, purpose in ((0, INIT), (1, TRAIN_ORDER), (2**32 - 1, TEST_ORDER)):
        drawn = [jax.random.key_data(member_key(jnp.uint32(base), jnp.uint32(seed), purpose)) for seed in seeds]
        np.testing.assert_array_equal(keys_on_host(base, seeds, purpose), drawn)
