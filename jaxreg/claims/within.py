"""Claims that the mean of a measure at a setting lies within bounds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxreg.claims.comparison import ALPHA, Values, needed_untied
from jaxreg.claims.evidence import Evidence
from jaxreg.claims.grid import Grid
from jaxreg.claims.judgement import Finding, MeasuredClaim, Verdict
from jaxreg.claims.wording import enough_seeds, note_missing, too_few
from jaxreg.measures.settings import TOLERANCE, setting_label
from jaxreg.measures.shares import range_of
from jaxreg.statistics import seeds_needed, sign_p, t_p, t_test


@dataclasses.dataclass(frozen=True)
class Within(MeasuredClaim):
    """The mean of the measure at a setting lies in [low, high].

    Supported: so does all of its 95 % interval; contradicted: the interval is disjoint from it. Bounds count up to a
    relative 1e-6. Values that are equal in all seeds count by their one value, bounds included, from n = 5 on (2**-n ≤
    0.05): it is the median that is judged there, since the mean of a measure that rarely takes another value cannot be
    distinguished from its common one. With censored values, too, the median is judged, by sign tests against the
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

    def decide(self, grid: Grid) -> Finding:
        """Supported if the interval of the mean lies within the bounds, as the class says."""
        members = grid.members([self.setting])
        (values,) = members.values
        label = setting_label(self.setting) or "this run"
        quantity = grid.quantity
        notes = (*members.notes, *note_missing([label], members))
        present = values[~np.isnan(values)]
        n, left_out = len(present), len(values) - len(present)
        evidence = Evidence(label, math.nan, math.nan, math.nan, math.nan, math.nan, n, left_out, "none", None)

        def finding(verdict: Verdict, reason: str, **changes: Any) -> Finding:
            changed = dataclasses.replace(evidence, **changes)
            return Finding(verdict, reason, (changed,), (changed,), notes)

        if n < 2:
            return finding("undecided", too_few(n), difference=float(present[0]) if n else math.nan)
        at, span = f"{quantity.label} at {label}:", quantity.span(self.low, self.high)
        low, high = self.low - TOLERANCE * abs(self.low), self.high + TOLERANCE * abs(self.high)
        if (present == present[0]).all():  # censored in all seeds, too
            centre = float(present[0])
            numbers: dict[str, Any] = {"difference": centre, "test": "identical"}
            numbers |= {"low": centre, "high": centre} if math.isfinite(centre) else {}
            shown = f"{at} {quantity.value(centre)} in all {n} seeds"
            if members.choices * 2.0**-n > ALPHA:
                enough = math.ceil(math.log2(members.choices / ALPHA))
                reason = f"{shown}, which may be chance with so few; {enough} seeds would be needed"
                return finding("undecided", reason, needed=enough, **numbers)
        else:
            centre, needed, numbers = _against_bounds(present, low, high, members.choices)
            if numbers["test"] == "sign":
                inside = int(((present >= low) & (present <= high)).sum())
                shown = f"{at} {span} in {inside} of {n} seeds"
            else:
                ends = np.clip((numbers["low"], numbers["high"]), *range_of(quantity.label, present, quantity.units))
                numbers |= {"low": float(ends[0]), "high": float(ends[1])}
                interval = f"95 % interval {quantity.span(*ends.tolist())}"
                exactly = f", {quantity.resolution}" if quantity.resolution else ""
                shown = f"{at} {quantity.value(centre)} ({interval}, n = {n}{exactly})"
            if numbers["p_holm"] > ALPHA:
                reason = f"{shown}, too near to the claimed {span} to decide; {enough_seeds(needed)}"
                return finding("undecided", reason, needed=needed, **numbers)
        side = -1 if centre < low else 1 if centre > high else 0
        good = side == 0 or (members.better == "lower") == (side < 0)
        if left_out and (members.better is None or good):
            reason = f"{shown} in the seeds that are left; since members are missing, that decides nothing"
            return finding("undecided", reason, **numbers)
        if side == 0:
            return finding("supported", f"{shown}, as claimed ({span})", **numbers)
        return finding("contradicted", f"{shown}, not as claimed ({span})", **numbers)


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
        against = [t_p((mean - bound) * math.sqrt(len(values)), sd, len(values)) for bound in bounds]
        needed = seeds_needed(min((abs(mean - bound) for bound in bounds), default=math.inf), sd, level)
    against = [1.0 if math.isnan(p) else p for p in against]
    # Inside, both bounds must be told apart from the centre; outside, the one that is violated.
    p = against[0] if centre < low else against[-1] if centre > high else max(against, default=0.0)
    numbers = {"difference": mean, "low": least, "high": most, "p": p, "p_holm": min(1.0, choices * p)}
    return centre, needed, numbers | {"test": "sign" if censored else "t"}
