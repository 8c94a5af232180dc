from __future__ import annotations

import numpy as np

from jaxreg.claims import AtBest, Best
from tests.synthetic import make_results

METHODS = ["none", "l1", "l2", "early_stopping"]


def test_claims_are_judged_at_what_is_best_on_validation() -> None:
    results = make_results(axes={"method": METHODS, "l2_strength": [0.001, 0.1]}, seeds=4)
    results["final_validation_accuracy"][:, 0], results["final_validation_accuracy"][:, 1] = 0.9, 0.8
    claim = Best("L2 is best.", "final_test_loss", {"method": "l2"}, "method", "lower")
    found, there = AtBest(claim).judge(results), claim.judge(results.isel(l2_strength=0))
    assert (found.verdict, found.n) == (there.verdict, there.n)
    np.testing.assert_allclose([e.difference for e in found.evidence], [e.difference for e in there.evidence])


def test_a_run_without_the_dimension_is_judged_as_it_is() -> None:
    results = make_results(seeds=3)
    claim = Best("0.1 is best.", "final_test_loss", {"learning_rate": 0.1}, "learning_rate", "lower")
    assert AtBest(claim).judge(results) == claim.judge(results)
    assert AtBest(claim).statement == claim.statement
