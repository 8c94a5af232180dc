"""The answer and the figures of a study that brings none of its own."""

from __future__ import annotations

from jaxreg.measures import setting_dims
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
    """Test loss and accuracy along training; final test accuracy against each axis, over two, or over seeds."""
    from jaxreg.reporting import figures  # slow to import, too
    from jaxreg.reporting.figures.words import axis_words

    drawn = [
        ReportFigure(
            "test_loss", "Test loss along training, all settings.", figures.curves(results, "test_loss", log_y=True)
        ),
        ReportFigure(
            "test_accuracy", "Test accuracy along training, all settings.", figures.curves(results, "test_accuracy")
        ),
    ]
    for axis in setting_dims(results):
        caption = f"Test accuracy after the last step against {axis_words(axis)}."
        drawn.append(ReportFigure(f"accuracy_against_{axis}", caption, figures.value_against(results, axis)))
    trained = int((results["diverged_step"] < 0).sum())
    if not setting_dims(results) and results.sizes["seed"] >= MANY_SEEDS and trained > 1:
        caption = "Test accuracy after the last step: what the seed alone changes."
        drawn.append(ReportFigure("accuracy_over_seeds", caption, figures.spread(results)))
    if len(axes := setting_dims(results["diverged_step"])) == 2:
        caption = f"Test accuracy after the last step over {axis_words(*axes)}."
        drawn.append(ReportFigure("accuracy_map", caption, figures.heat_map(results, "final_test_accuracy", *axes)))
    return drawn
