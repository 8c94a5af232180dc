"""The comparison of runs: which setting stands for a run, paired differences, labels, and what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import xarray as xr

from jaxreg.reporting import comparison
from jaxreg.reporting.comparison import (
    KIND,
    Run,
    best_of_each,
    difference,
    distinct_labels,
    draw,
    write_comparison,
)
from tests.reporting.pages import make_run
from tests.synthetic import make_results


def words(path: Path) -> str:
    """What is read on a page: its body without tags, white space as one space."""
    body = re.sub(r"(?s).*<main|<script.*", "", path.read_text(encoding="utf-8"))
    return " ".join(re.sub(r"<[^>]*>", " ", body).split())


def compared(path: Path, *runs: Run) -> str:
    """What is read on the page of `runs`, drawn without its figures, which take long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "draw", lambda _: [])
        write_comparison(path / "comparison.html", runs)
    return words(path / "comparison.html")


def test_a_difference_is_that_of_the_best_settings_paired_by_seed() -> None:
    gain = np.array([0.010, 0.012, 0.008, 0.011, 0.009])
    found = difference(make_run("first"), make_run("second", gain=gain))
    half = scipy.stats.t.ppf(0.975, 4) * gain.std(ddof=1) / np.sqrt(5)
    assert (found.n, found.remark) == (5, "")
    np.testing.assert_allclose([found.mean, found.low, found.high], [0.01, 0.01 - half, 0.01 + half], atol=1e-6)


def test_only_shared_seeds_count() -> None:
    other = make_run("second", gain=np.array([0.5, 0.01, 0.01, 0.02, 0.02]))
    late = Run("late", other.results.isel(seed=slice(1, None)), other.meta, other.flags)
    found = difference(make_run("first"), late)
    assert found.n == 4
    assert found.mean == pytest.approx(0.015, abs=1e-6)


def test_pairs_with_a_diverged_member_are_left_out() -> None:
    one: dict[str, Any] = {"axes": {}, "diverged": 1}
    assert difference(make_run("first", **one), make_run("second", gain=0.01, **one)).n == 4


def test_equal_runs_are_identical() -> None:
    found = difference(make_run("first"), make_run("second"))
    assert (found.mean, found.low, found.high, found.remark) == (0, 0, 0, "identical")


def test_one_shared_seed_gives_no_interval_and_says_so() -> None:
    found = difference(make_run("first", seeds=1), make_run("second", gain=0.01, seeds=1))
    assert found.mean == pytest.approx(0.01, abs=1e-6)
    assert np.isnan([found.low, found.high]).all()
    assert found.remark == "one seed, no interval"


@pytest.mark.parametrize(
    ("flags", "changes", "why"),
    [
        ("--dataset=mnist\n", {}, "different data"),
        ("--downsample=2\n", {}, "different data"),
        ("--base_seed=7\n", {}, "base_seed 7 makes other draws than 0"),
        ("", {"axes": {}, "diverged": 5}, "every member of one of the two diverged"),
    ],
)
def test_what_cannot_be_paired_says_why(flags: str, changes: dict[str, Any], why: str) -> None:
    other = make_run("second", **changes)
    found = difference(make_run("first"), Run("second", other.results, other.meta, "--dataset=digits\n" + flags))
    assert np.isnan(found.mean)
    assert found.n == 0
    assert why in found.remark


def test_files_of_ones_own_are_compared_by_what_they_hold() -> None:
    made = make_run("first")

    def of(place: str, digest: str) -> Run:
        meta = {**made.meta, "identity": {"data": digest}}
        return Run("other", made.results, meta, f"--dataset={place}\n")

    assert difference(of("/a/set.csv", "1"), of("/b/set.csv", "1")).remark == "identical"
    assert "different data" in difference(of("/a/set.csv", "1"), of("/a/set.csv", "2")).remark


def test_runs_without_a_common_seed_are_not_paired() -> None:
    other = make_run("second")
    later = Run("second", other.results.assign_coords(seed=np.arange(5, 10)), other.meta, other.flags)
    assert difference(make_run("first"), later).remark == "not paired: no seed is in both"


def test_the_best_setting_of_each_run_keeps_its_numbers() -> None:
    first = make_run("first")
    second = make_run("second", axes={"momentum": [0.0, 0.9]}, seeds=3, num_checks=9)
    joined = best_of_each([first, second])
    assert joined is not None
    assert set(joined.sizes) == {"run", "seed", "check"}
    for run in (first, second):
        best, sizes = run.best, run.results.sizes
        assert best is not None
        mine = joined.sel(run=run.label).isel(seed=slice(sizes["seed"]), check=slice(sizes["check"]))
        np.testing.assert_array_equal(mine["test_loss"], run.results["test_loss"].sel(best))
        np.testing.assert_array_equal(mine["check_step"], run.results["check_step"])
    assert bool(joined["test_loss"].sel(run="second", seed=4).isnull().all())
    assert (joined["diverged_step"] == -1).all()


def test_curves_are_drawn_of_runs_of_unequal_length_and_seeds() -> None:
    drawn = draw([make_run("first"), make_run("second", seeds=3, num_checks=9)])
    assert [figure.name for figure in drawn] == ["test_loss", "test_accuracy"]
    assert "Seeds: first 5, second 3." in drawn[0].caption
    assert "first" in {text.get_text() for text in drawn[0].figure.findobj() if hasattr(text, "get_text")}


def test_runs_that_all_diverged_have_no_curves(tmp_path: Path) -> None:
    lost = make_run("lost", axes={}, diverged=5)
    assert draw([lost, lost]) == []
    assert "Every member of every run diverged." in compared(tmp_path, lost, make_run("too", axes={}, diverged=5))


def test_the_page_names_the_best_run_on_validation_and_its_interval(tmp_path: Path) -> None:
    better = make_results(num_checks=5)
    better["final_validation_accuracy"] += 0.01
    better["final_test_accuracy"][:] = xr.DataArray([0.5, 0.6, 0.5, 0.6, 0.55], dims="seed")
    second = make_run("second", "--momentum=0.9\n")
    text = compared(tmp_path, make_run("first", "--momentum=0\n"), Run("second", better, second.meta, second.flags))
    assert (
        "second is best on validation with learning_rate=1; its test accuracy there is 55.00 % ± 6.21 (n = 5)." in text
    )
    assert "best second learning_rate=1" in text
    assert "run momentum first 0 second 0.9" in text
    assert "--dataset=digits" in text
    assert "20.0 s 1 600 668 MiB" in text


def test_runs_on_different_data_are_not_ranked(tmp_path: Path) -> None:
    other = make_run("second")
    text = compared(tmp_path, make_run("first"), Run("second", other.results, other.meta, "--dataset=mnist\n"))
    assert "different data" in text
    assert "best second" not in text
    assert "best first" not in text


def test_one_seed_has_no_interval_on_the_page(tmp_path: Path) -> None:
    text = compared(tmp_path, make_run("first", seeds=1), make_run("second", gain=0.01, seeds=1))
    assert "(one seed, no interval)" in text
    assert " ± " not in text.replace("seeds ± half", "")


def test_the_page_is_marked_repeatable_and_escaped(tmp_path: Path) -> None:
    runs = make_run("<b>first</b>"), make_run("second", "--momentum=0.9\n")
    texts = []
    for _ in range(2):
        write_comparison(tmp_path / "comparison.html", runs)
        texts.append((tmp_path / "comparison.html").read_text(encoding="utf-8"))
    assert texts[0] == texts[1]
    assert KIND in texts[0]
    assert "<b>" not in texts[0]


@pytest.mark.parametrize(
    ("folders", "labels"),
    [
        (["x/a", "x/b"], ["a", "b"]),
        (["x/run", "y/run", "y/other"], ["x/run", "y/run", "other"]),
        (["x/1/run", "y/1/run"], ["x/1/run", "y/1/run"]),
    ],
)
def test_labels_tell_folders_apart(tmp_path: Path, folders: list[str], labels: list[str]) -> None:
    assert distinct_labels([tmp_path / folder for folder in folders]) == labels
