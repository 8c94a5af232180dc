from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import xarray as xr

from jaxreg.claims.reported import Reported, compare, reported_numbers
from jaxreg.statistics import prediction_interval
from tests.synthetic import make_results

LOW_RATE = Reported("A5-0.01-test", "final_test_accuracy", {"learning_rate": 0.01})


def test_reported_numbers_ship_with_the_package() -> None:
    numbers = reported_numbers()
    assert numbers.index.is_unique
    first = numbers.loc["A5-0.01-test"]
    assert (first["source"], first["experiment"], first["quantity"], first["value"]) == (
        *("000", "lr_sweep", "test accuracy"),
        0.853,
    )
    assert np.isfinite(numbers["value"]).all()
    assert numbers.loc["B3-l2", "note"] == ""


def test_compare_gives_the_prediction_interval_of_one_run() -> None:
    results = make_results(seeds=5)
    row = compare(results, [LOW_RATE]).iloc[0]
    one_run = prediction_interval(results["final_test_accuracy"].sel(learning_rate=0.01))
    for name in ("mean", "sd", "low", "high", "n"):
        assert row[name] == one_run[name].item()
    assert (row["id"], row["setting"], row["quantity"]) == ("A5-0.01-test", "learning_rate=0.01", "test accuracy")
    assert row["inside"] is False
    assert row["reported"] == 0.853


def test_a_number_inside_the_interval_is_inside() -> None:
    results = make_results(seeds=5)
    results["final_test_accuracy"] += 0.853 - results["final_test_accuracy"].mean("seed")
    row = compare(results, [dataclasses.replace(LOW_RATE, fitted=True)]).iloc[0]
    assert row["inside"] is True
    assert row["fitted"]


def test_one_seed_decides_nothing() -> None:
    row = compare(make_results(seeds=1), [LOW_RATE]).iloc[0]
    assert row["inside"] is None
    assert np.isnan(row["low"])
    assert row["n"] == 1


def test_diverged_members_do_not_count() -> None:
    row = compare(make_results(seeds=5, diverged=2), [Reported("A6-test", "final_test_accuracy", {"learning_rate": 1})])
    assert row["n"].tolist() == [3]


def test_settings_are_found_at_float32_precision_and_nothing_nearer() -> None:
    results = make_results(axes={"learning_rate": [np.float32(0.01), np.float32(0.010001)]}, seeds=2)
    frame = compare(results, [LOW_RATE])
    assert len(frame) == 1
    assert frame["mean"][0] == results["final_test_accuracy"].isel(learning_rate=0).astype(float).mean()


@pytest.mark.parametrize("setting", [{"learning_rate": 0.02}, {"learning_rate": 0.01, "num_steps": 10000}])
def test_a_setting_that_the_run_does_not_hold_gives_no_row(setting: dict[str, float]) -> None:
    frame = compare(make_results(), [dataclasses.replace(LOW_RATE, setting=setting)])
    assert frame.empty
    assert {"id", "setting", "reported", "inside", "fitted", "note"} <= set(frame)


def test_fixed_zipped_and_further_axes() -> None:
    fixed = compare(make_results(axes={}), [dataclasses.replace(LOW_RATE, setting={"learning_rate": 0.1})])
    assert fixed["setting"].tolist() == ["learning_rate=0.1"]
    zipped = make_results(axes={"batch_size": [10, 100]}, zipped={"learning_rate": ("batch_size", [0.1, 0.01])})
    assert compare(zipped, [LOW_RATE])["batch_size"].tolist() == [100]
    further = make_results(axes={"learning_rate": [0.01, 0.1], "activation": ["relu", "tanh"]})
    frame = compare(further, [LOW_RATE])
    assert frame["setting"].tolist() == [f"learning_rate=0.01, activation={name}" for name in ("relu", "tanh")]


@pytest.mark.parametrize(
    ("change", "named"),
    [({"id": "A9"}, "A9"), ({"variable": "final_los"}, "final_los"), ({"setting": {"lr": 1}}, "lr")],
)
def test_misspelt_declarations_are_refused(change: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        compare(make_results(), [dataclasses.replace(LOW_RATE, **change)])  # type: ignore[arg-type]


def test_a_number_may_stand_for_something_that_is_read_off_the_results() -> None:
    def half_of_the_accuracy(results: xr.Dataset) -> xr.DataArray:
        return results["final_test_accuracy"] / 2

    def not_recorded(results: xr.Dataset) -> xr.DataArray:
        return results["gradient_norm"]

    results = make_results()
    read_off, plain = (
        compare(results, [dataclasses.replace(LOW_RATE, variable=variable)])
        for variable in (half_of_the_accuracy, "final_test_accuracy")
    )
    assert read_off["mean"][0] == pytest.approx(plain["mean"][0] / 2)
    assert read_off["variable"].tolist() == ["half_of_the_accuracy"]
    assert compare(results, [dataclasses.replace(LOW_RATE, variable=not_recorded)]).empty
