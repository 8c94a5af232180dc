"""One member: its state, one step of training, its evaluation. Whoever understands `update` understands the program.

Everything here is written for a single member and a single seed; `jaxreg.population` maps it over members.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jaxreg import constraints, penalties
from jaxreg.config import Hparams
from jaxreg.losses import LOSSES, correct
from jaxreg.models import Model, Params, mlp
from jaxreg.optimizers import make_optimizer

DIVERGED_LOSS = 1e4  # nats: a training loss above it counts as diverged

# Random numbers of one member are drawn from keys that depend on (base_seed, seed, purpose) only.
INIT, TRAIN_ORDER, TEST_ORDER = range(3)


class Problem(NamedTuple):
    """The functions that a member is made of; what may be replaced by the user's own."""

    model: Model = mlp()
    penalties: tuple[penalties.Penalty, ...] = ()
    constraints: tuple[constraints.Constraint, ...] = ()


class TrainState(NamedTuple):
    """What changes while a member trains. There is no key in it: (seed, step) gives every random number."""

    params: Params
    opt_state: Any
    best_params: Params  # of the check with the lowest validation loss
    best_loss: Array  # [] float32, nats; inf before the first check
    best_check: Array  # [] int32, -1 before the first check
    diverged_step: Array  # [] int32, -1 while the member is well


class StepMetrics(NamedTuple):
    """What a step tells: means over the batch before the update, NaN once the member is halted."""

    loss: Array  # [] nats, without penalties
    objective: Array  # [] with penalties


class Metrics(NamedTuple):
    """Means over a set of examples."""

    loss: Array  # [] nats, without penalties
    accuracy: Array  # [] in [0, 1]


def member_key(base_seed: Array | int, seed: Array | int, purpose: int) -> Array:
    """The key of one seed for one purpose (INIT, TRAIN_ORDER, TEST_ORDER); nothing else in a sweep touches it."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(base_seed), seed), purpose)


def init_state(
    key: Array, hparams: Hparams, problem: Problem, input_shape: tuple[int, ...], num_classes: int
) -> TrainState:
    """The state before the first step."""
    params = jax.tree.map(_strong, problem.model.init(key, hparams, input_shape, num_classes))
    opt_state = jax.tree.map(_strong, make_optimizer(hparams).init(params))
    return TrainState(params, opt_state, params, jnp.float32(jnp.inf), jnp.int32(-1), jnp.int32(-1))


def update(
    state: TrainState, hparams: Hparams, problem: Problem, inputs: Array, labels: Array, step: Array, active: Array
) -> tuple[TrainState, StepMetrics]:
    """One optimizer step on one batch.

    A member that diverges in this step, by a non-finite loss or parameter or a loss above 1e4 nats, is halted: it keeps
    the last state that was finite, and `diverged_step` says when. A halted member and one that is not `active` do not
    change.

    Args:
      state: the member.
      hparams: its hyperparameters, scalars.
      problem: model, penalties and constraints.
      inputs, labels: the batch, [batch, features] and [batch].
      step: [] int32, the number of steps taken before this one.
      active: [] bool, False to leave the member as it is.
    """
    per_example = LOSSES[hparams.loss]

    def objective(params: Params) -> tuple[Array, Array]:
        logits, activations = problem.model.forward(params, hparams, inputs)
        loss = jnp.mean(per_example(logits, labels))
        return loss + penalties.total(problem.penalties, params, activations, hparams, step), loss

    (value, loss), grads = jax.value_and_grad(objective, has_aux=True)(state.params)
    updates, opt_state = make_optimizer(hparams).update(grads, state.opt_state, state.params)
    params = constraints.project(problem.constraints, optax.apply_updates(state.params, updates), hparams)

    running = active & (state.diverged_step < 0)
    healthy = jnp.isfinite(value) & (loss <= DIVERGED_LOSS) & _all_finite(params)
    advance = running & healthy
    return (
        state._replace(
            params=_select(advance, params, state.params),
            opt_state=_select(advance, opt_state, state.opt_state),
            diverged_step=jnp.where(running & ~healthy, step, state.diverged_step),
        ),
        StepMetrics(jnp.where(running, loss, jnp.nan), jnp.where(running, value, jnp.nan)),
    )


def evaluate(
    params: Params, hparams: Hparams, problem: Problem, inputs: Array, labels: Array, block_size: int
) -> Metrics:
    """Mean loss and accuracy over a whole set, read in blocks of `block_size` examples.

    Args:
      params: the member's parameters.
      hparams: its hyperparameters.
      problem: only the model is used: no penalties.
      inputs, labels: [examples, features] and [examples].
      block_size: static; the last block overlaps the one before it, and no example counts twice.
    """
    num_examples = labels.shape[0]
    size = min(block_size, num_examples)

    def block(totals: Metrics, first: Array) -> tuple[Metrics, None]:
        start = jnp.minimum(first, num_examples - size)
        x = jax.lax.dynamic_slice_in_dim(inputs, start, size)
        y = jax.lax.dynamic_slice_in_dim(labels, start, size)
        logits, _ = problem.model.forward(params, hparams, x)
        new = start + jnp.arange(size) >= first
        loss = jnp.sum(jnp.where(new, LOSSES[hparams.loss](logits, y), 0.0))
        hits = jnp.sum(new & correct(logits, y))
        return Metrics(totals.loss + loss, totals.accuracy + hits), None

    zero = Metrics(jnp.float32(0), jnp.int32(0))
    totals, _ = jax.lax.scan(block, zero, jnp.arange(0, num_examples, size))
    return Metrics(totals.loss / num_examples, totals.accuracy / num_examples)


def keep_best(state: TrainState, validation: Metrics, check: Array) -> TrainState:
    """The state after a check: a strictly lower validation loss makes its parameters the best ones."""
    better = (validation.loss < state.best_loss) & (state.diverged_step < 0)
    return state._replace(
        best_params=_select(better, state.params, state.best_params),
        best_loss=jnp.where(better, validation.loss, state.best_loss),
        best_check=jnp.where(better, check, state.best_check),
    )


def _all_finite(params: Params) -> Array:
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(params)]))


def _select(condition: Array, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)


def _strong(leaf: Array) -> Array:
    """Without JAX's weak type, which a checkpoint does not keep and which would cost another compilation."""
    return jax.lax.convert_element_type(leaf, jnp.asarray(leaf).dtype)
