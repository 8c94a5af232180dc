"""Which learning rate? Seven rates from 0.001 to 1, ten seeds each, in one compiled program.

Question: which learning rate trains best, and does a larger one need fewer steps?
Source:   report 000, part 5, figures 29-36: MNIST, one sigmoid hidden layer, batch 1000, 10 000 steps.
Command:  python -m experiments.lr_sweep --flagfile=experiments/flagfiles/lr_sweep.cfg [--data_dir=...]
          ten_thousand.cfg: one rate, ten thousand seeds

Assumed: the source prints numbers for three rates and gives neither hidden size nor init variance. One network of 10
units and variance 0.01 stands for it here and in parts 4 and 6 (experiments/batch_size.py, early_stopping.py). It was
chosen by one number, the test accuracy at rate 0.01; the eight others, and those of part 6, are evidence. Its printed
test loss is taken as that of one test batch.

Expected (ten seeds, mean and standard deviation over seeds): test accuracy 0.39 (0.06) at rate 0.001, 0.73 (0.03) at
0.005 and 0.84 (0.01) at 0.01, where the source prints 0.418, 0.724 and 0.853; 0.93 at 0.5 and 0.94 at 1. All nine
printed numbers lie within the 95 % prediction interval of one run.
ten_thousand.cfg: the test accuracy after five epochs is 0.9486 in the mean, with a standard deviation over seeds of
0.0017; 95 % of the seeds lie in 0.9451 to 0.9518, the lowest at 0.9413, the highest at 0.9544. Two runs that differ by
less than about 0.005 may differ by luck.
Wall time: 259 to 358 s of several runs on 2 virtual cores of a shared cloud machine (Intel Xeon); ten_thousand.cfg 52
minutes on another (AMD EPYC), report included, with 3.7 GiB of memory at the end of training.
"""

from __future__ import annotations

import sys
from functools import partial

import numpy as np

from experiments import cli
from experiments.source import as_printed, cited, reported, told
from jaxreg.claims import Measure, Trend, compare
from jaxreg.measures import fluctuation, held_at, steps_to_train, value_labels, with_divergence
from jaxreg.measures.summary import best_setting
from jaxreg.reporting.defaults import default_answer, default_figures
from jaxreg.slow_imports import xr
from jaxreg.statistics import mean_in_words
from jaxreg.study import ReportFigure, Study

SOURCE = {"dataset": "mnist", "downsample": 1, "batch_size": 1000, "num_steps": 10_000, "schedule": "constant"}
READ_OFF = {"test": "final_test_accuracy", "train": "train_accuracy", "loss": "final_test_batch_loss"}
FITTED = (0.01, "test")  # the number by which the network was chosen
REPORTED = tuple(
    reported(f"A5-{rate:g}-{quantity}", variable, {"learning_rate": rate, **SOURCE}, fitted=(rate, quantity) == FITTED)
    for rate in (0.001, 0.005, 0.01)
    for quantity, variable in READ_OFF.items()
)
TRAINED = 0.85  # test accuracy at which a network counts as trained


SPEED = Measure(f"steps to a test accuracy of {TRAINED:g}", partial(steps_to_train, threshold=TRAINED), better="lower")
# A member that diverged fluctuates more than any other.
FLUCTUATION = Measure("fluctuation of the batch loss", partial(fluctuation, diverged=np.inf), better="lower")
RELATIVE_FLUCTUATION = Measure(
    "fluctuation as a share of the batch loss", partial(fluctuation, relative=True, diverged=np.inf), better="lower"
)
PART_5 = cited("000", "part 5")
CLAIMS = (
    Trend("A larger learning rate needs fewer steps.", SPEED, "learning_rate", "falls", source=PART_5),
    Trend("A larger learning rate fluctuates more, or diverges.", FLUCTUATION, "learning_rate", "rises", source=PART_5),
    Trend(
        "A larger learning rate fluctuates more, or diverges, relative to its loss.",
        RELATIVE_FLUCTUATION,
        "learning_rate",
        "rises",
        source=PART_5,
    ),
)


def answer(results: xr.Dataset) -> str:
    """The best rate, and how the number of steps to train depends on it."""
    if "learning_rate" not in results.dims:
        return default_answer(results)
    chosen, where = _one_line(results)
    steps = steps_to_train(chosen, TRAINED).transpose("learning_rate", "seed")
    total, longest = steps.sizes["seed"], float(results["check_step"].max())
    reached, sometimes, never = [], [], []
    for rate, of_rate in zip(value_labels(steps["learning_rate"].values.tolist(), 3), steps, strict=True):
        trained = int(np.isfinite(of_rate).sum())
        if trained == total:
            reached.append(f"{mean_in_words(of_rate, '.0f', within=(0, longest))} at {rate}")
        elif trained:
            sometimes.append(f"in {trained} of {total} seeds at {rate}")
        else:
            never.append(rate)
    words = [", ".join(reached)] if reached else []
    words += sometimes + ([f"never at {', '.join(never)}"] if never and words + sometimes else [])
    asked = f"a test accuracy of {TRAINED:g}{where}"
    if not words:
        return f"{default_answer(results)}\n\nNo rate reaches {asked}."
    first = f"Steps to the first check at or above {asked} ({steps.attrs['resolution']}): {'; '.join(words)}."
    return f"{default_answer(results)}\n\n{first}"


def draw(results: xr.Dataset) -> list[ReportFigure]:
    """The figures of the source's part 5; of a run that sweeps other axes too, at their best setting on validation."""
    if "learning_rate" not in results.dims:
        return default_figures(results)
    from jaxreg.reporting import figures  # matplotlib is slow to import, and not needed for a refusal

    chosen, where = _one_line(results)
    comparison = compare(results, REPORTED)
    printed = comparison[comparison["variable"] == "final_test_accuracy"]
    steps = with_divergence(steps_to_train(results, TRAINED), results)
    accuracy = figures.value_against(results, "learning_rate", reported=printed)
    return [
        ReportFigure(
            "fig36_test_loss",
            "Test loss against steps at all settings (the source's figure 36).",
            figures.curves(results, "test_loss", log_y=True),
        ),
        ReportFigure(
            "fig36_test_accuracy",
            "Test accuracy against steps at all settings (the source's figure 36).",
            figures.curves(results, "test_accuracy"),
        ),
        ReportFigure(
            "accuracy_against_learning_rate",
            f"Test accuracy after the last step against learning rate{as_printed(accuracy)}.",
            accuracy,
        ),
        ReportFigure(
            "steps_against_learning_rate",
            f"Steps until the test accuracy first reaches {TRAINED:g}, against learning rate (the source's claim that "
            "a larger rate needs fewer steps).",
            figures.value_against(steps, "learning_rate", "steps_to_train", log_y=True),
        ),
        ReportFigure(
            "fig29_35_each_rate",
            f"Loss and accuracy against steps, a column for each learning rate{where} (the source's figures 29-35).",
            figures.panels(chosen, "learning_rate", log_y=True),
        ),
    ]


def _one_line(results: xr.Dataset) -> tuple[xr.Dataset, str]:
    """The results with learning_rate as the only axis, and in words at which setting of the others."""
    chosen, where = held_at(results, best_setting(results), "learning_rate")
    return chosen, f"{where}, the best on validation" if where else ""


STUDY = Study(
    name="lr_sweep",
    title="Learning rate",
    question="Which learning rate trains the network best, and does a larger one need fewer steps?",
    source=told("000", "part 5, figures 29-36"),
    reported=REPORTED,
    claims=CLAIMS,
    answer=answer,
    figures=draw,
)

if __name__ == "__main__":
    sys.exit(cli.main(STUDY))
