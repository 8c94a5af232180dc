"""Penalties: terms of the objective besides the loss, [] in the unit of the loss, each with its strength as a factor.

They act on the weights of all layers, the output layer included, or on the activations of the hidden layers; never on
biases. Their parameters are hyperparameters by name, besides `params` (a tree), `activations` (of the hidden layers
before dropout, [batch, units] each) and `step` ([] int32, the number of steps taken).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxreg.nn.activations import activation_named
from jaxreg.nn.trees import Layers, Params, weights_of

_PRODUCT_ROUNDING = 2.0**-22  # relative, twice that of a float32 factor and its product
MEAN_ACTIVATION_BOUND = 1e-4  # mean activations count as at least this, and at most 1 minus this


def l1_norm(params: Params) -> Array:
    """The sum of |w| over all weights, []: >= 0, gradient sign(w) with sign(0) = 0.

    |w| is written w sign(w), because the gradient of JAX's own |w| at 0 is 1. Steps along this gradient jump over 0 and
    give no exact zeros.

    References: Tibshirani (1996), Regression shrinkage and selection via the lasso.
    """
    return _sum([jnp.sum(w * jnp.sign(w)) for w in weights_of(params)])


def half_squared_l2_norm(params: Params) -> Array:
    """Half the sum of w^2 over all weights, []: >= 0, gradient w.

    Under plain gradient descent a strength s shrinks weights by the factor 1 - rate s per step, as decoupled weight
    decay does; under other optimizers the two differ (Loshchilov & Hutter 2019, Decoupled weight decay regularization,
    propositions 1 and 2).

    References: Krogh and Hertz (1991), A simple weight decay can improve generalization.
    """
    return _sum([jnp.sum(jnp.square(w)) / 2 for w in weights_of(params)])


def kl_sparsity(activations: Layers, target: ArrayLike, unit_interval: Callable[[Array], Array]) -> Array:
    """Sum over hidden units of KL(target || mean activation) between Bernoulli variables, [] in nats.

      KL(p || q) = p log(p / q) + (1 - p) log((1 - p) / (1 - q)),   >= 0, and 0 where q = p

    q is the mean over the batch of the unit's activation, mapped into (0, 1): itself for a sigmoid, (a + 1)/2 for tanh,
    a/(1 + a) for ReLU and softplus. It counts as at least 1e-4 and at most 1 - 1e-4; beyond that the gradient is 0, for
    a ReLU unit that never fires as well.

    Args:
      activations: of the hidden layers before dropout, [batch, units] each; 0 if there are none.
      target: p, in (0, 1).
      unit_interval: maps activations into (0, 1).

    References: Ng (2011), Sparse autoencoder, CS294A lecture notes.
    """

    def layer(a: Array) -> Array:
        mean = jnp.mean(unit_interval(a), axis=0)
        q = jnp.clip(mean, MEAN_ACTIVATION_BOUND, 1 - MEAN_ACTIVATION_BOUND)
        return jnp.sum(target * jnp.log(target / q) + (1 - target) * jnp.log((1 - target) / (1 - q)))

    return _sum([layer(a) for a in activations])


def l1(params: Params, step: Array, l1_strength: ArrayLike, l1_start: ArrayLike, num_steps: int) -> Array:
    """`l1_strength` times the L1 norm from step `l1_start` * num_steps on, 0 before.

    The product is taken in float32, where 0.3 * 100 is above 30: what lies within its rounding counts as reached. Since
    a sweep hands over an `l1_start` that falls on a step (`Group.stacked`), a first step up to 2 million is exact;
    later ones come early by at most 4 parts in 10 million.
    """
    first = l1_start * num_steps * (1 - _PRODUCT_ROUNDING)
    return jnp.where(step >= first, l1_strength, 0.0) * l1_norm(params)


def l2(params: Params, l2_strength: ArrayLike) -> Array:
    """`l2_strength` times half the squared L2 norm."""
    return jnp.asarray(l2_strength * half_squared_l2_norm(params))


def kl(activations: Layers, kl_strength: ArrayLike, kl_target: ArrayLike, activation: str) -> Array:
    """`kl_strength` times the divergence of mean activations from `kl_target`; 0 without hidden layers.

    Raises:
      ValueError: the activation has no map into (0, 1).
    """
    unit_interval = activation_named(activation).unit_interval
    if unit_interval is None:
        raise ValueError(f"activation {activation} has no map into (0, 1), which KL sparsity needs")
    return jnp.asarray(kl_strength * kl_sparsity(activations, kl_target, unit_interval))


def _sum(terms: Sequence[Array]) -> Array:
    return jax.tree.reduce(jnp.add, list(terms), jnp.zeros(()))
