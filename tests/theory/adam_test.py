from __future__ import annotations

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxreg.theory.adam import PROCESSES, expected_ratio, recursion, simulate, unrolled

DECAYS = (0.0, 0.5, 0.9, 0.99, 0.999)


def squares(steps: int, *shape: int, key: int = 0) -> jax.Array:
    return jnp.square(jax.random.normal(jax.random.key(key), (steps, *shape)))


def test_the_first_moments_by_hand() -> None:
    """decay 1/2 of the squares 1, 4, 9: 1/2, 1/4 + 2, 1/8 + 1 + 9/2."""
    for form in (recursion, unrolled):
        np.testing.assert_allclose(form(jnp.array([1.0, 4.0, 9.0]), 0.5), [0.5, 2.25, 5.625], rtol=1e-6)


@settings(max_examples=20, deadline=None)
@given(decay=st.floats(0, 0.9999), key=st.integers(0, 2**31), scale=st.floats(1e-6, 1e6))
def test_the_sum_is_the_recursion(decay: float, key: int, scale: float) -> None:
    drawn = scale * squares(60, 3, key=key)
    one, other = (jax.jit(form)(drawn, decay) for form in (unrolled, recursion))
    np.testing.assert_allclose(one, other, rtol=1e-5)


@pytest.mark.parametrize("decay", DECAYS)
def test_the_sum_is_the_second_moment_of_optax(decay: float) -> None:
    gradients = jax.random.normal(jax.random.key(1), (400, 5))
    adam = optax.scale_by_adam(b2=decay)

    def advance(state: optax.ScaleByAdamState, gradient: jax.Array) -> tuple[optax.ScaleByAdamState, jax.Array]:
        state = adam.update(gradient, state)[1]
        return state, state.nu

    _, moments = jax.lax.scan(advance, adam.init(gradients[0]), gradients)
    for form in (recursion, unrolled):
        np.testing.assert_allclose(form(jnp.square(gradients), decay), moments, rtol=2e-5)


def test_a_constant_square_has_the_geometric_sum() -> None:
    steps = np.arange(1, 301)
    for decay in DECAYS:
        expected = [(1 - decay) * sum(decay**i for i in range(t)) for t in steps]
        np.testing.assert_allclose(expected_ratio(decay, jnp.asarray(steps)), expected, rtol=3e-5, atol=1e-6)
        np.testing.assert_allclose(unrolled(jnp.full(300, 7.0), decay), 7 * np.array(expected), rtol=3e-5)


def test_dividing_by_the_ratio_is_what_adam_does() -> None:
    (moment,) = recursion(jnp.array([4.0]), 0.999)
    corrected = optax.tree_utils.tree_bias_correction(moment, 0.999, 1)
    np.testing.assert_allclose(moment / expected_ratio(0.999, 1), corrected, rtol=1e-4)  # 1 - 0.999 in float32
    np.testing.assert_allclose(corrected, 4.0, rtol=1e-4)


def test_one_term_too_many_gives_almost_twice_the_ratio_at_the_first_step() -> None:
    assert expected_ratio(0.999, 1) == pytest.approx(0.001)
    assert expected_ratio(0.999, 2) == pytest.approx(0.001999)


@pytest.mark.parametrize("name", PROCESSES)
def test_a_process_keeps_its_second_moment_and_the_ratio_does_not_depend_on_it(name: str) -> None:
    """Twenty keys of 2000 draws; beyond 4.2 standard errors lies one in 2000 of Student's t."""
    decays = jnp.array([0.5, 0.9, 0.99])
    keys = jax.random.split(jax.random.key(2), 20)
    run = jax.jit(jax.vmap(lambda key: simulate(PROCESSES[name], key, decays, 40, 2000)))
    moments, square = run(keys)
    at = [0, 1, 4, 39]
    expected = np.array([[expected_ratio(float(decay), t + 1) for decay in decays] for t in at])
    for values, truth in ((moments[:, at], expected), (square[:, at], np.ones(len(at)))):
        scaled = np.asarray(values, np.float64) / PROCESSES[name].second_moment
        error = scaled.std(0, ddof=1) / math.sqrt(len(keys))
        np.testing.assert_array_less(abs(scaled.mean(0) - truth), 4.2 * error)


def test_only_the_dependent_process_remembers() -> None:
    for name, process in PROCESSES.items():
        start, *keys = jax.random.split(jax.random.key(3), 3)
        first = process.draw(keys[0], jax.random.normal(start, (20_000,)))
        second = process.draw(keys[1], first)
        correlation = np.corrcoef(np.asarray(first), np.asarray(second))[0, 1]
        assert correlation == pytest.approx(0.9 if name == "dependent" else 0.0, abs=0.03)


def test_a_longer_simulation_begins_with_the_same_draws() -> None:
    decays = jnp.array([0.9])
    short, long = (simulate(PROCESSES["dependent"], jax.random.key(4), decays, steps, 10) for steps in (5, 9))
    for one, other in zip(short, long, strict=True):
        np.testing.assert_array_equal(one, other[:5])


def test_a_simulation_means_what_the_recursion_gives() -> None:
    """Averaging and the recursion are both linear, so they can be exchanged."""
    decays = jnp.array([0.9, 0.999])
    moments, square = simulate(PROCESSES["normal"], jax.random.key(5), decays, 50, 100)
    for i, form in itertools.product(range(2), (recursion, unrolled)):
        np.testing.assert_allclose(moments[:, i], form(square, decays[i]), rtol=1e-5)
