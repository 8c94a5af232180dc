from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from matplotlib.colors import to_hex

from jaxreg.claims import Judgement, Verdict
from jaxreg.reporting import figures
from tests.reporting.figures.reading import marks, words

VERDICTS: tuple[Verdict, ...] = ("supported", "contradicted", "undecided")


def judgement(verdict: Verdict = "supported", statement: str = "A is better than B", n: int = 10) -> Judgement:
    return Judgement(statement, "report 000, part 5", verdict, "because", n, "1", ())


def test_verdicts_differ_in_shape_and_colour() -> None:
    (axes,) = figures.evidence([judgement(verdict) for verdict in VERDICTS]).axes
    drawn = [marks(axes, verdict) for verdict in VERDICTS]
    assert [len(found) for found in drawn] == [1, 1, 1]
    assert (
        len({found[0].get_marker() for found in drawn}) == len({to_hex(found[0].get_color()) for found in drawn}) == 3
    )


@pytest.mark.parametrize("count", [1, 7, 64])
def test_a_row_per_claim(count: int) -> None:
    figure = figures.evidence([judgement(VERDICTS[i % 3], f"claim {i}", n=i) for i in range(count)])
    (axes,) = figure.axes
    texts = [text.get_text() for text in axes.texts]
    assert [text for text in texts if text.startswith("claim")] == [f"claim {i}" for i in range(count)]
    seeds = ["not in this run"] + [f"n = {i}" for i in range(1, count)]
    assert [text for text in texts if text.startswith(("n = ", "not"))] == seeds
    heights = [np.asarray(mark.get_ydata()).item() for verdict in VERDICTS for mark in marks(axes, verdict)]
    assert len(set(heights)) == count - 1  # the first has no verdict
    said = f"{(count + 2) // 3 - 1} supported" if count > 1 else "none about this run"
    assert f"Claims: {said}" in words(figure)


def test_long_statements_are_wrapped_and_dollars_are_no_formulas() -> None:
    (axes,) = figures.evidence([judgement(statement="a $larger$ rate " * 20)]).axes
    (statement,) = [text for text in axes.texts if "larger" in text.get_text()]
    assert statement.get_text().count("\n") >= 3
    assert not statement.get_parse_math()


def test_a_verdict_that_rests_on_normality_says_so() -> None:
    fragile = dataclasses.replace(judgement(n=3), rests_on_normality=True)
    figure = figures.evidence([fragile, judgement()])
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert "n = 3, if normal" in texts
    assert "n = 10" in texts
    assert "fewer than 5 seeds" in words(figure)
    assert "normal" not in words(figures.evidence([judgement()]))


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(ValueError, match="no judgement"):
        figures.evidence([])
