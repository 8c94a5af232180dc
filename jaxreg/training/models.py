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
from jax.typing import ArrayLike

from jaxreg.config.hparams import Hparams
from jaxreg.nn import initializers

Params = Any  # a pytree of float32 arrays
Layers = tuple[Array, ...]  # one array per layer, first layer first

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "gelu": jax.nn.gelu,
    "elu": jax.nn.elu,
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "identity": lambda x: x,
}


class Model(NamedTuple):
    """A network.

    Attributes:
      init: (key, hparams, input_shape, num_classes) -> params.
      forward: (params, hparams, inputs [batch, features]) -> (logits [batch, classes], activations, one array
        [batch, units] per hidden layer, first layer first).
      trace: (params, hparams, inputs, nudges) -> (logits, pre-activations, activations), one array [batch, units] per
        layer, the output layer included, whose activations are the logits. `nudges`, one array per layer, are added to
        the pre-activations, so that the gradient with respect to them is the signal that is propagated back. None for a
        model that cannot be watched from within.
      dropout_forward: (params, hparams, inputs, key) -> as `forward`, with hidden units dropped at
        `hparams.dropout_rate`; the activations are those before dropout. None for a model without dropout.
    """

    init: Callable[[Array, Hparams, tuple[int, ...], int], Params]
    forward: Callable[[Params, Hparams, Array], tuple[Array, Layers]]
    trace: Callable[[Params, Hparams, Array, Layers], tuple[Array, Layers, Layers]] | None = None
    dropout_forward: Callable[[Params, Hparams, Array, Array], tuple[Array, Layers]] | None = None


def mlp(initializer: initializers.Initializer | None = None) -> Model:
    """The multilayer perceptron a_l = activation(a_{l-1} W_l + b_l), logits = a_L W + b.

    Params are a tuple of layers, each {"weights": [in, out], "bias": [out]}. Layer l draws its weights with
    `fold_in(key, l)`, so the draw of a layer does not depend on the layers after it. Biases start at 0, except under
    `init="torch"`.

    Args:
      initializer: used in place of the scheme that `hparams.init` names.
    """

    def init(key: Array, hparams: Hparams, input_shape: tuple[int, ...], num_classes: int) -> Params:
        make_weights = initializer or initializers.INITIALIZERS[hparams.init]
        sizes = (math.prod(input_shape), *hparams.hidden_sizes, num_classes)
        variance = hparams.init_variance
        if variance is None:
            variance = initializers.default_variance(hparams.init)

        def layer(number: int, shape: tuple[int, int]) -> dict[str, Array]:
            layer_key = jax.random.fold_in(key, number)
            weights = make_weights(jax.random.fold_in(layer_key, 0), shape, variance)
            bias = jnp.zeros(shape[1:])
            if hparams.init == "torch" and initializer is None:
                bias = initializers.torch_bias(jax.random.fold_in(layer_key, 1), shape, variance)
            return {"weights": weights, "bias": bias}

        return tuple(layer(number, shape) for number, shape in enumerate(itertools.pairwise(sizes)))

    def trace(
        params: Params, hparams: Hparams, inputs: Array, nudges: Layers = (), key: Array | None = None
    ) -> tuple[Array, Layers, Layers]:
        activation = ACTIVATIONS[hparams.activation]
        pre_activations: list[Array] = []
        activations: list[Array] = []
        for number, layer in enumerate(params):
            signal = _affine(layer, inputs)
            signal = signal + nudges[number] if nudges else signal
            inputs = activation(signal) if number + 1 < len(params) else signal
            pre_activations.append(signal)
            activations.append(inputs)
            if key is not None and number + 1 < len(params):
                inputs = dropout(jax.random.fold_in(key, number), inputs, hparams.dropout_rate)
        return inputs, tuple(pre_activations), tuple(activations)

    def forward(params: Params, hparams: Hparams, inputs: Array) -> tuple[Array, Layers]:
        logits, _, activations = trace(params, hparams, inputs)
        return logits, activations[:-1]

    def dropout_forward(params: Params, hparams: Hparams, inputs: Array, key: Array) -> tuple[Array, Layers]:
        logits, _, activations = trace(params, hparams, inputs, key=key)
        return logits, activations[:-1]

    return Model(init, forward, trace, dropout_forward)


def dropout(key: Array, activations: Array, rate: ArrayLike) -> Array:
    """Inverted dropout: each activation is 0 with probability `rate`, and divided by 1 - rate otherwise.

    The expectation is the activation itself, so that nothing changes in evaluation. At a rate of 0 no bit changes. One
    uniform number is drawn per activation, and dropped where it is below the rate: with one key, who is dropped at a
    rate is dropped at all higher ones.

    Args:
      key: of this step and layer.
      activations: [batch, units].
      rate: in [0, 1).

    References: Srivastava et al. (2014), Dropout: a simple way to prevent neural networks from overfitting, section 10.
    """
    kept = jax.random.uniform(key, activations.shape) >= rate
    return jnp.where(kept, activations / (1 - rate), 0.0)


def from_linen(module: Any) -> Model:
    """A Flax Linen module that maps flattened inputs [batch, features] to logits; it shows no activations, no trace."""

    def init(key: Array, _hparams: Hparams, input_shape: tuple[int, ...], _num_classes: int) -> Params:
        return module.init(key, jnp.zeros((1, math.prod(input_shape))))

    def forward(params: Params, _hparams: Hparams, inputs: Array) -> tuple[Array, Layers]:
        return module.apply(params, inputs), ()

    return Model(init, forward)


def parameter_name(path: tuple[Any, ...]) -> str:
    """The path of a leaf in a tree of parameters as a name, layers counted from 1: `layer_1/weights`."""

    def part(key: Any) -> str:
        if isinstance(key, jax.tree_util.SequenceKey):
            return f"layer_{key.idx + 1}"
        return str(getattr(key, "key", getattr(key, "name", key)))

    return "/".join(map(part, path))


def weights_of(params: Params) -> list[Array]:
    """The weights, first layer first, without the biases."""
    return [leaf for leaf in jax.tree.leaves(params) if jnp.ndim(leaf) >= 2]


def weights_mask(params: Params) -> Any:
    """True for weights, which penalties and decay act on, and False for biases: a weight has two axes or more."""
    return jax.tree.map(lambda leaf: jnp.ndim(leaf) >= 2, params)


def _affine(layer: dict[str, Array], inputs: Array) -> Array:
    return inputs @ layer["weights"] + jnp.expand_dims(layer["bias"], 0)
