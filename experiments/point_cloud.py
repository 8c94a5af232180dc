"""Points of two classes in the plane: no penalty, L1, L2 and early stopping for a network that can learn them by heart.

Question: what do L1, L2 and early stopping do to training loss, validation loss, time, and to what is learned?
Source:   report 003, part 2, figures 1-3: binary classification of a 2-D point cloud by an MLP, patience 5.
Command:  python -m experiments.point_cloud --flagfile=experiments/flagfiles/point_cloud.cfg
          With --flagfile=experiments/flagfiles/point_cloud_spirals.cfg: the same on two spirals.

Assumed: the source names neither the points, nor the network, nor strengths. 100 noisy points of two moons and 32x32
ReLU units under Adam are chosen so that the network can learn the points by heart. Patience counts checks, one after
every epoch. Each penalty has three strengths; claims and figures take each method as it is best on validation. "Late in
training" is the last tenth of the checks. A member that stopped counts with the parameters that it keeps. Time is that
of each method alone: one member at a time, everything compiled and warm, 20 interleaved repeats of a seed each. Early
stopping is timed with its checks, which measure the test set too; the others are not checked on the way. Within the run
itself all members share one program and its time.

Expected (ten seeds): without a penalty the training loss falls to 0.05 nats while the validation loss rises from 0.34
after 33 epochs to 0.68 after 200. Late in training it is 0.66 without a penalty, 0.33 with L1 (0.001), 0.31 with L2
(0.003) and 0.35 for early stopping: L2 is best there. Training losses with the penalty end at 0.05, 0.20, 0.20 and
0.29: early stopping, which ends early, has the highest, and L1 and L2 cannot be told apart. It stops after 6 to 42
epochs, 14 in the mean, often at the first fluctuation: the lowest validation loss comes later. Test errors are 14.2,
13.3, 12.8 and 13.5 %. Alone, no penalty takes 29 ms, L1 32, L2 33, early stopping 22. On the spirals L2 does have the
highest training loss and no penalty takes the least time, since early stopping, which stops after 48 epochs, pays for
its checks; L2, L1 and early stopping cannot be told apart late in training.
Wall time: 39 s for point_cloud.cfg and 44 s for point_cloud_spirals.cfg on 2 virtual cores of a shared cloud machine
(Intel Xeon); 12 ms of training for each of the 120 members.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from typing import TYPE_CHECKING

from experiments import cli
from experiments.source import cited, told
from jaxreg.claims import AtBest, Best, Claim, Measure
from jaxreg.config import Experiment, Hparams, effective_hparams
from jaxreg.config.sweeps import make_sweep
from jaxreg.data import Data
from jaxreg.measures import (
    effective_setting,
    final_test_error,
    kept_test_error,
    last_objective,
    late_validation_loss,
    per_epoch,
    setting_label,
    setting_values,
    steps_taken,
    time_alone,
    time_per_member,
    with_divergence,
)
from jaxreg.measures.summary import best_of_each, member_dims
from jaxreg.nn.regularisers import REGULARISERS
from jaxreg.reporting.defaults import default_answer, default_figures
from jaxreg.runs.time_alone import training_time_alone
from jaxreg.slow_imports import xr
from jaxreg.statistics import mean_in_words
from jaxreg.study import ReportFigure, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure


NONE, L1, L2, EARLY = "none", "l1", "l2", "early_stopping"
REPEATS = 20  # of the timing
PART_2 = cited("003", "part 2")


# What is measured


def measure(experiment: Experiment, data: Data, results: xr.Dataset) -> xr.Dataset:
    """The training time of each method alone, `training_time_alone` [method, repeat]; nothing if none are compared.

    Of the settings of a method that in which most of its strengths act is taken, the first of equals: the time of a
    step does not depend on how large they are, only on whether there is something to compute.
    """
    if "method" not in results.dims:
        return xr.Dataset()
    settings = make_sweep(experiment, len(data.train.labels)).settings

    def strengths_on(hparams: Hparams) -> int:
        acts = effective_hparams(hparams)
        return sum(getattr(acts, field) != off for field, off in {(r.strength, r.off) for r in REGULARISERS.values()})

    def member(method: str) -> Experiment:
        hparams = max((each for each in settings if each.method == method), key=strengths_on)
        return dataclasses.replace(experiment, hparams=hparams, axes={}, zip=(), layout=None)

    members = {method: member(method) for method in results["method"].values.tolist()}
    return training_time_alone(members, data, REPEATS).to_dataset()


OBJECTIVE = Measure("training loss with penalties at the end", last_objective, better="lower")
VALIDATION = Measure("validation loss late in training", late_validation_loss, better="lower")
TIME = Measure("training time alone", time_alone, better="lower")
STEPS = Measure("steps taken", steps_taken, better="lower")
TO_THE_END = (NONE, L1, L2)  # the methods that train to the end
CLAIMS: tuple[Claim, ...] = (
    *map(
        AtBest,
        (
            Best(
                "L2 has the highest training loss (with its penalty).",
                OBJECTIVE,
                {"method": L2},
                "method",
                "higher",
                source=f"{PART_2}, figure 1",
            ),
            Best(
                "L2 has the highest training loss (with its penalty) of the methods that train to the end.",
                OBJECTIVE,
                {"method": L2},
                TO_THE_END,
                "higher",
            ),
            Best(
                "L2 has the best validation loss late in training.",
                VALIDATION,
                {"method": L2},
                "method",
                "lower",
                source=f"{PART_2}, figure 2",
            ),
            Best(
                "Early stopping with patience 5 ends first.",
                STEPS,
                {"method": EARLY, "patience": 5},
                "method",
                "lower",
                source=f"{PART_2}, figure 1",
            ),
        ),
    ),
    Best(
        "Training without a penalty takes the least time.",
        TIME,
        {"method": NONE},
        "method",
        "lower",
        source=f"{PART_2}, figure 3",
    ),
    Best(
        "Training without a penalty takes the least time of the methods that train to the end.",
        TIME,
        {"method": NONE},
        TO_THE_END,
        "lower",
    ),
)


# What is shown


def answer(results: xr.Dataset) -> str:
    """Test error and time of each method, at the strengths that are best for it on validation."""
    if "method" not in results.dims:
        return default_answer(results)
    chosen = best_of_each(results)
    errors = kept_test_error(chosen)
    percent = [
        f"{name} {mean_in_words(100 * error, '.1f', within=(0, 100))}"
        for name, error in zip(_names(chosen), errors, strict=True)
    ]
    text = (
        f"{default_answer(results)}\n\n"
        f"Test error in percent, of what is kept, at the strengths that are best on validation: {'; '.join(percent)}."
    )
    if "training_time_alone" in results:
        times = [
            f"{method} {mean_in_words(1000 * seconds, '.0f', within=(0, math.inf))}"
            for method, seconds in zip(results["method"].values, time_alone(results), strict=True)
        ]
        share = 1000 * float(time_per_member(results).max())
        text += (
            f"\n\nTraining time alone in ms: {', '.join(times)}. The {results['diverged_step'].size} members of this "
            f"run trained side by side, {share:.1f} ms each."
        )
    return text


def _names(chosen: xr.Dataset) -> list[str]:
    """Each method with the strengths that act in it: "l2 at l2_strength=0.01"."""
    named = [effective_setting(setting) for setting in setting_values(chosen, ("method",))]
    return [" at ".join(filter(None, (setting.pop("method"), setting_label(setting)))) for setting in named]


def draw(results: xr.Dataset) -> list[ReportFigure]:
    """The figures of the source's part 2, decision surfaces, and error against strength."""
    if "method" not in results.dims or "method" in best_of_each(results)["check_step"].dims:
        return default_figures(results)
    from jaxreg.reporting import animations, figures  # matplotlib is slow to import, and not needed for a refusal

    chosen = best_of_each(results)
    curves = per_epoch(chosen)
    swept = [dim for dim in member_dims(results) if dim != "method"]
    where = f" Each method as it is best on validation: {'; '.join(_names(chosen))}." if swept else ""
    held = " A member that stopped goes on with the parameters that it keeps."

    def along(name: str) -> Figure:
        return figures.curves(curves, name, x="examples_seen", log_y=True)

    drawn = [
        ReportFigure(
            "fig1_training_loss_with_penalty",
            f"Training loss with the penalty, mean from check to check (the source's figure 1).{held}{where}",
            along("training_loss_with_penalty"),
        ),
        ReportFigure(
            "fig1_training_loss",
            f"The same without the penalty: the loss alone, which can be compared between methods.{held}{where}",
            along("training_loss"),
        ),
        ReportFigure(
            "fig2_validation_loss",
            f"Validation loss against epochs (the source's figure 2).{held}{where}",
            along("validation_loss"),
        ),
        ReportFigure(
            "fig2_validation_error",
            f"Validation error against epochs.{held}{where}",
            along("validation_error"),
        ),
    ]
    if "training_time_alone" in results:
        drawn.append(
            ReportFigure(
                "fig3_training_time",
                f"Training time of each method alone on the machine (the source's figure 3): {results.sizes['repeat']} "
                "repeats, interleaved, each of another seed, everything compiled and warm. That of early stopping ends "
                "where it stops and includes its checks; the others are not checked on the way.",
                figures.value_against(time_alone(results), "method"),
            )
        )
    if len(swept) == 1 and (penalised := [m for m in results["method"].values.tolist() if m not in (NONE, EARLY)]):
        drawn.append(
            ReportFigure(
                "error_against_strength",
                "Test error after the last step against the strength of each penalty.",
                figures.strengths(with_divergence(final_test_error(results), results).sel({"method": penalised})),
            )
        )
    if "surface" in results and len(swept) <= 1:
        last, moving = animations.decision_surfaces(chosen, title="Decision surfaces during training")
        drawn += [
            ReportFigure(
                "decision_surfaces",
                "What the networks of the first seed have learned: probability of class 1 over the plane, a column for "
                "each method, a row for each strength.",
                figures.decision_surfaces(results, "method", *swept, title="What the networks have learned"),
            ),
            ReportFigure(
                "decision_surfaces_during_training",
                f"The same from check to check; the still picture is the end of training.{where}",
                last,
                moving=moving,
            ),
        ]
    return drawn


STUDY = Study(
    name="point_cloud",
    title="Regularisers on a point cloud",
    question="What do L1, L2 and early stopping do to training loss, validation loss, time, and to what is learned?",
    source=told("003", "part 2, figures 1-3"),
    claims=CLAIMS,
    answer=answer,
    measure=measure,
    figures=draw,
    notes=(
        "Patience counts checks, and there is a check after every epoch.",
        "Where a claim is about time, n is the number of repeats, each of another seed.",
    ),
)

if __name__ == "__main__":
    sys.exit(cli.main(STUDY))
