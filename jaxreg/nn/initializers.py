"""Initial weights: (key, shape, variance) -> weights.

Every scheme scales one standard draw, so members that share a key differ in their scale only. `shape` is [in, out] and
`variance` a number or a traced scalar: the variance of each weight for `normal` and `uniform`, a factor on the scheme's
own variance for the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

Initializer = Callable[[Array, tuple[int, int], ArrayLike], Array]


def zeros(_key: Array, shape: tuple[int, int], _variance: ArrayLike) -> Array:
    """All weights zero."""
    return jnp.zeros(shape)


def normal(key: Array, shape: tuple[int, int], variance: ArrayLike) -> Array:
    """w ~ N(0, variance)."""
    return jnp.sqrt(variance) * _draw(jax.random.normal(key, shape))


def uniform(key: Array, shape: tuple[int, int], variance: ArrayLike) -> Array:
    """w ~ U(-a, a) with a = sqrt(3 variance), which has that variance."""
    return jnp.sqrt(3.0 * jnp.asarray(variance)) * _draw(jax.random.uniform(key, shape, minval=-1.0, maxval=1.0))


def lecun(key: Array, shape: tuple[int, int], variance: ArrayLike) -> Array:
    """w ~ N(0, variance / in): unit variance forward through linear units (LeCun et al. 1998, section 4.6)."""
    return normal(key, shape, jnp.asarray(variance) / shape[0])


def glorot(key: Array, shape: tuple[int, int], variance: ArrayLike) -> Array:
    """w ~ N(0, 2 variance / (in + out)) (Glorot & Bengio 2010, equation 12)."""
    return normal(key, shape, 2.0 * jnp.asarray(variance) / sum(shape))


def he(key: Array, shape: tuple[int, int], variance: ArrayLike) -> Array:
    """w ~ N(0, 2 variance / in), for rectified units (He et al. 2015, equation 10)."""
    return normal(key, shape, 2.0 * jnp.asarray(variance) / shape[0])


def orthogonal(key: Array, shape: tuple[int, int], variance: ArrayLike) -> Array:
    """Orthonormal rows or columns, whichever are fewer, times sqrt(variance) (Saxe et al. 2014)."""
    return jnp.sqrt(variance) * _draw(jax.nn.initializers.orthogonal()(key, shape))


def torch(key: Array, shape: tuple[int, int], variance: ArrayLike) -> Array:
    """w ~ sqrt(variance) U(-a, a), a = 1/sqrt(in): PyTorch's default for Linear, whose own variance is 1/(3 in)."""
    return uniform(key, shape, jnp.asarray(variance) / (3.0 * shape[0]))


def torch_bias(key: Array, shape: tuple[int, int], variance: ArrayLike) -> Array:
    """Biases [out] drawn like the weights of a layer [in, out] under `torch`."""
    bound = jnp.sqrt(variance) / math.sqrt(shape[0])
    return bound * _draw(jax.random.uniform(key, shape[1:], minval=-1.0, maxval=1.0))


def _draw(values: Array) -> Array:
    """A standard draw; the barrier keeps XLA from fusing it with its scale, which would round it by the width."""
    return jax.lax.optimization_barrier(values)


def default_variance(scheme: str) -> float:
    """0.01 where `variance` is that of the weights, 1 where it is a factor on the scheme's own."""
    return 0.01 if scheme in ("normal", "uniform") else 1.0


INITIALIZERS: dict[str, Initializer] = {
    "zeros": zeros,
    "normal": normal,
    "uniform": uniform,
    "lecun": lecun,
    "glorot": glorot,
    "he": he,
    "orthogonal": orthogonal,
    "torch": torch,
}
