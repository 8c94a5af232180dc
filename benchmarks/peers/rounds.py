"""Rounds: every contestant is timed once in each, and results are compared round by round, because machines drift."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Literal, NamedTuple, TypeVar

import numpy as np

from benchmarks.peers.loops import Seconds

Name = TypeVar("Name", bound=Hashable)
Clock = Literal["wall", "cpu"]


@dataclasses.dataclass(frozen=True)
class Ready:
    """Somebody who can be timed.

    Attributes:
      setting: how it is run.
      member_steps: what a timed call trains.
    """

    setting: str
    member_steps: int


@dataclasses.dataclass(frozen=True)
class Readings:
    """What timed calls took, one of each round.

    Attributes:
      setting: how it was run.
      member_steps: what each call trained.
      wall, cpu: seconds by the clock, and of the processor.
    """

    setting: str
    member_steps: int
    wall: tuple[float, ...]
    cpu: tuple[float, ...]

    def rates(self, clock: Clock = "wall") -> np.ndarray:
        """Member-steps per second, [rounds]."""
        return self.member_steps / np.array(getattr(self, clock))


class Spread(NamedTuple):
    """Median, lowest and highest over the rounds."""

    median: float
    low: float
    high: float


def spread(values: np.ndarray) -> Spread:
    """The spread of values [rounds]."""
    return Spread(float(np.median(values)), float(values.min()), float(values.max()))


def ratio(one: Readings, other: Readings, clock: Clock = "wall") -> Spread:
    """How many times faster `one` is, taken round by round."""
    return spread(one.rates(clock) / other.rates(clock))


def interleave(calls: Mapping[Name, Callable[[], Seconds]], rounds: int) -> dict[Name, list[Seconds]]:
    """Each call once a round, in turn; each round begins with another one, lest the same always follows the same."""
    names, taken = list(calls), {name: list[Seconds]() for name in calls}
    for number in range(rounds):
        first = number % max(1, len(names))
        for name in [*names[first:], *names[:first]]:
            taken[name].append(calls[name]())
    return taken


def readings(ready: Ready, taken: Sequence[Seconds]) -> Readings:
    """What was taken of somebody."""
    wall, cpu = zip(*taken, strict=True)
    return Readings(ready.setting, ready.member_steps, wall, cpu)
