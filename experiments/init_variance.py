"""How large should initial weights be? All-zero weights and Gaussian weights of five variances, ten seeds each.

Question: what does the variance of the initial weights do to a small network, and what does starting from zero?
Source:   report 000, part 1, figures 2-4: MNIST, one sigmoid hidden layer; zero weights, variance 0.1, 0.2, 0.3, 1, 2.
Command:  python -m experiments.init_variance --flagfile=experiments/flagfiles/init_variance.cfg [--data_dir=...]
          Initializer x variance x depth: add --init=normal,uniform,he --hidden_sizes=11,32x32.

Assumed: the source gives neither hidden size nor learning rate, batch size or number of steps here. Batch 1000 and 10
000 steps are those of its part 5 (experiments/lr_sweep.py); 11 units and the rate 0.1 are guesses. Its "variance" may
have been passed as a standard deviation: init_variance_std.cfg reads its numbers so (variances 0.01, 0.04, 0.09, 1,
4). The claims are in the source's numbers and are judged at the variances for which a run takes them, so the same
claims stand in the reports of both runs; python -m jaxreg.report RUN OTHER compares the runs at their best settings.

Expected (ten seeds): test accuracy 91.8, 90.8, 90.0, 85.2 and 80.7 % at variance 0.1, 0.2, 0.3, 1 and 2; 92.7, 92.4,
91.9, 85.2 and 72.4 % with the same numbers as standard deviations; 37.4 % from zero weights, whose units stay one.
Which reading fits better: part 1 does not tell, its claims hold in both. Layer 1 saturates at 0.1 (figure 9) as a
variance and not as a standard deviation (experiments/signal_flow.py); but the numbers of parts 4, 5 and 6 are met with
variance 0.01, which is 0.1 as a standard deviation. Both remain possible.
Wall time: 8 minutes, init_variance_std.cfg 6, on 2 virtual cores of a shared cloud machine (Intel Xeon), other work
beside.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from typing import NamedTuple

from experiments import cli
from experiments.source import cited, told
from jaxreg.claims import Best, Claim, Judgement, Measure, Trend, Within
from jaxreg.measures import agree, held_at, most_distinct_units, value_labels
from jaxreg.measures.summary import best_setting
from jaxreg.reporting.defaults import default_answer, default_figures
from jaxreg.slow_imports import xr
from jaxreg.statistics import SHARE, mean_interval
from jaxreg.study import ReportFigure, Study

AXIS = "init_variance"
GAUSSIAN = (0.1, 0.2, 0.3, 1.0, 2.0)  # the source's numbers
PART_1 = cited("000", "part 1")


class Reading(NamedTuple):
    """What the source's numbers are taken for, and the variance that each of them stands for."""

    name: str
    variance: Callable[[float], float]


READINGS = (Reading("variances", float), Reading("standard deviations", lambda number: number**2))


def reading_of(results: xr.Dataset) -> Reading | None:
    """The reading of which a run of normal weights holds most numbers, the first of equals; None below two numbers."""
    normal = "normal" in results["init"].values.ravel().tolist()
    held = results[AXIS].values.ravel().tolist() if normal else []

    def count(reading: Reading) -> int:
        return sum(agree(value, reading.variance(number)) for value in held for number in GAUSSIAN)

    most = max(READINGS, key=count)
    return most if count(most) > 1 else None


@dataclasses.dataclass(frozen=True)
class AsRead:
    """A claim in the numbers of the source, judged at the variances for which the run takes them.

    Attributes:
      statement: the claim in words.
      make: (statement, the variance of a number of the source) -> the claim on this run.
      gaussian: whether it is judged among the weights that do not start at zero.
    """

    statement: str
    make: Callable[[str, Callable[[float], float]], Claim]
    gaussian: bool = False

    def judge(self, results: xr.Dataset) -> Judgement:
        """The verdict of these results on it."""
        claim = self.make(self.statement, (reading_of(results) or READINGS[0]).variance)
        return claim.judge(above_zero(results) if self.gaussian else results)


def above_zero(results: xr.Dataset) -> xr.Dataset:
    """The settings whose weights do not all start at zero."""
    return results.sel({AXIS: results[AXIS] > 0}) if AXIS in results.dims else results


DISTINCT = Measure("number of distinct hidden units at any check", most_distinct_units)
SOURCE = {"init": "normal", "activation": "sigmoid"}
CLAIMS: tuple[Claim, ...] = (
    Within("Zero weights keep all hidden units identical.", DISTINCT, {AXIS: 0.0, **SOURCE}, 1, 1, source=PART_1),
    AsRead(
        "Among Gaussian weights 0.1 is best.",
        lambda words, variance: Best(
            words, "final_test_accuracy", {AXIS: variance(0.1), **SOURCE}, AXIS, "higher", source=f"{PART_1}, A1-var"
        ),
        gaussian=True,
    ),
    AsRead(
        "Among Gaussian weights the test accuracy falls as the variance grows.",
        lambda words, _: Trend(words, "final_test_accuracy", AXIS, "falls", SOURCE, source=PART_1),
        gaussian=True,
    ),
    AsRead(
        "Among Gaussian weights the training accuracy falls as the variance grows.",
        lambda words, _: Trend(words, "train_accuracy", AXIS, "falls", SOURCE, source=PART_1),
        gaussian=True,
    ),
)


def answer(results: xr.Dataset) -> str:
    """The best variance, what accuracy does along the Gaussian ones, and what zero weights come to."""
    if AXIS not in results.dims:
        return default_answer(results)
    chosen, where = held_at(results, best_setting(results), AXIS)
    gaussian = above_zero(chosen.sortby(AXIS))
    sentences: list[str] = []
    if gaussian.sizes[AXIS] > 1:
        ends = gaussian.isel({AXIS: [0, -1]})
        values = value_labels(ends[AXIS].values.tolist())
        first, last = (_accuracy(ends.isel({AXIS: i})) for i in (0, 1))
        sentences.append(f"Gaussian weights{where} reach {first} at variance {values[0]}, {last} at {values[1]}.")
    if gaussian.sizes[AXIS] < chosen.sizes[AXIS]:
        zero = chosen.sel({AXIS: 0})
        units = ""
        if "distinct_units" in zero:
            most = int(most_distinct_units(zero).max())
            units = (
                f" with {'one distinct hidden unit' if most == 1 else f'up to {most} distinct units'} at every check"
            )
        sentences.append(f"Zero weights reach {_accuracy(zero)}{units}.")
    if (reading := reading_of(results)) is not None:
        sentences.append(f"The source's numbers are read as {reading.name} here.")
    return f"{default_answer(results)}\n\n{' '.join(sentences)}"


def draw(results: xr.Dataset) -> list[ReportFigure]:
    """The figures of the source's part 1; the last one at the best values on validation of any further axes."""
    if AXIS not in results.dims:
        return default_figures(results)
    from jaxreg.reporting import figures  # matplotlib is slow to import, and not needed for a refusal

    chosen, where = held_at(results, best_setting(results), AXIS)
    zero = "; 0 is all-zero weights" if 0 in results[AXIS] else ""
    drawn = [
        ReportFigure(
            "fig3_4_test_accuracy",
            "Test accuracy against steps at all settings (the source's figures 2-4).",
            figures.curves(results, "test_accuracy"),
        ),
        ReportFigure(
            "fig3_4_test_loss",
            "Test loss against steps at all settings (the source's figures 2-4).",
            figures.curves(results, "test_loss", log_y=True),
        ),
        ReportFigure(
            "accuracy_against_init_variance",
            f"Test accuracy after the last step against the variance of the initial weights, evenly spaced{zero} "
            "(the source's claim that accuracy falls as the variance grows).",
            figures.value_against(evenly_spaced(results), AXIS),
        ),
    ]
    if "distinct_units" in results:
        first = results["distinct_units"].isel(layer=0, drop=True).assign_attrs(units="1")
        title = "Distinct units of the first hidden layer"
        drawn.append(
            ReportFigure(
                "distinct_units",
                "Number of different units in the first hidden layer against steps: units that start equal stay "
                "equal. Equal lines lie on each other.",
                figures.curves(results.assign(distinct_units=first), "distinct_units", title=title),
            )
        )
    drawn.append(
        ReportFigure(
            "fig2_4_each_variance",
            f"Loss and accuracy against steps, a column for each variance{where} (the source's figures 2-4).",
            figures.panels(chosen.sortby(AXIS), AXIS),
        )
    )
    return drawn


def evenly_spaced(results: xr.Dataset) -> xr.Dataset:
    """The variances in order as categories, so that zero has a place beside values of several decades."""
    ordered = results.sortby(AXIS)
    return ordered.assign_coords({AXIS: value_labels(ordered[AXIS].values.tolist())})


def _accuracy(results: xr.Dataset) -> str:
    """The final test accuracy of one setting, with the half-width of its interval."""
    from jaxreg.reporting.tables import percent  # matplotlib is slow to import

    interval = mean_interval(results["final_test_accuracy"], within=SHARE)
    mean, low, high = (float(interval[part]) for part in ("mean", "low", "high"))
    return percent(mean, low, high)


STUDY = Study(
    name="init_variance",
    title="Variance of the initial weights",
    question="What does the variance of the initial weights do to training, and what does starting from zero?",
    source=told("000", "part 1, figures 2-4"),
    claims=CLAIMS,
    answer=answer,
    figures=draw,
    notes=(
        "The source's best setting (A1-var) is judged as the claim that 0.1 is best: a setting, not a number with a "
        "prediction interval.",
        "The claims are in the source's numbers. A run of variances 0.1, 0.2, 0.3, 1, 2 takes them as variances, one "
        "of their squares (init_variance_std.cfg) as standard deviations. On MNIST the claims of part 1 hold in both "
        "readings. That layer 1 saturates at 0.1 (figure 9) holds for variances only; the numbers of parts 4 to 6 are "
        "met with variance 0.01, which is 0.1 as a standard deviation. Neither reading is ruled out.",
    ),
)

if __name__ == "__main__":
    sys.exit(cli.main(STUDY))
