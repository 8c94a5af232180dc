"""Regularisers: one record each, from which everything else that names a regulariser is derived.

The names that `--method` takes, what is compiled into a program, what a method switches off, the remarks on strengths
without effect and the table in docs/regularisation.md all follow from `REGULARISERS`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Literal

from jax import Array

from jaxreg.nn import penalties, projections
from jaxreg.nn.parts import hyperparameters_of
from jaxreg.nn.trees import Params

# Parameters of a penalty or projection that are no hyperparameters.
ARGUMENTS = ("params", "activations", "step")


@dataclasses.dataclass(frozen=True)
class Regulariser:
    """A regulariser: exactly one of its kinds, `penalty` to `read_by`, says what it is.

    Attributes:
      strength: the hyperparameter that holds its strength.
      off: the value of the strength at which it does nothing.
      penalty: a term of the objective, a function of any of `params`, `activations` and `step`, and of hyperparameters
        by name -> []; its strength is among them.
      projection: applied to the parameters after each update, (params, hyperparameters by name) -> params.
      drops: "hidden" units or "inputs", where it is their dropout in training.
      smooths_labels: whether it is the smoothing of labels in the objective.
      variant_of: the regulariser that it is with the hyperparameters it `owns` as given; where no variant is named
        they are at their defaults.
      read_by: the part of training that reads the strength by itself, in words.
      owns: further hyperparameters that mean nothing without it.
      equation, acts_on, source: for the documentation.

    Raises:
      ValueError: it is none of these or several, or its function does not read its strength.
    """

    strength: str
    off: float
    penalty: Callable[..., Array] | None = None
    projection: Callable[..., Params] | None = None
    drops: Literal["", "hidden", "inputs"] = ""
    smooths_labels: bool = False
    variant_of: str = ""
    read_by: str = ""
    owns: tuple[str, ...] = ()
    equation: str = ""
    acts_on: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        kinds = ("penalty", "projection", "drops", "smooths_labels", "variant_of", "read_by")
        if sum(bool(getattr(self, kind)) for kind in kinds) != 1:
            raise ValueError(f"regulariser of {self.strength}: give one of {', '.join(kinds)}")
        if self.function is not None and self.strength not in self.hyperparameters:
            raise ValueError(f"regulariser of {self.strength}: its function has no parameter of that name")

    @property
    def function(self) -> Callable[..., Any] | None:
        """The penalty or projection."""
        return self.penalty or self.projection

    @property
    def is_compiled(self) -> bool:
        """Whether it is a part of a program, which holds it only where a member needs it."""
        return bool(self.drops) or self.smooths_labels or self.function is not None

    @property
    def hyperparameters(self) -> tuple[str, ...]:
        """All that it reads: its strength, what it owns, and what its function names."""
        named = () if self.function is None else hyperparameters_of(self.function)
        own = (self.strength, *self.owns) if self.function is None else self.owns
        return tuple(dict.fromkeys(name for name in (*named, *own) if name not in ARGUMENTS))


REGULARISERS: dict[str, Regulariser] = {
    "l1": Regulariser(
        strength="l1_strength",
        off=0.0,
        penalty=penalties.l1,
        equation="J += λ Σ |w|",
        acts_on="all weights",
        source="Tibshirani 1996",
    ),
    "late_l1": Regulariser(
        strength="l1_strength",
        off=0.0,
        variant_of="l1",
        owns=("l1_start",),
        equation="the same from step l1_start · num_steps on, nothing before",
        acts_on="all weights",
    ),
    "l2": Regulariser(
        strength="l2_strength",
        off=0.0,
        penalty=penalties.l2,
        equation="J += λ ½ Σ w²",
        acts_on="all weights",
        source="Krogh & Hertz 1991",
    ),
    "kl": Regulariser(
        strength="kl_strength",
        off=0.0,
        penalty=penalties.kl,
        owns=("kl_target",),
        equation="J += λ Σ_j KL(p ‖ q_j)",
        acts_on="mean activation of each hidden unit j",
        source="Ng 2011",
    ),
    "max_norm": Regulariser(
        strength="max_norm",
        off=math.inf,
        projection=projections.max_norm,
        equation="after each update w_j ← w_j · min(1, c/‖w_j‖)",
        acts_on="incoming weights w_j of each unit, output units too",
        source="Srebro & Shraibman 2005; Hinton et al. 2012; Srivastava et al. 2014",
    ),
    "dropout": Regulariser(
        strength="dropout_rate",
        off=0.0,
        drops="hidden",
        equation="in training a ← a/(1 − r) with probability 1 − r, else 0",  # noqa: RUF001 - as on paper
        acts_on="each hidden unit for each example",
        source="Hinton et al. 2012; Srivastava et al. 2014",
    ),
    "input_dropout": Regulariser(
        strength="input_dropout_rate",
        off=0.0,
        drops="inputs",
        equation="in training x ← x/(1 − r) with probability 1 − r, else 0",  # noqa: RUF001 - as on paper
        acts_on="each input for each example",
        source="Srivastava et al. 2014",
    ),
    "label_smoothing": Regulariser(
        strength="label_smoothing",
        off=0.0,
        smooths_labels=True,
        equation="in the objective y ← (1 − s) y + s/classes",  # noqa: RUF001 - as on paper
        acts_on="the target of each output, in training only",
        source="Szegedy et al. 2016",
    ),
    "weight_decay": Regulariser(
        strength="weight_decay",
        off=0.0,
        read_by="the optimizer",
        equation="each update is w ← w − rate · (direction + λ w)",  # noqa: RUF001 - as on paper
        acts_on="all weights",
        source="Loshchilov & Hutter 2019",
    ),
    "early_stopping": Regulariser(
        strength="patience",
        off=0,
        read_by="the check",
        equation="stops after so many checks without a lower validation loss",
        acts_on="the member; it keeps its best parameters",
        source="Prechelt 1998",
    ),
}
"""By the name that `--method` takes. A new entry is a regulariser in every respect."""


def compiled_terms() -> tuple[str, ...]:
    """The regularisers that are parts of a program, in the order in which they are compiled in."""
    return tuple(name for name, regulariser in REGULARISERS.items() if regulariser.is_compiled)
