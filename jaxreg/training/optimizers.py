"""Update rules and schedules from Optax, built inside the traced function so that every number may be a traced scalar.

All rules have the form  w <- w - rate(t) (direction(gradients) + weight_decay w),  the last term for weights only
(decoupled decay, Loshchilov & Hutter 2019).
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import optax
from jax import Array
from jax.typing import ArrayLike

from jaxreg.config.hparams import DEFAULT_NUM_STEPS, Hparams
from jaxreg.training.models import weights_mask

RMSPROP_EPS = 1e-8

# The direction of a step before rate and decay, by name.
OPTIMIZERS: dict[str, Callable[[Hparams], optax.GradientTransformation]] = {
    "sgd": lambda _: optax.identity(),
    "momentum": lambda hparams: optax.trace(decay=hparams.momentum),
    "nesterov": lambda hparams: optax.trace(decay=hparams.momentum, nesterov=True),
    "adam": lambda hparams: optax.scale_by_adam(hparams.beta1, hparams.beta2),
    "adamw": lambda hparams: optax.scale_by_adam(hparams.beta1, hparams.beta2),
    "rmsprop": lambda hparams: optax.chain(
        optax.scale_by_rms(decay=hparams.beta2, eps=RMSPROP_EPS), optax.trace(decay=hparams.momentum)
    ),
}

# The factor on the learning rate after `elapsed` steps of decay, by name; `tau` is decay_steps.
SCHEDULES: dict[str, Callable[[Hparams, Array, ArrayLike], Array]] = {
    "constant": lambda _, elapsed, __: jnp.ones_like(elapsed),
    "inverse_time": lambda _, elapsed, tau: 1.0 / (1.0 + elapsed / tau),
    "exponential": lambda hparams, elapsed, tau: jnp.power(hparams.decay_rate, elapsed / tau),
    "cosine": lambda _, elapsed, tau: 0.5 * (1.0 + jnp.cos(jnp.pi * jnp.minimum(elapsed / tau, 1.0))),
}


def make_schedule(hparams: Hparams) -> Callable[[ArrayLike], Array]:
    """The learning rate of step t = 0, 1, ...

    With W warm-up steps, tau = decay_steps (0: num_steps - W) and s = max(t - W, 0),
      rate(t) = learning_rate * min(1, (t + 1) / W) * decay(s),
    where decay(s) is 1 (constant), 1/(1 + s/tau) (inverse_time), decay_rate^(s/tau) (exponential), or
    (1 + cos(pi min(s/tau, 1)))/2 (cosine). Inverse-time decay meets the conditions of Robbins & Monro (1951),
    sum rate = infinity and sum rate^2 < infinity.
    """
    warmup = jnp.asarray(hparams.warmup_steps, jnp.float32)
    rest = jnp.maximum((hparams.num_steps or DEFAULT_NUM_STEPS) - warmup, 1.0)
    tau = jnp.where(jnp.asarray(hparams.decay_steps) > 0, hparams.decay_steps, rest)

    def schedule(count: ArrayLike) -> Array:
        step = jnp.asarray(count, jnp.float32)
        rise = jnp.minimum(1.0, (step + 1.0) / jnp.maximum(warmup, 1.0))
        return hparams.learning_rate * rise * SCHEDULES[hparams.schedule](hparams, jnp.maximum(step - warmup, 0.0), tau)

    return schedule


def make_optimizer(hparams: Hparams) -> optax.GradientTransformation:
    """The Optax transformation of one member."""
    return optax.chain(
        OPTIMIZERS[hparams.optimizer](hparams),
        optax.add_decayed_weights(hparams.weight_decay, mask=weights_mask),
        optax.scale_by_learning_rate(make_schedule(hparams)),
    )
