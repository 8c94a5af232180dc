"""How many seeds a test needs to find a difference of a given size."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from jaxreg.slow_imports import scipy

Values = np.ndarray[Any, Any]

MOST_SEEDS = 10_000  # a number of seeds beyond this is called none at all


def seeds_needed(mean: float, sd: float, alpha: float = 0.05, power: float = 0.8) -> int | None:
    """Smallest n at which the paired two-sided t test finds a mean difference with probability ≥ power.

    Its statistic is noncentral t with n - 1 degrees of freedom and noncentrality |mean| √n / sd. Equal differences
    (sd = 0) are for the sign test, as in `paired_difference`.

    Args:
      mean, sd: of the differences, in one unit.
      alpha: level of the test, in (0, 1).
      power: in (0, 1).

    Returns:
      n, or None where the mean is 0, either number is not finite, or more than 10 000 would be needed.

    References: Cohen (1988), Statistical Power Analysis for the Behavioral Sciences, section 2.5.
    """
    if not (math.isfinite(mean) and math.isfinite(sd)) or mean == 0:
        return None
    if sd == 0:
        return seeds_needed_sign(1.0, alpha, power)
    effect = abs(mean) / sd
    quantile = scipy.special.ndtri(1 - alpha / 2)
    normal = ((quantile + scipy.special.ndtri(power)) / effect) ** 2  # were sd known
    if normal > MOST_SEEDS:
        return None
    n = max(2, int(normal + quantile**2 / 2))
    while n > 2 and _t_power(effect, n - 1, alpha) >= power:
        n -= 1
    while n <= MOST_SEEDS and _t_power(effect, n, alpha) < power:
        n += 1
    return n if n <= MOST_SEEDS else None


def _t_power(effect: float, n: int, alpha: float) -> float:
    """Chance that the two-sided test finds the effect in its own direction; the other one's is negligible."""
    critical = scipy.special.stdtrit(n - 1, 1 - alpha / 2)
    return float(1 - scipy.special.nctdtr(n - 1, effect * math.sqrt(n), critical))


@functools.lru_cache(maxsize=4096)
def seeds_needed_sign(agreeing: float = 1.0, alpha: float = 0.05, power: float = 0.8) -> int | None:
    """Smallest number of untied pairs at which the exact two-sided sign test decides with probability ≥ power.

    Its power at n pairs is P(X ≤ k), X ~ Binomial(n, 1 - agreeing), with k the largest count for which it decides:
    P(Y ≤ k) ≤ alpha / 2, Y ~ Binomial(n, 1/2). Since counts are whole it rises in a sawtooth, and some larger n have a
    little less than that power.

    Args:
      agreeing: chance that a pair has the sign of the majority. At 1 the answer is the smallest n with 2**(1 - n) ≤
        alpha: 6 for one test at 0.05; alpha = 0.05 / m for the first of m tests in Holm's order.
      alpha: level of the test, in (0, 1).
      power: in (0, 1).

    Returns:
      n, exact; None without a majority (agreeing ≤ 1/2) or where more than 10 000 would be needed.

    References: Dixon and Mood (1946), The statistical sign test; Noether (1987), Sample size determination for some
    common nonparametric tests, section 2, for the normal approximation that says where to look.
    """
    if not (agreeing > 0.5 and alpha > 0):
        return None
    spread = math.sqrt(agreeing * (1 - agreeing))
    quantiles = -scipy.special.ndtri(alpha / 2) / 2 + spread * scipy.special.ndtri(power)
    normal = (quantiles / (agreeing - 0.5)) ** 2  # by the normal approximation, a few per cent too low
    first, last = max(1, int(normal / 2)), min(MOST_SEEDS, int(2 * normal) + 20)
    n, most_against = _most_against(alpha, first, last)
    enough = scipy.special.bdtr(most_against, n, 1 - agreeing) >= power
    return int(n[enough.argmax()]) if enough.any() else None


def _most_against(alpha: float, first: int, last: int) -> tuple[Values, Values]:
    """The n from first to last at which the sign test can decide, and the largest smaller count with which it does."""
    n = np.arange(max(first, math.ceil(1 - math.log2(alpha))), last + 1)  # P(Y = 0) = 2**-n
    k = np.maximum(np.floor(n / 2 + scipy.special.ndtri(alpha / 2) * np.sqrt(n) / 2), 0.0)  # nearly
    while (fewer := (k > 0) & (scipy.special.bdtr(k, n, 0.5) > alpha / 2)).any():
        k -= fewer
    while (more := scipy.special.bdtr(k + 1, n, 0.5) <= alpha / 2).any():
        k += more
    return n, k
