"""The verdict on a claim: supported, contradicted or undecided, and the rules that every kind of claim follows.

  kind      supported                                         contradicted
  trend     the slope is significant as claimed, no step      the slope, or a step, is significant against the claim
            against it
  pair      the paired difference is significant as claimed   it is significant the other way
  best      significantly better than each other setting      significantly worse than one of them
  within    the 95 % interval lies within the bounds          it lies outside
  reported  the number lies in the prediction interval        it lies outside, at each value of an axis that the
            of one run, at each value of an axis that the     source does not name
            source does not name

and undecided otherwise; the modules of these names hold the details. All of them are judged by differences paired by
seed. n is the number of seeds; the level is 5 % for the claim as a whole (Holm's procedure within it), so that without
an effect at most one claim in twenty is decided:

- Student's t test of the mean difference. Of a comparison in which a value is infinite (censored: never trained), and
  of differences that are all equal, as counts may be, the exact sign test.
- Pairs with a member without a value (NaN) are left out, counted and named. Of a setting in which members
  diverge only those that went well are left, which flatters it; a verdict in its favour is therefore undecided. Which
  side a difference favours follows from what is better of the measure; where that is unknown, or a value is missing for
  another reason than divergence, a missing member on either side leaves the claim undecided. Where fewer than two pairs
  are left, diverged members rank worst, and the exact sign test on that order may decide against them.
- Differences that are all exactly zero are identical, not tested. Of a continuous loss (in nats, two seeds or more)
  that contradicts a claim that there is a difference; anything else may tie by chance and is undecided.
- Below n = 5 a verdict of the t test holds for normally distributed differences only, and says so.
- One seed gives no interval, and what the run does not hold is undecided with n = 0.
- Swept axes of which the claim says nothing are held at the values that are best on validation, averaged over the
  settings that it compares. Since that may favour the noisier of them, p is multiplied by the number of choices
  (Bonferroni); a claim that names its axes is spared that.

References: Student (1908), The probable error of a mean; Holm (1979), A simple sequentially rejective multiple test
procedure; Hahn and Meeker (1991), Statistical Intervals.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, Protocol

from jaxreg.claims.comparison import Compared
from jaxreg.claims.evidence import Evidence
from jaxreg.claims.grid import Grid
from jaxreg.claims.measure import Measure, as_measure
from jaxreg.claims.wording import if_normal, sentence
from jaxreg.measures.settings import NotHeldError
from jaxreg.slow_imports import xr
from jaxreg.statistics import rests_on_normality

Verdict = Literal["supported", "contradicted", "undecided"]


@dataclasses.dataclass(frozen=True)
class Judgement:
    """A verdict with its evidence.

    Attributes:
      statement: the claim in words.
      source: where it is made ("report 000, part 5"), "" if it is ours.
      verdict: supported, contradicted or undecided.
      reason: why, in a sentence or two.
      n: seeds behind the verdict, 0 where the run does not hold what the claim is about, and where none is left.
      units: those of the differences ("1" for accuracies, "nats", "steps").
      evidence: the comparisons.
      rests_on_normality: whether the verdict is a decision of a t test over so few seeds that it holds for normally
        distributed values only; the reason says so.
    """

    statement: str
    source: str
    verdict: Verdict
    reason: str
    n: int
    units: str
    evidence: tuple[Evidence, ...]
    rests_on_normality: bool = False

    @property
    def in_this_run(self) -> bool:
        """Whether the run holds what the claim is about; where every member of that diverged it does, with n = 0."""
        return self.n > 0 or bool(self.evidence)


class Claim(Protocol):
    """Anything with a statement that can be judged from labelled results, a kind of your own too."""

    @property
    def statement(self) -> str:
        """The claim in words."""

    def judge(self, results: xr.Dataset) -> Judgement:
        """The verdict of these results on it."""


def judge(claims: Iterable[Claim], results: xr.Dataset) -> list[Judgement]:
    """The verdicts of one run on the claims, in their order."""
    return [claim.judge(results) for claim in claims]


class Finding(NamedTuple):
    """What a kind of claim finds in a run."""

    verdict: Verdict
    reason: str  # without full stop
    behind: tuple[Evidence, ...]  # of the evidence, that which the verdict rests on
    evidence: tuple[Evidence, ...]
    notes: tuple[str, ...]  # further sentences of the reason


def make_finding(
    verdict: Verdict, reason: str, behind: Sequence[Compared], found: Sequence[Compared], notes: Sequence[str]
) -> Finding:
    """A finding that rests on some of the comparisons found."""
    return Finding(verdict, reason, tuple(c.evidence for c in behind), tuple(c.evidence for c in found), tuple(notes))


def assumes_normal(verdict: Verdict, behind: Sequence[Evidence]) -> bool:
    """Whether a verdict is a decision of t tests, one of them over too few seeds for values that are not normal."""
    return verdict != "undecided" and any(part.test == "t" and rests_on_normality(part.n) for part in behind)


def not_held(statement: str, source: str, missing: NotHeldError) -> Judgement:
    """The judgement of a claim about something that the run does not hold: undecided with n = 0."""
    return Judgement(statement, source, "undecided", f"{missing}.", 0, "1", ())


@dataclasses.dataclass(frozen=True)
class MeasuredClaim(abc.ABC):
    """A claim about a measure on the settings of one run; `decide` is the rule of its kind.

    Attributes:
      statement: the claim in words.
      measure: a variable […, seed] of the results by name, or a Measure.
      source: where the claim is made, "" if it is ours.
    """

    statement: str
    measure: str | Measure
    source: str = dataclasses.field(default="", kw_only=True)

    def judge(self, results: xr.Dataset) -> Judgement:
        """The verdict of these results, by the rules of the module.

        Raises:
          ValueError: the measure has other dimensions than the swept ones and seed.
        """
        try:
            grid = Grid(self.measured, results)
            found = self.decide(grid)
        except NotHeldError as missing:
            return not_held(self.statement, self.source, missing)
        n, fragile = min(evidence.n for evidence in found.behind), assumes_normal(found.verdict, found.behind)
        reason = " ".join([sentence(found.reason), *found.notes, *([if_normal(n)] if fragile else [])])
        units = grid.quantity.units
        return Judgement(self.statement, self.source, found.verdict, reason, n, units, found.evidence, fragile)

    @property
    def measured(self) -> Measure:
        """The measure, with what the claim says is better of it."""
        return as_measure(self.measure)

    @abc.abstractmethod
    def decide(self, grid: Grid) -> Finding:
        """The verdict, from the measure on the settings of the run.

        Raises:
          NotHeldError: the run does not hold what the claim is about.
        """
