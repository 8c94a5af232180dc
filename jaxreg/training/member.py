"""One member: one step of training, its evaluation, its checks. If you understand `update` you understand the program.

Everything here is written for a single member and a single seed; `jaxreg.population` maps it over members.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jaxreg.config import Hparams
from jaxreg.nn.dropout import dropout
from jaxreg.nn.losses import Function, correct, loss_named, smoothed, targets_of
from jaxreg.nn.trees import Layers, Params
from jaxreg.training import stopping
from jaxreg.training.binding import bind
from jaxreg.training.models import joined, parted
from jaxreg.training.optimizers import make_optimizer
from jaxreg.training.problem import Problem, project, total_penalty
from jaxreg.training.state import TrainState

_OF_INPUTS = 2**32 - 1  # folded into the key of a step for the inputs, as the numbers of layers are for their units


class StepMetrics(NamedTuple):
    """Means over the batch before the update."""

    loss: Array  # [] nats, without penalties
    objective: Array  # [] with penalties


class Metrics(NamedTuple):
    """Means over a set of examples."""

    loss: Array  # [] nats, without penalties
    accuracy: Array  # [] in [0, 1]


def loss_of(hparams: Hparams) -> Function:
    """The loss of a member: (outputs [batch, outputs], labels) -> [batch], in nats or in units of its own."""
    return bind(loss_named(hparams.loss).function, hparams, 2)


def is_well(metrics: StepMetrics, hparams: Hparams) -> Array:
    """Whether a step did not diverge by its losses, [] bool: they are finite, and the loss, if in nats, at most 1e4."""
    limit = stopping.DIVERGED_LOSS if loss_named(hparams.loss).units == "nats" else math.inf
    return stopping.is_bounded(metrics.loss, metrics.objective, limit)


def advance(
    state: TrainState,
    hparams: Hparams,
    problem: Problem,
    inputs: Array,
    labels: Array,
    step: Array,
    key: Array | None = None,
) -> tuple[TrainState, StepMetrics]:
    """One optimizer step on one batch, whatever comes of it: `settle` says whether it counts.

    Args:
      state: the member.
      hparams: its hyperparameters, scalars.
      problem: model, penalties and constraints.
      inputs, labels: the batch, [batch, features] and [batch].
      step: [] int32, the number of steps taken before this one.
      key: of this seed, for what training draws; needed where `problem.draws`.

    Returns:
      The state with new parameters and a new state of the optimizer, and the means over the batch before the step, []
      float32 in nats.
    """
    trained, carried = parted(state.params, problem.model)

    def objective(trained: Params) -> tuple[Array, tuple[Array, Params]]:
        params = joined(trained, carried)
        outputs, activations, carried_on = _train_forward(params, carried, hparams, problem, inputs, step, key)
        loss = jnp.mean(loss_of(hparams)(outputs, labels))
        minimised = smoothed_loss(hparams, outputs, labels) if problem.smooths_labels else loss
        return minimised + total_penalty(problem.penalties, trained, activations, hparams, step), (loss, carried_on)

    (value, (loss, carried)), grads = jax.value_and_grad(objective, has_aux=True)(trained)
    updates, opt_state = make_optimizer(hparams).update(grads, state.opt_state, trained)
    trained = project(problem.constraints, optax.apply_updates(trained, updates), hparams)
    return state._replace(params=joined(trained, carried), opt_state=opt_state), StepMetrics(loss, value)


def _train_forward(
    params: Params, carried: Params, hparams: Hparams, problem: Problem, inputs: Array, step: Array, key: Array | None
) -> tuple[Array, Layers, Params]:
    """Outputs, hidden activations, and what of the params is not trained as it is after the step."""
    model = problem.model
    if not problem.draws:
        return (*model.forward(params, hparams, inputs), carried)
    assert key is not None
    noise = jax.random.fold_in(key, step)
    if problem.input_dropout:
        inputs = dropout(jax.random.fold_in(noise, _OF_INPUTS), inputs, hparams.input_dropout_rate)
    if model.train_forward is not None:
        return model.train_forward(params, hparams, inputs, noise)
    if not problem.dropout:
        return (*model.forward(params, hparams, inputs), carried)
    assert model.dropout_forward is not None
    return (*model.dropout_forward(params, hparams, inputs, noise), carried)


def smoothed_loss(hparams: Hparams, outputs: Array, labels: Array) -> Array:
    """The mean loss of a batch whose labels are smoothed by `label_smoothing`, []; the loss must have `of_targets`."""
    of_targets = loss_named(hparams.loss).of_targets
    assert of_targets is not None
    targets = smoothed(targets_of(outputs, labels), hparams.label_smoothing)
    return jnp.mean(bind(of_targets, hparams, 2)(outputs, targets))


def settle(before: TrainState, after: TrainState, hparams: Hparams, diverges: Array, step: Array) -> TrainState:
    """The state of a member after a step, or after several none of which diverged: `after`, unless it is halted.

    A member that diverges is halted: it keeps the state before, the last that was finite, and `diverged_step` says
    when. A halted member does not change, be it by divergence or by patience.

    Args:
      before, after: the states before and after.
      hparams: its hyperparameters.
      diverges: [] bool, whether the step diverged; of several, False.
      step: [] int32, the number of steps taken before.
    """
    running = ~is_halted(before, hparams)
    advances = running & ~diverges
    return before._replace(
        params=stopping.select(advances, after.params, before.params),
        opt_state=stopping.select(advances, after.opt_state, before.opt_state),
        diverged_step=jnp.where(running & diverges, step, before.diverged_step),
    )


def update(
    state: TrainState,
    hparams: Hparams,
    problem: Problem,
    inputs: Array,
    labels: Array,
    step: Array,
    key: Array | None = None,
) -> tuple[TrainState, StepMetrics]:
    """One step of training: `advance`, then `settle`.

    A step diverges by a non-finite loss or parameter, or by a loss above 1e4 nats (a loss in other units has no bound).

    Returns:
      The state after the step, and the means over the batch before it, [] float32 in nats; NaN where the member was
      halted before.
    """
    after, metrics = advance(state, hparams, problem, inputs, labels, step, key)
    diverges = ~(is_well(metrics, hparams) & stopping.is_finite(after.params))
    halted = is_halted(state, hparams)
    return settle(state, after, hparams, diverges, step), StepMetrics(*(jnp.where(halted, jnp.nan, m) for m in metrics))


def evaluate(
    params: Params,
    hparams: Hparams,
    problem: Problem,
    inputs: Array,
    labels: Array,
    block_size: int,
    rows: Array | None = None,
) -> Metrics:
    """Mean loss and accuracy over all examples of a set, or a part, read in blocks of `block_size` examples.

    Args:
      params: the member's parameters.
      hparams: its hyperparameters.
      problem: only the model is used: no penalties.
      inputs, labels: [examples, features] and [examples].
      block_size: static; the last block overlaps the one before it, and no example counts twice.
      rows: int32 [part], the examples that are measured; None for all.

    Returns:
      Mean loss, [] in nats, and accuracy, [] in [0, 1].
    """

    def block(x: Array, y: Array, new: Array) -> Metrics:
        losses, right = _judge(params, hparams, problem, x, y)
        return Metrics(jnp.sum(jnp.where(new, losses, 0.0)), jnp.sum(new & right))

    def block_of_rows(rows: Array, new: Array) -> Metrics:
        x, y = take_rows((inputs, labels), rows)
        return block(x, y, new)

    zero = Metrics(jnp.float32(0), jnp.int32(0))
    if rows is None:
        totals, count = _sum_over_blocks(block, zero, (inputs, labels), block_size), labels.shape[0]
    else:
        totals, count = _sum_over_blocks(block_of_rows, zero, (rows,), block_size), rows.shape[0]
    return Metrics(totals.loss / count, totals.accuracy / count)


def take_rows(arrays: Iterable[Array], rows: Array) -> tuple[Array, ...]:
    """These examples of arrays [examples, ...]."""
    return tuple(jnp.take(array, rows, axis=0, mode="clip") for array in arrays)


def evaluate_with_batch(
    params: Params, hparams: Hparams, problem: Problem, inputs: Array, labels: Array, counts: Array, block_size: int
) -> tuple[Metrics, Array]:
    """As `evaluate`, and the mean loss, [], of a batch in which example i is `counts[i]` times.

    Args:
      counts: float32 [examples], whole numbers.
      params, hparams, problem, inputs, labels, block_size: as in `evaluate`.
    """

    def block(x: Array, y: Array, counts: Array, new: Array) -> tuple[Metrics, Array]:
        losses, right = _judge(params, hparams, problem, x, y)
        of_batch = jnp.sum(jnp.where(new & (counts > 0), counts * losses, 0.0))
        return Metrics(jnp.sum(jnp.where(new, losses, 0.0)), jnp.sum(new & right)), of_batch

    zero = Metrics(jnp.float32(0), jnp.int32(0)), jnp.float32(0)
    totals, of_batch = _sum_over_blocks(block, zero, (inputs, labels, counts), block_size)
    whole = Metrics(totals.loss / labels.shape[0], totals.accuracy / labels.shape[0])
    return whole, of_batch / jnp.sum(counts)


def _judge(params: Params, hparams: Hparams, problem: Problem, inputs: Array, labels: Array) -> tuple[Array, Array]:
    """The loss of each example, and whether it is right, [examples] each."""
    outputs, _ = problem.model.forward(params, hparams, inputs)
    return loss_of(hparams)(outputs, labels), correct(outputs, labels, loss_named(hparams.loss).threshold)


def mean_over_examples(
    measured: Function,
    params: Params,
    hparams: Hparams,
    problem: Problem,
    inputs: Array,
    labels: Array,
    block_size: int,
) -> Array:
    """The mean of (outputs [block, outputs], labels) -> [block] over all examples of a set, [].

    Arguments as in `evaluate`, which reads a set in the same way.
    """

    def block(x: Array, y: Array, new: Array) -> Array:
        outputs, _ = problem.model.forward(params, hparams, x)
        return jnp.sum(jnp.where(new, measured(outputs, y), 0.0))

    total: Array = _sum_over_blocks(block, jnp.float32(0), (inputs, labels), block_size)
    return total / labels.shape[0]


def confusion(
    params: Params,
    hparams: Hparams,
    problem: Problem,
    inputs: Array,
    labels: Array,
    num_classes: int,
    block_size: int,
) -> Array:
    """How many examples of a set have which true label and which prediction: int32 [label, prediction].

    Arguments as in `evaluate`; `num_classes` is static. The diagonal holds what `losses.correct` counts.
    """
    classes = jnp.arange(num_classes)

    def block(x: Array, y: Array, new: Array) -> Array:
        logits, _ = problem.model.forward(params, hparams, x)
        is_label = (y[:, None] == classes[None]) & new[:, None]
        is_prediction = jnp.argmax(logits, axis=-1)[:, None] == classes[None]
        return jnp.matmul(is_label.T.astype(jnp.float32), is_prediction.astype(jnp.float32)).astype(jnp.int32)

    return _sum_over_blocks(block, jnp.zeros((num_classes, num_classes), jnp.int32), (inputs, labels), block_size)


def is_halted(state: TrainState, hparams: Hparams) -> Array:
    """Whether the member no longer trains, [] bool: it diverged, or patience ran out under `after_stop=halt`."""
    return stopping.is_halted(hparams, state.stopped_check, state.diverged_step)


def after_check(state: TrainState, hparams: Hparams, validation: Metrics, check: Array) -> TrainState:
    """The state after a check: a strictly lower validation loss makes its parameters the best; patience may run out.

    A halted member does not change.

    Args:
      state: the member at the check.
      hparams: its hyperparameters; `patience` is counted in checks, and 0 never runs out.
      validation: its loss and accuracy on the validation set, [] each; a loss that is NaN is never lower.
      check: [] int32, the number of this check, from 0.

    Returns:
      The state with the best parameters so far, their loss and check, and, where patience ran out, `stopped_check`.
    """
    running = ~is_halted(state, hparams)
    better = running & stopping.improves(validation.loss, state.best_loss)
    best_check = jnp.where(better, check, state.best_check)
    out = running & (state.stopped_check < 0) & stopping.patience_is_out(hparams.patience, check, best_check)
    return state._replace(
        best_params=stopping.select(better, state.params, state.best_params),
        best_loss=jnp.where(better, validation.loss, state.best_loss),
        best_check=best_check,
        stopped_check=jnp.where(out, check, state.stopped_check),
    )


def _sum_over_blocks(block: Callable[..., Any], zero: Any, arrays: tuple[Array, ...], block_size: int) -> Any:
    """Sum of block(*arrays, new) over a set, arrays [examples, ...] of which a block sees a part.

    The last block overlaps the one before, where `new` is False.
    """
    num_examples = arrays[0].shape[0]
    size = min(block_size, num_examples)
    if size == num_examples:
        return block(*arrays, jnp.ones(size, bool))

    def add(totals: Any, first: Array) -> tuple[Any, None]:
        start = jnp.minimum(first, num_examples - size)
        parts = [jax.lax.dynamic_slice_in_dim(array, start, size) for array in arrays]
        new = start + jnp.arange(size) >= first
        return jax.tree.map(jnp.add, totals, block(*parts, new)), None

    return jax.lax.scan(add, zero, jnp.arange(0, num_examples, size))[0]
