from __future__ import annotations

import math
from pathlib import Path

import pytest

from experiments import source

CSV = Path(source.__file__).parent / "reported.csv"


def test_the_numbers_of_the_sources_lie_beside_the_experiments() -> None:
    rows = source.rows()
    first = rows["A5-0.01-test"]
    assert (first.source, first.experiment, first.quantity, first.value) == ("000", "lr_sweep", "test accuracy", 0.853)
    assert all(math.isfinite(row.value) for row in rows.values())
    assert rows["B3-l2"].note == ""
    assert len(rows) == len(CSV.read_text().splitlines()) - 1


def test_a_number_goes_to_a_study_with_its_words() -> None:
    number = source.reported("A4-b50-loss", "final_test_batch_loss", {"batch_size": 50}, fitted=True)
    assert (number.id, number.variable, number.setting) == ("A4-b50-loss", "final_test_batch_loss", {"batch_size": 50})
    assert (number.value, number.quantity, number.fitted) == (0.30363256, "test batch loss", True)
    assert (number.conditions, number.source) == ("batch_size=50, 5000 steps", "report 000")
    assert number.note == "last step of the log; one test batch (inferred)"
    assert not source.reported("A6-stop", "best_step", {}).fitted


def test_an_unknown_id_is_refused() -> None:
    with pytest.raises(ValueError, match="A0: no such id"):
        source.reported("A0", "final_test_accuracy", {})
