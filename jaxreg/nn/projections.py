"""Projections of the parameters after the update."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxreg.nn.trees import Params, weights_mask


def unit_norms(weights: Array) -> Array:
    """The norm of the incoming weights of each unit, [..., units] -> [1, ..., units]: over all axes but the last."""
    return jnp.sqrt(jnp.sum(jnp.square(weights), axis=tuple(range(weights.ndim - 1)), keepdims=True))


def project_on_ball(weights: Array, radius: ArrayLike) -> Array:
    """Each unit's incoming weight vector w, projected on the ball |w| <= radius: w min(1, radius / |w|).

    The nearest point of the ball; a vector inside is not touched, so an infinite radius changes no bit. The bound holds
    to a relative 1e-6.

    Args:
      weights: [..., units].
      radius: > 0.

    References: Srebro and Shraibman (2005), Rank, trace-norm and max-norm; Hinton et al. (2012), Improving neural
    networks by preventing co-adaptation of feature detectors; Srivastava et al. (2014), Dropout, section 5.1.
    """
    norms = unit_norms(weights)
    return jnp.where(norms > radius, weights * (radius / norms), weights)


def max_norm(params: Params, max_norm: ArrayLike) -> Params:
    """The incoming weights of every unit of every layer, projected on |w| <= `max_norm`; biases are not part of it."""
    return jax.tree.map(
        lambda leaf, is_weight: project_on_ball(leaf, max_norm) if is_weight else leaf,
        params,
        weights_mask(params),
    )
