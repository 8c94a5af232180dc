from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import xarray as xr

from jaxreg.measures import (
    held_at,
    setting_dims,
    setting_label,
    setting_labels,
    settings,
    value_label,
    value_labels,
)
from tests.synthetic import make_results


def test_setting_dims_are_the_axes_in_order() -> None:
    results = make_results(axes={"learning_rate": [0.1, 1.0], "activation": ["relu", "tanh"]}, seeds=2)
    assert setting_dims(results) == ("learning_rate", "activation")
    assert setting_dims(results["final_test_loss"].transpose("seed", "activation", ...)) == (
        "activation",
        "learning_rate",
    )
    assert setting_dims(make_results(axes={})) == ()
    layered = results.assign(histogram=xr.zeros_like(results["train_accuracy"]).expand_dims({"layer": 2, "bin": 8}))
    assert setting_dims(layered) == ("learning_rate", "activation")


def test_settings_go_through_the_grid_with_zipped_values() -> None:
    axes: dict[str, list[Any]] = {"batch_size": [10, 100], "init": ["normal", "he"]}
    results = make_results(axes=axes, zipped={"learning_rate": ("batch_size", [0.1, 0.1])}, seeds=2)
    found = list(settings(results))
    assert [setting["init"] for setting, _ in found] == ["normal", "he"] * 2
    assert found[2][0] == {"batch_size": 100, "learning_rate": 0.1, "init": "normal"}
    assert found[2][1]["final_test_loss"].identical(results["final_test_loss"].isel(batch_size=1, init=0))
    assert [setting for setting, _ in settings(make_results(axes={}))] == [{}]


def test_what_a_check_tells_of_training_is_no_part_of_a_setting() -> None:
    """Where one check is left, its time and steps may differ from setting to setting."""
    results = make_results(axes={"init": ["he", "glorot"]}, seeds=2)
    at = results.isel(check=0).assign_coords(seconds=("init", [1.0, 2.0]), check_step=("init", [10, 20]))
    assert [setting for setting, _ in settings(at, ("init",))] == [{"init": "he"}, {"init": "glorot"}]


def test_setting_label_is_short() -> None:
    setting = {"learning_rate": 0.1, "init_variance": np.float32(0.01), "batch_size": 55000, "hidden_sizes": "32x32"}
    setting = {name: np.asarray(value).item() for name, value in setting.items()}
    assert setting_label(setting) == "learning_rate=0.1, init_variance=0.01, batch_size=55000, hidden_sizes=32x32"
    assert setting_label({}) == ""


@pytest.mark.parametrize(
    ("value", "text"), [(2.0, "2"), (1e-5, "1e-05"), (100000, "100000"), (np.inf, "inf"), (True, "True"), ("a", "a")]
)
def test_value_label(value: object, text: str) -> None:
    assert value_label(value) == text
    assert value_label(1 / 3, digits=3) == "0.333"


def test_other_dimensions_are_held_at_a_setting() -> None:
    results = make_results(axes={"batch_size": [1, 10], "init": ["normal", "he"]}, seeds=2)
    held, where = held_at(results, {"batch_size": 10, "init": "he"}, "batch_size")
    assert (setting_dims(held), held["init"].item(), where) == (("batch_size",), "he", " at init=he")
    assert held_at(results, None)[0]["batch_size"] == 1
    assert held_at(results, {"batch_size": 10, "init": "he"}, "batch_size", "init")[1] == ""


def test_labels_of_several_values_tell_them_apart() -> None:
    rates = [0.1, 0.1234567, 0.1234568, 0.1234567000000001]
    assert value_labels(rates[:2]) == ["0.1", "0.123457"]
    for digits in (3, 6):
        assert len(set(value_labels(rates, digits))) == 4
        assert value_labels(rates[:3], digits) == ["0.1", "0.1234567", "0.1234568"]
    assert value_labels([1234567.0, 1234568.0, 1000.0], 3) == ["1234567", "1234568", "1000"]
    assert value_labels(["aab", "b", "aac", "aab"], longest=2) == ["aa… (1)", "b", "aa… (3)", "aa… (1)"]
    assert value_labels([0.1, 0.1, 2.0, math.inf, "relu"], 3) == ["0.1", "0.1", "2", "inf", "relu"]


def test_labels_of_several_settings_tell_them_apart() -> None:
    strengths = (0.00100001, 0.00100002)
    near = [{"method": "l2", "l2_strength": strength} for strength in strengths]
    shown = [f"method=l2, l2_strength={strength}" for strength in strengths]
    assert setting_labels([*near, {"x": 1}], 3) == [*shown, "x=1"]
    assert setting_labels([{}, {}]) == ["", ""]
