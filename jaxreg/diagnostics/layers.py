"""Statistics of one layer: saturation, death, twins, rank, norms. Functions of arrays, for one member."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array

from jaxreg.diagnostics.thresholds import SATURATION_MARGIN, TWIN_TOLERANCE
from jaxreg.nn.activations import activation_named


def saturated_fraction(activations: Array, activation: str) -> Array:
    """The share of (example, unit) pairs [examples, units] that are saturated, 0 for functions without flat ends.

    They lie within m = SATURATION_MARGIN of a flat end, as a fraction of the distance between the two ends: a sigmoid
    within m of 0 or 1, a tanh within 2 m of -1 or 1, the same pre-activations up to the factor 2 between the two.
    """
    flat_ends = activation_named(activation).flat_ends
    if flat_ends is None:
        return jnp.zeros(())
    return jnp.mean(_at_flat_end(activations, *flat_ends))


def stuck_fraction(outputs: Array, targets: Array, activation: str) -> Array:
    """The share of examples with an output that is saturated on the wrong side, NaN for functions without flat ends.

    An output [examples, outputs] lies within SATURATION_MARGIN of a flat end, as in `saturated_fraction`, and at least
    half the distance between the ends from its target: an error that a gradient through the flat end cannot mend.
    """
    flat_ends = activation_named(activation).flat_ends
    if flat_ends is None:
        return jnp.full((), jnp.nan)
    low, high = flat_ends
    wrong = jnp.abs(outputs - targets) >= (high - low) / 2
    return jnp.mean(jnp.any(_at_flat_end(outputs, low, high) & wrong, axis=1))


def _at_flat_end(activations: Array, low: float, high: float) -> Array:
    share = activations if (low, high) == (0.0, 1.0) else (activations + -low) / (high - low)
    return (share <= SATURATION_MARGIN) | (share >= 1 - SATURATION_MARGIN)


def dead_fraction(activations: Array, activation: str) -> Array:
    """The share of units that are 0 for every example of [examples, units]; 0 where such units are not dead."""
    if not activation_named(activation).dies:
        return jnp.zeros(())
    return jnp.mean(jnp.all(activations == 0, axis=0))


def count_distinct(weights: Array, bias: Array) -> Array:
    """The number of different columns of [in, units] weights over [units] biases, 1 to units.

    A unit counts where no earlier one has the same vector within TWIN_TOLERANCE of the largest entry of the layer.
    """
    vectors = jnp.concatenate([weights, bias[None]]).T
    tolerance = TWIN_TOLERANCE * jnp.max(jnp.abs(vectors))
    numbers = jnp.arange(vectors.shape[0])

    def is_new(number: Array) -> Array:
        same = jnp.max(jnp.abs(vectors - vectors[number][None]), axis=1) <= tolerance
        return ~jnp.any(same & (numbers < number))

    return jnp.sum(jax.lax.map(is_new, numbers)).astype(jnp.float32)


def effective_rank(weights: Array) -> Array:
    """(sum_k s_k^2)^2 / sum_k s_k^4 of the singular values s of [in, out] weights; 0 if all of them are 0.

    From 1 for one direction to min(in, out) for equal ones in all. The sums are |W|^2 and |W'W|^2 in the Frobenius
    norm, so that no decomposition is needed (XLA's eigenvalues wait forever for each other on two CPU devices).

    References: Bartlett, Long, Lugosi and Tsigler (2020), Benign overfitting in linear regression, definition 3, R_0 of
    the matrix W'W.
    """
    scaled = weights / largest_magnitude(weights)
    gram = scaled.T @ scaled if weights.shape[1] <= weights.shape[0] else scaled @ scaled.T
    return ratio_or_zero(jnp.square(jnp.sum(jnp.square(scaled))), jnp.sum(jnp.square(gram)))


def mean_and_std(values: Array) -> tuple[Array, Array]:
    """Mean and standard deviation, of values that float32 could not square, too."""
    size = largest_magnitude(values)
    scaled = values / size
    return size * jnp.mean(scaled), size * jnp.std(scaled)


def frobenius_norms(layers: Sequence[Array]) -> Array:
    """The Frobenius norm of each layer, of values that float32 could not square, too."""
    sizes = [largest_magnitude(layer) for layer in layers]
    return jnp.stack(
        [size * jnp.sqrt(jnp.sum(jnp.square(layer / size))) for size, layer in zip(sizes, layers, strict=True)]
    )


def largest_magnitude(values: Array) -> Array:
    """The largest magnitude, 1 where all are 0."""
    largest = jnp.max(jnp.abs(values))
    return jnp.where(largest > 0, largest, 1.0)


def ratio_or_zero(numerator: Array, denominator: Array) -> Array:
    """With 0/0 = 0 and x/0 = inf."""
    return jnp.where(numerator == 0, 0.0, numerator / denominator)
