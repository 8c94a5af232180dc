"""docs/published.md: every number of the sources beside ours, from runs that have ended.

`python -m docs.website.published RUN [RUN ...]` writes the page from the results in these folders, the numbers of each
in the words of its study. The parts of studies that none of these runs is of stay as they are. Nothing of it is typed
by hand but what a source says and what was found out about a miss, which stand beside the number in its study.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from docs.website.places import ROOT
from jaxreg.claims import Judgement, Reported, ReportedNumber, compare, judge
from jaxreg.files import user_path
from jaxreg.reporting.document import significant
from jaxreg.results.storage import load
from jaxreg.runs import study_source
from jaxreg.runs.folder import read_finished
from jaxreg.study import Study

PAGE = ROOT / "docs" / "published.md"
HEAD = """# Published numbers beside ours

<!-- written by `python -m docs.website.published RUN ...`; change the studies, not this page -->

Each number that a source prints, beside the mean over seeds here and the interval in which 95 % of single runs lie,
mean ± t · s · √(1 + 1/n) ([how](claims.md)). A source with one seed is met where its number lies inside. A number that
served to choose the settings is no evidence and is called *fitted*.
"""


def page(folders: Sequence[Path], before: str = "") -> str:
    """The page, in Markdown, a part for each study: those of `before` in their order, then those of the runs."""
    parts: dict[str, _Part] = {}
    for folder in map(user_path, folders):
        study, _ = study_source.find(read_finished(folder), folder)
        results, part = load(folder), parts.setdefault(study.name, _Part(study, {}, {}))
        found = compare(results, study.reported)
        for id, of in found[found["n"] >= 2].groupby("id"):
            if id not in part.rows or len(of) > 1:  # of several runs the first, and sweeps of what is not named
                records = of.assign(run=str(folder)).to_dict("records")
                part.rows.setdefault(str(id), []).extend({str(k): value for k, value in row.items()} for row in records)
        for judgement in judge([claim for claim in study.claims if not isinstance(claim, ReportedNumber)], results):
            if judgement.in_this_run and judgement.source:
                part.judgements.setdefault(judgement.statement, judgement)
    made = {part.study.title: _part(part) for part in parts.values()}
    return "\n".join([HEAD, *(_parts_of(before) | made).values()])


def _parts_of(text: str) -> dict[str, str]:
    """The parts of a page by their titles."""
    parts = re.split(r"^(?=## )", text, flags=re.MULTILINE)[1:]
    return {part.splitlines()[0].removeprefix("## "): part.rstrip("\n") + "\n" for part in parts}


class _Part(NamedTuple):
    """What runs of one study hold."""

    study: Study
    rows: dict[str, list[dict[str, Any]]]  # of `compare`, by the id of the number
    judgements: dict[str, Judgement]  # by statement


def _part(part: _Part) -> str:
    numbers = {entry.id: entry for entry in part.study.reported}
    rows = {id: part.rows[id] for id in numbers if id in part.rows}
    judged = {id: of for id, of in rows.items() if not numbers[id].fitted}
    met = sum(all(row["inside"] for row in _of_first_run(of)) for of in judged.values())
    lines = [f"## {part.study.title}", f"\n{part.study.source}\n"]
    if rows:
        seeds = _seeds([row for of in rows.values() for row in _of_first_run(of)])
        fitted = len(rows) - len(judged)
        lines += [
            f"{met} of {len(judged)} numbers are met, by runs of {seeds} seeds"
            f"{f'; {fitted} served to choose the settings' if fitted else ''}.\n"
        ]
    if numbers:
        lines += ["| | what | the source | here | of one run 95 % lie in | |", "|---|---|---|---|---|---|"]
        lines += [line for id, entry in numbers.items() for line in _rows(entry, rows.get(id, []))]
    missed = {id: of for id, of in judged.items() if not all(row["inside"] for row in _of_first_run(of))}
    if missed:
        notes: dict[str, list[str]] = {}
        for id in missed:
            notes.setdefault(numbers[id].note or "nothing yet.", []).append(id)
        lines += ["\nWhat was found out about those that are missed:\n"]
        lines += [f"- **{', '.join(ids)}**: {note}" for note, ids in notes.items()]
    if part.judgements:
        lines += [*([""] if numbers else []), "| statement | here | seeds |", "|---|---|---|"]
        lines += [
            f"| {_cell(judgement.statement)} | {judgement.verdict} | {judgement.n} |"
            for judgement in part.judgements.values()
        ]
    return "\n".join(lines) + "\n"


def _of_first_run(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that decide whether a number is met."""
    return [row for row in rows if row["run"] == rows[0]["run"]]


def _rows(entry: Reported, rows: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each setting at which a run holds the number, or one that says that no run does."""
    what = _cell(f"{entry.quantity}, {entry.conditions}")
    if not rows:
        return [f"| {entry.id} | {what} | {entry.value:g} | | | in none of these runs |"]
    lines = []
    for row in rows:
        if row["run"] != rows[0]["run"] or len(_of_first_run(rows)) > 1:  # a sweep of what the source does not name
            verdict = "inside" if row["inside"] else "outside"
        else:
            verdict = "fitted" if row["fitted"] else "met" if row["inside"] else "**missed**"
        span = f"{_number(row['low'])} to {_number(row['high'])}"
        at = f" ({row['setting']})" if len(rows) > 1 else ""
        lines.append(f"| {entry.id} | {what}{at} | {entry.value:g} | {_number(row['mean'])} | {span} | {verdict} |")
    return lines


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def _seeds(rows: Sequence[dict[str, Any]]) -> str:
    counts = sorted({int(row["n"]) for row in rows})
    return f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def _number(value: float) -> str:
    return significant(float(value), 4)


def main(arguments: Sequence[str]) -> int:
    """Writes the page from the runs in `arguments`."""
    before = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    PAGE.write_text(page([Path(argument) for argument in arguments], before), encoding="utf-8")
    print(PAGE.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
