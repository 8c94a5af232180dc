from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import xarray as xr

from jaxreg.claims import Reported, ReportedNumber
from jaxreg.claims.reported import compare, judge_reported
from jaxreg.statistics import prediction_interval
from tests.claims.made_up import (
    ACCURACY,
    DRAWS,
    MOST_FALSE,
    of,
    verdicts,
)
from tests.synthetic import make_results

LOW_RATE = Reported(
    *("A5-0.01-test", "final_test_accuracy", {"learning_rate": 0.01}, 0.853, "test accuracy"),
    conditions="learning_rate=0.01, batch_size=1000, 10000 steps",
    source="report 000",
)


@pytest.mark.parametrize("n", [5, 10, 20])
def test_a_number_of_the_same_distribution_is_contradicted_in_at_most_one_case_of_twenty(n: int) -> None:
    draws = xr.DataArray(np.random.default_rng(n).normal(0.9, 0.01, (DRAWS, n + 1)), dims=("draw", "seed"))
    one_run = prediction_interval(draws.isel(seed=slice(n)))
    columns = [one_run[name].values.tolist() for name in ("mean", "sd", "low", "high", "n")]
    reported = draws.isel(seed=n).values.tolist()
    decided = [judge_reported(value, *row).verdict for value, *row in zip(reported, *columns, strict=True)]
    assert decided.count("contradicted") <= MOST_FALSE
    assert decided.count("undecided") == 0


REPORTED = ReportedNumber(LOW_RATE)


def accuracies_around(centre: float, seeds: int = 5) -> xr.Dataset:
    results = make_results(seeds=seeds)
    at = results[ACCURACY].sel(learning_rate=0.01)
    results[ACCURACY] = (results[ACCURACY] + centre - at.mean("seed")).assign_attrs(units="1")
    return results


def test_a_reported_number_is_consistent_with_a_run_or_not() -> None:
    inside, outside = REPORTED.judge(accuracies_around(0.853)), REPORTED.judge(accuracies_around(0.5))
    assert (inside.verdict, outside.verdict) == ("supported", "contradicted")
    assert inside.source == "report 000"
    assert inside.statement == "test accuracy is 0.853 at learning_rate=0.01, batch_size=1000, 10000 steps"
    assert "the source's 85.30 % is consistent with that" in inside.reason
    assert outside.evidence[0].difference == pytest.approx(-0.353, abs=1e-6)
    assert outside.evidence[0].high < 0


def test_what_is_known_of_a_number_is_told_where_it_is_contradicted() -> None:
    noted = ReportedNumber(dataclasses.replace(LOW_RATE, note="its rate is not printed"))
    assert "lies outside. Its rate is not printed." in noted.judge(accuracies_around(0.5)).reason
    assert "printed" not in noted.judge(accuracies_around(0.853)).reason


@pytest.mark.parametrize("centre", [0.5, 0.853])
def test_fitted_numbers_and_one_seed_decide_nothing(centre: float) -> None:
    fitted = dataclasses.replace(REPORTED, reported=dataclasses.replace(REPORTED.reported, fitted=True))
    judgement = fitted.judge(accuracies_around(centre))
    assert judgement.verdict == "undecided"
    assert "no evidence" in judgement.reason
    alone = REPORTED.judge(accuracies_around(centre, seeds=1))
    assert (alone.verdict, alone.n) == ("undecided", 1)
    assert "one seed gives no interval" in alone.reason


def test_a_reported_number_and_equal_or_diverged_members() -> None:
    value = LOW_RATE.value
    few = judge_reported(value, 0.8, 0.0, 0.8, 0.8, 6)
    assert (few.verdict, few.needed) == ("undecided", 7)
    assert "7 seeds would be needed" in few.why
    assert judge_reported(value, 0.8, 0.0, 0.8, 0.8, 7).verdict == "contradicted"
    assert judge_reported(value, value, 0.0, value, value, 2).verdict == "supported"
    assert judge_reported(value, 0.8, 0.01, 0.7, 0.84, 5, left_out=1, better="higher").verdict == "contradicted"
    assert judge_reported(value, 0.9, 0.01, 0.88, 0.92, 5, left_out=1, better="higher").verdict == "undecided"


def test_a_reported_number_counts_up_to_half_a_unit_of_its_last_digit() -> None:
    for printed in (0.85254, 0.85346):  # 0.853 to three digits
        assert verdicts(REPORTED, accuracies_equal_to(printed)) == "supported"
    for other in (0.85244, 0.85356):
        assert verdicts(REPORTED, accuracies_equal_to(other)) == "contradicted"


def accuracies_equal_to(value: float) -> xr.Dataset:
    return of(np.full((3, 7), value, np.float32), ACCURACY, "1")


def grid_of(*centres: float) -> xr.Dataset:
    """A rate of 0.01 under as many activations as there are centres of the accuracy, which the source does not name."""
    results = make_results(axes={"learning_rate": [0.01], "activation": ["relu", "tanh"][: len(centres)]}, seeds=5)
    accuracy = results[ACCURACY]
    shift = xr.DataArray(list(centres), dims="activation") - accuracy.mean("seed")
    results[ACCURACY] = (accuracy + shift).assign_attrs(accuracy.attrs)
    return results


@pytest.mark.parametrize(
    ("centres", "verdict"),
    [((0.853, 0.853), "supported"), ((0.5, 0.6), "contradicted"), ((0.853, 0.5), "undecided")],
)
def test_a_number_is_decided_where_all_values_of_an_axis_that_it_does_not_name_agree(
    centres: tuple[float, ...], verdict: str
) -> None:
    judgement = REPORTED.judge(grid_of(*centres))
    assert judgement.verdict == verdict
    assert [evidence.label.partition(" against")[0] for evidence in judgement.evidence] == [
        "activation=relu",
        "activation=tanh",
    ]
    alone = REPORTED.judge(grid_of(*centres).isel(activation=0))
    assert alone.verdict == ("supported" if centres[0] == 0.853 else "contradicted")


def test_where_it_depends_on_an_axis_it_says_on_which_value() -> None:
    reason = REPORTED.judge(grid_of(0.853, 0.5)).reason
    assert reason == (
        "The source does not say at which of the 2 settings: its 85.30 % is consistent with 1 of them "
        "(activation=relu), and outside the interval of one run at 1."
    )
    fitted = dataclasses.replace(REPORTED, reported=dataclasses.replace(REPORTED.reported, fitted=True))
    assert fitted.judge(grid_of(0.853, 0.5)).reason == "It served to choose the settings and is no evidence."


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
    row = compare(make_results(seeds=5, diverged=2), [dataclasses.replace(LOW_RATE, setting={"learning_rate": 1})])
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
    [({"variable": "final_los"}, "final_los"), ({"setting": {"lr": 1}}, "lr")],
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


@pytest.mark.parametrize("n", [2, 4, 5])
def test_over_few_seeds_a_verdict_says_that_it_rests_on_normality(n: int) -> None:
    spread = np.resize([-0.01, 0.01], (3, n)) + 0.853
    found = REPORTED.judge(of(spread, ACCURACY, "1"))
    assert (found.verdict, found.rests_on_normality) == ("supported", n < 5)
    assert (f"With n = {n} this rests on" in found.reason) == (n < 5)
