"""An overview of the verdicts on the claims of a study."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import Any

from jaxreg.claims import Judgement, Verdict
from jaxreg.reporting.figures.style import GREY, OKABE_ITO, PALE, Figure, set_title, styled
from jaxreg.statistics import FEW_SEEDS

_BLUE, _VERMILION = OKABE_ITO[0], OKABE_ITO[1]
LOOKS: dict[Verdict, dict[str, Any]] = {
    "supported": {"marker": "o", "color": _BLUE, "markersize": 8},
    "contradicted": {"marker": "X", "color": _VERMILION, "markersize": 9},
    "undecided": {"marker": "s", "color": GREY, "markersize": 7.5, "markerfacecolor": "white"},
}
_LINE = 0.165  # inches
_COLUMN = 80  # characters of a statement in a line


@styled
def evidence(judgements: Sequence[Judgement], *, title: str | None = None) -> Figure:
    """One row per claim: its verdict, shown by shape and colour, the number of seeds behind it, and its statement.

    A claim about what the run does not hold has no verdict, and says so.

    Args:
      judgements: at least one, drawn in this order.
      title: first line of the title, in place of the count of the verdicts.

    Raises:
      ValueError: there is no judgement.
    """
    if not judgements:
        raise ValueError("evidence: no judgement to draw")
    rows = [(textwrap.wrap(j.statement, _COLUMN), textwrap.wrap(j.source, _COLUMN)) for j in judgements]
    heights = [max(2, len(statement) + len(source)) + 0.8 for statement, source in rows]
    figure = Figure(figsize=(7.2, 0.75 + _LINE * sum(heights)), layout="constrained")
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(sum(heights), 0))
    top = 0.0
    write: dict[str, Any] = {"va": "top", "linespacing": 1.25, "parse_math": False}
    for judgement, (statement, source), height in zip(judgements, rows, heights, strict=True):
        axes.axhline(top, color=PALE, linewidth=0.8)
        first = top + 0.4
        if judgement.in_this_run:
            look = LOOKS[judgement.verdict]
            axes.plot([0.025], [top + height / 2], linestyle="none", label=judgement.verdict, **look)
            axes.text(0.055, first, judgement.verdict, weight="bold", **write)
        seeds = f"n = {judgement.n}" if judgement.in_this_run else "not in this run"
        seeds += ", if normal" if judgement.rests_on_normality else ""
        axes.text(0.055, first + 1, seeds, fontsize=8, color=GREY, **write)
        axes.text(0.215, first, "\n".join(statement), **write)
        axes.text(0.215, first + len(statement), "\n".join(source), fontsize=8, color=GREY, **write)
        top += height
    count = Counter(judgement.verdict for judgement in judgements if judgement.in_this_run)
    summary = ", ".join(f"{count[verdict]} {verdict}" for verdict in LOOKS if count[verdict]) or "none about this run"
    fragile = any(judgement.rests_on_normality for judgement in judgements)
    notes = ["n: seeds behind a verdict", "" if title is None else summary]
    notes += (
        [f"if normal: with fewer than {FEW_SEEDS} seeds it holds for normally distributed values"] if fragile else []
    )
    set_title(figure, title or f"Claims: {summary}", notes)
    return figure
