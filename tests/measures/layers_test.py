from __future__ import annotations

import math

import numpy as np
import pytest
import xarray as xr

from jaxreg.measures import (
    gradient_decades,
    has_diagnosis,
    histogram_shift,
    last_measured_check,
    most_distinct_units,
    saturation,
    verdict_codes,
    weight_change,
)
from tests.experiments.watched import NUM_CHECKS, watched

AXIS = "init_variance"


def test_the_end_is_the_last_check_at_which_a_member_was_measured() -> None:
    results = watched()
    halted = {AXIS: 1.0, "seed": 3}
    stopped = results.copy()
    for name in ("weights_std", "saturated_fraction"):
        values = results[name].copy()
        values.loc[halted] = values.loc[halted].where(values["check"] <= 2)
        stopped[name] = values
    assert int(last_measured_check(stopped).sel(halted)) == 2
    assert int((last_measured_check(stopped) == NUM_CHECKS - 1).sum()) == last_measured_check(stopped).size - 1
    at_end = saturation(stopped)
    assert float(at_end.sel(halted)) == float(results["saturated_fraction"].sel(halted).sel(layer=1).isel(check=2))
    assert at_end.dims == (AXIS, "seed")


def test_members_that_diverged_have_no_value() -> None:
    results = watched()
    results["diverged_step"].loc[{AXIS: 2.0, "seed": 0}] = 70
    for measure in (saturation, weight_change, histogram_shift):
        missing = measure(results).isnull()
        assert int(missing.sum()) == 1
        assert bool(missing.sel({AXIS: 2.0, "seed": 0}))


def test_weights_that_start_at_zero_are_measured_against_the_scale_of_their_inputs() -> None:
    results = watched()
    change = weight_change(results)
    np.testing.assert_allclose(change.sel({AXIS: 1.0}), results["relative_change"].sel({AXIS: 1.0, "layer": 1})[:, -1])
    std = results["weights_std"].sel({AXIS: 0.0, "layer": 1}).isel(check=-1)
    np.testing.assert_allclose(change.sel({AXIS: 0.0}), 8 * std)  # sqrt(64 inputs) x root mean square
    still = results.assign(weights_std=results["weights_std"].where(results[AXIS] > 0, 0.0))
    np.testing.assert_array_equal(weight_change(still).sel({AXIS: 0.0}), 0)
    assert np.isfinite(weight_change(results, at_end=False)).all()


def test_the_shift_of_a_histogram_is_the_share_of_values_in_another_bin() -> None:
    results = watched()
    counts = xr.zeros_like(results["weights_histogram"])
    counts[..., 10] = 100
    assert (histogram_shift(results.assign(weights_histogram=counts)) == 0).all()
    counts[:, :, -1, 0, 10], counts[:, :, -1, 0, 11] = 75, 25  # a quarter of layer 1 moves one bin up
    np.testing.assert_allclose(histogram_shift(results.assign(weights_histogram=counts)), 0.25)
    counts[:, :, -1, 0, 10], counts[:, :, -1, 0, 11] = 0, 7
    np.testing.assert_allclose(histogram_shift(results.assign(weights_histogram=counts)), 1.0)


def test_gradient_ratios_are_told_in_decades_before_the_first_step() -> None:
    results = watched()
    ratio = xr.full_like(results["gradient_ratio"], 5.0)
    ratio[..., 0], ratio[0, 0, 0] = 1e-3, 0.0
    decades = gradient_decades(results.assign(gradient_ratio=ratio)).values.ravel()
    assert decades[0] == -math.inf
    np.testing.assert_allclose(decades[1:], -3)


def test_a_diagnosis_is_found_by_the_name_that_its_attributes_give_it() -> None:
    results = watched()
    codes = verdict_codes(results["diagnosis"])
    assert list(codes) == str(results["diagnosis"].attrs["flag_meanings"]).split()
    results["diagnosis"][:, 1, -1, 0] = codes["dead"]
    results["diagnosis"][:, 0, -1, 0] = codes["saturated"]
    results["diverged_step"].loc[{AXIS: 2.0, "seed": 0}] = 70
    found = has_diagnosis(results, "dead")
    assert found.sel(seed=1).values.tolist() == [1.0] * 6
    assert found.sel(seed=0).values.tolist() == pytest.approx([0.0] * 5 + [np.nan], nan_ok=True)
    with pytest.raises(KeyError, match="ill"):
        has_diagnosis(results, "ill")


def test_distinct_units_are_the_most_at_any_check() -> None:
    results = watched()
    results["distinct_units"][0, 2, 3, 0] = 4
    most = most_distinct_units(results)
    assert most.sel({AXIS: 0.0}).values.tolist() == [1, 1, 4, 1, 1]
    assert (most.sel({AXIS: 1.0}) == 11).all()
