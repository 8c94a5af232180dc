"""The comparison page: several runs side by side, each represented by its setting that is best on validation."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from jaxreg.config import DataConfig
from jaxreg.config.dataset_paths import names_path
from jaxreg.measures import setting_label
from jaxreg.measures.outcomes import outcome_of
from jaxreg.measures.summary import Row, best_row, distinct_summary, member_dims
from jaxreg.reporting import figures, provenance
from jaxreg.reporting.document import (
    MISSING,
    Cell,
    Table,
    accuracy_cells,
    counted,
    grouped,
    inlined,
    loss_cells,
    seconds,
    significant,
    size,
    write_page,
)
from jaxreg.reporting.tables import interval, loss, percent
from jaxreg.statistics import paired_difference, rests_on_normality
from jaxreg.study import ReportFigure

KIND = '<meta name="generator" content="jaxreg comparison">'  # by which a comparison page is recognised
CURVES = {"test_loss": "Test loss", "test_accuracy": "Test accuracy"}

_NO_BREAK = "\u00a0"
# Flags that concern where a run is kept and how it is shown, but not what is trained.
_NOT_TRAINING = ("checkpoint_every", "max_minutes", "tensorboard", "tensorboard_max_runs", "report", "progress")


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run under the name it has on the page."""

    label: str
    results: xr.Dataset
    meta: Mapping[str, Any]
    flags: str

    @functools.cached_property
    def settings(self) -> pd.DataFrame:
        """The `summary` of its settings that train differently."""
        return distinct_summary(self.results)[0]

    @functools.cached_property
    def best_row(self) -> Row | None:
        """The setting that is best on validation, as a row of the summary; None if every member diverged."""
        row = best_row(self.settings)
        return None if row is None else self.settings.to_dict("records")[row]

    @property
    def best(self) -> dict[str, Any] | None:
        """The best setting as an argument of `results.sel`: {axis: value}; None if every member diverged."""
        row = self.best_row
        return None if row is None else {dim: row[dim] for dim in member_dims(self.results)}

    @property
    def data(self) -> tuple[str, ...]:
        """The dataset and how it was prepared: accuracies can be compared only on the same data.

        In place of the path of the user's own files it holds the digest of what was in them.
        """
        given = provenance.defaults() | provenance.flag_values(self.flags)
        if names_path(given["dataset"]):
            given["dataset"] = self.meta.get("identity", {}).get("data", given["dataset"])
        return tuple(given[field.name] for field in dataclasses.fields(DataConfig) if field.name != "data_dir")

    @property
    def base_seed(self) -> str:
        """The base seed, as the flag spells it: equal seeds give equal draws only under the same base seed."""
        return provenance.flag_values(self.flags).get("base_seed", provenance.defaults()["base_seed"])


@dataclasses.dataclass(frozen=True)
class Difference:
    """Final test accuracy of one run's best setting minus the first run's, paired by seed.

    Attributes:
      label: of the run.
      mean, low, high: of the differences over the shared seeds, with the 95 % Student t interval, as fractions; NaN
        where there is none.
      n: seeds that both runs share and that diverged in neither.
      remark: "identical", why there is no difference or no interval, or that the interval is over few seeds; else "".
    """

    label: str
    mean: float
    low: float
    high: float
    n: int
    remark: str


def write_comparison(path: str | Path, runs: Sequence[Run]) -> None:
    """Writes one HTML page that compares two or more runs; complete in itself, as the report of a run is.

    It shows what the runs have in common and what differs, the setting of each that is best on validation with its
    accuracies and cost, the test curves of these settings, and their differences from the first run.
    """
    same_data, outcome = len({run.data for run in runs}) == 1, _outcome(runs)
    differences = [difference(runs[0], run, outcome) for run in runs[1:]]
    common, differing = _flags(runs)
    write_page(
        path,
        "comparison.html.j2",
        title=f"Comparison of {len(runs)} runs",
        question=f"How do {_listed([run.label for run in runs])} compare?",
        answer=_answer(runs, same_data),
        warning="" if same_data else "The runs were trained on different data: their numbers cannot be compared.",
        results=_results(runs, same_data),
        reference=runs[0].label,
        compared=outcome,
        units="in percentage points" if outcome == "accuracy" else "in the units of the loss",
        differences=Table(
            ("run", f"difference in test {outcome}", "95 % interval", "n"),
            [_difference_row(part, outcome) for part in differences],
        ),
        figures=[inlined(figure) for figure in draw(runs)],
        differing=differing,
        common=common,
        sources=[
            (run.label, provenance.commands(run.meta) or "command unknown", provenance.commit(run.meta)) for run in runs
        ],
    )


def distinct_labels(folders: Sequence[Path]) -> list[str]:
    """The name of each folder, with as many of its parent folders as make the names distinct."""
    parts = [folder.resolve().parts for folder in folders]
    return ["/".join(own[-_depth(own, parts) :]) for own in parts]


def difference(first: Run, other: Run, outcome: str = "accuracy") -> Difference:
    """Final test accuracy, or loss, at the best setting of `other` minus that of `first`, paired by seed.

    Only runs on the same data and with the same base seed can be paired, because only there does a seed give the same
    draws.
    """

    def none(why: str) -> Difference:
        return Difference(other.label, np.nan, np.nan, np.nan, 0, why)

    if first.data != other.data:
        return none("different data: not compared")
    if first.base_seed != other.base_seed:
        return none(f"not paired: base_seed {other.base_seed} makes other draws than {first.base_seed}")
    best = first.best, other.best
    if best[0] is None or best[1] is None:
        return none("every member of one of the two diverged")
    reached = [run.results[f"final_test_{outcome}"].sel(at) for run, at in zip((first, other), best, strict=True)]
    ours, theirs = xr.align(*(values.reset_coords(drop=True) for values in reached), join="inner")
    if not ours.sizes["seed"]:
        return none("not paired: no seed is in both")
    paired = paired_difference(theirs, ours)
    mean, low, high = (float(paired[name]) for name in ("mean", "low", "high"))
    n = int(paired["n"])
    if n == 0:
        return none("not paired: a member diverged at each shared seed")
    few = "so few seeds: interval right for normal values" if rests_on_normality(n) else ""
    remark = "one seed, no interval" if n == 1 else "identical" if paired["identical"] else few
    return Difference(other.label, mean, low, high, n, remark)


def draw(runs: Sequence[Run]) -> list[ReportFigure]:
    """Figures of test loss and test accuracy along training, for the best setting of each run."""
    data = best_of_each(runs)
    if data is None:
        return []
    seeds = {run.label: run.results.sizes["seed"] for run in runs}
    differ = (
        f" Seeds: {', '.join(f'{label} {n}' for label, n in seeds.items())}." if len(set(seeds.values())) > 1 else ""
    )
    return [
        ReportFigure(
            name,
            f"{words} along training, the best setting of each run on validation.{differ}",
            figures.curves(data, name, log_y=name == "test_loss", title=f"{words} of each run's best setting"),
        )
        for name, words in CURVES.items()
        if name in data
    ]


def best_of_each(runs: Sequence[Run]) -> xr.Dataset | None:
    """The best settings as one Dataset with the dimensions run, seed and check; None if every member diverged.

    Seeds that a run does not have, and checks after its end, are NaN.
    """
    parts, labels = [], []
    names = [name for name in CURVES if all(name in run.results for run in runs)]
    for run in runs:
        if (best := run.best) is not None:
            chosen = run.results[[*names, "diverged_step"]].sel(best)
            curves = chosen.reset_coords("check_step").reset_coords(drop=True)
            parts.append(curves.assign_coords(check=np.arange(curves.sizes["check"])))
            labels.append(run.label)
    if not parts:
        return None
    joined = xr.concat(
        parts,
        dim=pd.Index(labels, name="run"),
        join="outer",
        fill_value={"diverged_step": -1},
        combine_attrs="override",
    )
    return joined.set_coords("check_step").drop_vars("check")


def _depth(own: tuple[str, ...], parts: Sequence[tuple[str, ...]]) -> int:
    """The number of last parts by which a path differs from all others; all its parts if there is no such number."""
    depth = 1
    while depth < len(own) and sum(own[-depth:] == other[-depth:] for other in parts) > 1:
        depth += 1
    return depth


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _answer(runs: Sequence[Run], same_data: bool) -> str:
    """The run that is best on validation, and the test accuracy of its best setting."""
    reached = [run for run in runs if run.best_row is not None]
    if not reached:
        return "Every member of every run diverged."
    if not same_data:
        return "The runs were trained on different data, so none is best; each is shown at its own best setting."
    outcome = _outcome(runs)
    run = max(reached, key=lambda run: _on_validation(run, outcome))
    written = percent if outcome == "accuracy" else loss
    test = written(*interval(run.best_row or {}, f"final_test_{outcome}"))
    n = int(run.results[f"final_test_{outcome}"].sel(run.best).notnull().sum())
    seeds = f"n{_NO_BREAK}={_NO_BREAK}{n}" if n > 1 else "one seed, no interval"
    at = f" with {setting_label(run.best or {})}" if run.best else ""
    return f"{run.label} is best on validation{at}; its test {outcome} there is {test} ({seeds})."


def _outcome(runs: Sequence[Run]) -> str:
    """What runs are compared by: accuracy where all have one, else loss."""
    return "accuracy" if {outcome_of(run.results) for run in runs} == {"accuracy"} else "loss"


def _on_validation(run: Run, outcome: str) -> float:
    """The validation accuracy by which runs are ranked, or the loss below 0, of the best setting; NaN for none."""
    sign = 1 if outcome == "accuracy" else -1
    return np.nan if run.best_row is None else sign * float(run.best_row[f"final_validation_{outcome}_mean"])


def _results(runs: Sequence[Run], same_data: bool) -> Table:
    """A row per run: its best setting, the accuracies there, how many members diverged, and what it cost."""
    # A run without any value has empty cells.
    shown: list[Row] = [run.best_row or {"seeds": run.results.sizes["seed"]} for run in runs]
    outcome = _outcome(runs)
    cells = accuracy_cells if outcome == "accuracy" else loss_cells
    columns = [
        [Cell(run.label, run.label, numeric=False) for run in runs],
        [_setting(run) for run in runs],
        cells(shown, f"final_validation_{outcome}"),
        cells(shown, f"final_test_{outcome}"),
        [Cell(str(run.results.sizes["seed"]), run.results.sizes["seed"]) for run in runs],
        [_diverged(run) for run in runs],
        [_cost(provenance.wall_seconds(run.meta), seconds) for run in runs],
        [_cost(run.meta.get("member_steps_per_second"), grouped) for run in runs],
        [_cost(run.meta.get("peak_memory_bytes"), size) for run in runs],
    ]
    names = ["run", "best setting", f"validation {outcome}", f"test {outcome}", "seeds", "diverged"]
    names += ["wall time", "member-steps/s", "peak memory"]
    reached = [_on_validation(run, outcome) for run in runs]
    best = int(np.nanargmax(reached)) if same_data and not np.isnan(reached).all() else None
    return Table(names, list(zip(*columns, strict=True)), best=best)


def _setting(run: Run) -> Cell:
    text = "every member diverged" if run.best is None else setting_label(run.best) or "the only one"
    return Cell(text, text, numeric=False, remark=f"of {counted(len(run.settings), 'setting')}")


def _diverged(run: Run) -> Cell:
    diverged = run.results["diverged_step"] >= 0
    return Cell(f"{int(diverged.sum())} of {diverged.size}", float(diverged.mean()))


def _cost(value: float | None, words: Any) -> Cell:
    return Cell(MISSING, np.nan) if value is None else Cell(words(value), float(value))


def _difference_row(part: Difference, outcome: str) -> list[Cell]:
    points = f"{_NO_BREAK}points" if outcome == "accuracy" else ""

    def signed(value: float) -> str:
        return ("+" if value > 0 else "") + (grouped(100 * value, 2) if outcome == "accuracy" else significant(value))

    ends = MISSING if np.isnan(part.high - part.low) else f"{signed(part.low)} to {signed(part.high)}"
    return [
        Cell(part.label, part.label, numeric=False, remark=part.remark),
        Cell(MISSING if np.isnan(part.mean) else signed(part.mean) + points, part.mean),
        Cell(ends, part.low),
        Cell(str(part.n), part.n),
    ]


def _flags(runs: Sequence[Run]) -> tuple[str, Table | None]:
    """The flags that all runs share, as lines, and a table of those in which they differ."""
    usual = provenance.defaults()
    given = [provenance.flag_values(run.flags) for run in runs]
    names = [name for name in dict.fromkeys(name for flags in given for name in flags) if name not in _NOT_TRAINING]
    values = {name: [flags.get(name, usual.get(name, "not set")) for flags in given] for name in names}
    differing = {name: column for name, column in values.items() if len(set(column)) > 1}
    common = "\n".join(f"--{name}={column[0]}" for name, column in values.items() if name not in differing)
    if not differing:
        return common, None
    rows = [
        [Cell(run.label, run.label, numeric=False), *(_flag_cell(column[i], column) for column in differing.values())]
        for i, run in enumerate(runs)
    ]
    return common, Table(("run", *differing), rows)


def _flag_cell(value: str, column: Sequence[str]) -> Cell:
    """A flag's value; right-aligned where each value of the column is a number."""
    return Cell(value, value, numeric=all(_is_number(other) for other in column), kind="verbatim")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
