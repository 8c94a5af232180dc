"""The comparisons behind a verdict: differences paired by seed, tested, and adjusted for one another."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxreg.claims.evidence import Evidence, Test
from jaxreg.claims.measure import Better
from jaxreg.statistics import (
    ROUNDING,
    differences,
    holm,
    holm_levels,
    seeds_needed,
    seeds_needed_sign,
    sign_p,
    t_test,
)

Values = np.ndarray[Any, Any]

ALPHA = 0.05  # of a claim as a whole


class Members(NamedTuple):
    """The members of some settings on one measure."""

    values: Values  # [setting, seed], NaN where a member has none
    diverged: Values  # bool, [setting, seed]: it has none because it diverged
    better: Better | None  # None if not known, and where a value is missing for another reason than divergence
    choices: int = 1  # settings of the open axes that these were chosen from; 1 if the claim names all axes
    notes: tuple[str, ...] = ()  # sentences on that choice, for the reader of a verdict

    @property
    def missing(self) -> list[bool]:
        """Whether any member has no value, [setting]."""
        return [bool(row.any()) for row in np.isnan(self.values)]

    @property
    def ranked(self) -> Values:
        """The values, the diverged members at the worst one where it is known which that is."""
        worst = {"lower": np.inf, "higher": -np.inf, None: np.nan}[self.better]
        return np.where(self.diverged, worst, self.values)

    def biased_by_missing(self, sign: float, first: bool, second: bool) -> bool:
        """Whether first - second having this sign may be due to missing members rather than to the settings.

        What is left of a setting that diverges are the members that went well, so the difference means nothing where it
        favours a side that misses members; where it is not known which values are better, it means nothing as soon as
        either side misses some.

        Args:
          sign: of the difference.
          first, second: whether the setting misses members.
        """
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


def compare_settings(
    labels: Sequence[str], members: Members, first: Sequence[int], second: Sequence[int], *, slope: bool = False
) -> list[Compared]:
    """Tests of the differences between settings, first - second, and before them of the slope along all settings.

    t tests; exact sign tests of a comparison in which a value is infinite, and of one with fewer than two pairs left,
    where diverged members rank worst. p are adjusted for one another (Holm) and for the number of choices (Bonferroni).

    Args:
      labels: of the comparisons, that of the slope first.
      members: of the settings, in the order of the axis.
      first, second: positions of the settings compared.
      slope: whether to test it.

    Returns:
      As many as there are labels, in their order.

    References: Student (1908), The probable error of a mean; Dixon and Mood (1946), The statistical sign test; Holm
    (1979), A simple sequentially rejective multiple test procedure.
    """
    i, j = np.array(first), np.array(second)

    def contrasts(values: Values, pair: Callable[..., Values], along: Callable[[Values], Values]) -> Values:
        """[comparison, seed]"""
        with np.errstate(invalid="ignore"):
            pairs = pair(values[i], values[j])
            return np.concatenate([along(values)[None], pairs]) if slope else pairs

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
    adjusted, level = np.minimum(1.0, members.choices * holm(p)), holm_levels(p, ALPHA / members.choices)

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
