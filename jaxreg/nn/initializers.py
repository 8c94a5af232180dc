"""Initial weights: (key, shape, variance) -> weights [in, out].

Every scheme scales one standard draw, so members that share a key differ in their scale only. `shape` is [in, out] and
`variance` a number or a traced scalar: the variance of each weight for `normal` and `uniform`, a factor on the scheme's
own variance for the others.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

Initializer = Callable[..., Array]  # (key, shape [in, out], variance) -> array


@dataclasses.dataclass(frozen=True)
class InitialScheme:
    """How a layer [in, out] begins.

    Attributes:
      weights: (key, shape, variance) -> weights [in, out]; further parameters are hyperparameters by name.
      bias: (key, shape, variance) -> biases [out]; None for zeros.
      default_variance: what `variance` is where none is given; None for a scheme that has no variance and ignores it.
    """

    weights: Initializer
    bias: Initializer | None = None
    default_variance: float | None = 1.0


def zeros(_key: Array, shape: tuple[int, int], _variance: ArrayLike) -> Array:
    """All weights zero."""
    return jnp.zeros(shape)


def normal(key: Array, shape: tuple[int, ...], variance: ArrayLike) -> Array:
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


def lecun_uniform(key: Array, shape: tuple[int, int], variance: ArrayLike) -> Array:
    """As `lecun`, from U(-a, a) with a = sqrt(3 variance / in)."""
    return uniform(key, shape, jnp.asarray(variance) / shape[0])


def glorot_uniform(key: Array, shape: tuple[int, int], variance: ArrayLike) -> Array:
    """As `glorot`, from U(-a, a) with a = sqrt(6 variance / (in + out)) (Glorot & Bengio 2010, equation 16)."""
    return uniform(key, shape, 2.0 * jnp.asarray(variance) / sum(shape))


def he_uniform(key: Array, shape: tuple[int, int], variance: ArrayLike) -> Array:
    """As `he`, from U(-a, a) with a = sqrt(6 variance / in)."""
    return uniform(key, shape, 2.0 * jnp.asarray(variance) / shape[0])


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


INITIAL_SCHEMES: dict[str, InitialScheme | Initializer] = {
    "zeros": InitialScheme(zeros, default_variance=None),
    "normal": InitialScheme(normal, default_variance=0.01),
    "uniform": InitialScheme(uniform, default_variance=0.01),
    "lecun": InitialScheme(lecun),
    "glorot": InitialScheme(glorot),
    "he": InitialScheme(he),
    "lecun_uniform": InitialScheme(lecun_uniform),
    "glorot_uniform": InitialScheme(glorot_uniform),
    "he_uniform": InitialScheme(he_uniform),
    "orthogonal": InitialScheme(orthogonal),
    "torch": InitialScheme(torch, bias=torch_bias),
}
"""By name; a plain function may stand for an `InitialScheme` with no more than weights."""


def scheme_named(name: str) -> InitialScheme:
    """The initial scheme of a name."""
    entry = INITIAL_SCHEMES[name]
    return entry if isinstance(entry, InitialScheme) else InitialScheme(entry)


def default_variance(name: str) -> float:
    """The variance that a scheme takes where none is given; 1 for one that ignores it."""
    variance = scheme_named(name).default_variance
    return 1.0 if variance is None else variance
