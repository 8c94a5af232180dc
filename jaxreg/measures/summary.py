"""The settings of a sweep as rows: means and intervals over seeds, their order on validation, summary.csv."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxreg.files import write_atomically
from jaxreg.measures.patience import halted_by_patience
from jaxreg.measures.penalties import effective_settings
from jaxreg.measures.settings import setting_dims, setting_values
from jaxreg.measures.shares import range_of
from jaxreg.slow_imports import pd, xr
from jaxreg.statistics.intervals import mean_interval_along_last

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

HALTS = ("stopped", "diverged")  # why a member halted


def summary(results: xr.Dataset) -> pd.DataFrame:
    """One row per setting, in the order of the grid.

    Columns: the value of each axis and of each coordinate zipped with it; `seeds`, and how many of them `stopped` and
    `diverged`; for each of `QUANTITIES` that the results hold, `_mean` and `_sd` over the seeds that have a value, and
    `_low` and `_high`, the ends of the 95 % Student t interval of the mean (NaN with fewer than two values).
    Accuracies are fractions in [0, 1], and so are the ends of their intervals, losses in their units.
    """
    return _summary_of(results, QUANTITIES)


def _summary_of(results: xr.Dataset, quantities: Sequence[str]) -> pd.DataFrame:
    """The `summary` of some of the quantities."""
    dims = member_dims(results)

    def flat(values: xr.DataArray) -> np.ndarray:
        """[setting, seed], the last dimension fastest, as `settings` goes through them; without its coordinates."""
        return values.variable.transpose(*dims, "seed").to_numpy().reshape(-1, results.sizes["seed"])

    table = pd.DataFrame(setting_values(results[["diverged_step"]], dims))
    columns: dict[str, np.ndarray] = {"seeds": np.full(len(table), results.sizes["seed"])}
    columns |= {halt: flat(members).sum(-1) for halt, members in halted(results).items()}
    for quantity in quantities:
        if quantity in results:
            values = flat(results[quantity])
            over_seeds = mean_interval_along_last(values, range_of(quantity, values))
            columns |= {f"{quantity}_{name}": over_seeds[name] for name in STATISTICS}
    return table.assign(**columns)


def distinct_summary(results: xr.Dataset) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """The rows of the `summary` that train differently from all before them, and of each the values that act.

    Settings that differ only in strengths that do not act (see `effective_settings`) have the same members; the first
    of them stands for all.
    """
    settings = effective_settings(results, member_dims(results))
    first: dict[tuple[Any, ...], int] = {}
    for row, setting in enumerate(settings):
        first.setdefault(tuple(setting.items()), row)
    rows = list(first.values())
    return summary(results).iloc[rows].reset_index(drop=True), [settings[row] for row in rows]


def halted(results: xr.Dataset) -> dict[str, xr.DataArray]:
    """Which members halted, by each of `HALTS`, bool [..., seed]; one that trained on after its stop did not."""
    return {"stopped": halted_by_patience(results), "diverged": results["diverged_step"] >= 0}


def member_dims(results: xr.Dataset) -> tuple[str, ...]:
    """The swept dimensions of the members; a variable may have further ones of its own."""
    return setting_dims(results["diverged_step"])


def axis_names(results: xr.Dataset) -> tuple[str, ...]:
    """The swept hyperparameters, coordinates zipped along a dimension included."""
    return tuple(setting_values(results[["diverged_step"]], member_dims(results))[0])


def ranking(table: pd.DataFrame) -> list[int]:
    """Rows of a `summary` from best to worst, on validation alone.

    By mean final validation accuracy, ties, and all where there is none, by the lower validation loss. Settings with a
    diverged member come after all settings without one, and settings without any value last.
    """
    accuracy = _on_validation(table).round(9)  # the same count of right examples ties
    loss = table["final_validation_loss_mean"]
    order: list[int] = np.lexsort((loss, -accuracy, table["diverged"] > 0, accuracy.isna())).tolist()
    return order


def best_row(table: pd.DataFrame) -> int | None:
    """The first row of the `ranking`; None if every member of every setting diverged."""
    first = ranking(table)[0]
    return None if np.isnan(_on_validation(table)[first]) else first


def _on_validation(table: pd.DataFrame) -> pd.Series[float]:
    """The mean accuracies; of results without, 0 where there is a loss, so that the loss decides."""
    if "final_validation_accuracy_mean" in table:
        return table["final_validation_accuracy_mean"]
    return 0.0 * table["final_validation_loss_mean"]


def best_setting(results: xr.Dataset) -> dict[str, Any] | None:
    """The setting that is best on validation, as `results.sel` takes it: its value along each setting dimension.

    Chosen by `ranking`; test is never looked at. Empty if nothing is swept, None if no member has a validation
    accuracy.
    """
    table = _summary_of(results, ("final_validation_accuracy", "final_validation_loss"))
    row = best_row(table)
    return None if row is None else {dim: table[dim].tolist()[row] for dim in member_dims(results)}


def best_of_each(results: xr.Dataset, dim: str = "method") -> xr.Dataset:
    """Each value of a dimension at the setting that is best for it on validation, [dim, seed, ...].

    The other swept dimensions are gone; their values become coordinates along `dim`. A value of which no member has a
    validation accuracy is taken at the first values of the others.
    """
    others = [other for other in member_dims(results) if other != dim]
    best = [best_setting(results.sel({dim: value})) or {} for value in results[dim].values]
    first = {other: results[other].values[0] for other in others}
    at = [{other: results.indexes[other].get_loc((first | each)[other]) for other in others} for each in best]
    return results.isel({other: xr.DataArray([place[other] for place in at], dims=dim) for other in others})


def write_summary(results: xr.Dataset, path: str | Path) -> None:
    """Writes the `summary` as CSV; a reader sees either the old file or the complete new one."""
    write_atomically(Path(path), summary(results).to_csv(index=False, lineterminator="\n"))
