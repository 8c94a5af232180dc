"""The second-moment estimate of Adam: the recursion, its unrolled sum, its expectation, and a simulation of it.

With gradients g_1, g_2, ... of one weight and v_0 = 0 (Kingma & Ba 2015, algorithm 1),

  v_t = decay v_(t-1) + (1 - decay) g_t^2 = (1 - decay) sum_(i=0)^(t-1) decay^i g_(t-i)^2.

Derivations are in docs/adam.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

CORRELATION = 0.9  # of a dependent gradient with the one before
LOG_SPREAD = 0.5  # standard deviation of the logarithm of a heavy-tailed gradient


def step(moment: Array, square: Array, decay: Array | float) -> Array:
    """v_t = decay v_(t-1) + (1 - decay) g_t^2, all of one shape."""
    return decay * moment + (1 - decay) * square


def recursion(squares: Array, decay: Array | float) -> Array:
    """v_1, v_2, ... step by step.

    Args:
      squares: g_1^2, g_2^2, ..., [steps, ...].
      decay: beta_2, in [0, 1).

    Returns:
      [steps, ...], in the units of `squares`.
    """

    def advance(moment: Array, square: Array) -> tuple[Array, Array]:
        moment = step(moment, square, decay)
        return moment, moment

    return jax.lax.scan(advance, jnp.zeros_like(squares[0]), squares)[1]


def unrolled(squares: Array, decay: Array | float) -> Array:
    """v_t as the sum of its t terms, (1 - decay) sum_(i=0)^(t-1) decay^i g_(t-i)^2.

    Of E[g_t^2] in place of g_t^2 it is E[v_t], by the linearity of the expectation alone: gradients may depend on one
    another, and their distribution may change. Arguments and result as in `recursion`.
    """
    times = jnp.arange(len(squares))

    def at(last: Array) -> Array:
        age = last - times  # i, below 0 for what is yet to come
        terms = jnp.where(age >= 0, jnp.power(decay, jnp.maximum(age, 0)), 0.0)
        return (1 - decay) * jnp.tensordot(terms, squares, 1, precision="highest")

    return jax.lax.map(at, times)


def expected_ratio(decay: Any, steps: Any) -> Any:
    """E[v_t] / E[g^2] = 1 - decay^t of gradients whose square has one expectation at all times; in [0, 1].

    It is (1 - decay) times the geometric sum of t terms, and what Adam divides v_t by (Kingma & Ba 2015, section 3).
    Both may be numbers or arrays that broadcast.
    """
    return 1 - decay**steps


class Process(NamedTuple):
    """Gradients g_1, g_2, ... of one distribution.

    Attributes:
      draw: (key, g_(t-1)) -> g_t, of the same shape; g_0 is standard normal.
      second_moment: E[g_t^2].
    """

    draw: Callable[[Array, Array], Array]
    second_moment: float


def _independent_normal(key: Array, before: Array) -> Array:
    return jax.random.normal(key, before.shape)


def _heavy_tailed(key: Array, before: Array) -> Array:
    """Log-normal: all of one sign, so not centred either."""
    return jnp.exp(LOG_SPREAD * jax.random.normal(key, before.shape))


def _dependent(key: Array, before: Array) -> Array:
    """Autoregressive of order one, and standard normal at each t."""
    return CORRELATION * before + math.sqrt(1 - CORRELATION**2) * jax.random.normal(key, before.shape)


PROCESSES: dict[str, Process] = {
    "normal": Process(_independent_normal, 1.0),
    "heavy_tailed": Process(_heavy_tailed, math.exp(2 * LOG_SPREAD**2)),
    "dependent": Process(_dependent, 1.0),
}


def simulate(process: Process, key: Array, decays: Array, num_steps: int, draws: int) -> tuple[Array, Array]:
    """Monte-Carlo means of v_t and of g_t^2 over independent runs of a process, t = 1 ... num_steps.

    Args:
      process: what is drawn.
      key: that of t is `fold_in(key, t)`, so a longer simulation begins with the same draws.
      decays: [decays], which all see the same gradients.
      num_steps, draws: static, >= 1.

    Returns:
      The means of v_t, [steps, decays], and of g_t^2, [steps].
    """
    each = decays[:, None]

    def advance(carry: tuple[Array, Array], t: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        gradient, moments = carry
        gradient = process.draw(jax.random.fold_in(key, t), gradient)
        square = jnp.square(gradient)
        moments = step(moments, jnp.broadcast_to(square, moments.shape), each)
        return (gradient, moments), (jnp.mean(moments, axis=1), jnp.mean(square))

    start = jax.random.normal(jax.random.fold_in(key, 0), (draws,))
    times = jnp.arange(1, num_steps + 1)
    return jax.lax.scan(advance, (start, jnp.zeros((len(decays), draws))), times)[1]
