"""The two studies whose questions the experiments ask again, and their numbers: reported.csv, a row each.

What the studies asked is told in docs/studies.md.
"""

from __future__ import annotations

import csv
import functools
import importlib.resources
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from jaxreg.claims import Reported
from jaxreg.slow_imports import xr

if TYPE_CHECKING:
    from matplotlib.figure import Figure  # slow to import

STUDIES = {
    "000": "the study of training a small network (report 000)",
    "003": "the study of regularisation (report 003)",
}
"""What the reports are, by their numbers."""


def cited(report: str, place: str = "") -> str:
    """A place in a report by what the report is: "the study of training a small network (report 000), part 5".

    Args:
      report: its number.
      place: parts and figures.
    """
    return ", ".join(filter(None, (STUDIES[report], place)))


def told(report: str, place: str, *others: str) -> str:
    """The source of an experiment, in a sentence or two: a place in a report, and further sources."""
    named = "; ".join((cited(report, place), *others))
    return f"{named[:1].upper()}{named[1:]}. What that study asked is told in docs/studies.md."


class Row(NamedTuple):
    """A number of a source, as reported.csv has it."""

    id: str
    source: str  # the number of the report: "000"
    experiment: str  # the module that is about it
    setting: str  # in the source's words
    quantity: str
    value: float
    note: str


@functools.cache
def rows() -> dict[str, Row]:
    """All numbers of the sources by id."""
    with importlib.resources.files("experiments").joinpath("reported.csv").open(encoding="utf-8") as file:
        read = [
            Row(id, report, experiment, setting, quantity, float(value), note)
            for id, report, experiment, setting, quantity, value, note in list(csv.reader(file))[1:]
        ]
    return {row.id: row for row in read}


def reported(
    id: str,
    variable: str | Callable[[xr.Dataset], xr.DataArray],
    setting: Mapping[str, Any],
    *,
    fitted: bool = False,
    found: str = "",
) -> Reported:
    """A number of reported.csv, and what of the results stands for it.

    Args:
      id: of the row.
      variable, setting, fitted: as in `Reported`.
      found: what we found out about it, told beside what is to be known of the source.

    Raises:
      ValueError: reported.csv has no such id.
    """
    if id not in rows():
        raise ValueError(f"{id}: no such id in reported.csv")
    row = rows()[id]
    return Reported(
        id,
        variable,
        setting,
        value=row.value,
        quantity=row.quantity,
        conditions=row.setting,
        source=cited(row.source),
        note="; ".join(filter(None, (row.note, found))),
        fitted=fitted,
    )


def as_printed(figure: Figure) -> str:
    """Of a figure that shows numbers of the source what a caption says of them, else nothing."""
    from jaxreg.reporting.figures.style import shows  # slow to import

    return ", with the numbers that the source prints" if shows(figure, "reported by the source") else ""
