"""What is measured inside a program besides losses: a `Watch` is its variables and one pure function of a member.

The diagnostics of layers, the decision surface and the moments of Adam are instances (`jaxreg.diagnostics.probe`,
`surfaces`, `moments`); a user's own is handed to `jaxreg.run(watches=...)`. `jaxreg.population` maps a watch over the
members, `jaxreg.runs` keeps what it measures, and `jaxreg.results` labels it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from jax import Array

from jaxreg.config.hparams import Hparams
from jaxreg.data import Data
from jaxreg.errors import ConfigError
from jaxreg.nn.trees import Params
from jaxreg.slow_imports import xr
from jaxreg.training.problem import Problem
from jaxreg.training.state import TrainState


class Variable(NamedTuple):
    """What a measured array is: its unit, its meaning, and its dimensions within a member.

    The first dimension is `check` or `step`, where the watch measures; further ones name the axes of what
    `Watch.measure` returns.
    """

    units: str
    description: str
    dims: tuple[str, ...]


class View(NamedTuple):
    """What a watch sees of one member.

    Attributes:
      state: the member now.
      before: the member before the last step; at a check the same as `state`.
      hparams: its hyperparameters, scalars.
      problem: model, penalties and constraints.
      initial_params: () -> its parameters before the first step, drawn again.
      step: [] int32, optimizer steps taken.
      data: what `Watch.prepare` made.
    """

    state: TrainState
    before: TrainState
    hparams: Hparams
    problem: Problem
    initial_params: Callable[[], Params]
    step: Array
    data: Any


def no_data(_data: Data) -> tuple[()]:
    """For a watch that looks at nothing but the member."""
    return ()


@dataclasses.dataclass(frozen=True)
class Watch:
    """Something measured of every member, at checks or at recorded steps.

    Attributes:
      name: of the watch; where a flag turns it on, that of the flag.
      variables: what it measures, by the name in the results.
      measure: view of one member -> its arrays, by the names of `variables`; pure and traced. A member that is halted
        counts as not measured: its values are replaced by NaN, or by 0 in integer arrays.
      prepare: data -> arrays (a pytree) that `measure` needs, kept on every device.
      at: "checks", or "steps" for every recorded step, inside the training program.
      first_seed_only: measured of the first seed of the run only; the variables then have no dimension `seed`.
      require: (problem, shapes of a member's parameters, data) -> None; raises ConfigError where it cannot measure.
      complete: (labelled results, data) -> results with what follows from the variables: coordinates, conclusions.
    """

    name: str
    variables: Mapping[str, Variable]
    measure: Callable[[View], Mapping[str, Array]]
    prepare: Callable[[Data], Any] = no_data
    at: Literal["checks", "steps"] = "checks"
    first_seed_only: bool = False
    require: Callable[[Problem, Any, Data], None] | None = None
    complete: Callable[[xr.Dataset, Data], xr.Dataset] | None = None

    def __post_init__(self) -> None:
        along = self.at.removesuffix("s")
        for name, variable in self.variables.items():
            if variable.dims[:1] != (along,):
                raise ValueError(f"watch {self.name}: {name} has dimensions {variable.dims}; the first is {along}")
        if self.at == "steps" and self.first_seed_only:
            raise ValueError(f"watch {self.name}: steps are measured of all seeds")


def variables_of(watches: Sequence[Watch]) -> dict[str, Variable]:
    """All variables of several watches by name.

    Raises:
      ConfigError: two of them measure under one name.
    """
    found: dict[str, Variable] = {}
    for watch in watches:
        for name, variable in watch.variables.items():
            if name in found:
                raise ConfigError("watches", watch.name, f"{name} is measured by another watch too; rename it")
            found[name] = variable
    return found
