"""The numbers that the sources report, beside what the run gives at the same settings."""

from __future__ import annotations

import dataclasses
import importlib.resources
import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import pandas as pd
import xarray as xr

from jaxreg.measures import halted_by_patience, setting_label, setting_values, settings
from jaxreg.statistics import prediction_interval

COLUMNS = (
    *("id", "setting", "quantity", "reported", "mean", "sd", "n", "low", "high", "inside", "fitted", "note"),
    "variable",
)

TOLERANCE = 1e-6  # relative: float32 numbers stand for the decimals they were given as


@dataclasses.dataclass(frozen=True)
class Reported:
    """One number of a source: its row in reported.csv, and what of the results stands for it, at which setting.

    Attributes:
      id: the row in reported.csv.
      variable: of the results by name, or results -> [..., seed], raising KeyError where they do not hold it.
      setting: swept axes and fixed hyperparameters alike by name; all must agree for a comparison.
      fitted: the number was used to choose the settings: it is no evidence.
    """

    id: str
    variable: str | Callable[[xr.Dataset], xr.DataArray]
    setting: Mapping[str, Any]
    fitted: bool = False

    @property
    def name(self) -> str:
        """That of the variable or function."""
        return self.variable if isinstance(self.variable, str) else self.variable.__name__

    def measured(self, results: xr.Dataset) -> xr.DataArray:
        """What stands for the number, [..., seed]; members that patience halted have not trained so long: NaN.

        Raises:
          KeyError: the results do not hold it.
        """
        values = results[self.variable] if isinstance(self.variable, str) else self.variable(results)
        if "stopped_check" not in results:
            return values
        return values.where(~halted_by_patience(results)).assign_attrs(values.attrs)


def reported_numbers() -> pd.DataFrame:
    """All numbers of the sources, indexed by id: source, experiment, setting, quantity, value, note."""
    with importlib.resources.files("experiments").joinpath("reported.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file, index_col="id", keep_default_na=False, dtype={"source": str})


def compare(results: xr.Dataset, reported: Sequence[Reported]) -> pd.DataFrame:
    """The reported numbers against the 95 % prediction interval for ONE run, mean ± t · s · √(1 + 1/n) over seeds.

    Returns:
      One row per reported number and setting of the run that agrees with it: several where the run sweeps an axis of
      which the source says nothing, none where the run does not hold the setting. Columns: id, setting (text),
      quantity, reported, mean, sd, n (seeds that count), low, high, inside (up to half a unit of the last digit
      reported; None below two seeds), fitted, note, variable, and each setting by name.

    Raises:
      ValueError: an id that reported.csv does not hold, a variable or setting name that the results do not hold.
    """
    numbers = reported_numbers()
    rows: list[dict[str, Any]] = []
    for entry in reported:
        _check(entry, numbers, results)
        number = numbers.loc[entry.id]
        try:
            measured = entry.measured(results).to_dataset(name=entry.name)
        except KeyError:
            continue
        fixed = {name: results[name].item() for name in entry.setting if not results[name].dims}
        wanted = [
            all(agree((fixed | setting)[name], value) for name, value in entry.setting.items())
            for setting in setting_values(measured)
        ]
        for setting, part in settings(measured, where=wanted):
            one_run = prediction_interval(part[entry.name]).map(lambda value: value.item())
            low, high, n = (float(one_run[name]) for name in ("low", "high", "n"))
            if n == 0:
                continue
            value = float(str(number["value"]))
            half = half_unit(value)
            inside = bool(low - half <= value <= high + half) if n >= 2 else None
            rows.append(
                {"id": entry.id, "setting": setting_label(setting or entry.setting), "quantity": number["quantity"]}
                | {"reported": value, "mean": float(one_run["mean"]), "sd": float(one_run["sd"]), "n": int(n)}
                | {"low": low, "high": high, "inside": inside, "fitted": entry.fitted, "note": number["note"]}
                | {"variable": entry.name, **entry.setting, **setting}
            )
    names = dict.fromkeys(name for row in rows for name in row)
    return pd.DataFrame(rows, columns=list(dict.fromkeys([*COLUMNS, *names]))).astype({"inside": object})


def _check(entry: Reported, numbers: pd.DataFrame, results: xr.Dataset) -> None:
    if entry.id not in numbers.index:
        raise ValueError(f"{entry.id}: no such id in reported.csv")
    variables = [entry.variable] if isinstance(entry.variable, str) else []
    missing = [name for name in (*variables, *entry.setting) if name not in results.variables]
    if missing:
        raise ValueError(f"{entry.id}: the results hold no {', '.join(missing)}")


def agree(ours: Any, theirs: Any) -> bool:
    """Equal, numbers within a relative 1e-6."""
    if isinstance(ours, int | float) and isinstance(theirs, int | float):
        return math.isclose(ours, theirs, rel_tol=TOLERANCE)
    return bool(ours == theirs)


def half_unit(value: float) -> float:
    """Half a unit of the last digit that a number is printed with, at least a relative 1e-6: 0.0005 of 0.853."""
    exponent = min(0, int(Decimal(repr(float(value))).as_tuple().exponent))
    return max(0.5 * 10.0**exponent, TOLERANCE * abs(value))
