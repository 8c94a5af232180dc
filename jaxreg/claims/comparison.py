"""The comparisons behind a verdict: differences paired by seed, tested, adjusted for one another, and put in words."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from jaxreg.statistics import (
    MOST_SEEDS,
    ROUNDING,
    differences,
    holm,
    holm_levels,
    seeds_needed,
    seeds_needed_sign,
    sign_p,
    t_test,
)

Better = Literal["lower", "higher"]
Test = Literal["t", "sign", "identical", "none"]
Values = np.ndarray[Any, Any]

ALPHA = 0.05  # of a claim as a whole


@dataclasses.dataclass(frozen=True)
class Evidence:
    """One comparison behind a verdict.

    Attributes:
      label: what is compared, as people read it: "learning_rate 0.5 against 1", "slope along learning_rate".
      difference: mean over seeds of what the label compares, in the units of the judgement: the first minus the second
        of a pair, the later minus the earlier of two values along an axis, the slope per value of an axis; of `Within`
        the mean itself, of `ReportedNumber` the mean minus the reported number. NaN where there is none.
      low, high: ends of its 95 % interval (of `ReportedNumber` the prediction interval); NaN where there is none.
      p: two-sided; NaN where nothing was tested.
      p_holm: adjusted within the claim (Holm, 1979), times the number of settings that a claim's open axes left to
        choose from (Bonferroni).
      n: seeds that count.
      left_out: seeds left out because a member diverged or has no value.
      test: "t" (Student; of equal differences the exact sign test), "sign" (exact sign test, for censored values and
        for settings that diverge), "identical" (all differences are zero, or all values equal), "none".
      needed: seeds that would be needed to decide; None where it is decided, or where no number up to 10 000 would do.
    """

    label: str
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    n: int
    left_out: int
    test: Test
    needed: int | None


class Members(NamedTuple):
    """The members of some settings on one measure."""

    values: Values  # [setting, seed], NaN where a member has none
    diverged: Values  # bool, [setting, seed]: it has none because it diverged
    better: Better | None  # None if not known, and where a value is missing for another reason than divergence

    @property
    def missing(self) -> list[bool]:
        """Whether any member has no value, [setting]."""
        return [bool(row.any()) for row in np.isnan(self.values)]

    @property
    def ranked(self) -> Values:
        """The values, the diverged members at the worst one where it is known which that is."""
        worst = {"lower": np.inf, "higher": -np.inf, None: np.nan}[self.better]
        return np.where(self.diverged, worst, self.values)

    def withheld(self, sign: float, first: bool, second: bool) -> bool:
        """Whether first - second having this sign speaks for one of the flagged sides; for either if none is better."""
        if self.better is None:
            return first or second
        return first if (sign < 0) == (self.better == "lower") else second


class Compared(NamedTuple):
    """A comparison with what it says."""

    evidence: Evidence
    sign: int  # of the difference where it is significant, else 0
    seeds: str  # how many seeds have the sign of the majority: "in 5 of 6 seeds"
    ranked: bool  # whether diverged members count, as the worst

    @property
    def size(self) -> tuple[bool, float, float]:
        """To sort by the size of the difference; where there is none, since a value is infinite, it is the largest."""
        e = self.evidence
        unknown = math.isnan(e.difference)
        return unknown, 0.0 if unknown else abs(e.difference), 0.0 if math.isnan(e.p) else -e.p


def compare(
    labels: Sequence[str],
    members: Members,
    first: Sequence[int],
    second: Sequence[int],
    *,
    slope: bool = False,
    choices: int = 1,
) -> list[Compared]:
    """Tests of the differences between settings, first - second, and before them of the slope along all settings.

    t tests; exact sign tests of a comparison in which a value is infinite, and of one with fewer than two pairs left,
    where diverged members rank worst. p are adjusted for one another (Holm) and for the number of choices (Bonferroni).

    Args:
      labels: of the comparisons, that of the slope first.
      members: of the settings, in the order of the axis.
      first, second: positions of the settings compared.
      slope: whether to test it.
      choices: number of settings that the members were chosen from.
    """
    i, j = np.array(first), np.array(second)

    def contrasts(values: Values, pair: Callable[..., Values], whole: Callable[[Values], Values]) -> Values:
        """[comparison, seed]"""
        with np.errstate(invalid="ignore"):
            pairs = pair(values[i], values[j])
            return np.concatenate([whole(values)[None], pairs]) if slope else pairs

    def orders(values: Values) -> Values:
        return np.sign(contrasts(values, differences, order_along))

    values = contrasts(members.values, np.subtract, slopes)
    finite = np.isfinite(values)
    signs, ranked, by_order = np.sign(values), np.zeros(len(values), bool), np.zeros(len(values), bool)
    if not finite.all():
        in_order, with_worst = orders(members.values), orders(members.ranked)
        pairs_left = (~np.isnan(in_order)).sum(-1)
        ranked = (pairs_left < 2) & ((~np.isnan(with_worst)).sum(-1) > pairs_left)
        in_order = np.where(ranked[:, None], with_worst, in_order)
        by_order = finite.sum(-1) < (~np.isnan(in_order)).sum(-1)
        signs = np.where(by_order[:, None], in_order, signs)
    n = (~np.isnan(signs)).sum(-1)
    lower, higher, ties = (signs < 0).sum(-1), (signs > 0).sum(-1), (values == 0).sum(-1)
    largest = np.where(np.isfinite(members.values), np.abs(members.values), 0.0)
    test = t_test(values, ROUNDING * contrasts(largest, np.maximum, lambda rows: rows.max(0)).max(-1))
    p = np.where(by_order, np.where(n > 1, sign_p(lower, higher), np.nan), test.p)
    mean, low, high = (np.where(by_order, np.nan, part) for part in (test.mean, test.low, test.high))
    counted = by_order | (test.sd == 0)
    direction = np.where(counted, np.sign(higher - lower), np.sign(test.mean))
    adjusted, level = np.minimum(1.0, choices * holm(p)), holm_levels(p, ALPHA / choices)

    columns = {"difference": mean, "low": low, "high": high, "p": p, "p_holm": adjusted}
    compared = []
    for row, label in enumerate(labels):
        seeds = f"in {higher[row] if direction[row] > 0 else lower[row]} of {n[row]} seeds"
        decided, needed = adjusted[row] <= ALPHA, None
        kind: Test = "sign" if by_order[row] else "t"
        if n[row] > 1 and ties[row] == n[row]:
            kind = "identical"
        elif np.isnan(p[row]):
            kind = "none"
        elif not decided and counted[row]:
            needed = needed_untied(int(lower[row]), int(higher[row]), int(n[row]), float(level[row]))
        elif not decided:
            needed = seeds_needed(float(mean[row]), float(test.sd[row]), float(level[row]))
        shown = f"{label} ({'higher' if direction[row] > 0 else 'lower'} {seeds})" if kind == "sign" else label
        numbers: dict[str, float] = {name: float(part[row]) for name, part in columns.items()}
        seeds_left = int(n[row])
        evidence = Evidence(
            shown, **numbers, n=seeds_left, left_out=values.shape[-1] - seeds_left, test=kind, needed=needed
        )
        compared.append(Compared(evidence, int(direction[row]) if decided else 0, seeds, bool(ranked[row])))
    return compared


def needed_untied(lower: int, higher: int, n: int, level: float) -> int | None:
    """Seeds, ties among them as now, at which a sign test would decide."""
    untied = lower + higher
    needed = seeds_needed_sign(max(lower, higher) / untied, level)
    return None if needed is None else math.ceil(needed * n / untied)


def slopes(values: Values) -> Values:
    """Least-squares slope of each seed against the position on the axis, [value, seed] -> [seed]."""
    position = np.arange(len(values)) - (len(values) - 1) / 2
    with np.errstate(invalid="ignore"):
        rise = position[:, None] * (values - values[:1])  # from the first value: constant ones give exactly 0
        return rise.sum(0) / (position @ position)


def order_along(values: Values) -> Values:
    """Sign of each seed's sum over all pairs of values of the sign of later - earlier, [value, seed] -> [seed]."""
    signs = np.sign(differences(values[None, :], values[:, None]))  # [earlier, later, seed]
    earlier, later = np.triu_indices(len(values), 1)
    return np.sign(signs[earlier, later].sum(0))


# Words.


def ties(label: str, where: str, n: int, values: Values) -> str:
    """Of members [setting, seed] that do not differ within any seed."""
    if np.isinf(values[~np.isnan(values)]).all():
        return f"no finite {label} {where} in any of {n} seeds"
    return f"identical {label} {where} in all {n} seeds"


def untold(evidence: Sequence[Evidence], what: str = "cannot be told apart") -> str:
    """Why comparisons are undecided, and the largest number of seeds that any of them would need."""
    n = min(e.n for e in evidence)
    if n < 2:
        return f"{what}: {too_few(n)}"
    needed = [e.needed for e in evidence if not math.isnan(e.p)]
    most = None if None in needed else max((k for k in needed if k is not None), default=None)
    return f"{what} with n = {n}{enough_seeds(most)}"


def enough_seeds(needed: int | None) -> str:
    """What more seeds would do."""
    return f"; about n = {needed} would be needed" if needed else f"; not even n = {MOST_SEEDS} is expected to do"


def too_few(n: int) -> str:
    """Why fewer than two seeds decide nothing."""
    return "one seed gives no interval" if n else "no seed is left"


def word(sign: int) -> str:
    """Of a difference of this sign."""
    return "higher" if sign > 0 else "lower"


def ranges(names: Sequence[str], steps: Sequence[bool]) -> str:
    """Steps of an axis, neighbours joined: "from 0.001 to 0.5 and from 1 to 2"."""
    stretches: list[tuple[int, int]] = []
    for i in np.flatnonzero(steps).tolist():
        first = stretches.pop()[0] if stretches and stretches[-1][1] == i else i
        stretches.append((first, i + 1))
    return listed([f"from {names[first]} to {names[last]}" for first, last in stretches], len(names))


def listed(words: Sequence[str], at_most: int = 4) -> str:
    """ "a, b and c"; of many the first few and how many more."""
    if len(words) > at_most:
        words = [*words[: at_most - 1], f"{len(words) - at_most + 1} more"]
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def number(x: float) -> str:
    """Three significant digits, and all digits before the point."""
    return f"{x:.0f}" if abs(x) >= 100 else f"{x:.3g}"


def sentence(words: str) -> str:
    """With a capital, unless it begins with the name of a flag, and a full stop."""
    plain = words.partition(" ")[0].isalpha()
    return f"{words[:1].upper() if plain else words[:1]}{words[1:]}."
