"""What lr_sweep says beside the best rate: how soon each rate trains, as exactly as checks can tell."""

from __future__ import annotations

import xarray as xr

from experiments import lr_sweep
from tests.synthetic import make_results


def reaching(steps: list[list[float]]) -> xr.Dataset:
    """Results that have a test accuracy of 0.9 from these steps on, [learning_rate, seed]; checked every 50 of 200."""
    rates = [0.00316228, 0.1, 1.0][: len(steps)]
    results = make_results(axes={"learning_rate": rates}, seeds=len(steps[0]), num_checks=5)
    from_there = results["check_step"] >= xr.DataArray(steps, dims=("learning_rate", "seed"))
    accuracy = 0.1 + 0.8 * from_there.transpose("learning_rate", "seed", "check")
    return results.assign(test_accuracy=accuracy)


def told(steps: list[list[float]]) -> str:
    return lr_sweep.answer(reaching(steps)).split("\n\n")[1]


def test_steps_to_train_say_how_often_it_was_looked_and_have_no_interval_of_no_width() -> None:
    assert told([[1e9, 1e9], [100, 100], [1e9, 150]]) == (
        "Steps to the first check at or above a test accuracy of 0.85 (checked every 50 steps): 100 in all seeds at "
        "0.1; in 1 of 2 seeds at 1; never at 0.00316."
    )


def test_their_interval_lies_within_the_run() -> None:
    assert told([[50, 100]]).endswith(": 75 (0 to 200) at 0.00316.")


def test_a_run_in_which_nothing_trains_says_so() -> None:
    assert told([[1e9, 1e9], [1e9, 1e9]]) == "No rate reaches a test accuracy of 0.85."
