"""Activations of the hidden layers, and what else is known of each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

Function = Callable[..., Array]


@dataclasses.dataclass(frozen=True)
class Activation:
    """An activation.

    Attributes:
      function: pre-activations -> activations, of one shape; further parameters are hyperparameters by name.
      unit_interval: maps activations into (0, 1), so that their mean can be compared with a target there, as KL
        sparsity does; None if there is no such map.
      flat_ends: the finite values (low, high) near which the function is flat and a unit saturated; None if it has no
        such ends.
      dies: whether a unit that is 0 for every example has no gradient left and is dead.
    """

    function: Function
    unit_interval: Callable[[Array], Array] | None = None
    flat_ends: tuple[float, float] | None = None
    dies: bool = False


def _odds(a: Array) -> Array:
    """a >= 0 into [0, 1): the odds a as a probability. KL sparsity compares the mean of these, not that of a."""
    return a / (1 + a)


ACTIVATIONS: dict[str, Activation | Function] = {
    "sigmoid": Activation(jax.nn.sigmoid, unit_interval=lambda a: a, flat_ends=(0.0, 1.0)),
    "tanh": Activation(jnp.tanh, unit_interval=lambda a: (a + 1) / 2, flat_ends=(-1.0, 1.0)),
    "softsign": Activation(jax.nn.soft_sign, unit_interval=lambda a: (a + 1) / 2, flat_ends=(-1.0, 1.0)),
    "relu": Activation(jax.nn.relu, unit_interval=_odds, dies=True),
    # The tanh form, x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) (Hendrycks and Gimpel 2016, section 2): JAX's
    # default, from which PyTorch's differs by up to 5e-4.
    "gelu": Activation(jax.nn.gelu),
    "elu": Activation(jax.nn.elu),
    "silu": Activation(jax.nn.silu),
    "softplus": Activation(jax.nn.softplus, unit_interval=_odds),
    "identity": Activation(lambda x: x),
}
"""By name; a plain function may stand for an `Activation` of which nothing else is known."""


def activation_named(name: str) -> Activation:
    """The activation of a name."""
    entry = ACTIVATIONS[name]
    return entry if isinstance(entry, Activation) else Activation(entry)


def with_unit_interval() -> tuple[str, ...]:
    """The names of the activations on which KL sparsity is defined."""
    return tuple(name for name in ACTIVATIONS if activation_named(name).unit_interval is not None)
