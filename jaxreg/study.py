"""What is particular to a question: its words, its claims, what it measures, and the figures it asks for.

Data only: nothing is drawn or judged here. `jaxreg.reporting` shows a study, `jaxreg.session` calls its measure.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxreg.diagnostics.watch import Watch
from jaxreg.slow_imports import xr
from jaxreg.training.models import Model
from jaxreg.training.problem import Constraint, Penalty, Problem, named_parts

if TYPE_CHECKING:
    from matplotlib.figure import Figure  # slow to import

    from jaxreg.claims import Claim, Reported
    from jaxreg.config.experiment import Experiment
    from jaxreg.data import Data


@dataclasses.dataclass(frozen=True)
class ReportFigure:
    """A figure with the file name (without suffix) it is saved under and the caption that says what it shows.

    `files` are the PNG and the SVG, once it is saved. `moving` is a GIF of which `figure` is the last frame, and which
    takes its place on the page, except in print and for readers whose system asks for reduced motion.
    """

    name: str
    caption: str
    figure: Figure
    files: tuple[Path, Path] | None = None
    moving: bytes = b""


@dataclasses.dataclass(frozen=True)
class Study:
    """A question and how its answer is shown.

    Attributes:
      name: that of the experiment and its run folders.
      title, question: as the report and the command line show them.
      source: where the question and the reported numbers come from.
      reported: numbers of the source that a run is compared with.
      answer: results -> the answer in a sentence or two; None for that of `jaxreg.reporting.defaults`.
      claims: what the source, or the experiment itself, asserts; each run judges them.
      measure: (experiment, data, results) -> what the study measures besides the training of its members, under names
        of its own; it is kept in the results with them. Called once, after training; it knows nothing of parts of the
        user's own, such as a model.
      figures: results -> figures, each named after the figure of the source that it stands for; None for those of
        `jaxreg.reporting.defaults`.
      notes: assumptions and limits that a reader of the report must know.
      watches: what is measured inside the programs, besides what flags ask for.
      model: in place of the multilayer perceptron.
      penalties, constraints: as `jaxreg.run` takes them.
      data: () -> the data, in place of those that `--dataset` names.
    """

    name: str = "run"
    title: str = "A sweep"
    question: str = "Which setting trains best?"
    source: str = ""
    reported: tuple[Reported, ...] = ()
    claims: tuple[Claim, ...] = ()
    answer: Callable[[xr.Dataset], str] | None = None
    measure: Callable[[Experiment, Data, xr.Dataset], xr.Dataset] | None = None
    figures: Callable[[xr.Dataset], Sequence[ReportFigure]] | None = None
    notes: tuple[str, ...] = ()
    watches: tuple[Watch, ...] = ()
    model: Model | None = None
    penalties: tuple[Penalty, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    data: Callable[[], Data] | None = None

    @property
    def parts(self) -> dict[str, Any]:
        """What it brings that decides numbers beside the flags, by name; its data are told by their digest."""
        return named_parts(self.model, None, self.penalties, self.constraints)

    @property
    def problem(self) -> Problem:
        """What a member is made of."""
        problem = Problem(penalties=self.penalties, constraints=self.constraints)
        return problem if self.model is None else problem._replace(model=self.model)
