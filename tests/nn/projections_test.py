"""Max-norm: the projection by hand and by its property, and the bound after every step."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxreg.config import Hparams
from jaxreg.nn.projections import max_norm, project_on_ball, unit_norms
from tests.trajectory import follow


def test_norms_are_those_of_incoming_weights() -> None:
    np.testing.assert_array_equal(unit_norms(jnp.array([[3.0, 0.0], [4.0, 2.0]])), [[5.0, 2.0]])
    kernel = jnp.ones((3, 3, 4, 2))  # of a convolution: height, width, channels in, channels out
    np.testing.assert_array_equal(unit_norms(kernel), np.full((1, 1, 1, 2), 6.0))


def test_projections_by_hand() -> None:
    # Columns: |(3, 4)| = 5 is scaled by 2/5; |(0.6, 0.8)| = 1 is inside; (0, -2) lies on the ball; 0 stays 0.
    weights = jnp.array([[3.0, 0.6, 0.0, 0.0], [4.0, 0.8, -2.0, 0.0]])
    projected = np.asarray(project_on_ball(weights, 2.0))
    np.testing.assert_allclose(projected[:, 0], [1.2, 1.6], rtol=1e-6)
    np.testing.assert_array_equal(projected[:, 1:], weights[:, 1:])


def test_the_projection_is_the_nearest_point_of_the_ball() -> None:
    """p is nearest to w in a convex set where (w - p)'(y - p) <= 0 for all of its y (variational inequality)."""
    rng, radius = np.random.default_rng(0), 1.5
    weights: Any = rng.normal(size=(6, 40)).astype(np.float32)
    p = np.asarray(project_on_ball(weights, radius), np.float64)
    outside = np.linalg.norm(weights, axis=0) > radius
    assert 0 < outside.sum() < 40
    y = rng.normal(size=(500, 6, 1))
    y *= radius * rng.uniform(size=(500, 1, 1)) / np.linalg.norm(y, axis=1, keepdims=True)
    assert ((weights - p) * (y - p)).sum(1).max() <= 1e-5
    np.testing.assert_allclose(np.linalg.norm(p[:, outside], axis=0), radius, rtol=1e-6)
    np.testing.assert_array_equal(p[:, ~outside], weights[:, ~outside])


@pytest.mark.parametrize("fan_in", [1, 64, 784, 20_000])
def test_the_bound_holds_for_any_number_of_inputs(fan_in: int) -> None:
    weights: Any = np.random.default_rng(1).uniform(0, 1, (fan_in, 16)).astype(np.float32)
    for radius in (1e-3, 0.5, 3.0):
        norms = np.linalg.norm(np.asarray(jax.jit(project_on_ball)(weights, radius), np.float64), axis=0)
        assert norms.max() <= radius * (1 + 1e-6)


def test_a_projected_point_stays_where_it_is() -> None:
    weights: Any = np.random.default_rng(2).normal(size=(30, 8)).astype(np.float32)
    once = project_on_ball(weights, 0.7)
    np.testing.assert_allclose(project_on_ball(once, 0.7), once, rtol=3e-7)


def test_no_bound_changes_no_bit_and_biases_are_never_touched() -> None:
    rng = np.random.default_rng(3)
    params: Any = tuple({"weights": rng.normal(size=(5, 4)), "bias": 100 * rng.normal(size=4)} for _ in range(2))
    params = jax.tree.map(lambda leaf: leaf.astype(np.float32), params)
    for radius, acts in ((np.inf, False), (0.1, True)):
        after = jax.jit(max_norm)(params, radius)
        for old, new in zip(params, after, strict=True):
            np.testing.assert_array_equal(new["bias"], old["bias"])
            assert (np.asarray(new["weights"]) != old["weights"]).all() == acts


def test_radii_under_vmap_are_a_loop_and_jit_is_eager() -> None:
    weights, radii = jax.random.normal(jax.random.key(0), (7, 5)), jnp.array([0.1, 1.0, jnp.inf])
    mapped = jax.vmap(project_on_ball, (None, 0))(weights, radii)
    for radius, projected in zip(radii, mapped, strict=True):
        np.testing.assert_allclose(projected, project_on_ball(weights, radius), rtol=1e-6)
        np.testing.assert_allclose(projected, jax.jit(project_on_ball)(weights, radius), rtol=1e-6)


def test_weights_that_are_not_finite_stay_so() -> None:
    """So that the member counts as diverged."""
    for bad in (np.nan, np.inf):
        assert not np.isfinite(project_on_ball(jnp.array([[bad], [1.0]]), 1.0)).all()


def test_the_bound_holds_after_every_step_of_training() -> None:
    radius = 1.0
    free = Hparams(hidden_sizes=(8,), batch_size=20, learning_rate=0.5, num_steps=300, init_variance=0.1)
    bound = dataclasses.replace(free, max_norm=radius)
    params, without = (follow(settings, "max_norm", num_steps=300)[0] for settings in (bound, free))
    for layer, unbound in zip(params, without, strict=True):
        norms, unbound_norms = (
            np.linalg.norm(part["weights"].astype(np.float64), axis=1) for part in (layer, unbound)
        )  # [step, units]
        assert norms.max() <= radius * (1 + 1e-6)
        at_the_bound = norms >= radius * (1 - 1e-6)
        assert at_the_bound.any(axis=0).all()  # every unit, at some step
        assert at_the_bound.mean() > 0.5
        assert not at_the_bound.all()
        assert unbound_norms[-1].min() > radius
