"""The answer and the figures of a study that brings none of its own."""

from __future__ import annotations

from jaxreg.measures import setting_dims
from jaxreg.measures.outcomes import outcome_of
from jaxreg.reporting.answers import answer
from jaxreg.slow_imports import xr
from jaxreg.study import ReportFigure, Study

MANY_SEEDS = 20  # of which a histogram says something


def default_answer(results: xr.Dataset) -> str:
    """The sentences of `jaxreg.answer` in one paragraph: the best setting, and what it cannot be told apart from."""
    return " ".join(answer(results).sentences)


def answer_of(study: Study, results: xr.Dataset) -> str:
    """What page and terminal say first: the answer of the study, by default `default_answer`."""
    return (study.answer or default_answer)(results)


def default_figures(results: xr.Dataset) -> list[ReportFigure]:
    """Test loss and accuracy along training; the final accuracy against each axis, over two, or over seeds.

    Where there is no accuracy, the loss takes its place.
    """
    from jaxreg.reporting import figures  # slow to import, too
    from jaxreg.reporting.figures.words import axis_words

    drawn = [
        ReportFigure(
            name, f"{words} along training, all settings.", figures.curves(results, name, log_y="loss" in name)
        )
        for name, words in (("test_loss", "Test loss"), ("test_accuracy", "Test accuracy"))
        if name in results
    ]
    outcome = outcome_of(results)
    reached, final = f"Test {outcome} after the last step", f"final_test_{outcome}"
    for axis in setting_dims(results):
        caption = f"{reached} against {axis_words(axis)}."
        drawn.append(ReportFigure(f"{outcome}_against_{axis}", caption, figures.value_against(results, axis, final)))
    trained = int((results["diverged_step"] < 0).sum())
    if not setting_dims(results) and results.sizes["seed"] >= MANY_SEEDS and trained > 1:
        caption = f"{reached}: what the seed alone changes."
        drawn.append(ReportFigure(f"{outcome}_over_seeds", caption, figures.spread(results, final)))
    if len(axes := setting_dims(results["diverged_step"])) == 2:
        caption = f"{reached} over {axis_words(*axes)}."
        drawn.append(ReportFigure(f"{outcome}_map", caption, figures.heat_map(results, final, *axes)))
    return drawn
