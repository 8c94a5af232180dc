"""Own penalties and constraints, alone and as `update` uses them."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxreg import constraints, penalties
from jaxreg.config import Hparams
from jaxreg.training import Problem, StepMetrics, TrainState, init_state, update

HPARAMS = Hparams(hidden_sizes=(4,), init_variance=1.0, learning_rate=0.5, num_steps=10)
INPUTS: Any = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
LABELS: Any = np.array([0, 1, 2, 0, 1], np.int32)
STEP = jnp.int32(0)


def half_squared(params: Any, _activations: Any, hparams: Hparams, _step: Any) -> jax.Array:
    """A strength (here: the weight decay) times half the sum of all squares."""
    squares = jnp.stack([jnp.sum(leaf**2) for leaf in jax.tree.leaves(params)])
    return hparams.weight_decay * 0.5 * jnp.sum(squares)


def mean_activation(_params: Any, activations: Any, _hparams: Hparams, _step: Any) -> jax.Array:
    return jnp.mean(activations[0])


def late(_params: Any, _activations: Any, _hparams: Hparams, step: Any) -> jax.Array:
    return jnp.where(step >= 5, 3.0, 0.0)


def non_negative(params: Any, _hparams: Hparams) -> Any:
    return jax.tree.map(lambda leaf: jnp.maximum(leaf, 0), params)


def minus_one(params: Any, _hparams: Hparams) -> Any:
    return jax.tree.map(lambda leaf: leaf - 1, params)


@functools.cache
def start() -> TrainState:
    return jax.jit(lambda key: init_state(key, HPARAMS, Problem(), (4,), 3))(jax.random.key(0))


@functools.cache
def compiled(problem: Problem) -> Any:
    return jax.jit(lambda state, step: update(state, HPARAMS, problem, INPUTS, LABELS, step, jnp.asarray(True)))


def step_with(problem: Problem, step: int = 0) -> tuple[TrainState, StepMetrics]:
    return compiled(problem)(start(), jnp.int32(step))


def test_no_penalty_is_zero_and_the_total_is_the_sum() -> None:
    params, activations = start().params, (jnp.full((5, 4), 0.25),)
    assert penalties.total((), params, activations, HPARAMS, STEP) == 0
    both = penalties.total((mean_activation, late), params, activations, HPARAMS, jnp.int32(5))
    assert both.shape == ()
    assert both == 3.25


def test_no_constraint_changes_nothing_and_several_act_in_order() -> None:
    params = {"w": jnp.array([-3.0, 0.5, 2.0])}
    assert constraints.project((), params, HPARAMS) is params
    first = constraints.project((non_negative, minus_one), params, HPARAMS)
    other = constraints.project((minus_one, non_negative), params, HPARAMS)
    np.testing.assert_array_equal(first["w"], [-1, -0.5, 1])
    np.testing.assert_array_equal(other["w"], [0, 0, 1])


def test_the_objective_is_the_loss_plus_the_penalties() -> None:
    _, plain = step_with(Problem())
    hidden = 1 / (1 + np.exp(-INPUTS @ np.asarray(start().params[0]["weights"])))
    _, penalised = step_with(Problem(penalties=(mean_activation, late)), step=5)
    np.testing.assert_allclose(penalised.loss, plain.loss, rtol=1e-6)
    np.testing.assert_allclose(penalised.objective, plain.loss + hidden.mean() + 3, rtol=1e-6)
    assert plain.objective == plain.loss


def test_a_penalty_sees_the_step() -> None:
    problem = Problem(penalties=(late,))
    for step, expected in ((4, 0.0), (5, 3.0)):
        _, metrics = step_with(problem, step)
        np.testing.assert_allclose(metrics.objective - metrics.loss, expected, atol=1e-6)


def test_the_gradient_of_a_penalty_moves_the_parameters() -> None:
    # Strength times half the sum of squares has the gradient strength * w, so the step gets -rate * strength * w more.
    strength = 0.3
    half = Problem(penalties=(lambda p, a, h, t: half_squared(p, a, dataclasses.replace(h, weight_decay=strength), t),))
    plain, penalised = step_with(Problem())[0], step_with(half)[0]
    for before, without, moved in zip(
        *map(jax.tree.leaves, (start().params, plain.params, penalised.params)), strict=True
    ):
        np.testing.assert_allclose(moved - without, -0.5 * strength * before, rtol=1e-4, atol=1e-6)


def test_a_constraint_acts_on_the_updated_parameters() -> None:
    free, bound = (step_with(problem)[0].params for problem in (Problem(), Problem(constraints=(non_negative,))))
    for a, b in zip(jax.tree.leaves(free), jax.tree.leaves(bound), strict=True):
        np.testing.assert_array_equal(np.maximum(a, 0), b)
    assert any((leaf < 0).any() for leaf in jax.tree.leaves(free))


def test_a_strength_may_differ_between_members() -> None:
    strengths = jnp.array([0.0, 0.1, 2.0])
    values = jax.vmap(
        lambda strength: penalties.total(
            (half_squared,), start().params, (), dataclasses.replace(HPARAMS, weight_decay=strength), STEP
        )
    )(strengths)
    squares = sum(float(np.sum(np.asarray(leaf) ** 2)) for leaf in jax.tree.leaves(start().params))
    np.testing.assert_allclose(values, strengths * squares / 2, rtol=1e-5)


def test_a_penalty_that_is_not_finite_halts_the_member() -> None:
    after, metrics = step_with(Problem(penalties=(lambda *_: jnp.float32(jnp.nan),)), step=4)
    assert np.isfinite(metrics.loss)
    assert after.diverged_step == 4
    for a, b in zip(jax.tree.leaves(after.params), jax.tree.leaves(start().params), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_large_penalty_alone_is_no_divergence() -> None:
    after, metrics = step_with(Problem(penalties=(lambda *_: jnp.float32(1e6),)))
    assert metrics.objective > 1e5
    assert after.diverged_step == -1


def test_a_penalty_that_is_not_a_scalar_raises() -> None:
    with pytest.raises(TypeError, match="scalar"):
        step_with(Problem(penalties=(lambda p, *_: p[0]["bias"],)))
