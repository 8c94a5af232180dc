"""Networks as two functions: init(key, hparams, ...) -> params and forward(params, hparams, inputs) -> outputs.

`mlp()` is the fully connected network of the studies. Any other pair of functions can stand in its place, among them a
Flax Linen module (`from_linen`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jaxreg.config import Hparams, resolved
from jaxreg.nn.activations import activation_named
from jaxreg.nn.dropout import dropout
from jaxreg.nn.initializers import Initializer, InitialScheme, scheme_named
from jaxreg.nn.trees import Layers, Params
from jaxreg.training.binding import bind


class Model(NamedTuple):
    """A network.

    Attributes:
      init: (key, hparams, input_shape, num_classes) -> params.
      forward: (params, hparams, inputs [batch, features]) -> (logits [batch, classes], activations, one array
        [batch, units] per hidden layer, first layer first).
      trace: (params, hparams, inputs, perturbations) -> (logits, pre-activations, activations), one array
        [batch, units] per layer, the output layer included, whose activations are the logits. `perturbations`, one
        array per layer, are added to the pre-activations, so that the gradient with respect to them is the signal that
        is propagated back. None for a model that cannot be watched from within.
      dropout_forward: (params, hparams, inputs, key) -> as `forward`, with hidden units dropped at
        `hparams.dropout_rate`; the activations are those before dropout. None for a model without dropout.
    """

    init: Callable[[Array, Hparams, tuple[int, ...], int], Params]
    forward: Callable[[Params, Hparams, Array], tuple[Array, Layers]]
    trace: Callable[[Params, Hparams, Array, Layers], tuple[Array, Layers, Layers]] | None = None
    dropout_forward: Callable[[Params, Hparams, Array, Array], tuple[Array, Layers]] | None = None


def mlp(initializer: Initializer | None = None) -> Model:
    """The multilayer perceptron a_l = activation(a_{l-1} W_l + b_l), outputs = output_activation(a_L W + b).

    The outputs are logits where `output_activation` is the identity, as it is unless given.

    Params are a tuple of layers, each {"weights": [in, out], "bias": [out]}. Layer l draws its weights with
    `fold_in(key, l)`, so the draw of a layer does not depend on the layers after it. Biases start at 0, except under
    `init="torch"`.

    Args:
      initializer: used in place of the scheme that `hparams.init` names.
    """

    def init(key: Array, hparams: Hparams, input_shape: tuple[int, ...], num_classes: int) -> Params:
        scheme = scheme_named(hparams.init) if initializer is None else InitialScheme(initializer)
        sizes = (math.prod(input_shape), *hparams.hidden_sizes, num_classes)
        variance = resolved(hparams, "init_variance")
        make_weights = bind(scheme.weights, hparams, 3) if initializer is None else initializer
        make_bias = None if scheme.bias is None else bind(scheme.bias, hparams, 3)

        def layer(number: int, shape: tuple[int, int]) -> dict[str, Array]:
            layer_key = jax.random.fold_in(key, number)
            weights = make_weights(jax.random.fold_in(layer_key, 0), shape, variance)
            if make_bias is None:
                return {"weights": weights, "bias": jnp.zeros(shape[1:])}
            return {"weights": weights, "bias": make_bias(jax.random.fold_in(layer_key, 1), shape, variance)}

        return tuple(layer(number, shape) for number, shape in enumerate(itertools.pairwise(sizes)))

    def trace(
        params: Params, hparams: Hparams, inputs: Array, perturbations: Layers = (), key: Array | None = None
    ) -> tuple[Array, Layers, Layers]:
        last = len(params) - 1
        activate = bind(activation_named(hparams.activation).function, hparams, 1) if last else _identity
        output = hparams.output_activation
        finish = _identity if output == "identity" else bind(activation_named(output).function, hparams, 1)
        pre_activations: list[Array] = []
        activations: list[Array] = []
        for number, layer in enumerate(params):
            signal = _affine(layer, inputs)
            signal = signal + perturbations[number] if perturbations else signal
            inputs = finish(signal) if number == last else activate(signal)
            pre_activations.append(signal)
            activations.append(inputs)
            if key is not None and number < last:
                inputs = dropout(jax.random.fold_in(key, number), inputs, hparams.dropout_rate)
        return inputs, tuple(pre_activations), tuple(activations)

    def forward(params: Params, hparams: Hparams, inputs: Array) -> tuple[Array, Layers]:
        logits, _, activations = trace(params, hparams, inputs)
        return logits, activations[:-1]

    def dropout_forward(params: Params, hparams: Hparams, inputs: Array, key: Array) -> tuple[Array, Layers]:
        logits, _, activations = trace(params, hparams, inputs, key=key)
        return logits, activations[:-1]

    return Model(init, forward, trace, dropout_forward)


def from_linen(module: Any) -> Model:
    """A Flax Linen module as a model.

    Args:
      module: maps flattened inputs [batch, features] to logits [batch, classes], without mutable collections or keys.

    Returns:
      A model that reads no hyperparameters, so that none of `hidden_sizes`, `activation`, `init` and `init_variance`
      can be swept; it shows no activations (no KL sparsity), no trace (no diagnostics), and has no dropout.
    """

    def init(key: Array, _hparams: Hparams, input_shape: tuple[int, ...], _num_classes: int) -> Params:
        return module.init(key, jnp.zeros((1, math.prod(input_shape))))

    def forward(params: Params, _hparams: Hparams, inputs: Array) -> tuple[Array, Layers]:
        return module.apply(params, inputs), ()

    return Model(init, forward)


def _identity(signal: Array) -> Array:
    return signal


def _affine(layer: dict[str, Array], inputs: Array) -> Array:
    return inputs @ layer["weights"] + jnp.expand_dims(layer["bias"], 0)
