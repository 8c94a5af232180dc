"""The summary over seeds, the choice of the best setting, summary.csv."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import xarray as xr

from jaxreg.measures.summary import QUANTITIES, best_of_each, best_setting, summary, write_summary
from tests.experiments.methods import made
from tests.synthetic import make_results

ACCURACY, LOSS = "final_validation_accuracy", "final_validation_loss"


def with_finals(accuracy: list[list[float]], loss: list[list[float]], **options: Any) -> xr.Dataset:
    """Results whose final validation accuracy and loss are given as [setting, seed]."""
    results = make_results(axes={"learning_rate": list(range(1, len(accuracy) + 1))}, seeds=len(accuracy[0]), **options)
    return results.assign({ACCURACY: (("learning_rate", "seed"), accuracy), LOSS: (("learning_rate", "seed"), loss)})


def test_summary_is_mean_sd_and_t_interval_over_seeds() -> None:
    row = summary(with_finals([[0.90, 0.92, 0.97]], [[1.0, 1.0, 1.0]])).iloc[0]
    sd = np.std([0.90, 0.92, 0.97], ddof=1)
    assert row[f"{ACCURACY}_mean"] == pytest.approx(0.93)
    assert row[f"{ACCURACY}_sd"] == pytest.approx(sd)
    half = scipy.stats.t.ppf(0.975, 2) * sd / np.sqrt(3)
    assert 0.93 + half > 1 == row[f"{ACCURACY}_high"]  # no accuracy is above 1
    assert row[f"{ACCURACY}_low"] == pytest.approx(0.93 - scipy.stats.t.ppf(0.975, 2) * sd / np.sqrt(3))


def test_summary_rows_are_the_grid_with_zipped_coordinates() -> None:
    axes: dict[str, list[Any]] = {"learning_rate": [0.1, 1.0], "init": ["normal", "he"]}
    results = make_results(axes=axes, zipped={"batch_size": ("learning_rate", [10, 100])})
    table = summary(results)
    assert list(table.columns[:3]) == ["learning_rate", "batch_size", "init"]
    expected = [(0.1, 10, "normal"), (0.1, 10, "he"), (1.0, 100, "normal"), (1.0, 100, "he")]
    assert list(table.iloc[:, :3].itertuples(index=False, name=None)) == expected
    for i, (rate, _, init) in enumerate(expected):
        mean = float(results["final_test_loss"].sel(learning_rate=rate, init=init).mean())
        assert table["final_test_loss_mean"][i] == pytest.approx(mean)


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_summary_has_every_quantity(quantity: str) -> None:
    table = summary(make_results())
    assert {f"{quantity}_{name}" for name in ("mean", "sd", "low", "high")} <= set(table.columns)


def test_one_seed_has_a_mean_and_no_interval() -> None:
    table = summary(make_results(seeds=1))
    assert table[f"{ACCURACY}_mean"].notna().all()
    assert table[[f"{ACCURACY}_low", f"{ACCURACY}_high"]].isna().all(axis=None)


def test_diverged_members_are_counted_and_left_out_of_the_mean() -> None:
    results = make_results(diverged=2)
    row = summary(results).iloc[-1]
    sound = results["final_test_accuracy"].isel(learning_rate=-1, seed=slice(2, None))
    assert (row["seeds"], row["diverged"]) == (5, 2)
    assert row["final_test_accuracy_mean"] == pytest.approx(float(sound.mean()))


def test_no_axis_gives_one_row() -> None:
    results = make_results(axes={})
    assert len(summary(results)) == 1
    assert best_setting(results) == {}


def test_best_is_chosen_on_validation_whatever_test_says() -> None:
    results = with_finals([[0.8, 0.8], [0.9, 0.9]], [[1.0, 1.0], [1.0, 1.0]])
    results["final_test_accuracy"][:] = [[0.99, 0.99], [0.1, 0.1]]
    assert best_setting(results) == {"learning_rate": 2}


def test_a_tie_goes_to_the_lower_validation_loss_even_if_summed_in_another_order() -> None:
    accuracy = [[0.1, 0.2, 0.3], [0.3, 0.2, 0.1], [0.2, 0.1, 0.3]]
    assert best_setting(with_finals(accuracy, [[0.5] * 3, [0.3] * 3, [0.4] * 3])) == {"learning_rate": 2}


def test_a_setting_with_a_diverged_member_is_best_only_if_all_have_one() -> None:
    results = with_finals([[0.8, 0.8], [np.nan, 0.9]], [[1.0, 1.0], [np.nan, 0.5]], diverged=1)
    assert best_setting(results) == {"learning_rate": 1}
    results["diverged_step"][0, 0] = 7
    assert best_setting(results) == {"learning_rate": 2}


def test_nothing_is_best_where_every_member_diverged() -> None:
    results = with_finals([[np.nan], [np.nan]], [[np.nan], [np.nan]])
    assert best_setting(results) is None


def test_best_setting_selects() -> None:
    axes: dict[str, list[Any]] = {"learning_rate": [0.1, 0.3, 1.0], "hidden_sizes": ["32", "64x64"]}
    results = make_results(axes=axes, zipped={"batch_size": ("learning_rate", [10, 100, 1000])})
    best = best_setting(results)
    assert best is not None
    chosen = results.sel(best)[ACCURACY]
    assert chosen.dims == ("seed",)
    assert float(chosen.mean()) == pytest.approx(float(results[ACCURACY].mean("seed").max()))


def test_written_summary_reads_back_and_leaves_no_other_file(tmp_path: Path) -> None:
    results = make_results(diverged=2)
    (tmp_path / "summary.csv").write_text("old")
    write_summary(results, tmp_path / "summary.csv")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "summary.csv"), summary(results), check_dtype=False)
    assert [path.name for path in tmp_path.iterdir()] == ["summary.csv"]


def test_each_method_is_shown_at_its_own_best_strength() -> None:
    results = made()
    accuracy = xr.zeros_like(results["final_validation_accuracy"])
    for method, strength in enumerate((0, 2, 1, 0)):
        accuracy[method, strength] = 0.9
    chosen = best_of_each(results.assign(final_validation_accuracy=accuracy))
    assert chosen["diverged_step"].dims == ("method", "seed")
    assert chosen["l1_strength"].values.tolist() == [0.001, 0.003, 0.002, 0.001]
    np.testing.assert_array_equal(chosen["validation_loss"][1], results["validation_loss"][1, 2])
    np.testing.assert_array_equal(chosen["example_x1"], results["example_x1"])
