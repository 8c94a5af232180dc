"""Published numbers as claims: rows of the tables beside this file, each with what of a run stands for it."""

from __future__ import annotations

import csv
import importlib.resources
from collections.abc import Callable, Mapping
from typing import Any

from jaxreg.claims import Reported
from jaxreg.slow_imports import xr


def table(name: str) -> list[dict[str, str]]:
    """The rows of `experiments/references/NAME.csv`."""
    with importlib.resources.files("experiments.references").joinpath(f"{name}.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def number(
    row: Mapping[str, str],
    id: str,
    variable: str | Callable[[xr.Dataset], xr.DataArray],
    setting: Mapping[str, Any],
    *,
    conditions: str,
    source: str,
    note: str = "",
) -> Reported:
    """A row as a number that a run is compared with; the arguments are those of `Reported`."""
    return Reported(
        id,
        variable,
        setting,
        value=float(row["value"]),
        quantity=row["quantity"],
        conditions=conditions,
        source=source,
        note=note,
    )
