"""What is measured of one member between chunks of steps: at checks, by watches, and after the last step.

Functions of one member, which `jaxreg.population.programs` maps over members. A halted member measures nothing: NaN,
or 0 where the values are counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jaxreg.config.hparams import Hparams
from jaxreg.diagnostics.watch import View, Watch
from jaxreg.training.member import Metrics, after_check, confusion, evaluate, evaluate_with_batch, is_halted
from jaxreg.training.problem import Problem
from jaxreg.training.state import TrainState

MAX_CONFUSED = 100  # classes: the confusion matrix of a member has their square


class Examples(NamedTuple):
    """A set on the device: inputs [examples, features] and labels [examples]."""

    inputs: Array
    labels: Array


class CheckedSets(NamedTuple):
    """What a check measures whole, but of the training set the part that a member trains on."""

    validation: Examples
    test: Examples
    train: Examples | None  # None where it is not asked for


class Check(NamedTuple):
    """What a check measures of each member: means over a set, [] each, [seeds, configs] of a population."""

    validation: Metrics
    test: Metrics
    test_batch_loss: Array
    train: Metrics | None


class FinalMetrics(NamedTuple):
    """What is measured after the last step of each member."""

    train: Metrics
    test_confusion: Array | None  # int32 [label, prediction], 0 for a member that diverged; None beyond MAX_CONFUSED


def check_member(
    state: TrainState,
    hparams: Hparams,
    problem: Problem,
    sets: CheckedSets,
    in_test_batch: Array,
    check: Array,
    block_size: int,
    rows: Array | None = None,
) -> tuple[TrainState, Check]:
    """Whole sets and one test batch; the best parameters are kept, and patience may run out.

    Args:
      state, hparams, problem: the member.
      sets: what is measured.
      in_test_batch: how often the test batch holds each test example, float32 [examples].
      check: [] int32, number of the check.
      block_size: static, examples per evaluation block.
      rows: int32 [examples], those of the training set that the member trains on; None for all.

    Returns:
      The state after the check, and mean loss (nats) and accuracy on each set, [] each, NaN if the member is halted.
    """

    def on(examples: Examples, rows: Array | None = None) -> Metrics:
        return evaluate(state.params, hparams, problem, *examples, block_size, rows)

    test, of_batch = evaluate_with_batch(state.params, hparams, problem, *sets.test, in_test_batch, block_size)
    validation = on(sets.validation)
    measured = Check(validation, test, of_batch, None if sets.train is None else on(sets.train, rows))
    after = after_check(state, hparams, measured.validation, check)
    return after, nan_where(is_halted(state, hparams), measured)


def watch_member(watch: Watch, view: View) -> Mapping[str, Array]:
    """What a watch measures of a member."""
    return nan_where(is_halted(view.state, view.hparams), dict(watch.measure(view)))


def final_metrics(
    state: TrainState,
    hparams: Hparams,
    problem: Problem,
    train: Examples,
    test: Examples,
    num_classes: int,
    block_size: int,
    rows: Array | None = None,
) -> FinalMetrics:
    """The whole training set, and which test examples are taken for which class, after the last step.

    Args:
      state, hparams, problem: the member.
      train, test: the sets.
      num_classes: static; 0 where labels are numbers.
      block_size: static, examples per evaluation block.
      rows: int32 [examples], those of the training set that the member trains on; None for all.

    Returns:
      Mean loss (nats) and accuracy on the training set, NaN if the member diverged; and the confusion matrix of the
      test set, int32 [label, prediction], 0 if it diverged; None beyond MAX_CONFUSED classes, or without any.
    """
    diverged = state.diverged_step >= 0
    measured = nan_where(diverged, evaluate(state.params, hparams, problem, *train, block_size, rows))
    if not 0 < num_classes <= MAX_CONFUSED:
        return FinalMetrics(measured, None)
    counts = confusion(state.params, hparams, problem, *test, num_classes, block_size)
    return FinalMetrics(measured, jnp.where(diverged, 0, counts))


def nan_where(condition: Array, values: Any) -> Any:
    """The tree with NaN where the condition holds, and 0 in arrays of integers."""

    def replaced(leaf: Array) -> Array:
        return jnp.where(condition, jnp.nan if jnp.issubdtype(leaf.dtype, jnp.floating) else 0, leaf)

    return jax.tree.map(replaced, values)


def initial_params(
    problem: Problem, key: Array, hparams: Hparams, input_shape: tuple[int, ...], num_classes: int
) -> Callable[[], Any]:
    """A function that draws the parameters of a member before its first step."""
    return lambda: problem.model.init(key, hparams, input_shape, num_classes)
