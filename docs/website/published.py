"""docs/published.md: every number of the sources beside ours, from runs that have ended.

`python -m docs.website.published RUN [RUN ...]` writes the page from the results in these folders, the numbers of each
in the words of its study. Nothing of it is typed by hand but what a source says and what was found out about a miss,
which stand beside the number in its study.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from docs.website.places import ROOT
from jaxreg.claims.reported import compare
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


def page(folders: Sequence[Path]) -> str:
    """The page, in Markdown, a part for each study in the order of the runs."""
    parts: dict[str, list[dict[str, Any]]] = {}
    studies: dict[str, Study] = {}
    for folder in map(user_path, folders):
        study, _ = study_source.find(read_finished(folder), folder)
        studies[study.name] = study
        found = compare(load(folder), study.reported)
        rows = [{str(name): value for name, value in row.items()} for row in found.to_dict("records")]
        parts.setdefault(study.name, []).extend(rows)
    return "\n".join([HEAD, *(_part(studies[name], rows) for name, rows in parts.items())])


def _part(study: Study, rows: Sequence[dict[str, Any]]) -> str:
    numbers = {entry.id: entry for entry in study.reported}
    several = [row for row in rows if row["n"] >= 2]
    rows = list({row["id"]: row for row in reversed(several)}.values())[::-1]  # of several runs that hold it, the first
    judged = [row for row in rows if not row["fitted"]]
    met = sum(bool(row["inside"]) for row in judged)
    lines = [
        f"## {study.title}",
        f"\n{study.source}\n",
        f"{met} of {len(judged)} numbers that were not fitted are met, by runs of {_seeds(rows)} seeds.\n"
        if judged
        else "All numbers were fitted.\n",
        "| | what | the source | here | of one run 95 % lie in | |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        entry = numbers[row["id"]]
        verdict = "fitted" if row["fitted"] else "met" if row["inside"] else "**missed**"
        what = f"{entry.quantity}, {entry.conditions}".replace("|", r"\|")
        span = f"{_number(row['low'])} to {_number(row['high'])}"
        lines.append(f"| {row['id']} | {what} | {entry.value:g} | {_number(row['mean'])} | {span} | {verdict} |")
    missed = [row for row in judged if not row["inside"]]
    if missed:
        notes: dict[str, list[str]] = {}
        for row in missed:
            notes.setdefault(row["note"] or "nothing yet.", []).append(row["id"])
        lines += ["\nWhat was found out about those that are missed:\n"]
        lines += [f"- **{', '.join(ids)}**: {note}" for note, ids in notes.items()]
    return "\n".join(lines) + "\n"


def _seeds(rows: Sequence[dict[str, Any]]) -> str:
    counts = sorted({int(row["n"]) for row in rows})
    return f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def _number(value: float) -> str:
    return significant(float(value), 4)


def main(arguments: Sequence[str]) -> int:
    """Writes the page from the runs in `arguments`."""
    PAGE.write_text(page([Path(argument) for argument in arguments]), encoding="utf-8")
    print(PAGE.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
