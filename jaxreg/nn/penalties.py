"""Terms of the objective besides the loss.

A penalty is a function (params, activations, hparams, step) -> scalar, its strength included, so that a strength is a
per-member number like any other. The objective is the loss plus the sum of the penalties; an empty list costs nothing.
Those of `PENALTIES` act on the weights of all layers, the output layer included, and never on biases.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import Array

from jaxreg.config.hparams import DEFAULT_NUM_STEPS, Hparams
from jaxreg.training.models import Layers, Params, weights_of

Penalty = Callable[[Params, Layers, Hparams, Array], Array]

MEAN_ACTIVATION_BOUND = 1e-4  # mean activations count as at least this, and at most 1 minus this

# Activations mapped into (0, 1), so that their mean can be compared with a target there.
TO_UNIT_INTERVAL: dict[str, Callable[[Array], Array]] = {
    "sigmoid": lambda a: a,
    "tanh": lambda a: (a + 1) / 2,
    "relu": lambda a: a / (1 + a),
    "softplus": lambda a: a / (1 + a),
}


def total(penalties: Sequence[Penalty], params: Params, activations: Layers, hparams: Hparams, step: Array) -> Array:
    """The sum of all penalties, a scalar in the unit of the loss."""
    result = jnp.zeros(())
    for penalty in penalties:
        result += penalty(params, activations, hparams, step)
    return result


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


def kl_sparsity(activations: Layers, target: Array | float, activation: str) -> Array:
    """Sum over hidden units of KL(target || mean activation) between Bernoulli variables, [] in nats.

      KL(p || q) = p log(p / q) + (1 - p) log((1 - p) / (1 - q)),   >= 0, and 0 where q = p

    q is the mean over the batch of the unit's activation, mapped into (0, 1): itself for a sigmoid, (a + 1)/2 for tanh,
    a/(1 + a) for ReLU and softplus. It counts as at least 1e-4 and at most 1 - 1e-4; beyond that the gradient is 0, for
    a ReLU unit that never fires as well.

    Args:
      activations: of the hidden layers before dropout, [batch, units] each; 0 if there are none.
      target: p, in (0, 1).
      activation: one of TO_UNIT_INTERVAL.

    References: Ng (2011), Sparse autoencoder, CS294A lecture notes.
    """

    def layer(a: Array) -> Array:
        mean = jnp.mean(TO_UNIT_INTERVAL[activation](a), axis=0)
        q = jnp.clip(mean, MEAN_ACTIVATION_BOUND, 1 - MEAN_ACTIVATION_BOUND)
        return jnp.sum(target * jnp.log(target / q) + (1 - target) * jnp.log((1 - target) / (1 - q)))

    return _sum([layer(a) for a in activations])


def l1(params: Params, _activations: Layers, hparams: Hparams, step: Array) -> Array:
    """`l1_strength` times the L1 norm from step `l1_start` * num_steps on, 0 before."""
    starts = hparams.l1_start * (hparams.num_steps or DEFAULT_NUM_STEPS)
    return jnp.where(step >= starts, hparams.l1_strength, 0.0) * l1_norm(params)


def l2(params: Params, _activations: Layers, hparams: Hparams, _step: Array) -> Array:
    """`l2_strength` times half the squared L2 norm."""
    return hparams.l2_strength * half_squared_l2_norm(params)


def kl(_params: Params, activations: Layers, hparams: Hparams, _step: Array) -> Array:
    """`kl_strength` times the divergence of mean activations from `kl_target`."""
    return hparams.kl_strength * kl_sparsity(activations, hparams.kl_target, hparams.activation)


PENALTIES: dict[str, Penalty] = {"l1": l1, "l2": l2, "kl": kl}


def _sum(terms: Sequence[Array]) -> Array:
    return jax.tree.reduce(jnp.add, list(terms), jnp.zeros(()))
