"""The answer and the figures of a study that brings none of its own."""

from __future__ import annotations

from jaxreg.measures import setting_dims, setting_label
from jaxreg.measures.summary import best_setting
from jaxreg.slow_imports import xr
from jaxreg.statistics import mean_interval
from jaxreg.study import ReportFigure

MANY_SEEDS = 20  # of which a histogram says something


def default_answer(results: xr.Dataset) -> str:
    """The setting that is best on validation, with its test accuracy."""
    from jaxreg.reporting.tables import percent  # matplotlib is slow to import, and not needed for a refusal

    setting = best_setting(results)
    if setting is None:
        return "No member has a validation accuracy: all of them diverged."
    accuracy = mean_interval(results["final_test_accuracy"].sel(setting)).map(lambda value: value.item())
    reached = percent(float(accuracy["mean"]), float(accuracy["low"]), float(accuracy["high"]))
    where = f"{setting_label(setting)} is best on validation; its" if setting else "The"
    return f"{where} test accuracy is {reached} (n = {int(accuracy['n'])})."


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
