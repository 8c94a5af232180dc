"""Dropout: who is dropped, what is kept, and that nothing happens in evaluation."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxreg.config import Hparams
from jaxreg.nn.dropout import dropout
from jaxreg.training.member import evaluate
from jaxreg.training.models import mlp
from jaxreg.training.problem import Problem
from jaxreg.training.state import DROPOUT, member_key
from tests.trajectory import batches, follow, start

MODEL = mlp()
TWO_LAYERS = Hparams(hidden_sizes=(16, 8), activation="tanh", init_variance=0.1, batch_size=20, dropout_rate=0.5)
KEY = jax.random.key(0)


def draw(rate: float) -> np.ndarray:
    return np.asarray(dropout(KEY, jnp.ones((200, 200)), rate))


@jax.jit
def dropout_forward(params: Any, hparams: Hparams, inputs: Any, key: jax.Array = KEY) -> Any:
    assert MODEL.dropout_forward is not None
    return MODEL.dropout_forward(params, hparams, inputs, key)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_kept_share_is_one_minus_the_rate_and_the_kept_are_scaled(rate: float) -> None:
    kept = draw(rate) != 0
    standard_error = np.sqrt(rate * (1 - rate) / kept.size)
    assert abs(kept.mean() - (1 - rate)) < 4 * standard_error
    np.testing.assert_allclose(draw(rate)[kept], 1 / (1 - rate), rtol=1e-6)


def test_the_mean_over_draws_is_the_activation_within_its_standard_error() -> None:
    rate, count = 0.3, 4000
    activations: Any = np.array([[0.5, -2.0, 0.0], [1.0, 3.0, -0.25]], np.float32)
    keys = jax.random.split(KEY, count)
    draws = np.asarray(jax.jit(jax.vmap(lambda key: dropout(key, activations, rate)))(keys), np.float64)
    # An activation a is a/(1 - rate) with probability 1 - rate, else 0: variance a^2 rate/(1 - rate).
    standard_error = np.abs(activations) * np.sqrt(rate / (1 - rate) / count)
    assert (np.abs(draws.mean(0) - activations) <= 4 * standard_error).all()
    np.testing.assert_allclose(draws.std(0), np.abs(activations) * np.sqrt(rate / (1 - rate)), rtol=0.05)
    places = (draws != 0).reshape(count, -1)[:, [0, 1, 3, 4, 5]]  # without the activation that is 0
    assert np.abs(np.corrcoef(places.T) - np.eye(5)).max() < 4 / np.sqrt(count)


def test_who_is_dropped_at_a_rate_is_dropped_at_all_higher_ones() -> None:
    dropped = [draw(rate) == 0 for rate in (0.0, 0.2, 0.5, 0.8)]
    assert not dropped[0].any()
    for fewer, more in itertools.pairwise(dropped):
        assert (more | ~fewer).all()
        assert more.sum() > fewer.sum()


def test_a_rate_of_zero_changes_no_bit() -> None:
    a: Any = (np.random.default_rng(0).normal(size=(50, 7)) * 10.0 ** np.arange(-21, 21, 6)).astype(np.float32)
    a[0] = [0.0, -0.0, np.inf, -np.inf, 1.0, -1.0, 3e38]
    same = np.asarray(jax.jit(dropout)(KEY, a, jnp.float32(0.0)))
    np.testing.assert_array_equal(same.view(np.uint32), a.view(np.uint32))


def test_rates_under_vmap_are_a_loop_with_one_draw() -> None:
    rates, a = jnp.array([0.0, 0.3, 0.9]), jax.random.normal(jax.random.key(1), (20, 10))
    mapped = jax.jit(jax.vmap(dropout, (None, None, 0)))(KEY, a, rates)
    for rate, one in zip(rates, mapped, strict=True):
        np.testing.assert_allclose(one, dropout(KEY, a, rate), rtol=1e-6)


def test_draws_differ_between_seeds_steps_and_layers() -> None:
    keys = [
        jax.random.fold_in(jax.random.fold_in(member_key(0, seed, DROPOUT), step), layer)
        for seed, step, layer in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))
    ]
    kept = np.stack([np.asarray(dropout(key, jnp.ones((1000,)), 0.5)) != 0 for key in keys])
    assert np.abs(np.corrcoef(kept) - np.eye(4)).max() < 0.15


# In the network


def test_hidden_layers_are_dropped_each_with_its_own_draw_and_the_output_is_not() -> None:
    params, inputs = start(TWO_LAYERS).params, batches(20, 1)[0][0]
    logits, activations = dropout_forward(params, TWO_LAYERS, inputs)
    a = inputs
    for number, layer in enumerate(params[:-1]):
        hidden = jnp.tanh(a @ layer["weights"])
        np.testing.assert_allclose(activations[number], hidden, rtol=1e-5, atol=1e-6)  # those before dropout
        mask = dropout(jax.random.fold_in(KEY, number), jnp.ones_like(hidden), 0.5)
        assert set(np.unique(mask)) == {0, 2}
        a = np.asarray(hidden * mask)
    np.testing.assert_allclose(logits, a @ params[-1]["weights"], rtol=1e-5, atol=1e-6)


def test_a_dropped_unit_learns_nothing_and_is_not_learned_from() -> None:
    params, inputs = start(TWO_LAYERS).params, batches(20, 1)[0][0][:1]  # one example
    grads = jax.grad(lambda p: jnp.sum(dropout_forward(p, TWO_LAYERS, inputs)[0]))(params)
    for number, size in enumerate(TWO_LAYERS.hidden_sizes):
        dropped = np.asarray(dropout(jax.random.fold_in(KEY, number), jnp.ones((1, size)), 0.5))[0] == 0
        assert 0 < dropped.sum() < size
        assert (grads[number]["bias"][dropped] == 0).all()
        assert (grads[number]["weights"][:, dropped] == 0).all()
        assert (grads[number + 1]["weights"][dropped] == 0).all()
        assert (grads[number]["bias"][~dropped] != 0).all()


def test_softmax_regression_has_nothing_to_drop() -> None:
    settings = dataclasses.replace(TWO_LAYERS, hidden_sizes=())
    params, inputs = start(settings).params, batches(20, 1)[0][0]
    np.testing.assert_array_equal(
        dropout_forward(params, settings, inputs)[0], MODEL.forward(params, settings, inputs)[0]
    )


def test_evaluation_drops_nobody() -> None:
    inputs, labels = (part[0] for part in batches(20, 1))
    params = start(TWO_LAYERS).params
    with_dropout, without = (
        evaluate(params, TWO_LAYERS, Problem(dropout=dropped), inputs, labels, 20) for dropped in (True, False)
    )
    assert with_dropout.loss == without.loss
    logits, _ = MODEL.forward(params, TWO_LAYERS, inputs)
    expected = np.log(np.exp(logits).sum(1)) - np.asarray(logits)[np.arange(20), labels]
    np.testing.assert_allclose(with_dropout.loss, expected.mean(), rtol=1e-5)


@functools.cache
def trained(rate: float) -> tuple[Any, np.ndarray]:
    settings = dataclasses.replace(TWO_LAYERS, learning_rate=0.3, dropout_rate=rate)
    return follow(settings, "dropout", num_steps=200)


def test_the_training_loss_is_that_of_the_network_thinned_with_the_draw_of_its_step() -> None:
    params, losses = trained(0.5)
    inputs, labels = (part[5] for part in batches(20, 200))
    logits, _ = dropout_forward(
        jax.tree.map(lambda leaf: leaf[4], params), TWO_LAYERS, inputs, jax.random.fold_in(member_key(0, 0, DROPOUT), 5)
    )
    expected = np.log(np.exp(logits).sum(1)) - np.asarray(logits)[np.arange(20), labels]
    np.testing.assert_allclose(losses[5], expected.mean(), rtol=1e-5)


def test_training_with_dropout_lowers_the_loss_but_not_as_far_as_without() -> None:
    dropped, kept = (trained(rate)[1] for rate in (0.5, 0.0))
    assert kept[-20:].mean() < dropped[-20:].mean() < 0.7 * dropped[0]
