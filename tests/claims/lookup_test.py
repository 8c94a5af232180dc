from __future__ import annotations

import numpy as np
import pytest

from jaxreg.claims import Best, Trend
from tests.claims.made_up import (
    CHOSEN_BY,
    LOSS,
    grid_of,
    noisy,
    verdicts,
)
from tests.synthetic import make_results


def test_a_coordinate_along_two_axes_finds_its_settings() -> None:
    values = np.arange(4.0).reshape(2, 2, 1) + noisy([0.0], seeds=6) * 1e-3
    results = grid_of(values).assign_coords(num_steps=(("learning_rate", "init_variance"), [[100, 200], [200, 400]]))
    judgement = Trend("", CHOSEN_BY, "learning_rate", "falls", {"num_steps": 200}).judge(results)
    assert judgement.verdict == "supported"  # from 2, at variance 0.1, to 1, at variance 0.01
    assert judgement.evidence[0].difference == pytest.approx(-1)


def test_a_value_is_found_among_others_that_agree_with_it_to_six_digits() -> None:
    near = [0.1, 0.10000001, 0.2]
    results = make_results(axes={"learning_rate": near})
    claim = Best("", LOSS, {"learning_rate": 0.10000001}, "learning_rate", "lower").judge(results)
    assert [e.label for e in claim.evidence] == [
        "learning_rate 0.10000001 against 0.1",
        "learning_rate 0.10000001 against 0.2",
    ]


def test_zipped_and_fixed_names_find_their_setting() -> None:
    results = make_results(
        axes={"batch_size": [10, 50, 100]}, zipped={"learning_rate": ("batch_size", [0.1, 0.2, 0.4])}
    )
    by_rate = Best("", LOSS, {"learning_rate": 0.4, "num_steps": 1000}, "learning_rate", "lower").judge(results)
    by_size = Best("", LOSS, {"batch_size": 100}, "batch_size", "lower").judge(results)
    assert by_rate.verdict == by_size.verdict == "supported"
    assert [e.difference for e in by_rate.evidence] == [e.difference for e in by_size.evidence]
    assert verdicts(Trend("", LOSS, "learning_rate", "falls"), results) == "supported"
