from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from jaxreg.measures import axis_importance
from tests.synthetic import make_results

AXES: dict[str, list[Any]] = {"learning_rate": [0.1, 1.0, 10.0], "init": ["normal", "he"], "momentum": [0.0, 0.9]}


def results(diverged: int = 0) -> xr.Dataset:
    """Accuracy 0.1 * rate index + 0.1 * (init is he): variances 2/300 and 1/400, and what is the seed's own."""
    made = make_results(axes=AXES, seeds=4, num_checks=3, diverged=diverged)
    of_rate, of_init, of_seed = 0.1 * np.arange(3), 0.1 * np.arange(2), 0.01 * np.arange(4)
    accuracy = of_rate[:, None, None, None] + of_init[None, :, None, None] + of_seed
    outcome = np.broadcast_to(accuracy, (3, 2, 2, 4)).copy()
    return made.assign(final_validation_accuracy=(made["final_validation_accuracy"].dims, outcome))


def test_shares_of_the_axes() -> None:
    shares = axis_importance(results())
    assert shares is not None
    assert shares["axis"].values.tolist() == list(AXES)
    whole = 2 / 300 + 1 / 400
    np.testing.assert_allclose(shares["main"], [2 / 300 / whole, 1 / 400 / whole, 0], atol=1e-9)
    np.testing.assert_allclose(shares["total"], shares["main"], atol=1e-9)
    assert shares.attrs["left_out"] == []
    assert int(shares["n"]) == 4


def test_a_value_at_which_all_diverged_is_left_out_and_named() -> None:
    made = results()
    made["diverged_step"].loc[{"learning_rate": 10.0}] = 7
    shares = axis_importance(made)
    assert shares is not None
    assert shares.attrs["left_out"] == ["learning_rate=10"]
    np.testing.assert_allclose(shares["main"], [0.5, 0.5, 0], atol=1e-9)  # of two values each, 0.1 apart


def test_a_seed_that_diverged_once_is_left_out_and_named() -> None:
    shares = axis_importance(results(diverged=1))
    assert shares is not None
    assert shares.attrs["left_out"] == ["seed=0"]
    assert int(shares["n"]) == 3


def test_fewer_than_two_axes_have_no_importance() -> None:
    assert axis_importance(make_results(num_checks=3)) is None
    assert axis_importance(results().isel(init=[0], momentum=[0])) is None
    lost = results()
    lost["final_validation_accuracy"][:] = np.nan
    assert axis_importance(lost) is None


def test_axes_that_were_zipped_count_as_one_and_fixed_values_as_none() -> None:
    zipped = make_results(
        axes={"learning_rate": [0.1, 1.0], "init": ["he", "normal"], "momentum": [0.9]},
        zipped={"batch_size": ("learning_rate", [10, 100])},
        num_checks=3,
    )
    shares = axis_importance(zipped, "final_test_loss")
    assert shares is not None
    assert shares["axis"].values.tolist() == ["learning_rate", "init"]
