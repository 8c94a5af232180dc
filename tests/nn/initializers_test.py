from __future__ import annotations

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxreg.config import FIELDS
from jaxreg.nn.initializers import INITIAL_SCHEMES, scheme_named, torch_bias

SHAPE = (300, 500)  # enough weights for the statistics of one draw
# Variance of each weight at variance 1, by the paper (or framework) that the scheme is named after.
OWN_VARIANCE: dict[str, Callable[[int, int], float]] = {
    "normal": lambda *_: 1.0,
    "uniform": lambda *_: 1.0,
    "lecun": lambda fan_in, _: 1 / fan_in,
    "glorot": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "he": lambda fan_in, _: 2 / fan_in,
    "lecun_uniform": lambda fan_in, _: 1 / fan_in,
    "glorot_uniform": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "he_uniform": lambda fan_in, _: 2 / fan_in,
    "torch": lambda fan_in, _: 1 / (3 * fan_in),
}
BOUND = {  # at variance 1
    "uniform": math.sqrt(3),
    "lecun_uniform": math.sqrt(3 / SHAPE[0]),
    "glorot_uniform": math.sqrt(6 / sum(SHAPE)),
    "he_uniform": math.sqrt(6 / SHAPE[0]),
    "torch": 1 / math.sqrt(SHAPE[0]),
}

random_schemes = pytest.mark.parametrize("name", OWN_VARIANCE)
every_scheme = pytest.mark.parametrize("name", INITIAL_SCHEMES)


@functools.cache
def draw(name: str, variance: float = 1.0, seed: int = 0) -> np.ndarray:
    shape = (9, 4) if name == "orthogonal" else SHAPE
    return np.asarray(scheme_named(name).weights(jax.random.key(seed), shape, variance))


def test_the_table_has_the_names_that_flags_take() -> None:
    assert set(INITIAL_SCHEMES) == {"zeros", "orthogonal", *OWN_VARIANCE}
    assert FIELDS["init"].metadata["rule"].allowed == f"must be one of {', '.join(INITIAL_SCHEMES)}"


@random_schemes
def test_variance_is_that_of_the_scheme(name: str) -> None:
    weights = draw(name, 0.3)
    expected = 0.3 * OWN_VARIANCE[name](*SHAPE)
    # s^2 of n normal draws has the relative standard deviation sqrt(2/n); of uniform ones it has less.
    assert abs(weights.var() / expected - 1) < 4 * math.sqrt(2 / weights.size)
    assert abs(weights.mean()) < 4 * math.sqrt(expected / weights.size)


@random_schemes
def test_distribution_is_that_of_the_scheme(name: str) -> None:
    standard = draw(name).ravel() / math.sqrt(OWN_VARIANCE[name](*SHAPE))
    edge = math.sqrt(3)
    reference = scipy.stats.uniform(-edge, 2 * edge) if name in BOUND else scipy.stats.norm()
    assert scipy.stats.kstest(standard, reference.cdf).pvalue > 1e-3


@pytest.mark.parametrize("name", BOUND)
def test_uniform_schemes_fill_their_interval_and_stay_inside(name: str) -> None:
    bound = math.sqrt(0.3) * BOUND[name]
    assert 0.9999 * bound < np.abs(draw(name, 0.3)).max() <= bound * (1 + 1e-6)


@pytest.mark.parametrize("shape", [(9, 4), (4, 9)])
def test_orthogonal_has_orthonormal_rows_or_columns_whichever_are_fewer(shape: tuple[int, int]) -> None:
    weights = np.asarray(scheme_named("orthogonal").weights(jax.random.key(2), shape, 0.25))
    gram = weights.T @ weights if shape[0] >= shape[1] else weights @ weights.T
    np.testing.assert_allclose(gram, 0.25 * np.eye(min(shape)), atol=1e-6)


@every_scheme
def test_variance_zero_gives_zeros(name: str) -> None:
    assert (draw(name, 0.0) == 0).all()


def test_zeros_are_zero_whatever_the_variance() -> None:
    assert (draw("zeros", 7.0) == 0).all()


@pytest.mark.parametrize("name", [*OWN_VARIANCE, "orthogonal"])
def test_a_key_stands_for_one_draw_that_the_variance_scales(name: str) -> None:
    np.testing.assert_array_equal(draw(name, 4.0), 2 * draw(name))  # exactly: a power of two does not round
    assert (draw(name, seed=1) != draw(name)).mean() > 0.99


@pytest.mark.parametrize("name", ["normal", "orthogonal"])
def test_jit_is_eager_and_vmap_is_a_loop(name: str) -> None:
    variances = jnp.array([0.013, 0.3, 1.7])

    def one(variance: jax.Array) -> jax.Array:
        return scheme_named(name).weights(jax.random.key(0), (9, 4), variance)

    looped = jnp.stack([one(variance) for variance in variances])
    np.testing.assert_allclose(jax.jit(one)(variances[1]), looped[1], rtol=1e-6)
    np.testing.assert_allclose(jax.jit(jax.vmap(one))(variances), looped, rtol=1e-6)


def test_torch_biases_fill_the_interval_of_their_layer() -> None:
    biases = np.asarray(torch_bias(jax.random.key(6), (16, 20_000), 4.0))
    bound = 2 / math.sqrt(16)
    assert biases.shape == (20_000,)
    assert 0.999 * bound < np.abs(biases).max() <= bound * (1 + 1e-6)
    assert scipy.stats.kstest(biases, scipy.stats.uniform(-bound, 2 * bound).cdf).pvalue > 1e-3


@every_scheme
def test_weights_are_float32_of_the_shape_asked_for(name: str) -> None:
    weights = scheme_named(name).weights(jax.random.key(0), (9, 4), 1.0)
    assert weights.shape == (9, 4)
    assert weights.dtype == np.float32
