"""Claims that a measure is lower, or higher, at one setting than at another."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

from jaxreg.claims.comparison import Compared, Members, compare_settings
from jaxreg.claims.grid import Grid
from jaxreg.claims.judgement import Finding, MeasuredClaim, Verdict, make_finding
from jaxreg.claims.wording import MISSING_SIDE, TIED, Quantity, comparative, note_missing, ties, undecided
from jaxreg.measures.settings import setting_labels


@dataclasses.dataclass(frozen=True)
class Pair(MeasuredClaim):
    """The measure at setting a differs from that at setting b: one paired difference, a - b.

    Supported: it is significant with the sign that is claimed; contradicted: with the other, or, of a measure in nats,
    the members are identical.

    Attributes:
      a, b: values of axes and fixed hyperparameters. An axis that one names, the other must name too.
      claimed: the sign of the difference.
    """

    a: Mapping[str, Any]
    b: Mapping[str, Any]
    claimed: ClassVar[int]

    def decide(self, grid: Grid) -> Finding:
        """Supported if the difference a - b is significant with the claimed sign, as the class says."""
        members = grid.members([self.a, self.b], "both settings")
        first, second = setting_labels([self.a, self.b])
        (found,) = compare_settings([f"{first} against {second}"], members, [0], [1])
        notes = [*members.notes, *note_missing([first, second], members, [found])]
        verdict, reason = self._verdict(grid.quantity, found, members, first, second)
        return make_finding(verdict, reason, [found], [found], notes)

    def _verdict(
        self, quantity: Quantity, found: Compared, members: Members, first: str, second: str
    ) -> tuple[Verdict, str]:
        n = found.evidence.n
        if found.sign:
            shown = f"{comparative(found.sign)} {quantity.label} at {first} than at {second}"
            if members.biased_by_missing(found.sign, *members.missing):
                return "undecided", f"{shown} in the seeds that are left; {MISSING_SIDE}"
            return "supported" if found.sign == self.claimed else "contradicted", f"{shown}, {quantity.by(found)}"
        if n > 1 and math.isnan(found.evidence.p):
            tied = ties(quantity.label, f"at {first} and {second}", n, members.values)
            if quantity.units == "nats" and found.evidence.test == "identical":
                return "contradicted", tied
            return "undecided", f"{tied}: {TIED}"
        what = f"whether {first} has {comparative(self.claimed)} {quantity.label} than {second}"
        return "undecided", undecided(what, [found.evidence])


class Lower(Pair):
    """Setting a has a lower measure than setting b: one paired difference, a - b."""

    claimed = -1


class Higher(Pair):
    """Setting a has a higher measure than setting b: one paired difference, a - b."""

    claimed = 1
