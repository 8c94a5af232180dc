"""The sentences of verdicts: plain words, numbers as a person would round them, and no more than is known."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from jaxreg.claims import Claim, Lower, Measure, Reported, ReportedNumber, Trend, Within
from jaxreg.claims.comparison import Compared
from jaxreg.claims.evidence import Evidence
from jaxreg.claims.wording import Quantity, enough_seeds, if_normal
from tests.claims.made_up import ACCURACY, LOSS, RATES, noisy, of, rate

CHECKED = "checked every 50 steps"
STEPS = Measure("steps to train", lambda results: results[LOSS].assign_attrs(units="steps", resolution=CHECKED))


def found(difference: float, low: float, high: float) -> Compared:
    return Compared(Evidence("", difference, low, high, 0.01, 0.01, 5, 0, "t", None), 1, "in 5 of 5 seeds", False)


@pytest.mark.parametrize(
    ("needed", "words"),
    [
        (22, "about 22 seeds would be needed"),
        (137, "about 140 seeds would be needed"),
        (4213, "about 4200 seeds would be needed"),
        (None, "a difference as small as the one seen would take more than 10 000 seeds"),
    ],
)
def test_seeds_that_are_needed_are_rounded(needed: int | None, words: str) -> None:
    assert enough_seeds(needed) == words


@pytest.mark.parametrize(
    ("units", "low", "high", "words"),
    [
        ("nats", 0.9, 1, "0.9 to 1 nat"),
        ("nats", 0, np.inf, "at least 0 nats"),
        ("1", -np.inf, 3, "at most 3"),
        ("1", 1, 1, "exactly 1"),
        ("1", -np.inf, np.inf, "any value"),
        ("steps", 10_000, 40_000, "10000 to 40000 steps"),
    ],
)
def test_bounds_are_said_as_a_person_would(units: str, low: float, high: float, words: str) -> None:
    assert Quantity("distinct units", units).span(low, high) == words


def test_steps_are_whole_and_say_how_often_it_was_looked() -> None:
    steps = Quantity("steps to train", "steps", CHECKED)
    assert steps.value(62.5) == "62 steps"
    assert steps.value(1.0) == "1 step"
    assert steps.by(found(462.5, 400.4, 524.6)) == (
        "by 462 steps (95 % interval 400 to 525, n = 5, checked every 50 steps)"
    )
    assert steps.by(found(-150.0, -150.0, -150.0)) == "by 150 steps in each of 5 seeds (checked every 50 steps)"


def test_no_interval_of_a_claim_has_no_width() -> None:
    equal = of(np.array([[400.0], [250.0], [100.0]]) + np.zeros(8))
    reason = Trend("", STEPS, "learning_rate", "falls").judge(equal).reason
    assert "on average by 150 steps from each value to the next in each of 8 seeds (checked every 50 steps)" in reason
    assert "95 % interval" not in reason


def test_an_accuracy_lies_within_0_and_100_per_cent() -> None:
    results = of([[0.04, 0.10, 0.02]], ACCURACY, "1")
    (evidence,) = (judgement := Within("", ACCURACY, rate(0.001), 0.5, 1).judge(results)).evidence
    assert (evidence.low, judgement.verdict) == (0.0, "contradicted")
    assert "(95 % interval 0 to " in judgement.reason
    assert judgement.reason.endswith("not as claimed (50.00 to 100 %). " + if_normal(3))
    number = Reported("A", ACCURACY, rate(0.001), 0.9, "test accuracy", source="a report")
    said = ReportedNumber(number).judge(results).reason
    assert "of one run 95 % are expected within 0 to " in said
    losses = Within("", LOSS, rate(0.001), 0.5, 1).judge(of([[0.04, 0.10, 0.02]]))
    assert losses.evidence[0].low < 0  # whose mean is not known to lie within anything


def test_what_all_seeds_have_is_said_to_be_as_claimed() -> None:
    units = Measure("distinct hidden units", lambda results: results[LOSS].assign_attrs(units="1"))
    claim = Within("", units, rate(0.001), 1, 1)
    assert claim.judge(of(np.ones((1, 5)))).reason == (
        "Distinct hidden units at learning_rate=0.001: 1 in all 5 seeds, as claimed (exactly 1)."
    )
    assert claim.judge(of(np.full((1, 5), 2.0))).reason.endswith("2 in all 5 seeds, not as claimed (exactly 1).")


def test_values_of_an_axis_have_three_digits_or_as_many_as_tell_them_apart() -> None:
    results = of(noisy([0.0, 1.0, 2.0]))
    rounded = results.assign_coords(learning_rate=[0.00316228, 0.0316228, 0.316228])
    assert "goes from 0.00316 to 0.316, " in Trend("", LOSS, "learning_rate", "rises").judge(rounded).reason
    close = results.assign_coords(learning_rate=[0.10001, 0.10002, 0.2])
    assert [e.label for e in Trend("", LOSS, "learning_rate", "rises").judge(close).evidence[1:]] == [
        *("learning_rate 0.10001 to 0.10002", "learning_rate 0.10002 to 0.2"),
    ]


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        (
            Lower("", LOSS, rate(0.001), rate(0.005)),
            "With 6 seeds it is not clear whether learning_rate=0.001 has lower final test loss than "
            "learning_rate=0.005; a difference as small as the one seen would take more than 10 000 seeds.",
        ),
        (
            Trend("", LOSS, "learning_rate", "falls"),
            "With 6 seeds it is not clear whether there is a fall in final test loss as learning_rate goes from 0.001 "
            "to 0.005; a difference as small as the one seen would take more than 10 000 seeds.",
        ),
    ],
)
def test_what_is_undecided_is_one_plain_question(claim: Claim, reason: str) -> None:
    assert claim.judge(of([[1.0, -1, 2, -2, 3, -3], np.zeros(6)])).reason == reason


def test_a_setting_that_several_have_is_said_to_be_so() -> None:
    results = xr.concat([of(np.zeros((2, 5)))] * 2, "momentum").assign_coords(momentum=[0.0, 0.9])
    missing = Lower("", LOSS, {"learning_rate": RATES[0], "momentum": 0.9}, rate(RATES[1])).judge(results)
    assert missing.reason == "2 settings of this run have learning_rate=0.005, and the claim names none of them."
