"""The words of a reason: quantities with their units, lists, stretches of an axis, and why nothing is decided."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxreg.claims.comparison import Compared, Members, Values
from jaxreg.claims.evidence import Evidence
from jaxreg.statistics import MOST_SEEDS

TIED = "nothing tells them apart"
# A setting of which members diverged is judged by those that went well.
MISSING_SIDE = "since the side that looks better has lost members, that decides nothing"


class Quantity(NamedTuple):
    """A measure as a reason names it."""

    label: str
    units: str  # "1" for none
    resolution: str = ""  # how exactly values can be known: "checked every 50 steps"

    @property
    def in_percent(self) -> bool:
        """Whether values are shown in percent and differences in points."""
        return self.units == "1" and any(word in self.label for word in ("accuracy", "error", "share", "fraction"))

    def value(self, x: float) -> str:
        """A value with its units: "91.23 %", "0.213 nats", "1500 steps"."""
        if math.isinf(x):
            return "infinity" if x > 0 else "minus infinity"
        if self.in_percent:
            return f"{decimal(100 * x)} %"
        return self._with_units(self._number(x))

    def span(self, low: float, high: float) -> str:
        """Bounds in words: "0.9 to 1 nats", "at least 0.9 nats", "exactly 1"."""
        if math.isinf(low):
            return "any value" if math.isinf(high) else f"at most {self.value(high)}"
        if math.isinf(high):
            return f"at least {self.value(low)}"
        if low == high:
            return f"exactly {self.value(low)}"
        return f"{self.value(low).removesuffix(' %').removesuffix(f' {self.units}')} to {self.value(high)}"

    def by(self, found: Compared, per: str = "") -> str:
        """The size of a difference in its own direction: "by 1.20 points (95 % interval 0.88 to 1.52, n = 5)".

        Where all differences are equal, as those of counts may be, an interval would claim to be infinitely sure.
        """
        e = found.evidence
        if math.isnan(e.low):
            return found.seeds
        mean, low, high = (e.difference, e.low, e.high) if e.difference >= 0 else (-e.difference, -e.high, -e.low)
        shown = [decimal(100 * x) if self.in_percent else self._number(x) for x in (mean, low, high)]
        size = f"{shown[0]} points" if self.in_percent else self._with_units(shown[0])
        if low == high:
            return f"by {size}{per} in each of {e.n} seeds{f' ({self.resolution})' if self.resolution else ''}"
        known = f", {self.resolution}" if self.resolution else ""
        return f"by {size}{per} (95 % interval {shown[1]} to {shown[2]}, n = {e.n}{known})"

    def _number(self, x: float) -> str:
        """Steps are whole once they are many; other numbers have three digits."""
        return f"{x:.0f}" if self.units == "steps" and abs(x) >= 10 else number(x)

    def _with_units(self, shown: str) -> str:
        units = "" if self.units == "1" else self.units
        return f"{shown} {units.removesuffix('s') if shown == '1' else units}".rstrip()


def note_missing(names: Sequence[str], members: Members, found: Sequence[Compared] = ()) -> list[str]:
    """Sentences that say at which of the settings, by name, members have no value, and why."""
    ranked = any(compared.ranked for compared in found)
    diverged = (
        "Diverged, and counted as the worst since fewer than two pairs are left"
        if ranked
        else "Left out because they diverged"
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


def undecided(what: str, evidence: Sequence[Evidence]) -> str:
    """That so many seeds do not decide something, and the largest number of seeds that any of its comparisons needs.

    `what` goes on from "with 5 seeds it is not clear": "whether 0.1 and 1 differ".
    """
    n = min(e.n for e in evidence)
    if n < 2:
        return f"{too_few(n)}, so it is not clear {what}"
    needed = [e.needed for e in evidence if not math.isnan(e.p)]
    most = None if None in needed else max((k for k in needed if k is not None), default=None)
    return f"with {n} seeds it is not clear {what}; {enough_seeds(most)}"


def enough_seeds(needed: int | None) -> str:
    """What more seeds would do."""
    if needed is None:
        return f"a difference as small as the one seen would take more than {MOST_SEEDS:,} seeds".replace(",", " ")
    return f"about {rounded(needed)} seeds would be needed"


def rounded(needed: int) -> int:
    """A number of seeds as exactly as it is known: two digits."""
    return needed if needed < 100 else round(needed, 1 - math.floor(math.log10(needed)))


def too_few(n: int) -> str:
    """Why fewer than two seeds decide nothing."""
    return "one seed gives no interval" if n else "no seed is left"


def if_normal(n: int) -> str:
    """The sentence that a verdict of a t test over so few seeds needs."""
    return f"With n = {n} this rests on the values being normally distributed, which so few seeds cannot show."


def comparative(sign: int) -> str:
    """ "higher" or "lower", of a difference of this sign."""
    return "higher" if sign > 0 else "lower"


def between(names: Sequence[str], steps: Sequence[bool]) -> str:
    """Steps of an axis, neighbours joined: "between 0.001 and 0.5, and between 1 and 2"."""
    stretches: list[tuple[int, int]] = []
    for i in np.flatnonzero(steps).tolist():
        first = stretches.pop()[0] if stretches and stretches[-1][1] == i else i
        stretches.append((first, i + 1))
    return ", and ".join(f"between {names[first]} and {names[last]}" for first, last in stretches)


def listed(words: Sequence[str], at_most: int = 4) -> str:
    """ "a, b and c"; of many the first few and how many more."""
    if len(words) > at_most:
        words = [*words[: at_most - 1], f"{len(words) - at_most + 1} more"]
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def number(x: float) -> str:
    """Three significant digits, and all digits before the point."""
    return f"{x:.0f}" if abs(x) >= 100 else f"{x:.3g}"


def decimal(x: float) -> str:
    """Two digits after the point, and none at 0 and 100, the ends of what shares can be."""
    return f"{x:g}" if x in (0, 100) else f"{x:.2f}"


def sentence(words: str) -> str:
    """With a capital, unless it begins with the name of a flag, and a full stop."""
    plain = words.partition(" ")[0].removesuffix(",").replace("-", "").isalpha()
    return f"{words[:1].upper() if plain else words[:1]}{words[1:]}."
