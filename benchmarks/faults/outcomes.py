"""What became of a trial, and the counts of all of them."""

from __future__ import annotations

import collections
import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from benchmarks.faults.processes import Ended

GOOD = ("right", "refused")
BAD = ("wrong", "traceback", "crash", "hang", "two lines", "lost", "escaped")


class Outcome(NamedTuple):
    """Of one trial.

    Attributes:
      kind: of fault.
      result: `right`; `refused` in one line, and right once the cause was taken away; or one of `BAD`.
      about: what was done, and what was said.
    """

    kind: str
    result: str
    about: str

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return self.result in GOOD


def refusal_fault(ended: Ended) -> str | None:
    """What is wrong with the way in which a command refused or ended; None if nothing is."""
    if ended.fault:
        return ended.fault
    if ended.code != 1:
        return None
    lines = [line for line in ended.said.splitlines() if line.strip()]
    # Messages of the log may come before: they begin with what they are about, and do not speak of errors.
    suspicious = [line for line in lines[:-1] if "Error" in line or "error" in line or line.startswith(" ")]
    return "two lines" if suspicious or not lines else None


def write(outcomes: Iterable[Outcome], path: Path) -> None:
    """Appends outcomes to a file, a line each."""
    with path.open("a", encoding="utf-8") as file:
        for outcome in outcomes:
            file.write(json.dumps(outcome) + "\n")


def read(paths: Iterable[Path]) -> list[Outcome]:
    """The outcomes of several files."""
    lines = [line for path in paths if path.exists() for line in path.read_text(encoding="utf-8").splitlines()]
    return [Outcome(*json.loads(line)) for line in lines]


def counts(outcomes: Iterable[Outcome]) -> dict[str, collections.Counter[str]]:
    """How often each result came, by kind."""
    by_kind: dict[str, collections.Counter[str]] = {}
    for outcome in outcomes:
        by_kind.setdefault(outcome.kind, collections.Counter())[outcome.result] += 1
    return dict(sorted(by_kind.items()))


def table(outcomes: list[Outcome]) -> str:
    """The counts as text, a row for each kind and one for all; results that never came are left out."""
    by_kind = counts(outcomes)
    total = sum(by_kind.values(), collections.Counter[str]())
    shown = [result for result in (*GOOD, *BAD) if total[result] or result in ("right", "refused", "wrong")]
    width = max(map(len, [*by_kind, "all"]))
    rows = [" ".join([f"{'kind':{width}}", f"{'trials':>7}", *(f"{result:>9}" for result in shown)])]
    for kind, count in [*by_kind.items(), ("all", total)]:
        cells = [f"{kind:{width}}", f"{count.total():7}", *(f"{count[result]:9}" for result in shown)]
        rows.append(" ".join(cells))
    return "\n".join(rows)
