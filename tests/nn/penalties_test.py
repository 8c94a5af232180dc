"""The penalties in closed form; own penalties and constraints, alone and as `update` uses them."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxreg.config import Hparams
from jaxreg.nn.activations import activation_named, with_unit_interval
from jaxreg.nn.penalties import (
    MEAN_ACTIVATION_BOUND,
    half_squared_l2_norm,
    kl_sparsity,
    l1_norm,
)
from jaxreg.nn.regularisers import REGULARISERS
from jaxreg.training.member import StepMetrics, update
from jaxreg.training.models import mlp
from jaxreg.training.problem import Problem, constraint_of, penalty_of, project, total_penalty, with_terms
from jaxreg.training.state import TrainState, init_state
from tests.trajectory import follow

HPARAMS = Hparams(hidden_sizes=(4,), init_variance=1.0, learning_rate=0.5, num_steps=10)
INPUTS: Any = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
LABELS: Any = np.array([0, 1, 2, 0, 1], np.int32)
STEP = jnp.int32(0)
PENALTIES = {name: penalty_of(record) for name, record in REGULARISERS.items() if record.penalty}


def unit_interval(activation: str) -> Callable[[jax.Array], jax.Array]:
    """The map of its values into (0, 1)."""
    mapping = activation_named(activation).unit_interval
    assert mapping is not None
    return mapping


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
    return jax.jit(lambda state, step: update(state, HPARAMS, problem, INPUTS, LABELS, step))


def step_with(problem: Problem, step: int = 0) -> tuple[TrainState, StepMetrics]:
    return compiled(problem)(start(), jnp.int32(step))


def test_no_penalty_is_zero_and_the_total_is_the_sum() -> None:
    params, activations = start().params, (jnp.full((5, 4), 0.25),)
    assert total_penalty((), params, activations, HPARAMS, STEP) == 0
    both = total_penalty((mean_activation, late), params, activations, HPARAMS, jnp.int32(5))
    assert both.shape == ()
    assert both == 3.25


def test_no_constraint_changes_nothing_and_several_act_in_order() -> None:
    params = {"w": jnp.array([-3.0, 0.5, 2.0])}
    assert project((), params, HPARAMS) is params
    first = project((non_negative, minus_one), params, HPARAMS)
    other = project((minus_one, non_negative), params, HPARAMS)
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
        lambda strength: total_penalty(
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


# The norms

WEIGHTS: Any = np.array([[3.0, -4.0], [0.0, 0.5]], np.float32)
PARAMS: Any = ({"weights": WEIGHTS, "bias": np.array([7.0, -9.0], np.float32)},)


def test_the_norms_by_hand_leave_biases_out() -> None:
    assert l1_norm(PARAMS) == 3 + 4 + 0 + 0.5
    assert half_squared_l2_norm(PARAMS) == (9 + 16 + 0 + 0.25) / 2
    assert l1_norm((*PARAMS, *PARAMS)) == 2 * l1_norm(PARAMS)  # the output layer like the others


@pytest.mark.parametrize(
    ("norm", "gradient"),
    [(l1_norm, np.array([[1, -1], [0, 1]])), (half_squared_l2_norm, WEIGHTS)],
    ids=["sign(w), and 0 at 0", "w"],
)
def test_the_gradients_of_the_norms_by_hand(norm: Callable[[Any], jax.Array], gradient: np.ndarray) -> None:
    (grads,) = jax.grad(norm)(PARAMS)
    np.testing.assert_array_equal(grads["weights"], gradient)
    np.testing.assert_array_equal(grads["bias"], np.zeros(2))


def test_gradient_descent_with_l2_is_ridge_regression() -> None:
    # The minimum of mean((X w + b - y)^2)/2 + strength |w|^2/2 is (X'X/n + strength I)^-1 X'y/n for centred X, and the
    # bias, which is not penalised, is the mean of y (Hoerl & Kennard 1970).
    rng, n, strength = np.random.default_rng(3), 50, 0.7
    x = rng.normal(size=(n, 3))
    x -= x.mean(0)
    y = x @ [[2.0], [-1.0], [0.5]] + 5 + rng.normal(size=(n, 1))
    settings = Hparams(l2_strength=strength)

    def objective(params: Any) -> jax.Array:
        predicted = x @ params[0]["weights"] + jnp.expand_dims(params[0]["bias"], 0)
        return jnp.mean(jnp.square(predicted - y)) / 2 + PENALTIES["l2"](params, (), settings, STEP)

    def step(_: int, params: Any) -> Any:
        return jax.tree.map(lambda w, g: w - 0.3 * g, params, jax.grad(objective)(params))

    begin = ({"weights": jnp.zeros((3, 1)), "bias": jnp.zeros(1)},)
    (fitted,) = jax.jit(lambda params: jax.lax.fori_loop(0, 300, step, params))(begin)
    ridge = np.linalg.solve(x.T @ x / n + strength * np.eye(3), x.T @ y / n)
    np.testing.assert_allclose(fitted["weights"], ridge, rtol=1e-5)
    np.testing.assert_allclose(fitted["bias"], y.mean(0), rtol=1e-5)


def test_subgradient_steps_with_l1_end_at_the_soft_threshold() -> None:
    # The minimum of (w - a)^2/2 + strength |w| is sign(a) max(|a| - strength, 0) (Tibshirani 1996). Steps reach it
    # where it is not 0; around 0 they jump from side to side, by no more than rate (strength + |a|), and never hit it.
    rate, strength = 0.01, 0.5
    a = np.array([[-2.0, -0.6, -0.3, 0.1, 0.499, 0.9, 3.0]], np.float32)
    settings = Hparams(l1_strength=strength)

    def objective(w: Any) -> jax.Array:
        return jnp.sum(jnp.square(w - a)) / 2 + PENALTIES["l1"](({"weights": w},), (), settings, STEP)

    steps = jax.jit(lambda w: jax.lax.fori_loop(0, 2000, lambda _, w: w - rate * jax.grad(objective)(w), w))
    w = np.asarray(steps(jnp.ones_like(a)))
    soft = np.sign(a) * np.maximum(np.abs(a) - strength, 0)
    survives = soft != 0
    assert survives.sum() == 4
    np.testing.assert_allclose(w[survives], soft[survives], rtol=1e-4)
    assert (np.abs(w[~survives]) <= rate * (strength + np.abs(a[~survives]))).all()
    assert (w != 0).all()


def test_l1_sets_in_at_its_fraction_of_training() -> None:
    settings = Hparams(l1_strength=2.0, l1_start=0.8, num_steps=10)
    values = [float(PENALTIES["l1"](PARAMS, (), settings, jnp.int32(step))) for step in range(10)]
    assert values == [0.0] * 8 + [15.0] * 2
    never = dataclasses.replace(settings, l1_start=1.0)
    assert PENALTIES["l1"](PARAMS, (), never, jnp.int32(9)) == 0
    assert PENALTIES["l1"](PARAMS, (), Hparams(l1_strength=2.0), STEP) == 15


@pytest.mark.parametrize("num_steps", [7, 100, 999, 1000, 85_938, 1_000_000])
def test_l1_sets_in_at_the_first_step_that_is_not_before_its_fraction(num_steps: int) -> None:
    """In float32 0.3 * 100 is above 30; exact arithmetic says which step is the first."""
    for percent in (1, 3, 7, 29, 30, 57, 70, 99, 100):
        first = -(-percent * num_steps // 100)
        settings = Hparams(l1_strength=2.0, l1_start=percent / 100, num_steps=num_steps)
        traced = dataclasses.replace(settings, l1_start=jnp.float32(percent / 100))
        strengths = [float(PENALTIES["l1"](PARAMS, (), traced, jnp.int32(step))) for step in (first - 1, first)]
        assert strengths == [0.0, 15.0], (percent, num_steps)


# KL sparsity


@pytest.mark.parametrize(
    ("activation", "column", "target", "expected"),
    [
        # KL(p || q) on paper; q is the mean over the column
        ("sigmoid", [0.25, 0.25], 0.5, math.log(4 / 3) / 2),  # (1/2) log 2 + (1/2) log(2/3)
        ("sigmoid", [0.4, 0.6], 0.25, math.log(1 / 2) / 4 + 3 * math.log(3 / 2) / 4),
        ("sigmoid", [0.3, 0.1], 0.2, 0.0),
        ("tanh", [0.0, -1.0], 0.5, math.log(4 / 3) / 2),  # (0 + 1)/2 and 0
        ("relu", [0.0, 1.0], 0.5, math.log(4 / 3) / 2),  # 0 and 1/2: mapped first, then averaged
        ("relu", [3.0, 3.0], 0.5, math.log(4 / 3) / 2),  # 3/4
        ("softplus", [1 / 3, 1 / 3], 0.5, math.log(4 / 3) / 2),  # 1/4
    ],
)
def test_kl_by_hand(activation: str, column: list[float], target: float, expected: float) -> None:
    unit: Any = np.array(column, np.float32)[:, None]
    np.testing.assert_allclose(kl_sparsity((unit,), target, unit_interval(activation)), expected, rtol=1e-5, atol=1e-7)
    three_units: Any = (np.concatenate([unit, unit], 1), unit)  # two in one layer, one in the next: the sum
    np.testing.assert_allclose(
        kl_sparsity(three_units, target, unit_interval(activation)), 3 * expected, rtol=1e-5, atol=1e-6
    )


def test_the_gradient_of_kl_by_hand() -> None:
    # d KL / dq = (1 - p)/(1 - q) - p/q, and each of n examples has 1/n of q. Here p = 0.1, q = 0.25, n = 4.
    a: Any = np.array([[0.1], [0.2], [0.3], [0.4]], np.float32)
    grads = jax.grad(lambda a: kl_sparsity((a,), 0.1, unit_interval("sigmoid")))(a)
    np.testing.assert_allclose(grads, np.full((4, 1), (0.9 / 0.75 - 0.1 / 0.25) / 4), rtol=1e-5)


@pytest.mark.parametrize(("activation", "value"), [("relu", 0.0), ("sigmoid", 0.0), ("sigmoid", 1.0), ("tanh", -1.0)])
def test_kl_of_units_at_an_end_is_that_at_the_bound_and_has_no_gradient(activation: str, value: float) -> None:
    a: Any = np.full((3, 2), value, np.float32)
    q = 1 - MEAN_ACTIVATION_BOUND if value == 1 else MEAN_ACTIVATION_BOUND
    expected = 2 * (0.05 * math.log(0.05 / q) + 0.95 * math.log(0.95 / (1 - q)))
    found, grads = jax.value_and_grad(lambda a: kl_sparsity((a,), 0.05, unit_interval(activation)))(a)
    np.testing.assert_allclose(found, expected, rtol=1e-3)  # 1 - 1e-4 has three digits of 1e-4 left in float32
    np.testing.assert_array_equal(grads, np.zeros_like(a))
    off = jax.grad(lambda a: PENALTIES["kl"]((), (a,), Hparams(activation=activation), STEP))(a)
    np.testing.assert_array_equal(off, np.zeros_like(a))


def test_without_hidden_layers_there_is_no_kl() -> None:
    assert kl_sparsity((), 0.05, unit_interval("sigmoid")) == 0


# All of them

ON: dict[str, Any] = {"l1_strength": 0.3, "l2_strength": 0.2, "kl_strength": 0.7, "kl_target": 0.1}
MODEL = mlp()


def regularised(name: str, activation: str = "sigmoid", **strengths: Any) -> Callable[[Any], jax.Array]:
    """A penalty of the parameters of a network on INPUTS."""
    settings = dataclasses.replace(HPARAMS, activation=activation, **strengths)
    return lambda params: PENALTIES[name](params, MODEL.forward(params, settings, INPUTS)[1], settings, STEP)


@pytest.mark.parametrize(
    ("name", "activation"), [("l1", "sigmoid"), ("l2", "sigmoid"), *(("kl", name) for name in with_unit_interval())]
)
def test_gradients_agree_with_central_differences_in_double_precision(name: str, activation: str) -> None:
    with jax.enable_x64(True):
        params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), start().params)
        value = jax.jit(regularised(name, activation, **ON))
        grads = jax.device_get(jax.grad(value)(params))
        for layer, key in ((0, "weights"), (0, "bias"), (1, "weights"), (1, "bias")):
            for at in list(np.ndindex(params[layer][key].shape))[:6]:
                up, down = (jax.tree.map(np.copy, params) for _ in range(2))
                up[layer][key][at] += 1e-5
                down[layer][key][at] -= 1e-5
                slope = (value(up) - value(down)) / 2e-5
                np.testing.assert_allclose(grads[layer][key][at], slope, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", PENALTIES)
def test_jit_is_eager_and_strengths_under_vmap_are_a_loop(name: str) -> None:
    value = regularised(name, **ON)
    np.testing.assert_allclose(jax.jit(value)(start().params), value(start().params), rtol=1e-5)
    field = f"{name}_strength"
    strengths = jnp.array([0.0, 0.1, 2.0])

    def at(strength: Any) -> jax.Array:
        on: dict[str, Any] = {field: strength}
        return regularised(name, **on)(start().params)

    mapped = jax.vmap(at)(strengths)
    assert mapped.shape == (3,)
    np.testing.assert_allclose(mapped, strengths * at(1.0), rtol=1e-5)
    assert mapped[0] == 0
    assert (np.diff(mapped) > 0).all()


@pytest.mark.parametrize("name", PENALTIES)
def test_zero_weights_and_zero_strengths_are_harmless(name: str) -> None:
    zeros = jax.tree.map(jnp.zeros_like, start().params)
    value, grads = jax.value_and_grad(regularised(name, **ON))(zeros)
    assert np.isfinite(value)
    assert (value == 0) == (name != "kl")
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))
    if name != "kl":  # the gradient at zero weights is zero, that of L1 too
        assert all((leaf == 0).all() for leaf in jax.tree.leaves(grads))
    off, grads = jax.value_and_grad(regularised(name))(start().params)
    assert off == 0
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(grads))


def test_the_terms_of_a_program_come_before_own_ones() -> None:
    problem = with_terms(Problem(penalties=(late,), constraints=(non_negative,)), "l2+max_norm+dropout")
    assert problem.penalties == (PENALTIES["l2"], late)
    assert problem.constraints == (constraint_of(REGULARISERS["max_norm"]), non_negative)
    assert problem.dropout
    assert with_terms(Problem(penalties=(late,)), "none") == Problem(penalties=(late,))


# L2 and decoupled decay (Loshchilov & Hutter 2019, propositions 1 and 2)


def test_l2_is_decoupled_decay_under_sgd_and_not_under_adam() -> None:
    def distance(optimizer: str, rate: float) -> float:
        """The largest difference of any parameter in 100 steps, in which L2 itself moves one by more than 0.01."""
        shared = Hparams(hidden_sizes=(8,), batch_size=20, optimizer=optimizer, learning_rate=rate, init_variance=0.1)
        by_l2, plain, by_decay = (
            follow(dataclasses.replace(shared, l2_strength=s, weight_decay=d), "l2", num_steps=100)[0]
            for s, d in ((0.05, 0.0), (0.0, 0.0), (0.0, 0.05))
        )
        assert largest(by_l2, plain) > 1e-2
        return largest(by_l2, by_decay)

    def largest(a: Any, b: Any) -> float:
        return max(float(np.abs(x - y).max()) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))

    assert distance("sgd", 0.3) < 1e-5
    assert distance("adam", 0.01) > 1e-2
