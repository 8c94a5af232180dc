from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from jaxreg.claims import Measure, Within
from tests.claims.made_up import (
    LOSS,
    noisy,
    of,
    rate,
    verdicts,
)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0, 4, "supported"), (1.6, 2.4, "undecided"), (3, 9, "contradicted"), (-9, 1, "contradicted")],
)
def test_within_compares_the_interval_of_the_mean(low: float, high: float, verdict: str) -> None:
    # 1, 2, 3: mean 2 with the interval 2 ± 4.303 / sqrt(3) = -0.48 to 4.48; 15 such values: 2 ± 0.47.
    claim = Within("", LOSS, rate(0.001), low, high)
    assert verdicts(claim, of(np.tile([[1.0, 2.0, 3.0]], 5))) == verdict
    assert verdicts(claim, of([[1.0, 2.0, 3.0]])) == "undecided"
    assert verdicts(dataclasses.replace(claim, low=-np.inf, high=np.inf), of([[1.0, 2.0, 3.0]])) == "supported"


@pytest.mark.parametrize(("low", "high"), [(0.5, 1.0), (-10.0, 10.0), (-1e9, 1e9), (0.89999, np.inf)])
def test_wider_bounds_hold_what_narrower_ones_hold(low: float, high: float) -> None:
    values = 0.9 + np.array([[1e-6, -1e-6, 2e-6, 0.0]])
    assert verdicts(Within("", LOSS, rate(0.001), low, high), of(values)) == "supported"


def test_bounds_are_decimals_and_values_float32() -> None:
    values = of(np.full((1, 5), 0.9, np.float32), units="1")  # 0.89999998
    assert verdicts(Within("", LOSS, rate(0.001), 0.9, 1), values) == "supported"
    assert verdicts(Within("", LOSS, rate(0.001), 0.90001, 1), values) == "contradicted"
    tenth = of(np.full((1, 5), 0.1, np.float32), units="1")  # 0.10000000149
    assert verdicts(Within("", LOSS, rate(0.001), 0, 0.1), tenth) == "supported"


def test_equal_values_at_a_bound_are_inside() -> None:
    one_unit = Measure("distinct hidden units", lambda results: results[LOSS])
    claim = Within("", one_unit, rate(0.001), 1, 1)
    assert verdicts(claim, of(np.ones((1, 5)))) == "supported"
    assert verdicts(claim, of(np.full((1, 5), 2.0))) == "contradicted"
    few = claim.judge(of(np.ones((1, 4))))
    assert (few.verdict, few.evidence[0].needed) == ("undecided", 5)


def test_within_judges_censored_values_by_their_median() -> None:
    steps = np.array([[100.0, 200, 300, 400, 500, 600, 700, np.inf]])
    assert verdicts(Within("", LOSS, rate(0.001), 0, 1e4), of(steps)) == "undecided"  # 7 of 8 under the upper bound
    assert verdicts(Within("", LOSS, rate(0.001), 0, np.inf), of(steps)) == "supported"
    assert verdicts(Within("", LOSS, rate(0.001), 0, 50), of(steps)) == "contradicted"
    assert verdicts(Within("", LOSS, rate(0.001), 0, 50), of(np.full((1, 6), np.inf))) == "contradicted"


def test_within_is_not_decided_in_favour_of_a_setting_that_diverges() -> None:
    loss = np.array([[1.0, 1.1, 0.9, 1.05, 0.95, np.nan]])
    assert verdicts(Within("", LOSS, rate(0.001), 0, 2), of(loss)) == "undecided"
    assert verdicts(Within("", LOSS, rate(0.001), 2, 3), of(loss)) == "undecided"
    assert verdicts(Within("", LOSS, rate(0.001), 0, 0.5), of(loss)) == "contradicted"


def test_over_few_seeds_it_says_that_it_rests_on_normality() -> None:
    few, enough = (Within("w", LOSS, {"learning_rate": 0.001}, 0, 9).judge(of(noisy([5.0], n, key=1))) for n in (3, 5))
    assert (few.verdict, few.rests_on_normality, enough.rests_on_normality) == ("supported", True, False)
    assert "With n = 3 this rests on" in few.reason
