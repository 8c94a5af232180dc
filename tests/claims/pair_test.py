from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxreg.claims import Higher, Lower
from tests.claims.made_up import (
    CHOSEN_BY,
    LOSS,
    grid_of,
    of,
    rate,
    verdicts,
)

tables = st.integers(0, 2**32 - 1).map(
    lambda key: np.random.default_rng(key).normal(0, 1, (4, 6)) + np.random.default_rng(key).uniform(0, 2, (4, 1))
)


OPPOSITE = {"supported": "contradicted", "contradicted": "supported", "undecided": "undecided"}


@settings(deadline=None, max_examples=50)
@given(tables)
def test_swapping_a_and_b_flips_sign_and_verdict(values: np.ndarray) -> None:
    results = of(values)
    one = Lower("", LOSS, rate(0.001), rate(0.05)).judge(results)
    other = Lower("", LOSS, rate(0.05), rate(0.001)).judge(results)
    assert other.verdict == OPPOSITE[one.verdict]
    assert other.evidence[0].difference == pytest.approx(-one.evidence[0].difference)
    assert other.evidence[0].low == pytest.approx(-one.evidence[0].high)
    assert other.evidence[0].p == pytest.approx(one.evidence[0].p)


def test_undecided_says_how_many_seeds_would_be_needed() -> None:
    differences = np.array([2.0, -1.0, 1.0, 0.0, 3.0])  # mean 1, sd sqrt(2.5): d = 0.632 needs 22 pairs
    judgement = Higher("", LOSS, rate(0.001), rate(0.005)).judge(of([differences, np.zeros(5)]))
    assert judgement.verdict == "undecided"
    assert judgement.evidence[0].needed == 22
    assert judgement.reason == (
        "With 5 seeds it is not clear whether learning_rate=0.001 has higher final test loss than learning_rate=0.005; "
        "about 22 seeds would be needed."
    )


def test_a_difference_that_hardly_varies_is_found() -> None:
    loss = np.array([[0.0], [2.3]]) + np.random.default_rng(0).normal(0, 5e-5, (2, 5))
    assert verdicts(Lower("", LOSS, rate(0.001), rate(0.005)), of(loss)) == "supported"


def test_an_axis_that_one_setting_names_must_be_named_in_the_other() -> None:
    judgement = Lower("", CHOSEN_BY, {**rate(0.001), "init_variance": 1}, rate(0.005)).judge(
        grid_of(np.zeros((3, 2, 6)))
    )
    assert judgement.verdict == "undecided"
    assert judgement.reason == "3 settings of this run have learning_rate=0.005, and the claim names none of them."
