"""The tables of published numbers beside this file."""

from __future__ import annotations

import csv
import importlib.resources


def table(name: str) -> list[dict[str, str]]:
    """The rows of `experiments/references/NAME.csv`."""
    with importlib.resources.files("experiments.references").joinpath(f"{name}.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))
