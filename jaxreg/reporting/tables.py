"""The summary of a sweep as text: numbers with intervals, the printed table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import rich.box
import xarray as xr
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jaxreg.measures import setting_label, value_labels
from jaxreg.measures.outcomes import outcome_of
from jaxreg.measures.summary import HALTS, Row, axis_names, best_row, distinct_summary, member_dims, ranking
from jaxreg.statistics import interval_in_words, rests_on_normality

if TYPE_CHECKING:
    from jaxreg.claims import Judgement

MAX_PRINTED, PRINTED_BEST, PRINTED_WORST = 40, 10, 3


def shown_rows(table: pd.DataFrame, at_most: int, best: int, worst: int) -> tuple[list[int], list[int]]:
    """All rows in grid order if there are no more than `at_most`, else the `best` first and the `worst` last ranked."""
    if len(table) <= at_most:
        return list(range(len(table))), []
    ranked = ranking(table)
    return ranked[:best], ranked[-worst:]


def percent(mean: float, low: float = np.nan, high: float = np.nan, decimals: int = 2) -> str:
    """A fraction in percent with its interval: `91.23 % ± 0.15`, `7.00 % (0 to 45.12 %)`, `100.00 % in all seeds`."""
    if np.isnan(mean):
        return "-"
    return interval_in_words(100 * mean, 100 * low, 100 * high, lambda x: f"{x:.{decimals}f}", unit=" %")


def loss(mean: float, low: float = np.nan, high: float = np.nan) -> str:
    """A loss with its interval, to four digits: `0.3124 ± 0.0021`."""
    return "-" if np.isnan(mean) else interval_in_words(mean, low, high, lambda x: f"{x:.4g}")


def halted(row: Row) -> str:
    """How many members of a setting halted: `2 of 5 diverged`, `1 of 5 stopped, 2 of 5 diverged`, `0 of 5`."""
    counts = [f"{row[halt]} of {row['seeds']} {halt}" for halt in HALTS if row[halt]]
    return ", ".join(counts) or f"0 of {row['seeds']}"


def print_table(results: xr.Dataset, console: Console) -> None:
    """Prints settings x final validation and test accuracy, `91.23 % ± 0.15` with the half-width of the 95 % interval.

    Where there are no accuracies, losses take their place.
    Of more than 40 settings only the ten best and the three worst on validation are printed.
    """
    (table, acting), names = distinct_summary(results), axis_names(results)
    best = best_row(table) if len(table) > 1 else None
    top, bottom = shown_rows(table, MAX_PRINTED, PRINTED_BEST, PRINTED_WORST)
    shown = [*top, *bottom]
    rows = dict(zip(shown, table.iloc[shown].to_dict("records"), strict=True))
    printed = Table(
        box=rich.box.SIMPLE_HEAD,
        caption="\n".join(_caption(results, table, len(shown))),
        caption_justify="left",
    )
    # A number that is cut misleads: headings fold, and where that is not enough the axes share a column.
    labels = {name: value_labels(table[name]) for name in names}
    values = {name: max(map(len, labels[name])) for name in names}
    folded = {name: max(values[name], *map(len, name.split("_"))) for name in names}
    outcome = outcome_of(results)
    written = percent if outcome == "accuracy" else loss
    reached = [
        {i: written(*interval(row, f"final_{part}_{outcome}")) for i, row in rows.items()}
        for part in ("validation", "test")
    ]
    widths = [max(15, *map(len, column.values())) for column in reached]
    room = console.width - 28 - sum(widths)
    together = len(names) > 1 and sum(folded.values()) + 3 * len(names) > room
    fold = sum(max(values[name], len(name)) + 3 for name in names) > room
    if together:
        longest = max(len(name) + 1 + values[name] + 1 for name in names)
        printed.add_column("setting", min_width=longest)
    for name in [] if together else names:
        printed.add_column(name.replace("_", " ") if fold else name, justify="right", min_width=values[name])
    for name, width in zip((f"validation {outcome}", f"test {outcome}"), widths, strict=True):
        printed.add_column(name, justify="right", min_width=width, no_wrap=True)
    printed.add_column("halted", min_width=7)
    printed.add_column("", min_width=4)

    def add(chosen: list[int]) -> None:
        for i in chosen:
            setting = {name: labels[name][i] for name in names if name in acting[i]}
            cells = [setting_label(setting)] if together else [setting.get(name, "-") for name in names]
            cells += [column[i] for column in reached]
            cells += [halted(rows[i]), "best" if i == best else ""]
            printed.add_row(*map(Text, cells), style="bold" if i == best else None)

    add(top)
    if bottom:
        printed.add_section()
        add(bottom)
    console.print(printed, crop=False)


def print_answer(answer: str, console: Console) -> None:
    """Prints what a run answers, its paragraphs apart."""
    console.print(Text(f"\n{answer.strip()}"))


def print_verdicts(judgements: Sequence[Judgement], console: Console) -> None:
    """Prints each claim about what the run holds, with its verdict and the reason, and counts the others."""
    held = [judgement for judgement in judgements if judgement.in_this_run]
    printed = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for judgement in held:
        text = Text.assemble(judgement.statement, "\n", (judgement.reason, "dim"))
        printed.add_row(Text(judgement.verdict, style="bold"), text)
    if held:
        console.print(printed)
    if elsewhere := len(judgements) - len(held):
        console.print(Text(f"{elsewhere_in_words(elsewhere)}.", style="dim"))


def elsewhere_in_words(count: int) -> str:
    """What is said in place of so many claims about what a run does not hold."""
    return f"{count} {'claim is' if count == 1 else 'claims are'} about data or settings that this run does not have"


def interval(row: Row, quantity: str) -> tuple[float, float, float]:
    """Mean, low and high of a quantity in a row of a `summary`; NaN if the results did not hold it."""
    mean, low, high = (float(row.get(f"{quantity}_{name}", np.nan)) for name in ("mean", "low", "high"))
    return mean, low, high


def merged_note(results: xr.Dataset, table: pd.DataFrame) -> str:
    """A sentence, after a space, where settings that differ only in what does not act are one row of the table."""
    same = math.prod(results.sizes[dim] for dim in member_dims(results)) - len(table)
    if not same:
        return ""
    others = "1 setting that differs" if same == 1 else f"{same} settings that differ"
    left_out = "is" if same == 1 else "are"
    return f" A dash marks a value that has no effect there; {others} only in such values {left_out} left out."


def _caption(results: xr.Dataset, table: pd.DataFrame, num_printed: int) -> list[str]:
    seeds = int(table["seeds"].max())
    lines = ["one seed gives no interval" if seeds == 1 else f"± half-width of the 95 % interval over {seeds} seeds"]
    if rests_on_normality(seeds):
        lines.append("intervals over so few seeds are right for normally distributed values")
    if len(table) > 1:
        lines.append("best on validation; test is only reported")
    if 0 < (table["diverged"] > 0).sum() < len(table):
        lines.append("settings with a diverged member rank behind all others")
    if note := merged_note(results, table):
        lines.append(note.strip())
    if num_printed < len(table):
        lines.append(
            f"the {PRINTED_BEST} best and {PRINTED_WORST} worst of {len(table)} settings; "
            f"{len(table) - num_printed} are left out, all are in summary.csv"
        )
    return lines
