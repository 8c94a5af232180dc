"""What a run has so far."""

from __future__ import annotations

import numpy as np

from jaxreg.runs.record import Record
from tests.training_run import experiment, plan, runner


def test_best_parameters_that_are_the_last_are_held_once() -> None:
    made = runner(experiment(num_steps=8, eval_every=8, hidden_sizes=()))
    made.run()
    (kept,) = made.record.params.values()
    assert made.record.histories[0].arrays["checks_done"].item() == 2
    for last, best in zip(kept["params"], kept["best_params"], strict=True):
        assert last["weights"] is best["weights"]


def test_those_that_differ_are_both_kept() -> None:
    record = Record.of(plan(experiment()))
    last = {"weights": np.ones(3), "bias": np.zeros(2), "scale": np.zeros(1)}
    best = {"weights": np.full(3, 2.0), "bias": np.zeros(2), "scale": -np.zeros(1)}
    record.keep("block", {"params": last, "best_params": best})
    kept = record.params["block"]
    np.testing.assert_array_equal(kept["best_params"]["weights"], 2)
    np.testing.assert_array_equal(kept["params"]["weights"], 1)
    assert kept["best_params"]["bias"] is kept["params"]["bias"]
    assert np.signbit(kept["best_params"]["scale"])  # -0.0 is another number to the bit
