from __future__ import annotations

import time
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jaxreg.measures.tidy import to_frame
from tests.synthetic import make_results

AXES: dict[str, list[Any]] = {"learning_rate": [0.01, 0.1, 1.0], "batch_size": [10, 100]}


def test_a_row_per_member_with_its_own_values() -> None:
    results = make_results(axes=AXES, seeds=4)
    frame = to_frame(results)
    assert len(frame) == 3 * 2 * 4
    assert list(frame.columns[:3]) == ["learning_rate", "batch_size", "seed"]
    assert "final_test_loss" in frame
    assert not {"test_loss", "train_loss", "check", "step"} & set(frame.columns)
    for row in frame.sample(5, random_state=0).to_dict("records"):
        member = results.sel(learning_rate=row["learning_rate"], batch_size=row["batch_size"], seed=row["seed"])
        assert row["final_test_accuracy"] == member["final_test_accuracy"].item()
        assert row["diverged_step"] == member["diverged_step"].item()


def test_rows_go_through_the_grid_last_dimension_fastest() -> None:
    frame = to_frame(make_results(axes=AXES, seeds=2, num_checks=3), ["test_loss"])
    keys = frame[["learning_rate", "batch_size", "seed", "check"]]
    assert list(keys.itertuples(index=False, name=None)) == list(product(*AXES.values(), range(2), range(3)))


def test_a_row_per_check_tells_steps_and_examples_and_repeats_what_a_member_has_once() -> None:
    results = make_results(axes=AXES, seeds=2, num_checks=4, eval_every=50, batch_size=100)
    frame = to_frame(results, ["test_loss", "test_accuracy", "final_test_loss"])
    assert list(frame.columns[2:6]) == ["seed", "check", "check_step", "examples_seen"]
    assert frame["check_step"].tolist() == [0, 50, 100, 150] * 12
    assert frame["examples_seen"].tolist() == [0, 5000, 10000, 15000] * 12
    np.testing.assert_array_equal(frame["test_loss"], results["test_loss"].values.reshape(-1))
    assert (frame.groupby(["learning_rate", "batch_size", "seed"])["final_test_loss"].nunique() == 1).all()


def test_a_row_per_step() -> None:
    results = make_results(axes={"learning_rate": [0.1, 1.0]}, seeds=2, num_checks=3, eval_every=10, record_every=5)
    frame = to_frame(results, ["train_loss"])
    assert list(frame.columns) == ["learning_rate", "seed", "step", "train_loss"]
    assert frame["step"].tolist() == results["step"].values.tolist() * 4
    np.testing.assert_array_equal(frame["train_loss"], results["train_loss"].values.reshape(-1))


def test_zipped_axes_are_columns_beside_theirs() -> None:
    frame = to_frame(make_results(axes=AXES, zipped={"momentum": ("learning_rate", [0.9, 0.5, 0.0])}, seeds=1))
    assert {"learning_rate", "momentum", "batch_size"} == set(frame.columns[:3])
    assert set(zip(frame["learning_rate"], frame["momentum"], strict=True)) == {(0.01, 0.9), (0.1, 0.5), (1.0, 0.0)}


def test_what_was_selected_has_no_column_and_no_axes_give_a_row_per_seed() -> None:
    results = make_results(axes=AXES, seeds=3)
    part = to_frame(results.sel(learning_rate=0.1, seed=1))
    assert "learning_rate" not in part
    assert "seed" not in part
    assert part["batch_size"].tolist() == [10, 100]
    assert to_frame(make_results(axes={}, seeds=3))["seed"].tolist() == [0, 1, 2]
    assert len(to_frame(make_results(axes={}, seeds=3).isel(seed=0))) == 1


def test_a_diverged_member_keeps_its_rows() -> None:
    frame = to_frame(make_results(axes={"learning_rate": [0.1, 1.0]}, seeds=2, num_checks=5, diverged=1), ["test_loss"])
    assert len(frame) == 2 * 2 * 5
    assert frame["test_loss"].isna().sum() > 0


def test_rows_that_only_fill_up_a_shorter_run_are_left_out() -> None:
    results = make_results(axes={"num_steps": [4, 10]}, seeds=2, num_checks=6, eval_every=2)
    checks_of_both = np.array([[0, 2, 4, np.nan, np.nan, np.nan], [0, 2, 4, 6, 8, 10]])
    at = ("num_steps", "check")
    results = results.assign_coords(check_step=(at, checks_of_both), examples_seen=(at, 20 * checks_of_both))
    results["test_loss"] = results["test_loss"].where(results["check_step"].notnull())
    results["train_loss"] = results["train_loss"].where(results["step"] < results["num_steps"])
    checks, steps = to_frame(results, ["test_loss"]), to_frame(results, ["train_loss"])
    assert checks["test_loss"].notna().all()
    assert steps["train_loss"].notna().all()
    short, long = [0, 2, 4], [0, 2, 4, 6, 8, 10]
    assert checks["check_step"].tolist() == [*short, *short, *long, *long]
    assert checks["check_step"].dtype == checks["examples_seen"].dtype == np.int64
    assert steps["step"].tolist() == [*range(4)] * 2 + [*range(10)] * 2
    assert checks.index.tolist() == list(range(len(checks)))


def test_checks_and_steps_do_not_share_a_table() -> None:
    results = make_results(seeds=1)
    with pytest.raises(ValueError, match=r"train_loss is along step, others along check"):
        to_frame(results, ["test_loss", "train_loss"])
    with pytest.raises(ValueError, match=r"tset_loss: no variable .* test_loss"):
        to_frame(results, ["tset_loss"])


def test_other_dimensions_within_a_member_are_columns() -> None:
    results = make_results(axes={"learning_rate": [0.1, 1.0]}, seeds=2, num_checks=3)
    counts = np.arange(2 * 2 * 3 * 4).reshape(2, 2, 3, 4)
    results["histogram"] = ("learning_rate", "seed", "check", "bin"), counts
    frame = to_frame(results, ["histogram"])
    assert list(frame.columns) == ["learning_rate", "seed", "check", "bin", "check_step", "examples_seen", "histogram"]
    assert frame["histogram"].tolist() == list(range(48))


def test_a_table_of_two_hundred_thousand_rows_takes_less_than_a_second() -> None:
    results = make_results(axes={"learning_rate": list(np.geomspace(0.01, 1, 100))}, seeds=10, num_checks=200)
    results = results.assign_coords(activation=("learning_rate", ["relu", "tanh"] * 50))
    start = time.process_time()
    frame = to_frame(results, ["test_loss", "test_accuracy", "validation_loss", "final_test_loss"])
    assert time.process_time() - start < 1.0
    assert len(frame) == 200_000
    pd.testing.assert_series_equal(frame["activation"].iloc[:3], pd.Series(["relu"] * 3, name="activation"))
