"""The report page: one HTML file with question, answer, claims, figures, tables and how to reproduce them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from jaxreg.claims import Evidence, Judgement, Verdict
from jaxreg.claims.wording import rounded
from jaxreg.measures.learning import units_of_losses
from jaxreg.measures.summary import HALTS, Row, axis_names, best_row, distinct_summary, member_dims
from jaxreg.reporting import interactive, provenance
from jaxreg.reporting.document import (
    MISSING,
    Cell,
    Table,
    accuracy_cells,
    axis_cells,
    counted,
    grouped,
    loss_cells,
    significant,
    write_page,
)
from jaxreg.reporting.figures.style import evenly
from jaxreg.reporting.tables import elsewhere_in_words, halted, merged_note, shown_rows
from jaxreg.statistics import rests_on_normality
from jaxreg.study import ReportFigure

MAX_ROWS, BEST_ROWS, WORST_ROWS = 200, 150, 20
MAX_DIVERGED = 100
MAX_EVIDENCE = 100  # comparisons of a claim

ACCURACIES = {
    "final_validation_accuracy": "validation accuracy",
    "final_test_accuracy": "test accuracy",
    "train_accuracy": "training accuracy",
}
LOSSES = {"final_validation_loss": "validation loss", "final_test_loss": "test loss"}
VERDICTS: tuple[Verdict, ...] = ("supported", "contradicted", "undecided")
TESTS = {"t": "Student t", "sign": "exact sign test", "identical": "identical", "none": "not tested"}

FITTED = "fitted, no evidence"

_NO_BREAK = "\u00a0"


def write_report(
    path: str | Path,
    *,
    title: str,
    question: str,
    answer: str,
    source: str,
    results: xr.Dataset,
    meta: Mapping[str, Any],
    figures: Sequence[ReportFigure],
    comparison: pd.DataFrame | None,
    flags: str,
    notes: Sequence[str] = (),
    judgements: Sequence[Judgement] = (),
) -> None:
    """Writes report.html, which needs neither the network nor other files; an older one is replaced atomically.

    Args:
      path: file to write.
      title: name of the experiment in words.
      question: what it asks, one sentence.
      answer: what the results show; an empty line starts a new paragraph.
      source: the part and the figures of the source that the experiment repeats; may be empty.
      results: the labelled results of the run.
      meta: content of meta.json; what is missing is left out.
      figures: drawn in this order, as SVG, the first beside the answer.
      comparison: result of `jaxreg.claims.reported.compare`, or None where the source reports no number.
      flags: text of flags.cfg.
      notes: further remarks, one sentence each.
      judgements: the claims with their verdicts, in this order; those about what the run does not hold are folded away.
    """
    table, acting = distinct_summary(results)
    held = [judgement for judgement in judgements if judgement.in_this_run]
    compared = comparison is not None and not comparison.empty
    shown = interactive.with_charts(figures)
    write_page(
        path,
        "report.html.j2",
        title=title,
        question=question,
        answer=[_unbroken(paragraph) for paragraph in re.split(r"\n\s*\n", answer.strip()) if paragraph],
        source=source,
        notes=notes,
        status=provenance.unfinished(results, meta),
        facts=_facts(results, table, meta),
        claims=[_claim(judgement) for judgement in held],
        tally=_tally(held),
        elsewhere=[_claim(judgement) for judgement in judgements if not judgement.in_this_run],
        elsewhere_in_words=elsewhere_in_words(len(judgements) - len(held)),
        main_figure=shown[:1],
        figures=shown[1:],
        interactive=interactive.parts(results, table, shown),
        settings=_settings(results, table, acting),
        settings_caption=_settings_caption(results, table),
        comparison=_comparison(comparison) if comparison is not None and compared else None,
        diverged=_diverged(results),
        diverged_caption=_diverged_caption(results),
        differences=provenance.differences(flags),
        flags=flags.strip(),
        receipt=provenance.receipt(results, meta),
        command=provenance.commands(meta),
        commit=provenance.commit(meta),
        versions=dict(meta.get("versions") or {}),
    )


def _facts(results: xr.Dataset, table: pd.DataFrame, meta: Mapping[str, Any]) -> list[str]:
    """The run in short: data, size, date."""
    data = results.coords["dataset"].item() if "dataset" in results.coords else results.attrs.get("dataset")
    facts = [str(data)] if data else []
    facts += [counted(len(table), "setting"), f"{counted(int(table['seeds'].max()), 'seed')} each"]
    if "num_steps" in results.coords:
        facts.append(f"{provenance.steps(results)} steps")
    if meta.get("started"):
        facts.append(str(meta["started"])[:10])
    return facts


def _unbroken(text: str) -> str:
    """The text with its numbers kept together: no line ends before a %, or around ± and =."""
    return re.sub(r" (?=[%±])|(?<=±) |(?<=\bn) (?== )|(?<=n =) ", _NO_BREAK, text)


# Claims


def _tally(judgements: Sequence[Judgement]) -> list[tuple[str, int]]:
    """How many claims there are of each verdict."""
    counts = Counter(judgement.verdict for judgement in judgements)
    return [(verdict, counts[verdict]) for verdict in VERDICTS if counts[verdict]]


def _claim(judgement: Judgement) -> dict[str, Any]:
    """A claim as the template takes it: verdict, statement, n, and its evidence as a table."""
    units = "" if judgement.units == "1" else f" ({judgement.units})"
    chosen = evenly(len(judgement.evidence), MAX_EVIDENCE) if judgement.evidence else ()
    shown = [judgement.evidence[i] for i in chosen]
    left_out = len(judgement.evidence) - len(shown)
    columns = ("compared", f"difference{units}", "95 % interval", "p, Holm", "test", "n", "seeds needed")
    return {
        "verdict": judgement.verdict,
        "statement": judgement.statement,
        "source": judgement.source,
        "reason": _unbroken(judgement.reason),
        "n": f"n = {judgement.n}{', if normal' if judgement.rests_on_normality else ''}",
        "evidence": Table(columns, [_evidence(part) for part in shown]) if shown else None,
        "left_out": f" {len(shown)} of {len(judgement.evidence)} comparisons, evenly chosen." if left_out else "",
    }


def _evidence(part: Evidence) -> list[Cell]:
    """A row of evidence: a missing number is a dash, and a missing interval is replaced by the reason."""
    no_interval = "one seed, no interval" if part.n == 1 else "no interval"
    half = (part.high - part.low) / 2
    if np.isnan(half):
        interval = MISSING if np.isnan(part.difference) else no_interval
    else:
        interval = f"{_signed(part.low, half)} to {_signed(part.high, half)}"
    excluded = f"{part.left_out} left out: diverged" if part.left_out else ""
    needed = MISSING if part.needed is None else f"about {grouped(rounded(part.needed))}"
    return [
        Cell(part.label, part.label, numeric=False),
        Cell(_signed(part.difference, half), part.difference),
        Cell(interval, part.low),
        Cell(_probability(part.p_holm), part.p_holm),
        Cell(TESTS[part.test], part.test, numeric=False),
        Cell(str(part.n), part.n, remark=excluded),
        Cell(needed, np.nan if part.needed is None else part.needed),
    ]


def _signed(value: float, half: float) -> str:
    """With its sign, to two digits of the interval's half-width; three significant digits without one."""
    fine = np.isfinite(value) and np.isfinite(half) and half > 0
    decimals = max(1 - int(np.floor(np.log10(half))), 0) if fine else 0
    return ("+" if value > 0 else "") + (grouped(value, decimals) if fine and decimals <= 6 else significant(value))


def _probability(p: float) -> str:
    if np.isnan(p):
        return MISSING
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


# Tables


def _settings(results: xr.Dataset, table: pd.DataFrame, acting: Sequence[Mapping[str, Any]]) -> Table:
    """The result table: axes (a dash where one has no effect), accuracies and losses with intervals, halted members."""
    names, best = axis_names(results), best_row(table) if len(table) > 1 else None
    top, bottom = shown_rows(table, MAX_ROWS, BEST_ROWS, WORST_ROWS)
    shown = table.iloc[top + bottom]
    rows: Sequence[Row] = shown.to_dict("records")
    columns = [
        [
            cell if name in acting[row] else Cell(MISSING, cell.key, cell.numeric)
            for row, cell in zip(top + bottom, axis_cells(shown[name]), strict=True)
        ]
        for name in names
    ] or [[Cell("all members", 0, False)]]
    accuracies = {name: words for name, words in ACCURACIES.items() if name in results}
    columns += [accuracy_cells(rows, quantity) for quantity in accuracies]
    columns += [loss_cells(rows, quantity) for quantity in LOSSES]
    columns.append([Cell(halted(row), sum(row[halt] for halt in HALTS), False) for row in rows])
    return Table(
        (*(names or ("setting",)), *accuracies.values(), *LOSSES.values(), "halted"),
        list(zip(*columns, strict=True)),
        heads=max(len(names), 1),
        best=None if best is None else (top + bottom).index(best),
    )


def _settings_caption(results: xr.Dataset, table: pd.DataFrame) -> str:
    seeds = int(table["seeds"].max())
    over = f"mean over {seeds} seeds ± half the width of its 95{_NO_BREAK}% interval (Student t)"
    words = f"Each setting at its last check: {over if seeds > 1 else 'one seed, no interval'}."
    if (units := units_of_losses(results)) != "1":
        words += f" Losses in {units}."
    if rests_on_normality(seeds):
        words += f" Over {seeds} seeds intervals are right for normally distributed values, which so few cannot show."
    if len(table) > 1:
        among = ", among settings without a diverged member as long as there are any"
        words += (
            f" Best is chosen on validation{among if (table['diverged'] > 0).any() else ''}; test is only reported."
        )
    words += merged_note(results, table)
    left_out = len(table) - sum(map(len, shown_rows(table, MAX_ROWS, BEST_ROWS, WORST_ROWS)))
    if left_out:
        words += (
            f" The best and the worst of {len(table)} settings; {left_out} are left out here, all are in summary.csv."
        )
    return words


def _comparison(comparison: pd.DataFrame) -> Table:
    """Reported numbers beside ours, with the verdict in words."""
    columns = (
        "setting",
        "quantity",
        "reported",
        "mean here",
        "95 % prediction interval",
        "n",
        "the reported number is",
    )
    return Table(columns, [_comparison_row(row) for row in comparison.to_dict("records")])


def _comparison_row(row: Row) -> list[Cell]:
    share = any(word in row["quantity"] for word in ("accuracy", "error"))
    scale, unit = (100, f"{_NO_BREAK}%") if share else (1, "")
    mean, low, high = (float(row[name]) for name in ("mean", "low", "high"))

    def number(value: float) -> str:
        """Percent with two decimals for an accuracy or error, four significant digits for anything else."""
        return grouped(scale * value, 2) if share and np.isfinite(value) else significant(value, 4)

    def cell(value: float) -> Cell:
        return Cell(MISSING if np.isnan(value) else number(value) + unit, value)

    if np.isnan(mean):
        verdict, kind = "not measured in this run", "open"
    elif np.isnan(low):
        verdict, kind = "not judged: one seed, no interval" if int(row["n"]) == 1 else "not judged: no interval", "open"
    else:
        verdict = kind = "inside" if row["inside"] else "outside"
    fragile = "so few seeds: if values are normal" if rests_on_normality(int(row["n"])) else ""
    remarks = [FITTED if row["fitted"] else "", row["note"], fragile]
    return [
        Cell(row["setting"], row["setting"], numeric=False, remark=row["id"]),
        Cell(row["quantity"], row["quantity"], numeric=False, kind="unbroken"),
        cell(row["reported"]),
        cell(mean),
        Cell(MISSING if np.isnan(low) else f"{number(low)} to {number(high)}{unit}", low),
        Cell(str(int(row["n"])), int(row["n"])),
        Cell(verdict, verdict, numeric=False, remark="; ".join(filter(None, remarks)), kind=kind),
    ]


def _diverged(results: xr.Dataset) -> Table | None:
    """The members that diverged: setting, seed and step; at most `MAX_DIVERGED`."""
    dims, names = (*member_dims(results), "seed"), axis_names(results)
    diverged_step = results["diverged_step"].transpose(*dims)
    rows = []
    for index in np.argwhere(diverged_step.values >= 0)[:MAX_DIVERGED]:
        member = diverged_step.isel(dict(zip(dims, index, strict=True)))
        axes = [cell for name in names for cell in axis_cells(pd.Series([member.coords[name].item()]))]
        seed, step = member.coords["seed"].item(), member.item()
        rows.append([*(axes or [Cell("all members", 0, False)]), Cell(str(seed), seed), Cell(grouped(step), step)])
    return Table((*(names or ("setting",)), "seed", "step"), rows, heads=max(len(names), 1)) if rows else None


def _diverged_caption(results: xr.Dataset) -> str:
    """How many members diverged, and what that means."""
    total, members = int((results["diverged_step"] >= 0).sum()), results["diverged_step"].size
    if not total:
        return f"No member of {members} diverged."
    cut = f" The first {MAX_DIVERGED} are listed, all are in results.nc." if total > MAX_DIVERGED else ""
    return (
        f"{total} of {members} members diverged (a loss or parameter that is not finite, or a training loss above "
        f"10{_NO_BREAK}000). They are left out of the means from that step on.{cut}"
    )
