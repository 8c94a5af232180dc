"""What a member is made of: its model, the terms of its objective, the projections of its parameters."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from jaxreg.config import Hparams
from jaxreg.nn.initializers import Initializer
from jaxreg.nn.regularisers import REGULARISERS, Regulariser, compiled_terms
from jaxreg.nn.trees import Layers, Params
from jaxreg.training.binding import bind
from jaxreg.training.models import Model, mlp

Penalty = Callable[[Params, Layers, Hparams, Array], Array]
"""(params, activations, hparams, step) -> [], its strength included, in the unit of the loss.

`activations` are those of the hidden layers before dropout, [batch, units] each, and `step` is [] int32, the number of
steps taken.
"""

Constraint = Callable[[Params, Hparams], Params]
"""(params, hparams) -> params, applied after each update."""


class Problem(NamedTuple):
    """The functions that a member is made of; what may be replaced by the user's own."""

    model: Model = mlp()
    penalties: tuple[Penalty, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    dropout: bool = False  # whether hidden units are dropped in training, at a rate that may be 0
    input_dropout: bool = False  # whether inputs are
    smooths_labels: bool = False  # whether the objective has smoothed labels, by a share that may be 0

    @property
    def draws(self) -> bool:
        """Whether a step of training has random numbers of its own, besides the order of the examples."""
        return self.dropout or self.input_dropout or self.model.train_forward is not None


def named_parts(
    model: Model | None,
    initializer: Initializer | None,
    penalties: Sequence[Penalty],
    constraints: Sequence[Constraint],
) -> dict[str, Any]:
    """The user's own parts of a problem by the names under which runs know them: `model`, `penalty 0`, ..."""
    named: dict[str, Any] = {"model": model, "initializer": initializer}
    named |= {f"penalty {number}": penalty for number, penalty in enumerate(penalties)}
    named |= {f"constraint {number}": constraint for number, constraint in enumerate(constraints)}
    return {name: part for name, part in named.items() if part is not None}


def with_terms(problem: Problem, terms: str) -> Problem:
    """The problem with regularisers compiled in, before the user's own penalties and constraints.

    Args:
      problem: with the user's own parts alone.
      terms: names of compiled regularisers with + between (`l2+dropout`), or none; as `Layout.terms` holds them.

    Raises:
      ValueError: a name that no compiled regulariser has; leaving it out would train without it.
    """
    names = [] if terms == "none" else terms.split("+")
    if unknown := set(names) - set(compiled_terms()):
        raise ValueError(f"terms={terms}: no regulariser is named {', '.join(sorted(unknown))} here")
    named = [REGULARISERS[name] for name in compiled_terms() if name in names]
    return problem._replace(
        penalties=(*(penalty_of(each) for each in named if each.penalty), *problem.penalties),
        constraints=(*(constraint_of(each) for each in named if each.projection), *problem.constraints),
        dropout=any(each.drops == "hidden" for each in named),
        input_dropout=any(each.drops == "inputs" for each in named),
        smooths_labels=any(each.smooths_labels for each in named),
    )


@functools.cache
def penalty_of(regulariser: Regulariser) -> Penalty:
    """The penalty of a regulariser as a function of the hyperparameters of a member."""
    part = regulariser.penalty
    assert part is not None

    def penalty(params: Params, activations: Layers, hparams: Hparams, step: Array) -> Array:
        value: Array = bind(part, hparams, params=params, activations=activations, step=step)()
        return value

    return penalty


@functools.cache
def constraint_of(regulariser: Regulariser) -> Constraint:
    """The projection of a regulariser as a function of the hyperparameters of a member."""
    part = regulariser.projection
    assert part is not None

    def constraint(params: Params, hparams: Hparams) -> Params:
        return bind(part, hparams, params=params)()

    return constraint


def total_penalty(
    penalties: Sequence[Penalty], params: Params, activations: Layers, hparams: Hparams, step: Array
) -> Array:
    """The sum of all penalties, [] in the unit of the loss; 0 if there are none."""
    result = jnp.zeros(())
    for penalty in penalties:
        result += penalty(params, activations, hparams, step)
    return result


def project(constraints: Sequence[Constraint], params: Params, hparams: Hparams) -> Params:
    """The parameters after all projections, first to last."""
    for constraint in constraints:
        params = constraint(params, hparams)
    return params
