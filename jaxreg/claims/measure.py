"""Measure: what a claim is about, a number of each member with a label and the knowledge which values are better."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from operator import itemgetter
from typing import Literal, get_args

from jaxreg.slow_imports import xr

Better = Literal["lower", "higher"]


@dataclasses.dataclass(frozen=True)
class Measure:
    """A quantity of each member, read off the results.

    Attributes:
      label: its name in words: "steps to train". With "accuracy", "error", "share" or "fraction" in it and units "1" it
        is shown in percent.
      of: results -> […, seed], the dots standing for swept dimensions; `attrs["units"]` are its units, "nats" if it is
        a continuous loss. NaN is a member without a value, diverged if `diverged_step` of the results says so; inf is a
        censored one. Raises KeyError where the results do not hold what it is read off.
      better: which values are the good ones; None if neither, or not known.

    Raises ValueError where `better` is neither "lower" nor "higher" nor None.
    """

    label: str
    of: Callable[[xr.Dataset], xr.DataArray]
    better: Better | None = None

    def __post_init__(self) -> None:
        if self.better is not None:
            check_better(self.better)


def check_better(better: str) -> None:
    """Raises ValueError unless it is "lower" or "higher"."""
    if better not in get_args(Better):
        raise ValueError(f"better={better!r}: must be one of {', '.join(get_args(Better))}")


def as_measure(measure: str | Measure) -> Measure:
    """A variable of the results by its name; of accuracies the higher are better, of losses the lower."""
    if isinstance(measure, Measure):
        return measure
    better: Better | None = "higher" if "accuracy" in measure else "lower" if "loss" in measure else None
    return Measure(measure.replace("_", " "), itemgetter(measure), better)
