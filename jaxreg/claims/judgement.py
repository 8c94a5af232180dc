"""Claims: what an experiment asserts, judged from its labelled results as supported, contradicted or undecided.

A claim is judged by differences paired by seed. n is the number of seeds; the level is 5 % for the claim as a whole
(Holm's procedure within it), so that without an effect at most one claim in twenty is decided. Every kind follows these
rules:

- Student's t test of the mean difference. Of a comparison in which a value is infinite (censored: never trained), and
  of differences that are all equal, as counts may be, the exact sign test.
- Pairs with a member without a value (NaN) are left out, counted and named. What is left of a setting that diverges are
  the members that went well, so a verdict in its favour is withheld: undecided. Which side a difference favours follows
  from what is better of the measure; where that is unknown, or a value is missing for another reason than divergence, a
  missing member on either side withholds it. Where fewer than two pairs are left, diverged members rank worst, and the
  exact sign test on that order may decide against them.
- Differences that are all exactly zero are identical, not tested. Of a continuous loss (in nats, two seeds or more)
  that contradicts a claim that there is a difference; anything else may tie by chance and is undecided.
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
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, get_args

import numpy as np
import scipy.special
import xarray as xr

from jaxreg.claims.comparison import (
    ALPHA,
    Better,
    Compared,
    Evidence,
    Members,
    Test,
    Values,
    compare,
    enough_seeds,
    listed,
    needed_untied,
    ranges,
    sentence,
    ties,
    too_few,
    untold,
    word,
)
from jaxreg.claims.reported import TOLERANCE, Reported, half_unit, reported_numbers
from jaxreg.claims.selection import Grid, Measure, NotHeldError, as_measure, check_better
from jaxreg.measures import setting_label
from jaxreg.statistics import prediction_interval, seeds_needed, sign_p, t_test

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
Direction = Literal["rises", "falls"]

NO_TELLING = "nothing to tell them apart by"


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
class _MeasuredClaim(abc.ABC):
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

    @abc.abstractmethod
    def _find(self, grid: Grid) -> _Finding:
        """The verdict, from the measure on the settings of the run."""


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

    def _find(self, grid: Grid) -> _Finding:
        names, members = grid.along(self.axis, self.setting)
        steps_up = list(itertools.pairwise(range(len(names))))
        labels = [f"{self.axis} {names[i]} to {names[j]}" for i, j in steps_up]
        if slope_too := len(labels) > 1:
            labels.insert(0, f"slope along {self.axis}")
        earlier, later = zip(*steps_up, strict=True)
        found = compare(labels, members, later, earlier, slope=slope_too, choices=grid.choices)
        grid.say_missing([f"{self.axis}={name}" for name in names], members, found)
        slope, steps = found[0], found[-len(steps_up) :]
        claimed = 1 if self.direction == "rises" else -1
        change, other = ("rise", "fall") if claimed > 0 else ("fall", "rise")

        missing = members.missing
        half = len(names) // 2
        withheld = members.withheld(slope.sign, any(missing[-half:]), any(missing[:half]))
        kept_back = [
            members.withheld(step.sign, missing[j], missing[i]) for step, (i, j) in zip(steps, steps_up, strict=True)
        ]
        signs = [0 if back else step.sign for step, back in zip(steps, kept_back, strict=True)]
        opposed = [i for i, sign in enumerate(signs) if sign == -claimed]
        opposed_but_withheld = [step.sign == -claimed and back for step, back in zip(steps, kept_back, strict=True)]

        def finding(verdict: Verdict, reason: str, *behind: Compared) -> _Finding:
            return _found(verdict, reason, behind, found)

        where = f"in {grid.label} along {self.axis} from {names[0]} to {names[-1]}"
        size = grid.by(slope, " per value" if slope_too else "")
        if slope.sign == -claimed and not withheld:
            return finding("contradicted", f"a {other} {where}, {size}", slope)
        if opposed:
            against = ranges(names, [sign == -claimed for sign in signs])
            holds = ranges(names, [sign == claimed for sign in signs])
            begin = f"holds {holds}, not {against}" if holds else f"does not hold {against}"
            worst = max(opposed, key=lambda i: steps[i].size)
            which = f" from {names[worst]} to {names[worst + 1]}" if len(opposed) > 1 else ""
            reason = f"{begin}: there a {other} in {grid.label},{which} {grid.by(steps[worst])}"
            return finding("contradicted", reason, *(steps[i] for i in opposed))
        if slope.sign == claimed and not withheld:
            if any(opposed_but_withheld):
                stretch = ranges(names, opposed_but_withheld)
                reason = f"a {change} {where}, {size}, but a {other} {stretch} in the seeds that are left there"
                return finding("undecided", reason, slope)
            nowhere = f", and nowhere a significant {other}" if slope_too else ""
            return finding("supported", f"a {change} {where}, {size}{nowhere}", slope)
        if slope.sign:
            seen = change if slope.sign == claimed else other
            reason = f"a {seen} {where} in the seeds that are left, but members are missing where that is better"
            return finding("undecided", reason, slope)
        n = slope.evidence.n
        if n > 1 and all(math.isnan(c.evidence.p) for c in found):
            tied = ties(grid.label, f"at all values of {self.axis}", n, members.values)
            if grid.units == "nats" and all(c.evidence.test == "identical" for c in found):
                return finding("contradicted", tied, slope)
            return finding("undecided", f"{tied}: {NO_TELLING}", slope)
        if n > 1 and math.isnan(slope.evidence.p):
            return finding("undecided", f"neither rise nor fall {where} in any of {n} seeds", slope)
        return finding("undecided", f"a {change} {where} {untold([slope.evidence], 'cannot be told')}", slope)


@dataclasses.dataclass(frozen=True)
class _Pair(_MeasuredClaim):
    a: Mapping[str, Any]
    b: Mapping[str, Any]
    claimed: ClassVar[int]

    def _find(self, grid: Grid) -> _Finding:
        members = grid.members([self.a, self.b], "both settings")
        first, second = setting_label(self.a), setting_label(self.b)
        (found,) = compare([f"{first} against {second}"], members, [0], [1], choices=grid.choices)
        grid.say_missing([first, second], members, [found])
        verdict, reason = self._verdict(grid, found, members, first, second)
        return _found(verdict, reason, [found], [found])

    def _verdict(self, grid: Grid, found: Compared, members: Members, first: str, second: str) -> tuple[Verdict, str]:
        n = found.evidence.n
        if found.sign:
            shown = f"{word(found.sign)} {grid.label} at {first} than at {second}"
            if members.withheld(found.sign, *members.missing):
                return "undecided", f"{shown} in the seeds that are left, but members are missing on the better side"
            return "supported" if found.sign == self.claimed else "contradicted", f"{shown}, {grid.by(found)}"
        if n > 1 and math.isnan(found.evidence.p):
            tied = ties(grid.label, f"at {first} and {second}", n, members.values)
            if grid.units == "nats" and found.evidence.test == "identical":
                return "contradicted", tied
            return "undecided", f"{tied}: {NO_TELLING}"
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

    Supported: significantly better than every other. Contradicted: significantly worse than some other, or, of a
    measure in nats, identical with it.

    Attributes:
      setting: the claimed best; further names hold other axes.
      among: the axis, or the values of the first name in `setting` that it is compared with.
      better: which values of the measure are.

    Raises ValueError where `better` is neither "lower" nor "higher".
    """

    setting: Mapping[str, Any]
    among: str | Sequence[Any]
    better: Better

    def __post_init__(self) -> None:
        check_better(self.better)

    def _find(self, grid: Grid) -> _Finding:
        axis, among = (self.among, None) if isinstance(self.among, str) else (next(iter(self.setting)), self.among)
        grid.better = self.better
        names, members, chosen = grid.around(axis, self.setting, among)
        others = [i for i in range(len(names)) if i != chosen]
        if not others:
            raise NotHeldError(f"This run holds nothing to compare {axis}={names[chosen]} with")
        labels = [f"{axis} {names[chosen]} against {names[i]}" for i in others]
        found = compare(labels, members, [chosen] * len(others), others, choices=grid.choices)
        grid.say_missing([f"{axis}={name}" for name in names], members, found)

        def finding(verdict: Verdict, reason: str, behind: Sequence[Compared] = found) -> _Finding:
            return _found(verdict, reason, behind, found)

        sign = 1 if self.better == "higher" else -1
        missing = members.missing
        against = dict(zip(others, found, strict=True))
        withheld = {i for i, c in against.items() if members.withheld(c.sign, missing[chosen], missing[i])}
        worse = {i: c for i, c in against.items() if c.sign == -sign}
        beaten = [c for i, c in worse.items() if i not in withheld]
        same = {i: c for i, c in against.items() if c.evidence.test == "identical" and grid.units == "nats"}
        at = f"{grid.label} at {axis}={names[chosen]}"

        if beaten:
            most = max(beaten, key=lambda c: c.size)
            reason = f"{word(-sign)} {at} than at {names[others[found.index(most)]]}, {grid.by(most)}"
            if len(beaten) > 1:
                reason += f"; {len(beaten)} of the {len(others)} other values are significantly better"
            return finding("contradicted", reason, [most])
        if same:
            n = min(c.evidence.n for c in same.values())
            reason = f"identical {at} and {listed([names[i] for i in same])} in all {n} seeds"
            return finding("contradicted", reason, list(same.values()))
        if all(c.sign == sign for c in found):
            if withheld:
                return finding("undecided", f"best {at} in the seeds that are left, but members are missing")
            nearest = grid.by(min(found, key=lambda c: c.size))
            if len(others) == 1:
                return finding("supported", f"{word(sign)} {at} than at {names[others[0]]}, {nearest}")
            return finding(
                "supported", f"{word(sign)} {at} than at each of the {len(others)} others, at least {nearest}"
            )
        if worse:
            where = listed([names[i] for i in worse])
            return finding("undecided", f"{word(-sign)} {at} than at {where}, where members are missing")
        open_ = {i: c.evidence for i, c in against.items() if c.sign == 0}
        n = min(evidence.n for evidence in open_.values())
        if n > 1 and all(math.isnan(evidence.p) for evidence in open_.values()):
            where = f"at {axis}={names[chosen]} and {listed([names[i] for i in open_])}"
            return finding("undecided", f"{ties(grid.label, where, n, members.values[[chosen, *open_]])}: {NO_TELLING}")
        who = f"{axis}={names[chosen]} and {listed([names[i] for i in open_])}"
        return finding("undecided", f"{who} {untold(list(open_.values()))}")


@dataclasses.dataclass(frozen=True)
class Within(_MeasuredClaim):
    """The mean of the measure at a setting lies in [low, high].

    Supported: so does its whole 95 % interval; contradicted: the interval is disjoint from it. Bounds count up to a
    relative 1e-6. Values that are equal in all seeds count by their one value, bounds included, from n = 5 on
    (2**-n ≤ 0.05): it is the median that is judged there, since the mean of a measure that rarely takes another value
    cannot be told from its common one. With censored values, too, the median is judged, by sign tests against the
    bounds.

    Attributes:
      setting: values of axes and fixed hyperparameters. Other axes are held at the best on validation; the value itself
        takes part in that choice, so p is multiplied by the number of settings that it was chosen from (Bonferroni).
      low, high: in the units of the measure; may be infinite.

    Raises ValueError unless low ≤ high.
    """

    setting: Mapping[str, Any]
    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise ValueError(f"low={self.low}, high={self.high}: low must be at most high")

    def _find(self, grid: Grid) -> _Finding:
        members = grid.members([self.setting])
        (values,) = members.values
        label = setting_label(self.setting) or "this run"
        grid.say_missing([label], members)
        present = values[~np.isnan(values)]
        n, left_out = len(present), len(values) - len(present)
        evidence = Evidence(label, math.nan, math.nan, math.nan, math.nan, math.nan, n, left_out, "none", None)

        def finding(verdict: Verdict, reason: str, **changes: Any) -> _Finding:
            changed = dataclasses.replace(evidence, **changes)
            return _Finding(verdict, reason, (changed,), (changed,))

        if n < 2:
            return finding("undecided", too_few(n), difference=float(present[0]) if n else math.nan)
        at, span = f"{grid.label} at {label}:", f"{grid.value(self.low)} to {grid.value(self.high)}"
        low, high = self.low - TOLERANCE * abs(self.low), self.high + TOLERANCE * abs(self.high)
        if (present == present[0]).all():  # censored in all seeds, too
            centre = float(present[0])
            numbers: dict[str, Any] = {"difference": centre, "test": "identical"}
            numbers |= {"low": centre, "high": centre} if math.isfinite(centre) else {}
            shown = f"{at} {grid.value(centre)} in all {n} seeds"
            if grid.choices * 2.0**-n > ALPHA:
                enough = math.ceil(math.log2(grid.choices / ALPHA))
                reason = f"{shown}, which may be chance with so few; n = {enough} would be needed"
                return finding("undecided", reason, needed=enough, **numbers)
        else:
            centre, needed, numbers = _against_bounds(present, low, high, grid.choices)
            if numbers["test"] == "sign":
                inside = int(((present >= low) & (present <= high)).sum())
                shown = f"{at} within {span} in {inside} of {n} seeds"
            else:
                interval = f"95 % interval {grid.value(numbers['low'])} to {grid.value(numbers['high'])}"
                shown = f"{at} {grid.value(centre)} ({interval}, n = {n})"
            if numbers["p_holm"] > ALPHA:
                reason = f"{shown}, which cannot be told from the bounds {span}{enough_seeds(needed)}"
                return finding("undecided", reason, needed=needed, **numbers)
        side = -1 if centre < low else 1 if centre > high else 0
        good = side == 0 or (members.better == "lower") == (side < 0)
        if left_out and (members.better is None or good):
            return finding("undecided", f"{shown} in the seeds that are left, but members are missing", **numbers)
        if side == 0:
            return finding("supported", f"{shown}, within {span}", **numbers)
        beyond = f"below {grid.value(self.low)}" if side < 0 else f"above {grid.value(self.high)}"
        return finding("contradicted", f"{shown}, {beyond}", **numbers)


def _against_bounds(values: Values, low: float, high: float, choices: int) -> tuple[float, int | None, dict[str, Any]]:
    """Mean, or censored median; seeds needed to tell it from the bounds; the numbers of the evidence."""
    bounds = [bound for bound in (low, high) if math.isfinite(bound)]
    level = ALPHA / choices
    if censored := bool(np.isinf(values).any()):
        counts = [(int((values < bound).sum()), int((values > bound).sum())) for bound in bounds]
        against = [float(sign_p(*count)) for count in counts]
        centre = float(np.sort(values)[[(len(values) - 1) // 2, len(values) // 2]].mean())
        each = [needed_untied(*count, len(values), level) if sum(count) else None for count in counts]
        needed = None if None in each else max((k for k in each if k is not None), default=None)
        mean = least = most = math.nan
    else:
        mean, sd, least, most = (float(x) for x in t_test(values)[:4])
        centre = mean
        against = [_t_p((mean - bound) * math.sqrt(len(values)), sd, len(values)) for bound in bounds]
        needed = seeds_needed(min((abs(mean - bound) for bound in bounds), default=math.inf), sd, level)
    against = [1.0 if math.isnan(p) else p for p in against]
    # Inside, both bounds must be told apart from the centre; outside, the one that is violated.
    p = against[0] if centre < low else against[-1] if centre > high else max(against, default=0.0)
    numbers = {"difference": mean, "low": least, "high": most, "p": p, "p_holm": min(1.0, choices * p)}
    return centre, needed, numbers | {"test": "sign" if censored else "t"}


def _t_p(deviation: float, sd: float, n: int) -> float:
    """Two-sided p of Student's t = deviation / sd at n - 1 degrees of freedom; NaN without a spread."""
    return 2 * float(scipy.special.stdtr(n - 1, -abs(deviation) / sd)) if n > 1 and sd > 0 else math.nan


@dataclasses.dataclass(frozen=True)
class ReportedNumber:
    """A single number of a source, against the 95 % prediction interval of one run, mean ± t · s · √(1 + 1/n).

    The number counts up to half a unit of its last digit. Inside it is supported: consistent with the run, no more.
    Outside it contradicts if its p, times the number of settings that the run's was chosen from, is at most 5 %. A
    fitted number is undecided: it served to choose the settings. Where all members are equal the interval has no
    width, and a number outside contradicts from n = 7 on: the chance that n equal values are followed by another one is
    at most (n / (n + 1))**n / (n + 1).

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
            known = as_measure(self.reported.name)
            grid = Grid(dataclasses.replace(known, of=self.reported.measured), results)
            members = grid.members([self.reported.setting])
            setting = setting_label(grid.swept(self.reported.setting) or self.reported.setting)
        except NotHeldError as missing:
            return _not_held(statement, source, missing)
        (values,) = members.values
        one_run = prediction_interval(xr.DataArray(values, dims="seed"))
        mean, sd, low, high = (float(one_run[name]) for name in ("mean", "sd", "low", "high"))
        n = int(one_run["n"])
        left_out = len(values) - n
        p, p_chosen, verdict, why, needed = _on_reported(
            value,
            *(mean, sd, low, high, n),
            fitted=self.reported.fitted,
            left_out=left_out,
            better=members.better,
            choices=grid.choices,
        )
        shown = f"{grid.label}: {grid.value(mean)}"
        if not math.isnan(low):
            shown += f"; one run lies within {grid.value(low)} to {grid.value(high)} (95 % interval, n = {n})"
        grid.say_missing([setting], members)
        reason = sentence(f"{shown}; the source's {grid.value(value)} {why}" if n else too_few(n))
        test: Test = "identical" if sd == 0 else "none" if math.isnan(p) else "t"
        label = f"{setting} against the source's {grid.value(value)}"
        evidence = Evidence(label, mean - value, low - value, high - value, p, p_chosen, n, left_out, test, needed)
        return Judgement(statement, source, verdict, " ".join([reason, *grid.notes]), n, grid.units, (evidence,))


class _OnReported(NamedTuple):
    p: float  # two-sided, of one further replicate being as far from the mean
    p_chosen: float  # times the number of choices
    verdict: Verdict
    why: str
    needed: int | None = None


def _on_reported(
    value: float,
    mean: float,
    sd: float,
    low: float,
    high: float,
    n: int,
    *,
    fitted: bool = False,
    left_out: int = 0,
    better: Better | None = None,
    choices: int = 1,
) -> _OnReported:
    """The verdict on a reported number, with its reason; fitted before all else."""
    half = half_unit(value)
    p = _t_p(max(0.0, abs(value - mean) - half) / math.sqrt(1 + 1 / n), sd, n) if n else math.nan
    p_chosen = p if math.isnan(p) else min(1.0, choices * p)

    def found(verdict: Verdict, why: str, needed: int | None = None) -> _OnReported:
        return _OnReported(p, p_chosen, verdict, why, needed)

    if fitted:
        return found("undecided", "served to choose the settings and is no evidence")
    if n < 2 or math.isnan(low):
        return found("undecided", f"cannot be judged: {too_few(n) if n < 2 else 'some seeds have no finite value'}")
    inside = low - half <= value <= high + half
    if not inside and sd == 0 and choices * _chance_of_another(n) > ALPHA:
        enough = next(k for k in itertools.count(n) if choices * _chance_of_another(k) <= ALPHA)
        return found(
            "undecided", f"differs, but so few equal values may be chance; n = {enough} would be needed", enough
        )
    if not inside and sd > 0 and p_chosen > ALPHA:
        return found("undecided", f"lies outside, which may be chance with {choices} settings to choose from")
    if left_out and (inside or better is None or (better == "lower") == (mean < value)):
        return found("undecided", f"lies {'inside' if inside else 'outside'} that of the seeds that are left")
    return found("supported", "is consistent with that") if inside else found("contradicted", "lies outside")


def _chance_of_another(n: int) -> float:
    """Bound on the chance that n equal values are followed by another one."""
    return float((n / (n + 1)) ** n / (n + 1))
