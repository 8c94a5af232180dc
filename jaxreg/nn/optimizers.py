"""Update rules and schedules from Optax on plain arguments, each of which may be a traced scalar.

Parameters are hyperparameters by name: `lambda momentum: ...` reads `--momentum`. The learning rate, warm-up and decay
of the weights are common to all rules and applied by `jaxreg.training.optimizers`.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import optax
from jax import Array

# RMSProp divides by sqrt(v + 1e-8), as Optax does, v from 0 without correction of its bias: where gradients are below
# 1e-4 by about 1e-4. PyTorch divides by sqrt(v) + 1e-8, and there takes steps up to 10 000 times as long.
RMSPROP_EPS = 1e-8

OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "sgd": lambda: optax.identity(),
    "momentum": lambda momentum: optax.trace(decay=momentum),
    "nesterov": lambda momentum: optax.trace(decay=momentum, nesterov=True),
    "adam": lambda beta1, beta2: optax.scale_by_adam(beta1, beta2),
    "adamw": lambda beta1, beta2: optax.scale_by_adam(beta1, beta2),
    "rmsprop": lambda beta2, momentum: optax.chain(
        optax.scale_by_rms(decay=beta2, eps=RMSPROP_EPS), optax.trace(decay=momentum)
    ),
}
"""(hyperparameters) -> the direction of a step before rate and decay, by name."""

SCHEDULES: dict[str, Callable[..., Array]] = {
    "constant": lambda elapsed: jnp.ones_like(elapsed),
    "inverse_time": lambda elapsed, decay_steps: 1.0 / (1.0 + elapsed / decay_steps),
    "exponential": lambda elapsed, decay_steps, decay_rate: jnp.power(decay_rate, elapsed / decay_steps),
    "cosine": lambda elapsed, decay_steps: 0.5 * (1.0 + jnp.cos(jnp.pi * jnp.minimum(elapsed / decay_steps, 1.0))),
}
"""(elapsed steps [] float32, hyperparameters) -> the factor [] on the learning rate, by name; `decay_steps` is > 0."""
