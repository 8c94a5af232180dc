"""Terms of the objective besides the loss.

A penalty is a function (params, activations, hparams, step) -> scalar, its strength included, so that a strength is a
per-member number like any other. The objective is the loss plus the sum of the penalties; an empty list costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jax import Array

from jaxreg.config import Hparams
from jaxreg.models import Params

Penalty = Callable[[Params, tuple[Array, ...], Hparams, Array], Array]


def total(
    penalties: Sequence[Penalty], params: Params, activations: tuple[Array, ...], hparams: Hparams, step: Array
) -> Array:
    """The sum of all penalties, a scalar in the unit of the loss."""
    result = jnp.zeros(())
    for penalty in penalties:
        result += penalty(params, activations, hparams, step)
    return result
