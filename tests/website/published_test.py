"""The page of published numbers: every number, beside ours, with what is known of those that are missed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from docs.website import published
from jaxreg.claims import Reported, Trend
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
    claims = (
        Trend("Rates rise.", "final_test_accuracy", "learning_rate", "rises", source="Nobody (1900)"),
        Trend("Ours.", "final_test_accuracy", "learning_rate", "rises"),
        Trend("Elsewhere.", "final_test_accuracy", "batch_size", "rises", source="Nobody (1900)"),
    )
    study = dataclasses.replace(STUDY, reported=numbers, claims=claims)
    save(results, tmp_path / "results.nc")
    monkeypatch.setattr(published, "read_finished", lambda folder: {})  # noqa: ARG005 - the place of read_finished
    monkeypatch.setattr("jaxreg.runs.study_source.find", lambda meta, folder: (study, True))  # noqa: ARG005 - that of find
    return tmp_path


def test_each_number_of_a_run_has_a_row_with_its_verdict(run: Path) -> None:
    lines = published.page([run]).splitlines()
    rows = {line.split("|")[1].strip(): line for line in lines if line.startswith("| A")}
    assert list(rows) == ["A1", "A2", "A3", "A4"]
    verdicts = {id: row.split("|")[-2].strip() for id, row in rows.items()}
    assert verdicts == {"A1": "met", "A2": "**missed**", "A3": "fitted", "A4": "in none of these runs"}
    assert "test accuracy, rate 0.01" in rows["A1"]
    assert "1 of 2 numbers are met, by runs of 5 seeds; 1 served to choose the settings." in lines
    assert "- **A2**: Its rate was another one." in lines
    assert not any(line.startswith(("- **A1", "- **A3")) for line in lines)
    assert "| Rates rise. | supported | 5 |" in lines
    assert not any("Ours" in line or "Elsewhere" in line for line in lines)


def test_parts_of_other_studies_stay_and_those_of_the_runs_are_made_anew(run: Path) -> None:
    alone = published.page([run])
    other = "## Another study\n\nNobody (1901).\n\n| a | table |\n"
    stale = alone.replace("1 of 2 numbers", "2 of 2 numbers")
    for before in (f"{published.HEAD}\n{other}\n{stale.removeprefix(published.HEAD)}", published.page([], stale)):
        assert before != alone
        after = published.page([run], before)
        assert after.replace(f"{other}\n", "") == alone
        assert (other in after) == (other in before)
    assert published.page([], published.PAGE.read_text()) == published.PAGE.read_text()


def test_a_run_that_sweeps_what_a_number_does_not_name_has_a_row_for_each_setting(run: Path) -> None:
    axes = {"learning_rate": [0.01], "momentum": [0.0, 0.9]}
    save(make_results(axes=axes, seeds=5), run / "results.nc")
    rows = [line for line in published.page([run]).splitlines() if line.startswith("| A2")]
    assert ["momentum=0" in row for row in rows] == [True, True]
    assert all("(learning_rate=0.01, momentum=0" in row and row.endswith("| outside |") for row in rows)
