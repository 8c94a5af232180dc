from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxreg.config import Hparams
from jaxreg.nn.activations import ACTIVATIONS
from jaxreg.nn.trees import Layers
from jaxreg.theory.meanfield import predict
from jaxreg.training.models import mlp

WIDTHS = (50, 200, 100, 30, 10)


def test_he_keeps_the_size_of_relu_signals() -> None:
    """With variance 2/in, E[z^2] = 2 E[x^2] in all layers (He et al. 2015, equation 9), and half of it is left in a."""
    prediction = predict(0.3, WIDTHS, [2 / width for width in WIDTHS[:-1]], "relu")
    np.testing.assert_allclose(prediction.pre_activations, 0.6, rtol=1e-6)
    np.testing.assert_allclose(prediction.activations, [0.3, 0.3, 0.3, 0.6], rtol=1e-6)


def test_he_by_fan_out_keeps_the_size_of_what_comes_back() -> None:
    prediction = predict(1.0, WIDTHS, [2 / width for width in WIDTHS[1:]], "relu", 5.0)
    np.testing.assert_allclose(prediction.backpropagated, 5.0, rtol=1e-6)


def test_a_linear_network_multiplies_its_gains() -> None:
    variances = [0.1, 0.02, 0.003, 0.4]
    prediction = predict(2.0, WIDTHS, variances, "identity", 7.0)
    forward = 2.0 * np.cumprod(np.multiply(WIDTHS[:-1], variances))
    gains = np.multiply(WIDTHS[1:], variances)
    np.testing.assert_allclose(prediction.pre_activations, forward, rtol=1e-6)
    np.testing.assert_allclose(prediction.activations, forward, rtol=1e-6)
    np.testing.assert_allclose(prediction.backpropagated, [7.0 * np.prod(gains[k + 1 :]) for k in range(4)], rtol=1e-6)


def test_a_sigmoid_of_small_inputs_is_linear_and_of_large_ones_a_step() -> None:
    small = predict(1e-6, (1, 1, 1), (1.0, 1.0), "sigmoid")
    np.testing.assert_allclose(small.activations[0], 1 / 4, rtol=1e-5)
    np.testing.assert_allclose(small.backpropagated[0], 1 / 16, rtol=1e-5)
    large = predict(1e4, (1, 1, 1), (1.0, 1.0), "sigmoid")
    density = 1 / math.sqrt(2 * math.pi * 1e4)
    np.testing.assert_allclose(large.activations[0], 1 / 2 - density, rtol=1e-3)  # E[s^2] = 1/2 - E[s (1 - s)]
    np.testing.assert_allclose(large.backpropagated[0], density / 6, rtol=1e-3)  # integral of (s (1 - s))^2 is 1/6


def test_examples_are_predicted_one_by_one() -> None:
    sizes, output = np.array([0.01, 1.0, 9.0]), np.array([1.0, 2.0, 3.0])
    together = predict(sizes, WIDTHS, [0.05] * 4, "tanh", output)
    alone = [predict(size, WIDTHS, [0.05] * 4, "tanh", back) for size, back in zip(sizes, output, strict=True)]
    for name in together._fields:
        np.testing.assert_allclose(getattr(together, name), np.mean([getattr(one, name) for one in alone], 0))


@functools.cache
def drawn(draws: int, widths: tuple[int, ...]) -> Any:
    hparams = Hparams(hidden_sizes=widths[1:-1], init="normal", init_variance=0.002)
    keys = jax.random.split(jax.random.key(0), draws)
    return jax.jit(jax.vmap(lambda key: mlp().init(key, hparams, widths[:1], widths[-1])))(keys)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_wide_random_networks_do_as_predicted(activation: str) -> None:
    """Eight networks: the mean square of 1000 units that all examples excite alike has a deviation of 4.5 % in each."""
    widths, examples = (400, 1000, 1000, 1000), 10
    hparams = Hparams(hidden_sizes=widths[1:-1], activation=activation)
    rng = np.random.default_rng(0)
    inputs, output = (jnp.asarray(rng.normal(size=(examples, width)), jnp.float32) for width in (400, 1000))
    perturbations = tuple(jnp.zeros((examples, width)) for width in widths[1:])
    trace = mlp().trace
    assert trace is not None

    @jax.jit
    @jax.vmap
    def mean_squares(params: Any) -> Any:
        def weighted(perturbations: Layers) -> tuple[jax.Array, tuple[Layers, Layers]]:
            logits, pre_activations, activations = trace(params, hparams, inputs, perturbations)
            return jnp.sum(output * logits), (pre_activations, activations)

        back, signals = jax.grad(weighted, has_aux=True)(perturbations)
        return jax.tree.map(lambda layer: jnp.mean(jnp.square(layer)), (*signals, back))

    measured = jax.tree.map(np.mean, mean_squares(drawn(8, widths)))
    prediction = predict(np.mean(np.square(inputs), 1), widths, [0.002] * 3, activation, np.mean(np.square(output), 1))
    for ours, theirs in zip(prediction, measured, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0.05)


def test_a_variance_for_each_layer_is_needed() -> None:
    for widths, variances in itertools.product([(3, 2), (5,)], [(), (1.0, 1.0)]):
        with pytest.raises(ValueError, match="variances"):
            predict(1.0, widths, variances, "relu")
