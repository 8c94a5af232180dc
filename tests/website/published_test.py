"""The page of published numbers: every number, beside ours, with what is known of those that are missed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from docs.website import published
from jaxreg.claims import Reported
from jaxreg.results.storage import save
from jaxreg.study import Study
from tests.synthetic import make_results

AT = {"learning_rate": 0.01}
MET = Reported("A1", "final_test_accuracy", AT, 0.0, "test accuracy", "rate 0.01")
STUDY = Study(name="made_up", title="A made-up study", source="Nobody (1900).")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose first number is met and whose second is missed; the third was fitted, the fourth is not in it."""
    results = make_results(seeds=5)
    mean = round(float(results["final_test_accuracy"].sel(AT).mean()), 4)
    numbers = (
        dataclasses.replace(MET, value=mean),
        dataclasses.replace(MET, id="A2", value=mean - 0.4, note="Its rate was another one."),
        dataclasses.replace(MET, id="A3", fitted=True),
        dataclasses.replace(MET, id="A4", setting={"learning_rate": 7.0}),
    )
    study = dataclasses.replace(STUDY, reported=numbers)
    save(results, tmp_path / "results.nc")
    monkeypatch.setattr(published, "read_finished", lambda folder: {})  # noqa: ARG005 - the place of read_finished
    monkeypatch.setattr("jaxreg.runs.study_source.find", lambda meta, folder: (study, True))  # noqa: ARG005 - that of find
    return tmp_path


def test_each_number_of_a_run_has_a_row_with_its_verdict(run: Path) -> None:
    lines = published.page([run]).splitlines()
    rows = {line.split("|")[1].strip(): line for line in lines if line.startswith("| A")}
    assert list(rows) == ["A1", "A2", "A3"]
    verdicts = {id: row.split("|")[-2].strip() for id, row in rows.items()}
    assert verdicts == {"A1": "met", "A2": "**missed**", "A3": "fitted"}
    assert "test accuracy, rate 0.01" in rows["A1"]
    assert "1 of 2 numbers that were not fitted are met, by runs of 5 seeds." in lines
    assert "- **A2**: Its rate was another one." in lines
    assert not any(line.startswith(("- **A1", "- **A3")) for line in lines)
