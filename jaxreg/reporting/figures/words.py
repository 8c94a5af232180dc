"""What is written into figures: names with units, values of an axis, notes on seeds and diverged members."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from jaxreg.config import LABELS
from jaxreg.measures import setting_values, value_labels
from jaxreg.statistics import FEW_SEEDS, rests_on_normality

MAX_TEXT = 44  # characters of a value that is text, such as a method
PARTS = ("train", "test", "validation", "test_batch")  # a part of the data has one colour and line style in all figures


def words(name: str) -> str:
    """A name in words: "test loss" for "test_loss"."""
    return name.replace("_", " ")


def name_of(values: xr.DataArray, default: str) -> str:
    """The name of an array, or the default if it has none."""
    return default if values.name is None else str(values.name)


def capital(text: str) -> str:
    """The text with a capital first letter, the rest as it is."""
    return text[:1].upper() + text[1:]


def quantity_label(name: str, values: xr.DataArray) -> str:
    """Name and units: "test loss (nats)", "test accuracy (fraction)"."""
    units = str(values.attrs.get("units", "1"))
    if units == "1":
        units = "fraction" if name.endswith(("accuracy", "error", "share", "fraction")) else ""
    return words(name) + (f" ({units})" if units else "")


def part_of(name: str) -> str | None:
    """The part of the data that a variable is measured on: "test_batch" of "test_batch_loss"."""
    return next((part for part in sorted(PARTS, key=len, reverse=True) if name.startswith(f"{part}_")), None)


def kind_of(name: str) -> str:
    """What a variable measures: "loss" of "test_loss"."""
    return name.removeprefix(f"{part_of(name)}_")


def row_label(results: xr.Dataset, variables: Sequence[str]) -> str:
    """One label for variables that measure the same on several parts of the data."""
    return "\n".join(dict.fromkeys(quantity_label(kind_of(name), results[name]) for name in variables))


def axis_labels(data: xr.Dataset, dims: Sequence[str]) -> tuple[list[str], list[str]]:
    """The names along `dims`, zipped ones included except with labels, and the label of each setting."""
    labelled = {dim for dim in dims if dim in LABELS}
    data = data.drop_vars([name for name, c in data.coords.items() if name not in dims and labelled & set(c.dims)])
    found = setting_values(data, dims)
    columns = [value_labels([setting[name] for setting in found], 3, MAX_TEXT) for name in found[0]]
    return list(found[0]), [", ".join(labels) for labels in zip(*columns, strict=True)] or [""] * len(found)


def replicates_note(data: xr.Dataset, mark: str) -> str:
    """How many seeds the means are over, and what `mark` ("band", "bars") shows; "" for no mark."""
    seeds = data.sizes["seed"]
    if seeds == 1:
        return "1 seed, no interval" if mark else "1 seed"
    return f"mean of {seeds} seeds" + (f", {mark}: {t_interval(data.get('n', seeds))}" if mark else "")


def t_interval(seeds: Any) -> str:
    """What intervals over so many seeds are: "95 % t interval", and where any is over few, what that rests on."""
    few = any(rests_on_normality(n) for n in np.unique(np.asarray(seeds)).tolist())
    return "95 % t interval" + (f", below n = {FEW_SEEDS} only if values are normal" if few else "")


def diverged_note(data: xr.Dataset) -> str:
    """How many members diverged, "" if none."""
    count = int(data["diverged"].sum())
    return f"{count} of {data['diverged'].size} members diverged, left out of the mean" if count else ""


def diverged_counts(diverged: xr.DataArray, dims: Sequence[str]) -> list[str]:
    """For each setting how many seeds diverged, if any."""
    counts = diverged.sum("seed").transpose(*dims).values.ravel()
    return [f"\n({count} of {diverged.sizes['seed']} diverged)" if count else "" for count in counts]
