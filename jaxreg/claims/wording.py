"""The words of a reason: quantities with their units, lists, ranges of an axis, and why a comparison is undecided."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxreg.claims.comparison import Compared, Members, Values
from jaxreg.claims.evidence import Evidence
from jaxreg.statistics import MOST_SEEDS

TIED = "nothing to tell them apart by"


class Quantity(NamedTuple):
    """A measure as a reason names it."""

    label: str
    units: str  # "1" for none

    @property
    def in_percent(self) -> bool:
        """Whether values are shown in percent and differences in points."""
        return self.units == "1" and any(word in self.label for word in ("accuracy", "error", "share", "fraction"))

    def value(self, x: float) -> str:
        """A value with its units: "91.23 %", "0.213 nats", "1500 steps"."""
        if math.isinf(x):
            return "infinity" if x > 0 else "minus infinity"
        if self.in_percent:
            return f"{100 * x:.2f} %"
        return number(x) + ("" if self.units == "1" else f" {self.units}")

    def by(self, found: Compared, per: str = "") -> str:
        """The size of a difference in its own direction: "by 1.20 points (95 % interval 0.88 to 1.52, n = 5)"."""
        e = found.evidence
        if math.isnan(e.low):
            return found.seeds
        mean, low, high = (e.difference, e.low, e.high) if e.difference >= 0 else (-e.difference, -e.high, -e.low)
        units = " points" if self.in_percent else "" if self.units == "1" else f" {self.units}"
        shown = [f"{100 * x:.2f}" if self.in_percent else number(x) for x in (mean, low, high)]
        return f"by {shown[0]}{units}{per} (95 % interval {shown[1]} to {shown[2]}, n = {e.n})"


def note_missing(names: Sequence[str], members: Members, found: Sequence[Compared] = ()) -> list[str]:
    """Sentences that say at which of the settings, by name, members have no value, and why."""
    ranked = any(compared.ranked for compared in found)
    diverged = (
        "Diverged, and ranked worst where fewer than two pairs are left" if ranked else "Left out because they diverged"
    )
    unknown = np.isnan(members.values) & ~members.diverged
    notes = []
    for why, missing in ((diverged, members.diverged), ("Left out because they have no value", unknown)):
        counts = missing.sum(-1).tolist()
        where = [f"{c} of {missing.shape[-1]} at {name}" for name, c in zip(names, counts, strict=True) if c]
        if where:
            notes.append(f"{why}: {listed(where)}.")
    return notes


def ties(label: str, where: str, n: int, values: Values) -> str:
    """Of members [setting, seed] that do not differ within any seed."""
    if np.isinf(values[~np.isnan(values)]).all():
        return f"no finite {label} {where} in any of {n} seeds"
    return f"identical {label} {where} in all {n} seeds"


def why_undecided(evidence: Sequence[Evidence], what: str = "cannot be told apart") -> str:
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


def if_normal(n: int) -> str:
    """The sentence that a verdict of a t test over so few seeds needs."""
    return f"With n = {n} this rests on the values being normally distributed, which so few seeds cannot show."


def comparative(sign: int) -> str:
    """ "higher" or "lower", of a difference of this sign."""
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
