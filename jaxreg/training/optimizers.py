"""The optimizer of a member, built inside the traced function so that every number may be a traced scalar.

All rules have the form  w <- w - rate(t) (direction(gradients) + weight_decay w),  the last term for weights only
(decoupled decay, Loshchilov & Hutter 2019).
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import optax
from jax import Array
from jax.typing import ArrayLike

from jaxreg.config import Hparams, resolved
from jaxreg.nn.optimizers import OPTIMIZERS, SCHEDULES
from jaxreg.nn.trees import weights_mask
from jaxreg.training.binding import bind


def make_schedule(hparams: Hparams) -> Callable[[ArrayLike], Array]:
    """The learning rate of step t = 0, 1, ...

    With W warm-up steps, tau = decay_steps (0: num_steps - W) and s = max(t - W, 0),
      rate(t) = learning_rate * min(1, (t + 1) / W) * decay(s),
    where decay(s) is 1 (constant), 1/(1 + s/tau) (inverse_time), decay_rate^(s/tau) (exponential), or
    (1 + cos(pi min(s/tau, 1)))/2 (cosine). Inverse-time decay meets the conditions of Robbins & Monro (1951),
    sum rate = infinity and sum rate^2 < infinity.
    """
    warmup = jnp.asarray(hparams.warmup_steps, jnp.float32)
    rest = jnp.maximum(resolved(hparams, "num_steps") - warmup, 1.0)
    tau = jnp.where(jnp.asarray(hparams.decay_steps) > 0, hparams.decay_steps, rest)
    decay = bind(SCHEDULES[hparams.schedule], hparams, 1, decay_steps=tau)

    def schedule(count: ArrayLike) -> Array:
        step = jnp.asarray(count, jnp.float32)
        rise = jnp.minimum(1.0, (step + 1.0) / jnp.maximum(warmup, 1.0))
        return hparams.learning_rate * rise * decay(jnp.maximum(step - warmup, 0.0))

    return schedule


def make_optimizer(hparams: Hparams) -> optax.GradientTransformation:
    """The Optax transformation of one member, made inside the traced function.

    In order: the direction of the update rule, decoupled decay of the weights, minus the learning rate of the schedule.

    Args:
      hparams: its hyperparameters, scalars which may be traced.

    Returns:
      A transformation (gradients, state, params) -> (updates, state), each a tree like the parameters.
    """
    return optax.chain(
        bind(OPTIMIZERS[hparams.optimizer], hparams)(),
        optax.add_decayed_weights(hparams.weight_decay, mask=weights_mask),
        optax.scale_by_learning_rate(make_schedule(hparams)),
    )
