"""Claims that one value of an axis is better than each of the others."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from jaxreg.claims.comparison import Compared, compare_settings
from jaxreg.claims.grid import Grid
from jaxreg.claims.judgement import Finding, MeasuredClaim, Verdict, make_finding
from jaxreg.claims.measure import Better, Measure, check_better
from jaxreg.claims.wording import MISSING_SIDE, TIED, comparative, listed, note_missing, ties, undecided
from jaxreg.measures.settings import NotHeldError


@dataclasses.dataclass(frozen=True)
class Best(MeasuredClaim):
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

    @property
    def measured(self) -> Measure:
        """The measure, of which the claim says what is better."""
        return dataclasses.replace(super().measured, better=self.better)

    def decide(self, grid: Grid) -> Finding:
        """Supported if the setting is significantly better than every other value, as the class says."""
        axis, among = (self.among, None) if isinstance(self.among, str) else (next(iter(self.setting)), self.among)
        quantity = grid.quantity
        names, members, chosen = grid.around(axis, self.setting, among)
        others = [i for i in range(len(names)) if i != chosen]
        if not others:
            raise NotHeldError(f"This run holds nothing to compare {axis}={names[chosen]} with")
        labels = [f"{axis} {names[chosen]} against {names[i]}" for i in others]
        found = compare_settings(labels, members, [chosen] * len(others), others)
        notes = note_missing([f"{axis}={name}" for name in names], members, found)

        def finding(verdict: Verdict, reason: str, behind: Sequence[Compared] = found) -> Finding:
            return make_finding(verdict, reason, behind, found, [*members.notes, *notes])

        sign = 1 if self.better == "higher" else -1
        missing = members.missing
        against = dict(zip(others, found, strict=True))
        biased = {i for i, c in against.items() if members.biased_by_missing(c.sign, missing[chosen], missing[i])}
        worse = {i: c for i, c in against.items() if c.sign == -sign}
        beaten = [c for i, c in worse.items() if i not in biased]
        same = {i: c for i, c in against.items() if c.evidence.test == "identical" and quantity.units == "nats"}
        at = f"{quantity.label} at {axis}={names[chosen]}"

        if beaten:
            most = max(beaten, key=lambda c: c.size)
            reason = f"{comparative(-sign)} {at} than at {names[others[found.index(most)]]}, {quantity.by(most)}"
            if len(beaten) > 1:
                reason += f"; {len(beaten)} of the {len(others)} other values are significantly better"
            return finding("contradicted", reason, [most])
        if same:
            n = min(c.evidence.n for c in same.values())
            reason = f"identical {at} and {listed([names[i] for i in same])} in all {n} seeds"
            return finding("contradicted", reason, list(same.values()))
        if all(c.sign == sign for c in found):
            if biased:
                return finding("undecided", f"best {at} in the seeds that are left; {MISSING_SIDE}")
            nearest = quantity.by(min(found, key=lambda c: c.size))
            if len(others) == 1:
                return finding("supported", f"{comparative(sign)} {at} than at {names[others[0]]}, {nearest}")
            return finding(
                "supported",
                f"{comparative(sign)} {at} than at each of the {len(others)} others; than at the nearest, {nearest}",
            )
        if worse:
            where = listed([names[i] for i in worse])
            return finding("undecided", f"{comparative(-sign)} {at} than at {where}; {MISSING_SIDE}")
        open_ = {i: c.evidence for i, c in against.items() if c.sign == 0}
        n = min(evidence.n for evidence in open_.values())
        if n > 1 and all(math.isnan(evidence.p) for evidence in open_.values()):
            where = f"at {axis}={names[chosen]} and {listed([names[i] for i in open_])}"
            return finding("undecided", f"{ties(quantity.label, where, n, members.values[[chosen, *open_]])}: {TIED}")
        what = f"whether {axis}={names[chosen]} has {comparative(sign)} {quantity.label} than "
        return finding("undecided", undecided(what + listed([names[i] for i in open_]), list(open_.values())))
