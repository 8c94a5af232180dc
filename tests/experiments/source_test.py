from __future__ import annotations

import importlib
import math
from pathlib import Path

import pytest

from experiments import source
from jaxreg.study import Study

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
    assert (number.conditions, number.source) == (
        "batch_size=50, 5000 steps",
        "the study of training a small network (report 000)",
    )
    assert number.note == "last step of the log; one test batch (inferred)"
    assert not source.reported("A6-stop", "best_step", {}).fitted


def test_an_unknown_id_is_refused() -> None:
    with pytest.raises(ValueError, match="A0: no such id"):
        source.reported("A0", "final_test_accuracy", {})


def test_a_report_is_named_as_what_it_is_and_where_that_is_told() -> None:
    assert source.cited("003", "part 3") == "the study of regularisation (report 003), part 3"
    assert source.told("003", "part 1", "Kingma and Ba (2015)") == (
        "The study of regularisation (report 003), part 1; Kingma and Ba (2015). "
        "What that study asked is told in docs/studies.md."
    )
    page = (CSV.parents[1] / "docs" / "studies.md").read_text("utf-8")
    assert all(f"## {name[:1].upper()}{name[1:]}" in page for name in source.STUDIES.values())
    assert {row.source for row in source.rows().values()} <= set(source.STUDIES)


@pytest.mark.parametrize(
    "study",
    [
        importlib.import_module(f"experiments.{path.stem}").STUDY
        for path in CSV.parent.glob("*.py")
        if "STUDY = " in path.read_text("utf-8")
    ],
    ids=lambda study: study.name,
)
def test_every_study_and_claim_names_its_report_so(study: Study) -> None:
    named = [study.source, *(getattr(claim, "source", "") for claim in study.claims)]
    named += [number.source for number in study.reported]
    for words in named:
        assert ("report" in words.lower()) == any(name in words.lower() for name in source.STUDIES.values()), words
