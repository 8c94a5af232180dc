from __future__ import annotations

import numpy as np
import scipy.stats

from jaxreg.claims import Best
from tests.claims.made_up import (
    LOSS,
    of,
    rate,
)


def test_seeds_needed_are_those_at_the_level_that_holm_leaves() -> None:
    # Mean 1, sd sqrt(2.5), and half that mean: p = 0.23 and 0.52, so that the first is tested at 0.05 / 2.
    values = np.array([np.zeros(5), [2.0, -1, 1, 0, 3], [1.5, -1.5, 0.5, -0.5, 2.5]])
    judgement = Best("", LOSS, rate(0.001), "learning_rate", "lower").judge(of(values))
    n, d = np.arange(2, 60), 1 / np.sqrt(2.5)
    power = scipy.stats.nct.sf(scipy.stats.t.ppf(1 - 0.025 / 2, n - 1), n - 1, d * np.sqrt(n))
    assert judgement.evidence[0].needed == n[power >= 0.8][0] == 27
