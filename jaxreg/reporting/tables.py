"""The settings of a sweep as rows: means and intervals over seeds, the best one, the printed table, summary.csv."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import rich.box
import xarray as xr
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jaxreg.files import write_atomically
from jaxreg.measures import setting_dims, settings, value_label
from jaxreg.statistics import mean_interval

QUANTITIES = (
    "final_validation_accuracy",
    "final_test_accuracy",
    "final_validation_loss",
    "final_test_loss",
    "best_validation_loss",
    "best_test_accuracy",
    "train_accuracy",
)
Row = Mapping[Any, Any]  # of a summary
STATISTICS = ("mean", "sd", "low", "high")

HALTS = {"stopped": "stopped_check", "diverged": "diverged_step"}  # why a member halted: the variable that is then >= 0

MAX_PRINTED, PRINTED_BEST, PRINTED_WORST = 40, 10, 3


def summary(results: xr.Dataset) -> pd.DataFrame:
    """One row per setting, in the order of the grid.

    Columns: the value of each axis and of each coordinate zipped with it; `seeds`, and how many of them `stopped` and
    `diverged`; for each of `QUANTITIES` that the results hold, `_mean` and `_sd` over the seeds that have a value, and
    `_low` and `_high`, the ends of the 95 % Student t interval of the mean (NaN with fewer than two values).
    Accuracies are fractions in [0, 1], losses in nats.
    """
    dims = member_dims(results)

    def flat(values: xr.DataArray) -> np.ndarray:
        """[setting], the last dimension fastest, as `settings` goes through them."""
        return values.transpose(*dims).values.reshape(-1)

    table = pd.DataFrame([setting for setting, _ in settings(results[["diverged_step"]], dims)])
    columns: dict[str, np.ndarray] = {"seeds": np.full(len(table), results.sizes["seed"])}
    columns |= {halt: flat((results[variable] >= 0).sum("seed")) for halt, variable in HALTS.items()}
    for quantity in QUANTITIES:
        if quantity in results:
            over_seeds = mean_interval(results[quantity])
            columns |= {f"{quantity}_{name}": flat(over_seeds[name]) for name in STATISTICS}
    return table.assign(**columns)


def member_dims(results: xr.Dataset) -> tuple[str, ...]:
    """The swept dimensions of the members; a variable may have further ones of its own."""
    return setting_dims(results["diverged_step"])


def axis_names(results: xr.Dataset) -> tuple[str, ...]:
    """The swept hyperparameters, coordinates zipped along a dimension included."""
    return tuple(next(settings(results[["diverged_step"]], member_dims(results)))[0])


def ranking(table: pd.DataFrame) -> list[int]:
    """Rows of a `summary` from best to worst, on validation alone.

    By mean final validation accuracy, ties by the lower validation loss. Settings with a diverged member come after all
    settings without one, and settings without any value last.
    """
    accuracy = table["final_validation_accuracy_mean"].round(9)  # the same count of right examples ties
    loss = table["final_validation_loss_mean"]
    order: list[int] = np.lexsort((loss, -accuracy, table["diverged"] > 0, accuracy.isna())).tolist()
    return order


def best_row(table: pd.DataFrame) -> int | None:
    """The first row of the `ranking`; None if no setting has a validation accuracy."""
    first = ranking(table)[0]
    return None if np.isnan(table["final_validation_accuracy_mean"][first]) else first


def best_setting(results: xr.Dataset) -> dict[str, Any] | None:
    """The setting that is best on validation, as `results.sel` takes it: its value along each setting dimension.

    Chosen by `ranking`; test is never looked at. Empty if nothing is swept, None if no member has a validation
    accuracy.
    """
    table = summary(results)
    row = best_row(table)
    return None if row is None else {dim: table[dim].tolist()[row] for dim in member_dims(results)}


def write_summary(results: xr.Dataset, path: str | Path) -> None:
    """Writes the `summary` as CSV; a reader sees the old file or the whole new one."""
    write_atomically(Path(path), summary(results).to_csv(index=False, lineterminator="\n"))


def shown_rows(table: pd.DataFrame, at_most: int, best: int, worst: int) -> tuple[list[int], list[int]]:
    """All rows in grid order if there are no more than `at_most`, else the `best` first and the `worst` last ranked."""
    if len(table) <= at_most:
        return list(range(len(table))), []
    ranked = ranking(table)
    return ranked[:best], ranked[-worst:]


def percent(mean: float, low: float = np.nan, high: float = np.nan, decimals: int = 2) -> str:
    """A fraction for people: `91.23 % ± 0.15`, with the half-width of its interval if there is one."""
    if np.isnan(mean):
        return "-"
    half = "" if np.isnan(high - low) else f" ± {50 * (high - low):.{decimals}f}"
    return f"{100 * mean:.{decimals}f} %{half}"


def halted(row: Row) -> str:
    """How many members of a setting halted: `2 of 5 diverged`, `1 of 5 stopped, 2 of 5 diverged`, `0 of 5`."""
    counts = [f"{row[halt]} of {row['seeds']} {halt}" for halt in HALTS if row[halt]]
    return ", ".join(counts) or f"0 of {row['seeds']}"


def print_table(results: xr.Dataset, console: Console) -> None:
    """Prints settings x final validation and test accuracy, `91.23 % ± 0.15` with the half-width of the 95 % interval.

    Of more than 40 settings only the ten best and the three worst on validation are printed.
    """
    table, names = summary(results), axis_names(results)
    rows, best = table.to_dict("records"), best_row(table) if len(table) > 1 else None
    top, bottom = shown_rows(table, MAX_PRINTED, PRINTED_BEST, PRINTED_WORST)
    printed = Table(
        box=rich.box.SIMPLE_HEAD, caption="\n".join(_caption(table, len(top) + len(bottom))), caption_justify="left"
    )
    for name in names:
        printed.add_column(name, justify="right")
    for name in ("validation accuracy", "test accuracy"):
        printed.add_column(name, justify="right", min_width=15, no_wrap=True)
    printed.add_column("halted")
    printed.add_column("")

    def add(chosen: list[int]) -> None:
        for i in chosen:
            row = rows[i]
            cells = [value_label(row[name]) for name in names]
            cells += [percent(*interval(row, f"final_{split}_accuracy")) for split in ("validation", "test")]
            cells += [halted(row), "best" if i == best else ""]
            printed.add_row(*map(Text, cells), style="bold" if i == best else None)

    add(top)
    if bottom:
        printed.add_section()
        add(bottom)
    console.print(printed)


def interval(row: Row, quantity: str) -> tuple[float, float, float]:
    """Mean, low and high of a quantity in a row of a `summary`; NaN if the results did not hold it."""
    mean, low, high = (float(row.get(f"{quantity}_{name}", np.nan)) for name in ("mean", "low", "high"))
    return mean, low, high


def _caption(table: pd.DataFrame, num_printed: int) -> list[str]:
    seeds = int(table["seeds"].max())
    lines = ["one seed gives no interval" if seeds == 1 else f"± half-width of the 95 % interval over {seeds} seeds"]
    if len(table) > 1:
        lines.append("best on validation; test is only reported")
    if 0 < (table["diverged"] > 0).sum() < len(table):
        lines.append("settings with a diverged member rank behind all others")
    if num_printed < len(table):
        lines.append(
            f"the {PRINTED_BEST} best and {PRINTED_WORST} worst of {len(table)} settings; "
            f"{len(table) - num_printed} are left out, all are in summary.csv"
        )
    return lines
