"""What signals do inside a network, measured on the device: moments, histograms and norms of every layer.

`diagnose` looks at one member on a fixed probe of training examples, in one pass forward and one back, shared by all
quantities; `jaxreg.population` maps it over members. `jaxreg.diagnosis` draws the conclusions, on the host.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxreg.config import Hparams
from jaxreg.errors import ConfigError
from jaxreg.nn.activations import activation_named
from jaxreg.nn.projections import unit_norms
from jaxreg.nn.trees import Layers, Params
from jaxreg.training.member import loss_of
from jaxreg.training.optimizers import make_optimizer
from jaxreg.training.problem import Problem, total_penalty

PROBE_SIZE = 1000  # training examples
EPSILON = 0.05  # a sigmoid so close to 0 or 1 is saturated: its derivative is below 0.19 of its maximum
SMALL = 1e-3  # weights and activations below it in magnitude count as none, which is what sparsity is measured by
AT_BOUND = 1e-4  # a unit whose norm is so close to max_norm, as a fraction of it, is at the bound
TWIN_TOLERANCE = 1e-4  # units are one where no incoming weight differs by more, as a fraction of the layer's largest

QUANTITIES = (
    "weights",
    "bias",
    "pre_activations",
    "activations",
    "gradients",
    "updates",
    "backpropagated",
)
NUM_BINS = 121  # of every histogram
_CELL_BITS = 17  # of a float32 are not looked at: sign, exponent and 6 bits of the mantissa are left


class Variable(NamedTuple):
    """What a measured array is: its unit, its meaning, and its dimensions within a member."""

    units: str
    description: str
    dims: tuple[str, ...]


def _variables() -> dict[str, Variable]:
    quantities = {
        "weights": ("1", "the weights"),
        "bias": ("1", "the biases"),
        "pre_activations": ("1", "the inputs of the units on the probe"),
        "activations": ("1", "the outputs of the units on the probe"),
        "gradients": ("nats", "the gradient of the objective with respect to the weights"),
        "updates": ("1", "what the optimizer would add to the weights on the gradient of the probe"),
        "backpropagated": ("nats", "the gradient of each example's loss with respect to the inputs of the units"),
    }
    by_layer, by_bin = ("check", "layer"), ("check", "layer", "bin")
    moments = {
        f"{name}_{moment}": Variable(units, f"{words} of {what}", by_layer)
        for name, (units, what) in quantities.items()
        for moment, words in (("mean", "mean"), ("std", "standard deviation"))
    }
    others = {
        "saturated_fraction": ("1", f"share of (example, unit) pairs within {EPSILON:g} of a flat end of the sigmoid"),
        "dead_fraction": ("1", "share of ReLU units that fire for no example of the probe"),
        "distinct_units": ("units", "number of different incoming weight vectors, bias included"),
        "weight_norm": ("1", "norm of the weights"),
        "small_weights_fraction": ("1", f"share of weights with |w| < {SMALL:g}"),
        "silent_fraction": ("1", f"share of (example, unit) pairs with an activation |a| < {SMALL:g} on the probe"),
        "effective_rank": ("1", "(sum s^2)^2 / sum s^4 of the singular values s of the weights"),
        "at_bound_fraction": ("1", "share of units whose incoming weights are at the bound max_norm"),
        "gradient_norm": ("nats", "norm of the gradient of the objective with respect to the weights"),
        "update_ratio": ("1", "norm of the update / norm of the weights"),
        "relative_change": ("1", "norm of what the weights changed since the start / their norm at the start"),
        "diagnosis": ("1", "what ails the layer; -1 for no verdict"),
    }
    of_network = {
        "gradient_ratio": ("1", "gradient norm of the first layer / of the output layer"),
        "gradient_square": ("nats^2", "unbiased estimate of the squared norm of the gradient of the loss"),
        "gradient_variance": ("nats^2", "unbiased estimate of the trace of the covariance of one example's gradient"),
    }
    return (
        moments
        | {name: Variable(*texts, by_layer) for name, texts in others.items()}
        | {name: Variable(*texts, ("check",)) for name, texts in of_network.items()}
        | {
            f"{name}_histogram": Variable("values", f"values per bin of {what}", by_bin)
            for name, (_, what) in quantities.items()
        }
    )


VARIABLES: Mapping[str, Variable] = _variables()


def bin_edges(quantity: str) -> np.ndarray[Any, Any]:
    """The ascending edges of the bins [a, b) of a quantity, [NUM_BINS + 1] float64, the first and last infinite.

    `activations`: width 0.025 centred on multiples of 0.025 up to 1, then 20 bins on each side whose edges grow
    geometrically to 1e3. All others: 6 bins per decade from 1e-7 to 1e3 on each side of one that holds what is smaller.
    Finite edges are float32 numbers, as the values are, so that the device and `np.histogram` count alike.
    """
    if quantity == "activations":
        linear = np.linspace(-1.0125, 1.0125, 82)
        positive = np.concatenate([linear[linear > 0], np.geomspace(1.0125, 1e3, 21)[1:]])
    else:
        positive = np.logspace(-7, 3, 61)
    positive = np.append(positive[:-1], np.inf).astype(np.float32).astype(np.float64)
    return np.concatenate([-positive[::-1], positive])


def probe_rows(num_examples: int) -> np.ndarray[Any, Any]:
    """The examples of a training set that make the probe: 1000 evenly spaced ones, all of a smaller set."""
    size = min(num_examples, PROBE_SIZE)
    return np.arange(size) * num_examples // size


def measured(*, histograms: bool) -> tuple[str, ...]:
    """The names of what `diagnose` returns."""
    return tuple(
        name
        for name, variable in VARIABLES.items()
        if name != "diagnosis" and (histograms or "bin" not in variable.dims)
    )


def num_values(num_layers: int, names: Sequence[str]) -> int:
    """How many numbers of 4 bytes these variables hold for one member at one check."""
    lengths = {"check": 1, "layer": num_layers, "bin": NUM_BINS}
    return sum(math.prod(lengths[dim] for dim in VARIABLES[name].dims) for name in names)


def require_trace(problem: Problem, params: Params = (), flag: str = "diagnostics") -> None:
    """Refuses a model that cannot be watched; its parameters, or their shapes, may be looked at too.

    `flag` is the one that asked for it.

    Raises:
      ConfigError: the model has no `trace`, or its parameters are no tuple of {"weights", "bias"} layers.
    """
    layered = isinstance(params, tuple) and all(
        isinstance(layer, dict) and set(layer) == {"weights", "bias"} for layer in params
    )
    if problem.model.trace is None or not layered:
        remedy = "needs a model with a trace and layers {weights, bias}, such as jaxreg.models.mlp; leave it out"
        raise ConfigError(flag, "true", remedy)


def diagnose(
    params: Params,
    opt_state: Any,
    initial_params: Params,
    hparams: Hparams,
    problem: Problem,
    inputs: Array,
    labels: Array,
    step: ArrayLike,
    *,
    histograms: bool,
) -> dict[str, Array]:
    """The statistics of one member, named as in VARIABLES (which says what each is), `diagnosis` left out.

    With z_l the pre-activations of layer l = 1 ... L, loss_i that of example i of n, and the objective J(W) the mean
    loss with penalties:

      backpropagated  d loss_i / d z_l,  [n, units]
      gradients       g_l = dJ / dW_l;  gradient_norm |g_l|, in the Frobenius norm, and gradient_ratio |g_1| / |g_L|
      updates         u_l, the step of the optimizer on g_l;  update_ratio |u_l| / |W_l|
      relative_change |W_l - W_l(0)| / |W_l(0)|,  0/0 = 0 and x/0 = inf
      effective_rank  (sum_k s_k^2)^2 / sum_k s_k^4, s the singular values of W_l

    The estimates of |G|^2 and tr(Sigma), for G the gradient of the loss and Sigma the covariance of one example's, are
    those of McCandlish et al. (2018), appendix A.1, with batches of 1 and n examples:

      gradient_square   = (n |G_n|^2 - mean_i |G_i|^2) / (n - 1)      may be negative
      gradient_variance = (mean_i |G_i|^2 - |G_n|^2) / (1 - 1/n)

    The noise scale is the ratio of their averages. |G_i|^2 = sum_l (1 + |a_{l-1}|^2) |dloss_i/dz_l|^2 needs no pass of
    its own (Goodfellow 2015).

    Args:
      params, opt_state: those of the member now.
      initial_params: those before the first step.
      hparams, problem: as in `jaxreg.training.update`; the model must have passed `require_trace`.
      inputs, labels: the probe, [n, features] and [n].
      step: [] int, the number of steps taken, which penalties may depend on.
      histograms: static; also counts the values of each quantity per bin.

    Returns:
      Arrays [layer], [] for the whole network, and int32 [layer, bin] for histograms; the rest is float32. NaN where a
      statistic has no meaning: saturated, dead and distinct units of the output layer.
    """
    gradients, penalised, signals = _propagate(params, hparams, problem, inputs, labels, step)
    updates, _ = make_optimizer(hparams).update(penalised, opt_state, params)
    quantities = {
        "weights": _weights(params),
        "bias": tuple(layer["bias"] for layer in params),
        "pre_activations": signals.pre_activations,
        "activations": signals.activations,
        "gradients": _weights(penalised),
        "updates": _weights(updates),
        "backpropagated": signals.backpropagated,
    }
    values: dict[str, Array] = {}
    for name, layers in quantities.items():
        moments = [_moments(layer) for layer in layers]
        values[f"{name}_mean"], values[f"{name}_std"] = (jnp.stack(moment) for moment in zip(*moments, strict=True))

    hidden = signals.activations[:-1]
    values["saturated_fraction"] = _of_hidden([saturated_fraction(layer, hparams.activation) for layer in hidden])
    values["dead_fraction"] = _of_hidden([dead_fraction(layer, hparams.activation) for layer in hidden])
    values["distinct_units"] = _of_hidden([count_distinct(**layer) for layer in params[:-1]])

    weights, start = quantities["weights"], _weights(initial_params)
    norms = _norms(quantities["gradients"])
    values["weight_norm"] = _norms(weights)
    values["small_weights_fraction"] = jnp.stack([jnp.mean(jnp.abs(layer) < SMALL) for layer in weights])
    values["silent_fraction"] = _of_hidden([jnp.mean(jnp.abs(layer) < SMALL) for layer in hidden])
    values["effective_rank"] = jnp.stack([effective_rank(layer) for layer in weights])
    at_bound = (1 - AT_BOUND) * jnp.asarray(hparams.max_norm)
    values["at_bound_fraction"] = jnp.stack([jnp.mean(unit_norms(layer) >= at_bound) for layer in weights])
    values["gradient_norm"] = norms
    values["gradient_ratio"] = _ratio(norms[0], norms[-1])
    values["update_ratio"] = _ratio(_norms(quantities["updates"]), values["weight_norm"])
    changes = [now - before for now, before in zip(weights, start, strict=True)]
    values["relative_change"] = _ratio(_norms(changes), _norms(start))
    values["gradient_square"], values["gradient_variance"] = _gradient_noise(gradients, inputs, signals)
    if histograms:
        for name, layers in quantities.items():
            values[f"{name}_histogram"] = count_values(layers, bin_edges(name))
    return values


class _Signals(NamedTuple):
    """What passes through each layer for each example, [examples, units]."""

    pre_activations: Layers
    activations: Layers
    backpropagated: Layers


def _propagate(
    params: Params, hparams: Hparams, problem: Problem, inputs: Array, labels: Array, step: ArrayLike
) -> tuple[Params, Params, _Signals]:
    """The gradient of the mean loss, that of the objective, and the signals, from one pass forward and back."""
    num_examples = labels.shape[0]
    trace = problem.model.trace
    assert trace is not None

    def mean_loss(params: Params, perturbations: Layers) -> tuple[Array, tuple[Layers, Layers]]:
        logits, *signals = trace(params, hparams, inputs, perturbations)
        return jnp.mean(loss_of(hparams)(logits, labels)), tuple(signals)  # type: ignore[return-value]  # of two

    def penalty(params: Params) -> Array:
        activations = problem.model.forward(params, hparams, inputs)[1]
        return total_penalty(problem.penalties, params, activations, hparams, jnp.asarray(step))

    perturbations = tuple(jnp.zeros((num_examples, layer["bias"].shape[0])) for layer in params)
    (gradients, back), (pre_activations, activations) = jax.grad(mean_loss, (0, 1), has_aux=True)(params, perturbations)
    penalised = jax.tree.map(jnp.add, gradients, jax.grad(penalty)(params)) if problem.penalties else gradients
    of_examples = tuple(num_examples * signal for signal in back)
    return gradients, penalised, _Signals(pre_activations, activations, of_examples)


def count_values(layers: Sequence[Array], edges: np.ndarray[Any, Any]) -> Array:
    """How many values of each layer lie in which bin [edges[k], edges[k + 1]): int32 [layer, len(edges) - 1].

    The outermost edges are infinite; values that are not finite count nowhere. Bins must be wider than a cell, 1/64 of
    the value: the leading bits of a float32 name its cell, a table says in which bin the cell begins, and one
    comparison whether the value lies in the next. On a CPU that takes a third of a binary search.
    """
    num_bins = len(edges) - 1
    values = jnp.concatenate([layer.ravel() for layer in layers])
    offset = jnp.concatenate([jnp.full(layer.size, number * num_bins) for number, layer in enumerate(layers)])
    cell = jax.lax.bitcast_convert_type(values, jnp.uint32) >> _CELL_BITS
    first_bin = _first_bins(edges)
    next_edge = edges[1:].astype(np.float32)[first_bin]
    place = offset + jnp.asarray(first_bin)[cell] + (values >= jnp.asarray(next_edge)[cell])
    total = len(layers) * num_bins
    counts = jnp.zeros(total, jnp.int32).at[jnp.where(jnp.isfinite(values), place, total)].add(1, mode="drop")
    return counts.reshape(len(layers), num_bins)


def _first_bins(edges: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The bin of the smallest number of each cell of float32."""
    cells = np.arange(2 ** (32 - _CELL_BITS), dtype=np.uint32) << _CELL_BITS
    is_negative = cells >> 31 == 1
    smallest = np.where(is_negative, cells | (2**_CELL_BITS - 1), cells).astype(np.uint32).view(np.float32)
    return np.searchsorted(edges[1:-1].astype(np.float32), smallest, side="right").astype(np.int32)


def saturated_fraction(activations: Array, activation: str) -> Array:
    """The share of (example, unit) pairs [examples, units] that are saturated, 0 for functions without flat ends.

    They lie within EPSILON of a flat end, as a fraction of the distance between the two ends: a sigmoid within EPSILON
    of 0 or 1, a tanh within 2 EPSILON of -1 or 1, the same pre-activations up to the factor 2 between the two.
    """
    flat_ends = activation_named(activation).flat_ends
    if flat_ends is None:
        return jnp.zeros(())
    low, high = flat_ends
    share = activations if (low, high) == (0.0, 1.0) else (activations + -low) / (high - low)
    return jnp.mean((share <= EPSILON) | (share >= 1 - EPSILON))


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
    scaled = weights / _size(weights)
    gram = scaled.T @ scaled if weights.shape[1] <= weights.shape[0] else scaled @ scaled.T
    return _ratio(jnp.square(jnp.sum(jnp.square(scaled))), jnp.sum(jnp.square(gram)))


def _gradient_noise(gradients: Params, inputs: Array, signals: _Signals) -> tuple[Array, Array]:
    num_examples = inputs.shape[0]
    of_all = sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(gradients))
    incoming = (inputs, *signals.activations[:-1])
    of_each = sum(
        (1.0 + jnp.sum(jnp.square(a), axis=1)) * jnp.sum(jnp.square(delta), axis=1)
        for a, delta in zip(incoming, signals.backpropagated, strict=True)
    )
    of_one = jnp.mean(jnp.asarray(of_each))
    square = (num_examples * of_all - of_one) / (num_examples - 1)
    return square, (of_one - of_all) / (1 - 1 / num_examples)


def _moments(values: Array) -> tuple[Array, Array]:
    """Mean and standard deviation, of values that float32 could not square, too."""
    size = _size(values)
    scaled = values / size
    return size * jnp.mean(scaled), size * jnp.std(scaled)


def _norms(layers: Sequence[Array]) -> Array:
    """The Frobenius norm of each layer, of values that float32 could not square, too."""
    sizes = [_size(layer) for layer in layers]
    return jnp.stack(
        [size * jnp.sqrt(jnp.sum(jnp.square(layer / size))) for size, layer in zip(sizes, layers, strict=True)]
    )


def _size(values: Array) -> Array:
    """The largest magnitude, 1 where all are 0."""
    largest = jnp.max(jnp.abs(values))
    return jnp.where(largest > 0, largest, 1.0)


def _ratio(numerator: Array, denominator: Array) -> Array:
    """With 0/0 = 0 and x/0 = inf."""
    return jnp.where(numerator == 0, 0.0, numerator / denominator)


def _weights(params: Params) -> Layers:
    return tuple(layer["weights"] for layer in params)


def _of_hidden(values: Sequence[Array]) -> Array:
    """One value per layer, NaN for the output layer."""
    return jnp.stack([*values, jnp.full((), jnp.nan)])
