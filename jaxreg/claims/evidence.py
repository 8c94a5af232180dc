"""Evidence: the numbers of one comparison that a verdict rests on."""

from __future__ import annotations

import dataclasses
from typing import Literal

Test = Literal["t", "sign", "identical", "none"]


@dataclasses.dataclass(frozen=True)
class Evidence:
    """One comparison behind a verdict.

    Attributes:
      label: what is compared, in words: "learning_rate 0.5 against 1", "slope along learning_rate".
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
