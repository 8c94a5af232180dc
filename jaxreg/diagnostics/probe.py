"""What signals do inside a network, measured on the device: moments, histograms and norms of every layer.

`diagnose` looks at one member on a fixed probe of training examples, in one pass forward and one back, shared by all
quantities; `jaxreg.population` maps it over members. `jaxreg.diagnostics.verdicts` draws the conclusions, on the host.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxreg.config.hparams import Hparams
from jaxreg.data import Data
from jaxreg.diagnostics.histograms import bin_edges, count_values
from jaxreg.diagnostics.layers import (
    count_distinct,
    dead_fraction,
    effective_rank,
    frobenius_norms,
    mean_and_std,
    ratio_or_zero,
    saturated_fraction,
    stuck_fraction,
)
from jaxreg.diagnostics.thresholds import AT_BOUND, SMALL
from jaxreg.diagnostics.variables import VARIABLES
from jaxreg.diagnostics.verdicts import diagnosis
from jaxreg.diagnostics.watch import View, Watch
from jaxreg.errors import ConfigError
from jaxreg.nn.losses import targets_of
from jaxreg.nn.projections import unit_norms
from jaxreg.nn.trees import Layers, Params
from jaxreg.slow_imports import xr
from jaxreg.training.member import loss_of, smoothed_loss
from jaxreg.training.models import Layer, is_dense, joined, layers_of, parted
from jaxreg.training.optimizers import make_optimizer
from jaxreg.training.problem import Problem, total_penalty

NONE = jnp.nan  # of what a layer does not have, or cannot be seen
LAYER_WATCHES = ("diagnostics", "histograms")  # the names of the watch, without and with histograms
PROBE_SIZE = 1000  # training examples


@functools.cache
def layer_watch(*, histograms: bool) -> Watch:
    """The statistics of every layer at checks, with a verdict on each; with `histograms` the values per bin too."""

    def measure(view: View) -> dict[str, Array]:
        state, start = view.state, view.initial_params()
        inputs, labels = view.data
        return diagnose(
            *(state.params, state.opt_state, start, view.hparams, view.problem, inputs, labels, view.step),
            histograms=histograms,
        )

    def complete(results: xr.Dataset, _: Data) -> xr.Dataset:
        about = {"description": "layer, from the input on; the last one of a network is its output layer"}
        layers = np.arange(1, results.sizes["layer"] + 1)
        results = results.assign_coords(layer=("layer", layers, about))
        for name in results.data_vars:
            if str(name).endswith("_histogram"):
                results[name].attrs["bin_edges"] = bin_edges(str(name).removesuffix("_histogram"))
        return results.assign(diagnosis=diagnosis(results))

    name = LAYER_WATCHES[histograms]
    return Watch(
        name,
        {name: VARIABLES[name] for name in measured(histograms=histograms)},
        measure,
        lambda data: tuple(part[probe_rows(len(data.train.labels))] for part in data.train),
        require=lambda problem, params, _: require_trace(problem, params, name),
        complete=complete,
    )


def with_layer_names(results: xr.Dataset, names: Sequence[str]) -> xr.Dataset:
    """The results of a model whose layers are modules, with their names, and a word on what could not be measured."""
    about = {"description": "path of the module in the model"}
    results = results.assign_coords(layer_name=("layer", list(names), about))
    for name in results.data_vars:
        if str(name).startswith("activations_") or name in ("saturated_fraction", "silent_fraction"):
            results[name].attrs["description"] = "not measured: this model does not show its activations"
    words = "share of units that pass no gradient back for any example of the probe, as dead ReLU units do"
    results["dead_fraction"].attrs["description"] = words
    return results


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


def require_trace(problem: Problem, params: Params = (), flag: str = "diagnostics") -> None:
    """Refuses a model that cannot be watched; its parameters, or their shapes, may be looked at too.

    `flag` is the one that asked for it.

    Raises:
      ConfigError: the model has no `trace`, or no `layers` and parameters that are no tuple of {"weights", "bias"}.
    """
    layered = problem.model.layers is not None or (
        isinstance(params, tuple)
        and all(isinstance(layer, dict) and set(layer) == {"weights", "bias"} for layer in params)
    )
    if problem.model.trace is None or not layered:
        remedy = "needs a model that can be watched, such as jaxreg.mlp or a Flax module; leave it out"
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

    without bias where the examples come from an endless population; of a probe of n of the N training examples
    `measures.noise_scale` adds gradient_variance / N to the former.

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
      Arrays [layer], [] for the whole network, and uint32 [layer, bin] for histograms; the rest is float32. NaN where a
      statistic has no meaning: dead and distinct units of the output layer, saturated ones where its activation has no
      flat ends, biases of a layer without any, and what follows from activations where the model shows none.
    """
    model = problem.model
    layers_in = layers_of(model, params, hparams, inputs)
    layers = layers_in(params)
    gradients, penalised, signals = _propagate(params, hparams, problem, inputs, labels, step)
    trained, others = parted(params, model)
    updates, _ = make_optimizer(hparams).update(penalised, opt_state, trained)
    quantities: dict[str, Sequence[Array | None]] = {
        "weights": [layer.weights for layer in layers],
        "bias": [layer.bias for layer in layers],
        "pre_activations": signals.pre_activations,
        "activations": signals.activations or [None] * len(layers),
        "gradients": [layer.weights for layer in layers_in(joined(penalised, others))],
        "updates": [layer.weights for layer in layers_in(joined(updates, others))],
        "backpropagated": signals.backpropagated,
    }
    values: dict[str, Array] = {}
    for name, of_layers in quantities.items():
        moments = [(NONE, NONE) if layer is None else mean_and_std(layer) for layer in of_layers]
        values[f"{name}_mean"], values[f"{name}_std"] = (jnp.stack(moment) for moment in zip(*moments, strict=True))

    values |= _of_activations(signals, hparams, labels)
    values["distinct_units"] = _of_hidden([_count_distinct(layer) for layer in layers[:-1]])

    weights, start = [layer.weights for layer in layers], [layer.weights for layer in layers_in(initial_params)]
    norms = frobenius_norms([layer for layer in quantities["gradients"] if layer is not None])
    values["weight_norm"] = frobenius_norms(weights)
    values["small_weights_fraction"] = jnp.stack([jnp.mean(jnp.abs(layer) < SMALL) for layer in weights])
    values["effective_rank"] = jnp.stack([effective_rank(_as_matrix(layer)) for layer in weights])
    at_bound = (1 - AT_BOUND) * jnp.asarray(hparams.max_norm)
    values["at_bound_fraction"] = jnp.stack([jnp.mean(unit_norms(layer) >= at_bound) for layer in weights])
    values["gradient_norm"] = norms
    values["gradient_ratio"] = ratio_or_zero(norms[0], norms[-1])
    steps = frobenius_norms([layer for layer in quantities["updates"] if layer is not None])
    values["update_ratio"] = ratio_or_zero(steps, values["weight_norm"])
    changes = [now - before for now, before in zip(weights, start, strict=True)]
    values["relative_change"] = ratio_or_zero(frobenius_norms(changes), frobenius_norms(start))
    of_one = (
        _square_of_one(inputs, signals)
        if is_dense(model)
        else _square_of_each(params, hparams, problem, inputs, labels)
    )
    values["gradient_square"], values["gradient_variance"] = _gradient_noise(gradients, of_one, inputs.shape[0])
    if histograms:
        for name, of_layers in quantities.items():
            counted = [jnp.full(1, jnp.nan) if layer is None else layer for layer in of_layers]  # NaN is in no bin
            values[f"{name}_histogram"] = count_values(counted, bin_edges(name)).astype(jnp.uint32)
    return values


def _of_activations(signals: _Signals, hparams: Hparams, labels: Array) -> dict[str, Array]:
    """The shares of units and examples that are saturated, dead or silent, [layer] each.

    Where the model shows no activations a unit counts as dead that passes no gradient back for any example, as a ReLU
    unit does that fires for none.
    """
    if not signals.activations:
        nothing = jnp.full(len(signals.pre_activations), NONE)
        passed = [jnp.any(back != 0, axis=tuple(range(back.ndim - 1))) for back in signals.backpropagated[:-1]]
        dead = _of_hidden([jnp.mean(~units) for units in passed])
        return {"saturated_fraction": nothing, "dead_fraction": dead, "silent_fraction": nothing}
    *hidden, outputs = signals.activations
    stuck = stuck_fraction(outputs, targets_of(outputs, labels), hparams.output_activation)
    return {
        "saturated_fraction": jnp.stack([*(saturated_fraction(a, hparams.activation) for a in hidden), stuck]),
        "dead_fraction": _of_hidden([dead_fraction(layer, hparams.activation) for layer in hidden]),
        "silent_fraction": _of_hidden([jnp.mean(jnp.abs(layer) < SMALL) for layer in hidden]),
    }


class _Signals(NamedTuple):
    """What passes through each layer for each example, [examples, ..., units]."""

    pre_activations: Layers
    activations: Layers  # none where the model shows none
    backpropagated: Layers


def _propagate(
    params: Params, hparams: Hparams, problem: Problem, inputs: Array, labels: Array, step: ArrayLike
) -> tuple[Params, Params, _Signals]:
    """The gradient of the mean loss, that of the objective, and the signals, from one pass forward and back.

    Gradients are those of what is trained, `models.parted`.
    """
    num_examples = labels.shape[0]
    trace = problem.model.trace
    assert trace is not None
    trained, others = parted(params, problem.model)

    def mean_loss(trained: Params, perturbations: Layers) -> tuple[Array, tuple[Layers, Layers]]:
        logits, *signals = trace(joined(trained, others), hparams, inputs, perturbations)
        return jnp.mean(loss_of(hparams)(logits, labels)), tuple(signals)  # type: ignore[return-value]  # of two

    def beside_the_loss(trained: Params) -> Array:
        outputs, activations = problem.model.forward(joined(trained, others), hparams, inputs)
        penalty = total_penalty(problem.penalties, trained, activations, hparams, jnp.asarray(step))
        if not problem.smooths_labels:
            return penalty
        return penalty + smoothed_loss(hparams, outputs, labels) - jnp.mean(loss_of(hparams)(outputs, labels))

    shapes = jax.eval_shape(lambda p, x: trace(p, hparams, x, ())[1], params, inputs)
    perturbations = tuple(jnp.zeros(layer.shape) for layer in shapes)
    differentiate = jax.grad(mean_loss, (0, 1), has_aux=True)
    (gradients, back), (pre_activations, activations) = differentiate(trained, perturbations)
    penalised = gradients
    if problem.penalties or problem.smooths_labels:
        penalised = jax.tree.map(jnp.add, gradients, jax.grad(beside_the_loss)(trained))
    of_examples = tuple(num_examples * signal for signal in back)
    return gradients, penalised, _Signals(pre_activations, activations, of_examples)


def _square_of_one(inputs: Array, signals: _Signals) -> Array:
    """The mean over examples of the squared norm of the gradient of one, [], of dense layers."""
    incoming = (inputs, *signals.activations[:-1])
    of_each = sum(
        (1.0 + jnp.sum(jnp.square(a), axis=1)) * jnp.sum(jnp.square(delta), axis=1)
        for a, delta in zip(incoming, signals.backpropagated, strict=True)
    )
    return jnp.mean(jnp.asarray(of_each))


def _square_of_each(params: Params, hparams: Hparams, problem: Problem, inputs: Array, labels: Array) -> Array:
    """The same of any model, from the gradient of each example by itself, which takes as long as training on each."""
    trained, others = parted(params, problem.model)

    def loss(trained: Params, x: Array, y: Array) -> Array:
        outputs, _ = problem.model.forward(joined(trained, others), hparams, x[None])
        return loss_of(hparams)(outputs, y[None])[0]

    def square(example: tuple[Array, Array]) -> Array:
        leaves = jax.tree.leaves(jax.grad(loss)(trained, *example))
        return jnp.sum(jnp.stack([jnp.sum(jnp.square(leaf)) for leaf in leaves]))

    return jnp.mean(jax.lax.map(square, (inputs, labels)))  # XLA cannot map the convolutions of members once more


def _gradient_noise(gradients: Params, of_one: Array, num_examples: int) -> tuple[Array, Array]:
    of_all = sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(gradients))
    square = (num_examples * of_all - of_one) / (num_examples - 1)
    return square, (of_one - of_all) / (1 - 1 / num_examples)


def _as_matrix(weights: Array) -> Array:
    """[in, units]: a unit of a convolution, which is a channel, has a whole patch coming in."""
    return weights.reshape(-1, weights.shape[-1])


def _count_distinct(layer: Layer) -> Array:
    weights = _as_matrix(layer.weights)
    return count_distinct(weights, jnp.zeros(weights.shape[1]) if layer.bias is None else layer.bias)


def _of_hidden(values: Sequence[Array]) -> Array:
    """One value per layer, NaN for the output layer."""
    return jnp.stack([*values, jnp.full((), jnp.nan)])
