"""What is particular to a question: its words, its figures, and the numbers that its source reports."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import xarray as xr

from jaxreg.measures import setting_dims, setting_label

if TYPE_CHECKING:
    from jaxreg.claims import Claim, Reported
    from jaxreg.config.hparams import Experiment
    from jaxreg.data import Data
    from jaxreg.reporting.document import ReportFigure


def default_answer(results: xr.Dataset) -> str:
    """The setting that is best on validation, with its test accuracy."""
    from jaxreg.measures.summary import best_setting
    from jaxreg.reporting.tables import percent  # scipy and matplotlib are slow to import
    from jaxreg.statistics import mean_interval

    setting = best_setting(results)
    if setting is None:
        return "No member has a validation accuracy: all of them diverged."
    accuracy = mean_interval(results["final_test_accuracy"].sel(setting)).map(lambda value: value.item())
    reached = percent(float(accuracy["mean"]), float(accuracy["low"]), float(accuracy["high"]))
    where = f"{setting_label(setting)} is best on validation; its" if setting else "The"
    return f"{where} test accuracy is {reached} (n = {int(accuracy['n'])})."


def default_figures(results: xr.Dataset) -> list[ReportFigure]:
    """Test loss and accuracy along training, final test accuracy against each axis, and over the two axes if so."""
    from jaxreg.reporting import figures
    from jaxreg.reporting.document import ReportFigure

    drawn = [
        ReportFigure(
            "test_loss", "Test loss along training, all settings.", figures.curves(results, "test_loss", log_y=True)
        ),
        ReportFigure(
            "test_accuracy", "Test accuracy along training, all settings.", figures.curves(results, "test_accuracy")
        ),
    ]
    for axis in setting_dims(results):
        caption = f"Test accuracy after the last step against {axis}."
        drawn.append(ReportFigure(f"accuracy_against_{axis}", caption, figures.value_against(results, axis)))
    if len(axes := setting_dims(results["diverged_step"])) == 2:
        caption = f"Test accuracy after the last step over {axes[0]} and {axes[1]}."
        drawn.append(ReportFigure("accuracy_map", caption, figures.heat_map(results, "final_test_accuracy", *axes)))
    return drawn


@dataclasses.dataclass(frozen=True)
class Study:
    """A question and how its answer is shown.

    Attributes:
      name: that of the experiment and its run folders.
      title, question: for people.
      source: where the question and the reported numbers come from.
      reported: numbers of the source that a run is compared with.
      answer: results -> the answer in a sentence or two.
      claims: what the source, or the experiment itself, asserts; each run judges them.
      measure: (experiment, data, results) -> what the study measures besides the training of its members, under names
        of its own; it is kept in the results with them. Called once, after training; it knows nothing of parts of the
        user's own, such as a model.
      figures: results -> figures, each named after the figure of the source that it stands for.
      notes: assumptions and limits that a reader of the report must know.
    """

    name: str = "run"
    title: str = "A sweep"
    question: str = "Which setting trains best?"
    source: str = ""
    reported: tuple[Reported, ...] = ()
    claims: tuple[Claim, ...] = ()
    answer: Callable[[xr.Dataset], str] = default_answer
    measure: Callable[[Experiment, Data, xr.Dataset], xr.Dataset] | None = None
    figures: Callable[[xr.Dataset], Sequence[ReportFigure]] = default_figures
    notes: tuple[str, ...] = ()
