"""Networks as two functions: init(key, hparams, ...) -> params and forward(params, hparams, inputs) -> outputs.

`mlp()` is the fully connected network of the studies. Any other pair of functions can stand in its place, among them
modules of Flax (`jaxreg.training.flax_models`).
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
from jaxreg.nn.initializers import Initializer, InitialScheme, normal, scheme_named
from jaxreg.nn.trees import Layers, Params
from jaxreg.training.binding import bind


class Layer(NamedTuple):
    """The trained parameters of one layer: weights [..., units] and biases [units], if it has any."""

    name: str
    weights: Array
    bias: Array | None


class Model(NamedTuple):
    """A network.

    Attributes:
      init: (key, hparams, input_shape, num_classes) -> params.
      forward: (params, hparams, inputs [batch, features]) -> (outputs [batch, outputs], activations, one array
        [batch, units] per hidden layer, first layer first). As in evaluation.
      trace: (params, hparams, inputs, perturbations) -> (outputs, pre-activations, activations), one array
        [batch, ..., units] per layer, the output layer included, whose activations are the outputs; no activations
        where they cannot be seen. `perturbations`, one array per layer or none, are added to the pre-activations, so
        that the gradient with respect to them is the signal that is propagated back. None for a model that cannot be
        watched from within.
      layers: (params, hparams, inputs) -> a function of trees like the params, gradients among them, that gives their
        layers in the order of `trace`. None where the params are the layers, {"weights": ..., "bias": ...} each.
      dropout_forward: (params, hparams, inputs, key) -> as `forward`, with hidden units dropped at
        `hparams.dropout_rate`; the activations are those before dropout. None for a model without dropout.
      train_forward: (params, hparams, inputs, key) -> (outputs, activations, what of the params is not `trained` as it
        is after the batch): in place of `forward` and `dropout_forward` in a step of training, where that differs.
        The key is that of a seed and a step.
      trained: the entries of the params, a dict, that the optimizer, penalties and constraints see; the others, such as
        batch statistics, are what `train_forward` makes of them. Empty for all of any params.
      flat: whether the functions take flat inputs [batch, features]; else examples in their own shape, as
        `example_shape` says.
    """

    init: Callable[[Array, Hparams, tuple[int, ...], int], Params]
    forward: Callable[[Params, Hparams, Array], tuple[Array, Layers]]
    trace: Callable[[Params, Hparams, Array, Layers], tuple[Array, Layers, Layers]] | None = None
    dropout_forward: Callable[[Params, Hparams, Array, Array], tuple[Array, Layers]] | None = None
    train_forward: Callable[[Params, Hparams, Array, Array], tuple[Array, Layers, Params]] | None = None
    trained: tuple[str, ...] = ()
    flat: bool = True
    layers: Callable[[Params, Hparams, Array], Callable[[Params], tuple[Layer, ...]]] | None = None


def layers_of(model: Model, params: Params, hparams: Hparams, inputs: Array) -> Callable[[Params], tuple[Layer, ...]]:
    """A function of trees like the params that gives their layers, first layer first."""
    if model.layers is not None:
        return model.layers(params, hparams, inputs)
    return lambda tree: tuple(Layer(str(number), **layer) for number, layer in enumerate(tree, 1))


def is_dense(model: Model) -> bool:
    """Whether its layers are dense ones of `hidden_sizes`, as those of `mlp` are."""
    return model.trace is not None and model.layers is None


def example_shape(input_shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of an example for a model that does not take it flat: an image without channels has one."""
    return (*input_shape, 1) if len(input_shape) == 2 else input_shape


def on_flat_inputs(model: Model, input_shape: tuple[int, ...]) -> Model:
    """The model as one that takes flat inputs, as data sets hold them, of examples of `input_shape`."""
    if model.flat:
        return model

    def shaped(function: Callable[..., Any] | None) -> Any:
        if function is None:
            return None
        return lambda params, hparams, inputs, *rest: function(
            params, hparams, inputs.reshape(-1, *example_shape(input_shape)), *rest
        )

    names = ("forward", "trace", "dropout_forward", "train_forward", "layers")
    return model._replace(**{name: shaped(getattr(model, name)) for name in names}, flat=True)


def parted(params: Params, model: Model) -> tuple[Params, Params]:
    """The params that are trained, and the others: `joined` puts them together again."""
    if not model.trained:
        return params, {}
    trained = {name: params[name] for name in model.trained}
    return trained, {name: value for name, value in params.items() if name not in trained}


def joined(trained: Params, others: Params) -> Params:
    """The params of a model from the two of `parted`."""
    return {**trained, **others} if others else trained


def mlp(initializer: Initializer | None = None) -> Model:
    """The multilayer perceptron a_l = activation(a_{l-1} W_l + b_l), outputs = output_activation(a_L W + b).

    The outputs are logits where `output_activation` is the identity, as it is unless given.

    Params are a tuple of layers, each {"weights": [in, out], "bias": [out]}. Layer l draws its weights with
    `fold_in(key, l)`, so the draw of a layer does not depend on the layers after it. Biases start at 0, except under
    `init="torch"`; to these a draw from N(0, bias_variance) is added.

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
            bias = jnp.zeros(shape[1:])
            if make_bias is not None:
                bias = make_bias(jax.random.fold_in(layer_key, 1), shape, variance)
            if hparams.bias_variance is not None:
                bias += normal(jax.random.fold_in(layer_key, 2), shape[1:], hparams.bias_variance)
            return {"weights": weights, "bias": bias}

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


def _identity(signal: Array) -> Array:
    return signal


def _affine(layer: dict[str, Array], inputs: Array) -> Array:
    return inputs @ layer["weights"] + jnp.expand_dims(layer["bias"], 0)
