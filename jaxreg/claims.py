"""Claims: what an experiment asserts, judged from its labelled results as supported, contradicted or undecided.

A claim is judged by differences paired by seed. n is the number of seeds; the level is 5 % for the claim as a whole
(Holm's procedure within it), so that without an effect at most one claim in twenty is decided. Every kind follows these
rules:

- Student's t test of the mean difference. Where a value is infinite (censored: never trained), exact sign tests.
- Pairs with a diverged member (NaN) are left out, counted and named. What is left are the members that went well, so a
  verdict in favour of a setting of which members diverged is withheld: undecided. Which side it favours follows from
  what is better of the measure; where that is unknown, a diverged member on either side withholds it.
- Differences that are all exactly zero are identical, not tested: a claim that there is one is contradicted. A measure
  whose values recur from seed to seed (counts) ties by chance; there, m comparisons are taken for identical only if
  m · 2**-n ≤ 0.05, a bound on the chance of n ties of members that differ in half of the seeds.
- One seed gives no interval, and what the run does not hold is undecided with n = 0.
- Swept axes of which the claim says nothing are held at the values that are best on validation, averaged over the
  settings that it compares, so that the choice favours none of them.

References: Student (1908), The probable error of a mean; Holm (1979), A simple sequentially rejective multiple test
procedure; Hahn and Meeker (1991), Statistical Intervals.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import numpy as np
import scipy.special
import xarray as xr

from jaxreg.grid import Better, Grid, Measure, NotHeldError, Values
from jaxreg.judging import (
    ALPHA,
    Compared,
    Evidence,
    Test,
    beyond_chance,
    compare,
    compare_pairs,
    enough_seeds,
    have_diverged,
    listed,
    maybe_chance,
    needed_untied,
    order_along,
    ranges,
    seeds_of_ties,
    sentence,
    slopes,
    too_few,
    untold,
    word,
)
from jaxreg.measures import setting_label
from jaxreg.replication import Reported, reported_numbers
from jaxreg.statistics import differences, prediction_interval, seeds_needed, sign_p, t_test

__all__ = [
    "Best",
    "Better",
    "Claim",
    "Evidence",
    "Higher",
    "Judgement",
    "Lower",
    "Measure",
    "ReportedNumber",
    "Test",
    "Trend",
    "Verdict",
    "Within",
    "judge",
]

Verdict = Literal["supported", "contradicted", "undecided"]


@dataclasses.dataclass(frozen=True)
class Judgement:
    """A verdict with its evidence.

    Attributes:
      statement: the claim in words.
      source: where it is made ("report 000, part 5"), "" if it is ours.
      verdict: supported, contradicted or undecided.
      reason: why, in one or two sentences for people.
      n: seeds behind the verdict, 0 where the run does not hold what the claim is about.
      units: those of the differences ("1" for accuracies, "nats", "steps").
      evidence: the comparisons.
    """

    statement: str
    source: str
    verdict: Verdict
    reason: str
    n: int
    units: str
    evidence: tuple[Evidence, ...]


class Claim(Protocol):
    """Anything with a statement that can be judged from labelled results."""

    @property
    def statement(self) -> str:
        """The claim in words."""

    def judge(self, results: xr.Dataset) -> Judgement:
        """The verdict of these results on it."""


def judge(claims: Iterable[Claim], results: xr.Dataset) -> list[Judgement]:
    """The verdicts of one run on the claims, in their order."""
    return [claim.judge(results) for claim in claims]


class _Finding(NamedTuple):
    verdict: Verdict
    reason: str  # without full stop
    behind: tuple[Evidence, ...]  # of the evidence, that which the verdict rests on
    evidence: tuple[Evidence, ...]


def _found(verdict: Verdict, reason: str, behind: Sequence[Compared], all_: Sequence[Compared]) -> _Finding:
    return _Finding(verdict, reason, tuple(c.evidence for c in behind), tuple(c.evidence for c in all_))


@dataclasses.dataclass(frozen=True)
class _MeasuredClaim:
    statement: str
    measure: str | Measure  # a variable […, seed] of the results by name, or a Measure
    source: str = dataclasses.field(default="", kw_only=True)

    def judge(self, results: xr.Dataset) -> Judgement:
        """The verdict of these results, by the rules of the module.

        Raises:
          ValueError: the measure has other dimensions than the swept ones and seed.
        """
        try:
            grid = Grid(self.measure, results)
            finding = self._find(grid)
        except NotHeldError as missing:
            return _not_held(self.statement, self.source, missing)
        reason = " ".join([sentence(finding.reason), *grid.notes])
        n = min(evidence.n for evidence in finding.behind)
        return Judgement(self.statement, self.source, finding.verdict, reason, n, grid.units, finding.evidence)

    def _find(self, grid: Grid) -> _Finding:
        raise NotImplementedError


def _not_held(statement: str, source: str, missing: NotHeldError) -> Judgement:
    return Judgement(statement, source, "undecided", f"{missing}.", 0, "1", ())


@dataclasses.dataclass(frozen=True)
class Trend(_MeasuredClaim):
    """The measure rises, or falls, along an axis.

    Tested are the slope of each seed's values against their position 0, 1, …, k - 1 on the axis (least squares;
    numbers in order of value, text in the order of the run) and the k - 1 differences of neighbours, by Holm.
    Supported: the slope is significant as claimed and no step against it. Contradicted: the slope, or a step, is
    significant against the claim. With k = 2 there is one difference. With censored values a seed's slope is the sum of
    the signs of its differences over all pairs of values (Kendall, 1938).

    Attributes:
      axis: name of a swept hyperparameter.
      direction: of the measure along it.
      setting: values of other axes at which it is claimed; those unnamed are held at the best on validation.
    """

    axis: str
    direction: Literal["rises", "falls"]
    setting: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def _find(self, grid: Grid) -> _Finding:
        names, values = grid.along(self.axis, self.setting)
        grid.say_diverged([f"{self.axis}={name}" for name in names], values)
        found = self._compare(names, values)
        slope, steps = found[0], found[-(len(names) - 1) :]
        claimed = 1 if self.direction == "rises" else -1
        change, other = ("rise", "fall") if claimed > 0 else ("fall", "rise")

        diverged = have_diverged(values)
        half = len(names) // 2
        withheld = grid.favours(slope.sign, any(diverged[-half:]), any(diverged[:half]))
        signs = [
            0 if grid.favours(step.sign, later, earlier) else step.sign
            for step, (earlier, later) in zip(steps, itertools.pairwise(diverged), strict=True)
        ]

        def finding(verdict: Verdict, reason: str, *behind: Compared) -> _Finding:
            return _found(verdict, reason, behind, found)

        where = f"in {grid.label} along {self.axis} from {names[0]} to {names[-1]}"
        size = grid.by(slope, " per value" if len(steps) > 1 else "")
        if slope.sign == -claimed and not withheld:
            return finding("contradicted", f"a {other} {where}, {size}", slope)
        opposed = [i for i, sign in enumerate(signs) if sign == -claimed]
        if opposed:
            against = ranges(names, [sign == -claimed for sign in signs])
            holds = ranges(names, [sign == claimed for sign in signs])
            begin = f"holds {holds}, not {against}" if holds else f"does not hold {against}"
            worst = max(opposed, key=lambda i: abs(steps[i].evidence.difference))
            which = f" from {names[worst]} to {names[worst + 1]}" if len(opposed) > 1 else ""
            reason = f"{begin}: there a {other} in {grid.label},{which} {grid.by(steps[worst])}"
            return finding("contradicted", reason, *(steps[i] for i in opposed))
        if slope.sign == claimed and not withheld:
            nowhere = f", and nowhere a significant {other}" if len(steps) > 1 else ""
            return finding("supported", f"a {change} {where}, {size}{nowhere}", slope)
        if slope.sign:
            seen = change if slope.sign == claimed else other
            reason = f"a {seen} {where} in the seeds that are left, but members diverged where that is better"
            return finding("undecided", reason, slope)
        if all(c.evidence.test == "identical" for c in found):
            n = slope.evidence.n
            if beyond_chance(values, n, len(found)):
                return finding(
                    "contradicted", f"identical {grid.label} at all values of {self.axis} in all {n} seeds", slope
                )
            return finding("undecided", maybe_chance(grid.label, n, len(found)), slope)
        return finding("undecided", f"a {change} {where} {untold([slope.evidence], 'cannot be told')}", slope)

    def _compare(self, names: Sequence[str], values: Values) -> list[Compared]:
        """The slope, where there are more than two values, and each value with the next."""
        labels = [f"{self.axis} {earlier} to {later}" for earlier, later in itertools.pairwise(names)]
        if len(labels) == 1:
            return compare_pairs(labels, values[1:], values[:-1])
        steps = differences(values[1:], values[:-1])
        orders = np.stack([order_along(values), *np.sign(steps)]) if np.isinf(values).any() else None
        return compare([f"slope along {self.axis}", *labels], np.stack([slopes(values), *steps]), orders)


@dataclasses.dataclass(frozen=True)
class _Pair(_MeasuredClaim):
    a: Mapping[str, Any]
    b: Mapping[str, Any]
    claimed: ClassVar[int]

    def _find(self, grid: Grid) -> _Finding:
        values = grid.members([self.a, self.b], "both settings")
        first, second = setting_label(self.a), setting_label(self.b)
        grid.say_diverged([first, second], values)
        (found,) = compare_pairs([f"{first} against {second}"], values[:1], values[1:])
        verdict, reason = self._verdict(grid, found, values, first, second)
        return _found(verdict, reason, [found], [found])

    def _verdict(self, grid: Grid, found: Compared, values: Values, first: str, second: str) -> tuple[Verdict, str]:
        n = found.evidence.n
        if found.sign:
            shown = f"{word(found.sign)} {grid.label} at {first} than at {second}"
            if grid.favours(found.sign, *have_diverged(values)):
                return "undecided", f"{shown} in the seeds that are left, but members of the better side diverged"
            return "supported" if found.sign == self.claimed else "contradicted", f"{shown}, {grid.by(found)}"
        if found.evidence.test == "identical":
            if beyond_chance(values, n, 1):
                return "contradicted", f"identical {grid.label} at {first} and {second} in all {n} seeds"
            return "undecided", maybe_chance(grid.label, n, 1)
        return "undecided", f"{first} and {second} {untold([found.evidence])}"


class Lower(_Pair):
    """Setting a has a lower measure than setting b: one paired difference, a - b."""

    claimed = -1


class Higher(_Pair):
    """Setting a has a higher measure than setting b: one paired difference, a - b."""

    claimed = 1


@dataclasses.dataclass(frozen=True)
class Best(_MeasuredClaim):
    """One value of an axis is better than each of the others: its paired difference against each of them, by Holm.

    Supported: significantly better than every other. Contradicted: significantly worse than some other, or identical
    with it.

    Attributes:
      setting: the claimed best; further names hold other axes.
      among: the axis, or the values of the first name in `setting` that it is compared with.
      better: which values of the measure are.
    """

    setting: Mapping[str, Any]
    among: str | Sequence[Any]
    better: Better

    def _find(self, grid: Grid) -> _Finding:
        axis, among = (self.among, None) if isinstance(self.among, str) else (next(iter(self.setting)), self.among)
        names, values, chosen = grid.around(axis, self.setting, among)
        others = [i for i in range(len(names)) if i != chosen]
        if not others:
            raise NotHeldError(f"This run holds nothing to compare {axis}={names[chosen]} with")
        grid.say_diverged([f"{axis}={name}" for name in names], values)
        labels = [f"{axis} {names[chosen]} against {names[i]}" for i in others]
        found = compare_pairs(labels, values[chosen], values[others])

        def finding(verdict: Verdict, reason: str, behind: Sequence[Compared] = found) -> _Finding:
            return _found(verdict, reason, behind, found)

        sign = 1 if self.better == "higher" else -1
        diverged = have_diverged(values)
        against = dict(zip(others, found, strict=True))
        worse = {i: c for i, c in against.items() if c.sign == -sign}
        beaten = {i: c for i, c in worse.items() if not diverged[i]}
        same = {
            i: c
            for i, c in against.items()
            if c.evidence.test == "identical" and beyond_chance(values, c.evidence.n, len(others))
        }
        at = f"{grid.label} at {axis}={names[chosen]}"

        def size(i: int) -> tuple[float, float]:
            return abs(against[i].evidence.difference), -against[i].evidence.p

        if beaten:
            most = max(beaten, key=size)
            reason = f"{word(-sign)} {at} than at {names[most]}, {grid.by(against[most])}"
            if len(beaten) > 1:
                reason += f"; {len(beaten)} of the {len(others)} other values are significantly better"
            return finding("contradicted", reason, [against[most]])
        if same:
            n = min(c.evidence.n for c in same.values())
            reason = f"identical {at} and {listed([names[i] for i in same])} in all {n} seeds"
            return finding("contradicted", reason, list(same.values()))
        if all(c.sign == sign for c in found):
            if diverged[chosen]:
                return finding("undecided", f"best {at} in the seeds that are left, but members diverged there")
            nearest = grid.by(against[min(others, key=size)])
            if len(others) == 1:
                return finding("supported", f"{word(sign)} {at} than at {names[others[0]]}, {nearest}")
            return finding(
                "supported", f"{word(sign)} {at} than at each of the {len(others)} others, at least {nearest}"
            )
        if worse:
            where = listed([names[i] for i in worse])
            return finding("undecided", f"{word(-sign)} {at} than at {where}, where members diverged")
        open_ = {i: c.evidence for i, c in against.items() if c.sign == 0}
        if all(evidence.test == "identical" for evidence in open_.values()):
            n = min(evidence.n for evidence in open_.values())
            return finding("undecided", maybe_chance(grid.label, n, len(others)))
        who = f"{axis}={names[chosen]} and {listed([names[i] for i in open_])}"
        return finding("undecided", f"{who} {untold(list(open_.values()))}")


@dataclasses.dataclass(frozen=True)
class Within(_MeasuredClaim):
    """The mean of the measure at a setting lies in [low, high].

    Supported: so does its whole 95 % interval; contradicted: the interval is disjoint from it. Equal values in all
    seeds count by their one value, bounds included, from n = 5 on (2**-n ≤ 0.05). With censored values the median is
    judged, by sign tests against the bounds.

    Attributes:
      setting: values of axes and fixed hyperparameters. Other axes are held at the best on validation; the value itself
        takes part in that choice, so p is multiplied by the number of settings that it was chosen from (Bonferroni).
      low, high: in the units of the measure; may be infinite.
    """

    setting: Mapping[str, Any]
    low: float
    high: float

    def _find(self, grid: Grid) -> _Finding:
        (values,) = grid.members([self.setting])
        label = setting_label(self.setting) or "this run"
        grid.say_diverged([label], values[None])
        present = values[~np.isnan(values)]
        n, left_out = len(present), len(values) - len(present)
        evidence = Evidence(label, math.nan, math.nan, math.nan, math.nan, math.nan, n, left_out, "none", None)

        def finding(verdict: Verdict, reason: str, **changes: Any) -> _Finding:
            changed = dataclasses.replace(evidence, **changes)
            return _Finding(verdict, reason, (changed,), (changed,))

        if n < 2:
            return finding("undecided", too_few(n), difference=float(present[0]) if n else math.nan)
        at, span = f"{grid.label} at {label}:", f"{grid.value(self.low)} to {grid.value(self.high)}"
        if (present == present[0]).all():  # censored in all seeds, too
            centre = float(present[0])
            numbers: dict[str, Any] = {"difference": centre, "test": "identical"}
            numbers |= {"low": centre, "high": centre} if math.isfinite(centre) else {}
            shown = f"{at} {grid.value(centre)} in all {n} seeds"
            if grid.choices * 2.0**-n > ALPHA:
                enough = seeds_of_ties(grid.choices)
                reason = f"{shown}, which may be chance with so few; n = {enough} would be needed"
                return finding("undecided", reason, needed=enough, **numbers)
        else:
            centre, needed, numbers = self._test(present, grid.choices)
            if numbers["test"] == "sign":
                inside = int(((present >= self.low) & (present <= self.high)).sum())
                shown = f"{at} within {span} in {inside} of {n} seeds"
            else:
                interval = f"95 % interval {grid.value(numbers['low'])} to {grid.value(numbers['high'])}"
                shown = f"{at} {grid.value(centre)} ({interval}, n = {n})"
            if numbers["p_holm"] > ALPHA:
                reason = f"{shown}, which cannot be told from the bounds {span}{enough_seeds(needed)}"
                return finding("undecided", reason, needed=needed, **numbers)
        side = -1 if centre < self.low else 1 if centre > self.high else 0
        good = side == 0 or (grid.better == "lower") == (side < 0)
        if left_out and (grid.better is None or good):
            return finding("undecided", f"{shown} in the seeds that are left, but members diverged", **numbers)
        if side == 0:
            return finding("supported", f"{shown}, within {span}", **numbers)
        beyond = f"below {grid.value(self.low)}" if side < 0 else f"above {grid.value(self.high)}"
        return finding("contradicted", f"{shown}, {beyond}", **numbers)

    def _test(self, values: Values, choices: int) -> tuple[float, int | None, dict[str, Any]]:
        """Mean, or censored median; seeds needed to tell it from the bounds; the numbers of the evidence."""
        test = t_test(values)
        mean, sd, low, high = (float(x) for x in test[:4])
        bounds = [bound for bound in (self.low, self.high) if math.isfinite(bound)]
        level = ALPHA / choices
        if censored := bool(np.isinf(values).any()):
            counts = [(int((values < bound).sum()), int((values > bound).sum())) for bound in bounds]
            against = [float(sign_p(*count)) for count in counts]
            centre = float(np.sort(values)[[(len(values) - 1) // 2, len(values) // 2]].mean())
            each = [needed_untied(*count, len(values), level) if sum(count) else None for count in counts]
            needed = None if None in each else max((k for k in each if k is not None), default=None)
            mean = low = high = math.nan
        else:
            against, centre = [float(t_test(values - bound).p) for bound in bounds], mean
            needed = seeds_needed(min((abs(mean - bound) for bound in bounds), default=math.inf), sd, level)
        against = [1.0 if math.isnan(p) else p for p in against]
        # Inside, both bounds must be told apart from the centre; outside, the one that is violated.
        p = against[0] if centre < self.low else against[-1] if centre > self.high else max(against, default=0.0)
        numbers = {"difference": mean, "low": low, "high": high, "p": p, "p_holm": min(1.0, choices * p)}
        return centre, needed, numbers | {"test": "sign" if censored else "t"}


@dataclasses.dataclass(frozen=True)
class ReportedNumber:
    """A single number of a source, against the 95 % prediction interval of one run, mean ± t · s · √(1 + 1/n).

    Inside it is supported: consistent with the run, no more. A fitted number is undecided: it served to choose the
    settings. Where all members are equal the interval has no width, and a number outside contradicts from n = 7 on: the
    chance that n equal values are followed by another one is at most (n / (n + 1))**n / (n + 1).

    Attributes:
      reported: the number, and where the results hold it.
      statement: in words; made from reported.csv if empty.
      source: where the number stands; from reported.csv if empty.

    References: Hahn and Meeker (1991), Statistical Intervals, section 4.7.
    """

    reported: Reported
    statement: str = ""
    source: str = ""

    def judge(self, results: xr.Dataset) -> Judgement:
        """The verdict of these results.

        Raises:
          ValueError: reported.csv has no such id; the variable has other dimensions than the swept ones and seed.
        """
        numbers = reported_numbers()
        if self.reported.id not in numbers.index:
            raise ValueError(f"{self.reported.id}: no such id in reported.csv")
        number = numbers.loc[self.reported.id]
        value = float(str(number["value"]))
        statement = self.statement or f"{number['quantity']} is {value:g} at {number['setting']}"
        source = self.source or f"report {number['source']}"
        try:
            grid = Grid(self.reported.variable, results)
            (values,) = grid.members([self.reported.setting])
            setting = setting_label(grid.swept(self.reported.setting) or self.reported.setting)
        except NotHeldError as missing:
            return _not_held(statement, source, missing)
        one_run = prediction_interval(xr.DataArray(values, dims="seed"))
        mean, sd, low, high = (float(one_run[name]) for name in ("mean", "sd", "low", "high"))
        n = int(one_run["n"])
        p, left_out = _prediction_p(value, mean, sd, n), len(values) - n
        verdict, why = _on_reported(value, mean, sd, low, high, n, self.reported.fitted, left_out, grid.better)
        shown = f"{grid.label}: {grid.value(mean)}"
        if not math.isnan(low):
            shown += f"; one run lies within {grid.value(low)} to {grid.value(high)} (95 % interval, n = {n})"
        grid.say_diverged([setting], values[None])
        reason = sentence(f"{shown}; the source's {grid.value(value)} {why}" if n else too_few(n))
        test: Test = "identical" if sd == 0 else "none" if math.isnan(p) else "t"
        label = f"{setting} against the source's {grid.value(value)}"
        evidence = Evidence(label, mean - value, low - value, high - value, p, p, n, left_out, test, None)
        return Judgement(statement, source, verdict, " ".join([reason, *grid.notes]), n, grid.units, (evidence,))


def _on_reported(
    value: float,
    mean: float,
    sd: float,
    low: float,
    high: float,
    n: int,
    fitted: bool = False,
    left_out: int = 0,
    better: Better | None = None,
) -> tuple[Verdict, str]:
    """The verdict on a reported number, with its reason; fitted before all else."""
    if fitted:
        return "undecided", "served to choose the settings and is no evidence"
    if n < 2 or math.isnan(low):
        return (
            "undecided",
            f"cannot be judged: {too_few(n)}" if n < 2 else "cannot be judged: some seeds have no value",
        )
    inside = low <= value <= high
    if not inside and sd == 0 and (n / (n + 1)) ** n / (n + 1) > ALPHA:
        return "undecided", "differs, but so few equal values may be chance"
    if left_out and (inside or better is None or (better == "lower") == (mean < value)):
        return "undecided", f"lies {'inside' if inside else 'outside'} that of the seeds that are left"
    return ("supported", "is consistent with that") if inside else ("contradicted", "lies outside")


def _prediction_p(value: float, mean: float, sd: float, n: int) -> float:
    """Two-sided p of one further replicate being as far from the mean as `value`."""
    if n < 2 or not sd > 0:
        return math.nan
    return float(scipy.special.stdtr(n - 1, -abs(value - mean) / (sd * math.sqrt(1 + 1 / n))) * 2)
