"""The comparisons behind a verdict: differences paired by seed, tested, adjusted for one another, and put in words."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from jaxreg.statistics import (
    MOST_SEEDS,
    differences,
    holm,
    holm_levels,
    seeds_needed,
    seeds_needed_sign,
    sign_p,
    t_test,
)

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
      p_holm: adjusted within the claim (Holm, 1979).
      n: seeds that count.
      left_out: seeds left out because a member diverged.
      test: "t" (Student; of equal differences the exact sign test), "sign" (exact sign test, for censored values),
        "identical" (all differences are zero, or all values equal), "none".
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


class Compared(NamedTuple):
    """A comparison with what it says."""

    evidence: Evidence
    sign: int  # of the difference where it is significant, else 0
    seeds: str  # how many seeds have the sign of the majority: "in 5 of 6 seeds"


def compare_pairs(labels: Sequence[str], a: Values, b: Values) -> list[Compared]:
    """Tests of a - b [comparison, seed], adjusted together: t tests, or sign tests where a value is infinite."""
    compared = differences(a, b)
    return compare(labels, compared, np.sign(compared) if np.isinf(a).any() or np.isinf(b).any() else None)


def compare(labels: Sequence[str], values: Values, orders: Values | None = None) -> list[Compared]:
    """Tests of values [comparison, seed] against 0, adjusted together; sign tests of their `orders` where given."""
    signs = values if orders is None else orders
    test = t_test(values)
    n = (~np.isnan(signs)).sum(-1)
    lower, higher = (signs < 0).sum(-1), (signs > 0).sum(-1)
    mean, low, high, p, direction = test.mean, test.low, test.high, test.p, np.sign(test.mean)
    if orders is not None:
        mean, low, high = np.where(np.isfinite(values).sum(-1) == n, mean, np.nan), *np.full((2, len(n)), np.nan)
        p, direction = np.where(n > 1, sign_p(lower, higher), np.nan), np.sign(higher - lower)
    numbers = (mean, low, high, test.sd, p, holm(p), holm_levels(p, ALPHA), n, lower, higher, direction)
    rows = zip(labels, *(column.tolist() for column in numbers), strict=True)
    return [_compared(*row, num_seeds=values.shape[-1], signs_only=orders is not None) for row in rows]


def _compared(
    label: str,
    mean: float,
    low: float,
    high: float,
    sd: float,
    p: float,
    p_holm: float,
    level: float,
    n: int,
    lower: int,
    higher: int,
    direction: float,
    *,
    num_seeds: int,
    signs_only: bool,
) -> Compared:
    needed: int | None = None
    test: Test = "none"
    if n > 1 and lower + higher == 0:
        test = "identical"
    elif not math.isnan(p):
        test = "sign" if signs_only else "t"
    decided = p_holm <= ALPHA
    if test in ("t", "sign") and not decided:
        needed = needed_untied(lower, higher, n, level) if signs_only else seeds_needed(mean, sd, level)
    seeds = f"in {higher if direction > 0 else lower} of {n} seeds"
    shown = f"{label} ({'higher' if direction > 0 else 'lower'} {seeds})" if test == "sign" else label
    evidence = Evidence(shown, mean, low, high, p, p_holm, n, num_seeds - n, test, needed)
    return Compared(evidence, int(direction) if decided else 0, seeds)


def needed_untied(lower: int, higher: int, n: int, level: float) -> int | None:
    """Seeds, ties among them as now, at which a sign test would decide."""
    untied = lower + higher
    needed = seeds_needed_sign(max(lower, higher) / untied, level)
    return None if needed is None else math.ceil(needed * n / untied)


def slopes(values: Values) -> Values:
    """Least-squares slope of each seed against the position on the axis, [value, seed] -> [seed]."""
    position = np.arange(len(values)) - (len(values) - 1) / 2
    with np.errstate(invalid="ignore"):
        rise = position[:, None] * differences(values, values[:1])  # from the first value: constant ones give exactly 0
        return rise.sum(0) / (position @ position)


def order_along(values: Values) -> Values:
    """Sign of each seed's sum over all pairs of values of the sign of later - earlier, [value, seed] -> [seed]."""
    signs = np.sign(differences(values[None, :], values[:, None]))  # [earlier, later, seed]
    earlier, later = np.triu_indices(len(values), 1)
    return np.sign(signs[earlier, later].sum(0))


def have_diverged(values: Values) -> list[bool]:
    """Whether any member diverged, [setting, seed] -> [setting]."""
    return [bool(row.any()) for row in np.isnan(values)]


# Ties.


def beyond_chance(values: Values, n: int, comparisons: int) -> bool:
    """Whether equal members [setting, seed] are identical rather than equal by chance, as counts may be."""
    columns = [np.unique(column[~np.isnan(column)]) for column in values.T]
    recurs = len(np.unique(np.concatenate(columns))) < sum(map(len, columns))
    return n >= 2 and (not recurs or comparisons * 2.0**-n <= ALPHA)


def seeds_of_ties(comparisons: int) -> int:
    """Smallest n with comparisons · 2**-n ≤ ALPHA."""
    return math.ceil(math.log2(comparisons / ALPHA))


# Words.


def maybe_chance(label: str, n: int, comparisons: int) -> str:
    """Why equal members are not yet identical."""
    return (
        f"equal {label} in all {n} seeds may be chance, since values recur from seed to seed; "
        f"n = {seeds_of_ties(comparisons)} would be needed"
    )


def untold(evidence: Sequence[Evidence], what: str = "cannot be told apart") -> str:
    """Why comparisons are undecided, and the largest number of seeds that any of them would need."""
    n = min(e.n for e in evidence)
    if n < 2:
        return f"{what}: {too_few(n)}"
    needed = [e.needed for e in evidence if e.test != "identical"]
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
