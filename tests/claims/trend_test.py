from __future__ import annotations

import numpy as np
import pytest

from jaxreg.claims import Measure, Trend
from tests.claims.made_up import (
    ACCURACY,
    LOSS,
    RISES,
    noisy,
    of,
    verdicts,
)


def test_a_trend_names_the_stretch_where_it_holds() -> None:
    accuracy = of(noisy([0.1, 0.3, 0.5, 0.6, 0.7, 0.9, 0.8]), ACCURACY, "1")
    judgement = Trend("it rises", ACCURACY, "learning_rate", "rises", source="part 5").judge(accuracy)
    assert (judgement.verdict, judgement.n, judgement.units, judgement.source) == ("contradicted", 10, "1", "part 5")
    assert judgement.reason.startswith("A fall in final test accuracy where learning_rate is between 0.5 and 1, by ")
    assert " points (95 % interval " in judgement.reason
    assert judgement.reason.endswith("; a rise between 0.001 and 0.5.")
    assert [e.label for e in judgement.evidence[:2]] == ["slope along learning_rate", "learning_rate 0.001 to 0.005"]
    assert len(judgement.evidence) == 7


def test_neighbouring_stretches_are_joined() -> None:
    judgement = RISES.judge(of(noisy([0.0, 1.0, 4.0, 3.5, 3.0, 2.5, 6.0])))
    assert judgement.reason.startswith(
        "A fall in final test loss where learning_rate is between 0.01 and 0.5: most from 0.05 to 0.1, by 0.5"
    )
    assert judgement.reason.endswith("; a rise between 0.001 and 0.01, and between 0.5 and 1.")


def test_the_slope_of_a_straight_line_is_its_step() -> None:
    judgement = RISES.judge(of(0.25 * np.arange(5)[:, None] + np.arange(8)))
    assert judgement.evidence[0].difference == pytest.approx(0.25)
    assert judgement.evidence[0].p == 2.0**-7  # equal in all seeds: a sign test, not an infinitely sure t test


def test_numbers_are_ordered_by_value_and_text_as_it_stands() -> None:
    values = noisy([0.0, 1.0, 2.0])
    shuffled = of(values[[2, 0, 1]]).assign_coords(learning_rate=[0.5, 0.1, 0.3])
    assert RISES.judge(shuffled).reason.startswith(
        "A rise in final test loss as learning_rate goes from 0.1 to 0.5, on average by 1 nat from each value to the"
    )
    text = of(values).assign_coords(learning_rate=["9", "10x10", "1"])
    assert "goes from 9 to 1," in RISES.judge(text).reason


def test_two_values_make_one_comparison() -> None:
    judgement = RISES.judge(of(noisy([0.0, 1.0])))
    assert [e.label for e in judgement.evidence] == ["learning_rate 0.001 to 0.005"]
    assert judgement.evidence[0].p == judgement.evidence[0].p_holm


def test_a_slope_of_zero_in_each_seed_is_told() -> None:
    judgement = RISES.judge(of(np.array([[0] * 5, [1, -1, 2, -1, 1], [0] * 5])))
    assert judgement.verdict == "undecided"
    assert judgement.reason == (
        "Neither rise nor fall in final test loss as learning_rate goes from 0.001 to 0.01 in any of 5 seeds."
    )


@pytest.mark.parametrize(("at", "verdict"), [(1, "undecided"), (2, "supported"), (3, "supported")])
def test_a_slope_favours_the_half_of_the_axis_where_it_is_better(at: int, verdict: str) -> None:
    loss = noisy([0.0, 1.0, 2.0, 3.0, 4.0])  # better at the beginning
    loss[at, :2] = np.nan
    assert verdicts(RISES, of(loss)) == verdict
    assert verdicts(RISES, of(loss[:, 2:])) == "supported"
    other = {"supported": "undecided", "undecided": "supported"}[verdict] if at != 2 else "supported"
    rising = Trend("", Measure("accuracy", lambda results: results[LOSS], "higher"), "learning_rate", "rises")
    assert verdicts(rising, of(loss)) == other


def test_a_step_against_a_trend_is_not_passed_over_since_members_diverged() -> None:
    loss = noisy([0.0, 5.0, 3.0, 8.0, 9.0])
    assert verdicts(RISES, of(loss)) == "contradicted"
    loss[2, :2] = np.nan
    judgement = RISES.judge(of(loss))
    assert judgement.verdict == "undecided"
    assert "but a fall between 0.005 and 0.01 in the seeds that are left there" in judgement.reason
