"""Dropout of hidden units in training."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike


def dropout(key: Array, activations: Array, rate: ArrayLike) -> Array:
    """Inverted dropout: each activation is 0 with probability `rate`, and divided by 1 - rate otherwise.

    The expectation is the activation itself, so that nothing changes in evaluation. At a rate of 0 no bit changes. One
    uniform number is drawn per activation, and the unit dropped where it is below the rate: with one key, units that
    are dropped at a rate are dropped at all higher ones.

    Args:
      key: of this step and layer.
      activations: [batch, units].
      rate: in [0, 1).

    Returns:
      [batch, units].

    References: Srivastava et al. (2014), Dropout: a simple way to prevent neural networks from overfitting, section 10.
    """
    kept = jax.random.uniform(key, activations.shape) >= rate
    return jnp.where(kept, activations / (1 - rate), 0.0)
