"""Tables as they are printed."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from jaxreg.claims import Judgement
from jaxreg.reporting import tables
from tests.synthetic import make_results

ACCURACY = "final_validation_accuracy"


def printed(results: xr.Dataset, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width)
    tables.print_table(results, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((0.9123, 0.9108, 0.9138), "91.23 % ± 0.15"),
        ((0.9123,), "91.23 %"),
        ((1.0, 1.0, 1.0), "100.00 % in all seeds"),
        ((0.07, 0.0, 0.4512), "7.00 % (0 to 45.12 %)"),
        ((0.97, 0.96, 0.98), "97.00 % ± 1.00"),
        ((0.97, 0.969999, 0.970001), "97.00 % ± under 0.01"),
    ],
)
def test_percent(values: Sequence[float], text: str) -> None:
    mean, low, high = (*values, np.nan, np.nan)[:3]
    assert tables.percent(mean, low, high) == text


def test_printed_table_has_intervals_halts_and_marks_the_best_on_validation() -> None:
    text = printed(make_results(diverged=2))
    marked = [line.split() for line in text.splitlines() if line.rstrip().endswith("best")]
    assert [cells[0] for cells in marked] == ["0.1"]
    assert text.count("±") == 4 * 2 + 1
    assert "2 of 5 diverged" in text
    assert "best on validation; test is only reported" in text
    assert "rank behind" in text


def test_printed_table_marks_no_best_where_every_member_diverged() -> None:
    results = make_results()
    results["final_validation_accuracy"][:] = np.nan
    assert not any(line.rstrip().endswith("best") for line in printed(results).splitlines())


def test_printed_table_of_one_seed_has_no_interval_and_says_so() -> None:
    text = printed(make_results(seeds=1))
    assert "±" not in text
    assert "one seed gives no interval" in text


def test_a_large_sweep_prints_the_best_and_the_worst_and_counts_the_rest() -> None:
    results = make_results(axes={"learning_rate": [float(i) for i in range(60)]}, num_checks=3)
    text = printed(results)
    shown = [float(line.split()[0]) for line in text.splitlines() if " % ±" in line and "interval" not in line]
    order = np.argsort(-results[ACCURACY].mean("seed").values)
    np.testing.assert_array_equal(shown, [*order[:10], *order[-3:]])
    assert "47 are left out, all are in summary.csv" in " ".join(text.split())


def test_settings_that_differ_only_in_what_does_not_act_are_one_row() -> None:
    axes: dict[str, list[Any]] = {"method": ["none", "l2"], "l2_strength": [0.001, 0.01, 0.1]}
    text = printed(make_results(axes=axes, num_checks=3))
    rows = [line.split()[:2] for line in text.splitlines() if " % ±" in line]
    assert rows == [["none", "-"], ["l2", "0.001"], ["l2", "0.01"], ["l2", "0.1"]]
    assert "2 settings that differ only in such values are left out" in " ".join(text.split())
    assert "dash" not in printed(make_results(axes={"learning_rate": [0.1, 1.0]}, num_checks=3))


@pytest.mark.parametrize("width", [60, 80, 120])
def test_wide_intervals_are_never_cut(width: int) -> None:
    results = make_results(axes={"learning_rate": [0.00316228, 1000.0], "momentum": [0.123456]}, seeds=2, num_checks=3)
    for name in (ACCURACY, "final_test_accuracy"):
        results[name][0, 0] = [0.95, 0.99]
    text = printed(results, width)
    assert text.count("97.00 % (71.59 to 100 %)") == 2
    assert "…" not in text


def test_the_answer_is_printed_with_its_paragraphs() -> None:
    console = Console(file=io.StringIO(), width=80)
    tables.print_answer("One [is] best.\n\nIt is fast.", console)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().split("\n") == ["", "One [is] best.", "", "It is fast.", ""]


def test_verdicts_are_printed_with_their_claims_and_reasons() -> None:
    judgements = [
        Judgement("Larger is faster.", "a report", "supported", "It falls by 3 steps.", 5, "steps", ()),
        Judgement("Larger is redder.", "", "undecided", "This run does not sweep size.", 0, "1", ()),
        Judgement("Larger is louder.", "", "undecided", "One seed gives no interval.", 1, "nats", ()),
    ]
    console = Console(file=io.StringIO(), width=80)
    tables.print_verdicts(judgements, console)
    assert isinstance(console.file, io.StringIO)
    lines = [" ".join(line.split()) for line in console.file.getvalue().splitlines()]
    assert lines == [
        *("supported Larger is faster.", "It falls by 3 steps."),
        *("undecided Larger is louder.", "One seed gives no interval."),
        "1 claim is about data or settings that this run does not have.",
    ]


@pytest.mark.parametrize(("width", "shared"), [(60, True), (80, True), (200, False)])
def test_values_of_axes_are_never_cut(width: int, shared: bool) -> None:
    axes = {"learning_rate": [0.00316228, 1000.0], "init_variance": [0.01], "momentum": [0.123456]}
    text = printed(make_results(axes=axes), width)
    assert ("learning_rate=0.00316228" in text) == shared
    assert all(value in text for value in ("0.00316228", "1000", "0.123456"))
    assert "…" not in text
