"""Claims that a measure rises, or falls, along an axis."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from typing import Any, Literal, get_args

from jaxreg.claims.comparison import Compared, compare_settings
from jaxreg.claims.grid import Grid
from jaxreg.claims.judgement import Finding, MeasuredClaim, Verdict, make_finding
from jaxreg.claims.wording import MISSING_SIDE, TIED, between, note_missing, ties, undecided

Direction = Literal["rises", "falls"]


@dataclasses.dataclass(frozen=True)
class Trend(MeasuredClaim):
    """The measure rises, or falls, along an axis.

    Tested are the slope of each seed's values against their position 0, 1, …, k - 1 on the axis (least squares;
    numbers in order of value, text in the order of the run) and the k - 1 differences of neighbours, by Holm.
    Supported: the slope is significant as claimed and no step against it. Contradicted: the slope, or a step, is
    significant against the claim. With k = 2 there is one difference. With censored values a seed's slope is the sum of
    the signs of its differences over all pairs of values (Kendall, 1938).

    Raises ValueError where the direction is neither "rises" nor "falls".

    Attributes:
      axis: name of a swept hyperparameter.
      direction: of the measure along it.
      setting: values of other axes at which it is claimed; those unnamed are held at the best on validation.
    """

    axis: str
    direction: Direction
    setting: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.direction not in get_args(Direction):
            raise ValueError(f"direction={self.direction!r}: must be one of {', '.join(get_args(Direction))}")

    def decide(self, grid: Grid) -> Finding:
        """Supported if the slope is significant as claimed and no step is against it, as the class says."""
        names, members = grid.along(self.axis, self.setting)
        quantity = grid.quantity
        steps_up = list(itertools.pairwise(range(len(names))))
        labels = [f"{self.axis} {names[i]} to {names[j]}" for i, j in steps_up]
        if has_slope := len(labels) > 1:
            labels.insert(0, f"slope along {self.axis}")
        earlier, later = zip(*steps_up, strict=True)
        found = compare_settings(labels, members, later, earlier, slope=has_slope)
        notes = note_missing([f"{self.axis}={name}" for name in names], members, found)
        slope, steps = found[0], found[-len(steps_up) :]
        claimed = 1 if self.direction == "rises" else -1
        change, other = ("rise", "fall") if claimed > 0 else ("fall", "rise")

        missing = members.missing
        half = len(names) // 2
        biased = members.biased_by_missing(slope.sign, any(missing[-half:]), any(missing[:half]))
        step_biased = [
            members.biased_by_missing(step.sign, missing[j], missing[i])
            for step, (i, j) in zip(steps, steps_up, strict=True)
        ]
        signs = [0 if is_biased else step.sign for step, is_biased in zip(steps, step_biased, strict=True)]
        opposed = [i for i, sign in enumerate(signs) if sign == -claimed]
        opposed_but_biased = [
            step.sign == -claimed and is_biased for step, is_biased in zip(steps, step_biased, strict=True)
        ]

        def finding(verdict: Verdict, reason: str, *behind: Compared) -> Finding:
            return make_finding(verdict, reason, behind, found, [*members.notes, *notes])

        label = quantity.label
        where = f"in {label} as {self.axis} goes from {names[0]} to {names[-1]}"
        size = f"on average {quantity.by(slope, ' from each value to the next')}" if has_slope else quantity.by(slope)
        if slope.sign == -claimed and not biased:
            return finding("contradicted", f"a {other} {where}, {size}", slope)
        if opposed:
            against = between(names, [sign == -claimed for sign in signs])
            holds = between(names, [sign == claimed for sign in signs])
            worst = max(opposed, key=lambda i: steps[i].size)
            most = f": most from {names[worst]} to {names[worst + 1]}" if len(opposed) > 1 else ""
            reason = f"a {other} in {label} where {self.axis} is {against}{most}, {quantity.by(steps[worst])}"
            reason += f"; a {change} {holds}" if holds else f"; nowhere a significant {change}"
            return finding("contradicted", reason, *(steps[i] for i in opposed))
        if slope.sign == claimed and not biased:
            if any(opposed_but_biased):
                stretch = between(names, opposed_but_biased)
                reason = f"a {change} {where}, {size}, but a {other} {stretch} in the seeds that are left there"
                return finding("undecided", reason, slope)
            nowhere = f", and nowhere a significant {other}" if has_slope else ""
            return finding("supported", f"a {change} {where}, {size}{nowhere}", slope)
        if slope.sign:
            seen = change if slope.sign == claimed else other
            return finding("undecided", f"a {seen} {where} in the seeds that are left; {MISSING_SIDE}", slope)
        n = slope.evidence.n
        if n > 1 and all(math.isnan(c.evidence.p) for c in found):
            tied = ties(label, f"at all values of {self.axis}", n, members.values)
            if quantity.units == "nats" and all(c.evidence.test == "identical" for c in found):
                return finding("contradicted", tied, slope)
            return finding("undecided", f"{tied}: {TIED}", slope)
        if n > 1 and math.isnan(slope.evidence.p):
            return finding("undecided", f"neither rise nor fall {where} in any of {n} seeds", slope)
        return finding("undecided", undecided(f"whether there is a {change} {where}", [slope.evidence]), slope)
