"""Steps of the members that are trained side by side, and the test that they are finite, once for many steps.

To ask at every step whether all parameters are finite is a pass over all of them, which a small step takes no longer
than. A parameter that is not finite stays so, so it is asked once for `TESTED_TOGETHER` steps. If a member diverged
among these, they are taken again one at a time, from the state before, by the same compiled step: the others come to
the same bits, and the member that diverged keeps its last finite state and the number of its step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxreg.nn.trees import Params
from jaxreg.population.evaluation import nan_where
from jaxreg.training.member import StepMetrics
from jaxreg.training.state import TrainState

TESTED_TOGETHER = 32
"""Steps after which it is asked whether parameters are finite. More would cost more where members diverge."""

Records = Any
"""What is kept of each step: a tree of arrays [steps, ...]."""


def take_steps_tested_together(
    advance: Callable[[TrainState, Array], tuple[TrainState, StepMetrics]],
    settle: Callable[[TrainState, TrainState, Array, Array], TrainState],
    is_running: Callable[[TrainState], Array],
    is_well: Callable[[StepMetrics], Array],
    is_finite: Callable[[Params], Array],
    states: TrainState,
    first: Array,
    stop: Array,
    length: int,
) -> tuple[TrainState, StepMetrics]:
    """Takes the steps first ... stop - 1, at most `length`; the functions are those of all members at once.

    Args:
      advance: (states, step) -> states after the step whatever comes of it, and its metrics.
      settle: (states before, states after, whether members diverge, step) -> the states that count.
      is_running: whether members are not halted.
      is_well: whether the losses of members do not say that they diverge.
      is_finite: whether all parameters are.
      states: of the members.
      first, stop: [] int32.
      length: static.

    Returns:
      The states, and the metrics of the steps, [length, ...] each, NaN of halted members and of steps not taken.
    """
    advance = jax.jit(advance, inline=True)  # traced once for the shapes of its records and for the loop
    records = empty_records(jax.eval_shape(advance, states, first)[1], length)

    def attempt(carry: tuple[TrainState, Array, Array, StepMetrics]) -> tuple[TrainState, Array, Array, StepMetrics]:
        before, step, one_by_one_until, records = carry
        running = is_running(before)
        end = jnp.where(step < one_by_one_until, step + 1, jnp.minimum(step + TESTED_TOGETHER, stop))

        def take(step: Array, carry: tuple[TrainState, Array, StepMetrics]) -> tuple[TrainState, Array, StepMetrics]:
            states, well, records = carry
            states, metrics = advance(states, step)
            return states, well & is_well(metrics), keep(records, step - first, nan_where(~running, metrics))

        after, well, records = jax.lax.fori_loop(step, end, take, (before, jnp.ones_like(running), records))
        diverges = running & ~(well & is_finite(after.params))
        again = jnp.any(diverges) & (end - step > 1)
        settled = settle(before, after, diverges & ~again, step)
        states = jax.tree.map(lambda old, new: jnp.where(again, old, new), before, settled)
        return states, jnp.where(again, step, end), jnp.where(again, end, one_by_one_until), records

    def goes_on(carry: tuple[TrainState, Array, Array, StepMetrics]) -> Array:
        states, step, _, _ = carry
        return (step < stop) & jnp.any(is_running(states))

    states, _, _, records = jax.lax.while_loop(goes_on, attempt, (states, first, first, records))
    return states, records


def take_steps_tested_each(
    update: Callable[[TrainState, Array], tuple[TrainState, Records]],
    is_running: Callable[[TrainState], Array],
    states: TrainState,
    first: Array,
    stop: Array,
    length: int,
) -> tuple[TrainState, Records]:
    """Takes the steps first ... stop - 1, at most `length`, by an `update` that looks at each by itself.

    For what has to see every settled state, and for projections of the user's own, which might make a parameter finite
    again. Arguments and results as in `take_steps_tested_together`, except for what `update` records.
    """
    update = jax.jit(update, inline=True)  # as above
    records = empty_records(jax.eval_shape(update, states, first)[1], length)

    def take(carry: tuple[TrainState, Array, Records]) -> tuple[TrainState, Array, Records]:
        states, step, records = carry
        states, record = update(states, step)
        return states, step + 1, keep(records, step - first, record)

    def goes_on(carry: tuple[TrainState, Array, Records]) -> Array:
        states, step, _ = carry
        return (step < stop) & jnp.any(is_running(states))

    states, _, records = jax.lax.while_loop(goes_on, take, (states, first, records))
    return states, records


def empty_records(shapes: Any, length: int) -> Any:
    """Records of `length` steps of which none has been taken: NaN, or 0 in arrays of integers."""
    zeros = jax.tree.map(lambda leaf: jnp.zeros((length, *leaf.shape), leaf.dtype), shapes)
    return nan_where(jnp.asarray(True), zeros)


def keep(records: Records, number: Array, record: Any) -> Records:
    """The records with that of step `number` in its place."""
    return jax.tree.map(lambda all, one: jax.lax.dynamic_update_index_in_dim(all, one, number, 0), records, record)
