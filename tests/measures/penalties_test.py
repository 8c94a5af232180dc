from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from jaxreg.measures import (
    effective_setting,
    first_l1_step,
    last_objective,
    peak_objective,
    rise_after_l1,
    validation_rise_after_l1,
)
from jaxreg.measures.penalties import effective_settings
from tests.synthetic import make_results


@pytest.mark.parametrize(
    ("method", "acting"),
    [
        ("all", {"l1_strength", "l1_start", "l2_strength", "patience"}),
        ("none", set()),
        ("l1", {"l1_strength"}),
        ("late_l1+l2", {"l1_strength", "l1_start", "l2_strength"}),
        ("early_stopping", {"patience"}),
    ],
)
def test_of_a_setting_those_strengths_act_that_its_method_names(method: str, acting: set[str]) -> None:
    setting = {"method": method, "l1_strength": 0.1, "l1_start": 0.5, "l2_strength": 0.2, "patience": 5, "seed": 3}
    kept = effective_setting(setting)
    assert set(kept) == {"method", "seed"} | acting
    assert kept.items() <= setting.items()


def with_late_l1(seeds: int = 3) -> xr.Dataset:
    """1000 steps, in the last fifth of which L1 acts under the second method; its first step has the largest loss."""
    results = make_results(axes={"method": ["l2", "l2+late_l1"]}, seeds=seeds, num_checks=21, eval_every=50)
    results = results.copy(deep=True).assign_coords(l1_start=0.8)
    rng = np.random.default_rng(0)
    late, late_checks = results["step"] >= 800, results["check_step"] > 800
    results["train_loss"] = xr.full_like(results["train_loss"], 1.0)
    results["train_objective"] = (
        1.55 + rng.normal(0, 0.02, results["train_objective"].shape) + 0 * results["train_loss"]
    )
    results["train_objective"][1] += np.where(late, 1.45, 0.0)
    results["train_objective"][1, :, 800] = 5.0
    results["validation_loss"] = (
        1.5 + rng.normal(0, 0.002, results["validation_loss"].shape) + 0 * results["validation_loss"]
    )
    results["validation_loss"][1] += np.where(late_checks, 1.0, 0.0)
    return results


def test_what_l1_does_where_it_sets_in() -> None:
    results = with_late_l1()
    late, l2 = {"method": "l2+late_l1"}, {"method": "l2"}
    rise = rise_after_l1(results, "train_objective")
    np.testing.assert_allclose(rise.sel(late), 1.45, atol=0.1)  # from 1.55 to 3, and one step at 5
    np.testing.assert_allclose(rise.sel(l2), 0.0, atol=0.1)
    np.testing.assert_allclose(rise_after_l1(results, "train_objective", window=1).sel(late), 5 - 1.55, atol=0.1)
    np.testing.assert_allclose(rise_after_l1(results, "train_loss"), 0.0, atol=1e-6)
    np.testing.assert_allclose(validation_rise_after_l1(results).sel(late), 1.0, atol=0.02)
    np.testing.assert_allclose(validation_rise_after_l1(results).sel(l2), 0.0, atol=0.02)
    np.testing.assert_array_equal(peak_objective(results).sel(late), np.float32(5.0))
    assert first_l1_step(results) == 800
    assert first_l1_step(results.assign_coords(l1_start=0.07, num_steps=100)) == 7  # as floats their product is above 7
    for start in (0.0, 1.0):
        with pytest.raises(KeyError, match="l1_start"):
            peak_objective(results.assign_coords(l1_start=start))


def test_the_last_objective_is_the_mean_since_the_check_before() -> None:
    results = make_results(axes={"learning_rate": [0.1, 1.0]}, seeds=3, diverged=1)
    last = last_objective(results)
    gone = results["diverged_step"] >= 0
    assert 0 < int(gone.sum()) < gone.size
    assert last.where(gone).isnull().all()
    step, checks = results["step"], results["check_step"].values
    mean = results["train_objective"].sel(step=(step >= checks[-2]) & (step < checks[-1])).mean("step")
    np.testing.assert_allclose(last.where(~gone), mean.where(~gone), rtol=1e-6)
    assert last.attrs["units"] == "nats"


def test_of_settings_those_strengths_act_that_the_method_names_and_what_belongs_to_a_strength_that_is_on() -> None:
    of_methods = make_results(axes={"method": ["none", "l2"], "l2_strength": [0.1, 0.2]}, num_checks=3)
    none, l2 = {"method": "none"}, {"method": "l2"}
    assert effective_settings(of_methods, ("method", "l2_strength")) == [
        *(none, none),
        *(l2 | {"l2_strength": 0.1}, l2 | {"l2_strength": 0.2}),
    ]
    axes = {"l1_strength": [0.0, 0.1], "l1_start": [0.5, 0.8]}
    late = make_results(axes=axes, num_checks=3)
    off, on = {"l1_strength": 0.0}, {"l1_strength": 0.1}
    assert effective_settings(late, tuple(axes)) == [off, off, on | {"l1_start": 0.5}, on | {"l1_start": 0.8}]
    fixed = make_results(axes={"l2_strength": [0.1, 0.2]}, num_checks=3).assign_coords(method="max_norm")
    assert effective_settings(fixed, ("l2_strength",)) == [{}, {}]
