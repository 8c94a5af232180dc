"""Which batch size? Six sizes from 1 to the whole training set, a compiled program for each.

Question: does a larger batch fluctuate less and need fewer steps, and which size generalises best?
Source:   report 000, part 4, figures 23-28: MNIST, batches of 1, 10, 50, 100, 1000 and all 55 000 examples.
Command:  python -m experiments.batch_size --flagfile=experiments/flagfiles/batch_size.cfg [--data_dir=...]
          Ten seeds, without the full batch: --flagfile=experiments/flagfiles/batch_size_seeds.cfg.
          With --flagfile=experiments/flagfiles/batch_size_rates.cfg: whether a small batch wants a small rate.

Assumed: the source prints numbers for a batch of 50 only, after 5000 steps; it gives neither learning rate, nor
hidden size, nor init variance. The network is that of experiments/lr_sweep.py, 10 units of variance 0.01; the rate,
0.5, is fitted to the test accuracy, and the two other numbers are evidence. Sizes other than the printed one have
5000 steps too. Its printed test loss is taken as that of one test batch. "Generalization error is often best for
batch size 1" is from Goodfellow, Bengio and Courville (2016), section 8.1.3, where it is the error on the test set;
it is judged in that reading, and as the gap between test and training loss. After equally many steps a batch of 1 has
seen a thousandth of the examples of a batch of 1000: figures against examples and time stand beside those against
steps.

Expected (batch_size_seeds.cfg, ten seeds): test accuracy 69.4, 90.4, 92.3, 92.7 and 93.1 % at batch 1, 10, 50, 100 and
1000 after equally many steps, where the source prints 92.8 % at 50; its three numbers lie in the interval of one run.
Every fluctuation falls with the batch size, larger batches need fewer steps, and 1000 is best. The gap between test and
training loss is smallest at batch 1, which has learned least; its test accuracy is the worst. batch_size_rates.cfg
(13 units): the best rate rises with the batch size, by half a decade from each of 1, 10, 100 to the next.
batch_size.cfg was not run again with this network: with 13 units at rate 0.2 three seeds had 93.1 % at 55 000, not to
be told apart from 1000 and 100; what differs by less than some points is undecided with three seeds, so the verdicts of
the ten stand.
Wall time on 2 virtual cores of a shared cloud machine (Intel Xeon): 3 minutes for batch_size_seeds.cfg. With other work
beside, of an earlier version: 7 for batch_size_rates.cfg, 38 for batch_size.cfg; left alone, a step of the full batch
took 0.2 s there, 17 minutes for 5000.
"""

from __future__ import annotations

import sys
from functools import partial

import numpy as np

from experiments import cli
from experiments.source import as_printed, cited, reported, told
from jaxreg.claims import Best, Claim, Measure, ReportedNumber, Trend, compare
from jaxreg.measures import (
    fluctuation,
    generalisation_gap,
    held_at,
    log10_best_value,
    noise_scale,
    steps_to_train,
    time_per_member,
    value_labels,
    with_divergence,
)
from jaxreg.measures.summary import best_setting
from jaxreg.reporting.defaults import default_answer, default_figures
from jaxreg.slow_imports import xr
from jaxreg.statistics import mean_in_words
from jaxreg.study import ReportFigure, Study

SOURCE = {"dataset": "mnist", "downsample": 1, "batch_size": 50, "num_steps": 5000, "schedule": "constant"}
READ_OFF = {"test": "final_test_accuracy", "train": "train_accuracy", "loss": "final_test_batch_loss"}
REPORTED = tuple(
    reported(f"A4-b50-{quantity}", variable, SOURCE, fitted=quantity == "test")
    for quantity, variable in READ_OFF.items()
)
TRAINED = 0.85  # test accuracy at which a network counts as trained


best_rate = partial(log10_best_value, axis="learning_rate")
SPEED = Measure(f"steps to a test accuracy of {TRAINED:g}", partial(steps_to_train, threshold=TRAINED), better="lower")
GAP = Measure("test loss minus training loss", generalisation_gap, better="lower")
BEST_RATE = Measure("log10 of the best learning rate", best_rate)
FLUCTUATION = {
    "A larger batch fluctuates less: loss of the training batch.": Measure(
        "fluctuation of the training-batch loss", fluctuation, better="lower"
    ),
    "A larger batch fluctuates less: loss of one test batch, as the source prints it.": Measure(
        "fluctuation of the test-batch loss", partial(fluctuation, variable="test_batch_loss"), better="lower"
    ),
    "A larger batch fluctuates less: loss of the whole test set.": Measure(
        "fluctuation of the test loss", partial(fluctuation, variable="test_loss"), better="lower"
    ),
    "A larger batch fluctuates less, relative to its loss: loss of the training batch.": Measure(
        "fluctuation as a share of the training-batch loss", partial(fluctuation, relative=True), better="lower"
    ),
}
PART_4 = cited("000", "part 4")
CLAIMS: tuple[Claim, ...] = (
    *(
        Trend(claim, loss, "batch_size", "falls", source=f"{PART_4}, figures 23-28")
        for claim, loss in FLUCTUATION.items()
    ),
    Trend("A larger batch needs fewer steps.", SPEED, "batch_size", "falls", source=PART_4),
    Best(
        "Generalisation is best at batch size 1: accuracy on the test set.",
        "final_test_accuracy",
        {"batch_size": 1},
        "batch_size",
        "higher",
        source=PART_4,
    ),
    Best(
        "Generalisation is best at batch size 1: gap between test and training loss.",
        GAP,
        {"batch_size": 1},
        "batch_size",
        "lower",
        source=PART_4,
    ),
    Best(
        "Batch size 1000 gives the best accuracy.",
        "final_test_accuracy",
        {"batch_size": 1000},
        "batch_size",
        "higher",
        source=f"{PART_4}, A4-best",
    ),
    Trend("A small batch wants a small rate.", BEST_RATE, "batch_size", "rises", source=PART_4),
    *(ReportedNumber(number) for number in REPORTED),
)


def answer(results: xr.Dataset) -> str:
    """The best size, how much the loss of a batch fluctuates at each, and how large the gradient's noise scale is."""
    if "batch_size" not in results.dims:
        return default_answer(results)
    chosen, where = _one_line(results)
    sentences: list[str] = []
    if means := _at_each(fluctuation(chosen)):
        sentences.append(f"In the last 1000 steps the loss of a training batch fluctuates{where}, in nats, by {means}.")
    if "learning_rate" in results.dims:
        others, held = held_at(results, best_setting(results), "batch_size", "learning_rate")
        rates = 10 ** best_rate(others).mean("seed")
        rates_in_words = ", ".join(
            f"{rate:.2g} at {size}" for size, rate in zip(_sizes(rates), rates.values, strict=True)
        )
        sentences.append(
            f"The rate that is best on validation is{held}, in the geometric mean over seeds, {rates_in_words}."
        )
    if "gradient_variance" in results and (means := _at_each(noise_scale(chosen))):
        sentences.append(f"At the end of training the gradient noise scale is{where}, in examples, {means}.")
    return f"{default_answer(results)}\n\n{' '.join(sentences)}"


def _at_each(values: xr.DataArray) -> str:
    """The means over seeds with their 95 % intervals: "0.85 ± 0.02 at 1, 0.24 at 10"."""
    shown: list[str] = []
    for size, of_size in zip(_sizes(values), values.transpose("batch_size", "seed"), strict=True):
        mean = float(of_size.mean())
        if np.isposinf(mean):
            shown.append(f"too large to be measured at {size}")
        elif np.isfinite(mean):
            shown.append(f"{mean_in_words(of_size, '.3g', half_form='.2g', within=(0, np.inf))} at {size}")
    return ", ".join(shown)


def _sizes(values: xr.DataArray) -> list[str]:
    return value_labels(values["batch_size"].values.tolist())


def draw(results: xr.Dataset) -> list[ReportFigure]:
    """The figures of the source's part 4; of a run that sweeps other axes too, at their best setting on validation."""
    if "batch_size" not in results.dims:
        return default_figures(results)
    from jaxreg.reporting import figures  # matplotlib is slow to import, and not needed for a refusal

    chosen, where = _one_line(results.assign_coords(seconds=time_per_member(results)))
    comparison = compare(results, REPORTED)
    printed = comparison[comparison["variable"] == "final_test_accuracy"]
    drawn = [
        ReportFigure(
            "fig23_28_each_size",
            f"One seed{where}: loss of the training batch at every step and of one test batch at every check, and "
            "accuracy, against steps, a column for each batch size (the source's figures 23-28). Means over seeds "
            "would hide how much the losses fluctuate.",
            figures.panels(
                chosen.isel(seed=[0]),
                "batch_size",
                (("train_loss", "test_batch_loss"), ("validation_accuracy", "test_accuracy")),
                log_y=True,
                max_points=chosen.sizes["step"],
            ),
        )
    ]
    curves = ("train_loss", "test_batch_loss", "test_loss")
    if any(bool(fluctuation(chosen, name).notnull().any()) for name in curves):
        about = (
            f"of the loss in the last 1000 steps against batch size B{where}: standard deviation of first differences "
            "divided by √2. A batch drawn without replacement would fluctuate in proportion to √(1/B - 1/N), which is "
            "zero for the full batch; what is left there is the course of the training itself."
        )
        drawn += [
            ReportFigure("fluctuation", f"Fluctuation {about}", figures.fluctuations(chosen)),
            ReportFigure(
                "relative_fluctuation",
                f"Fluctuation {about} Here as a share of the mean loss over these steps.",
                figures.fluctuations(chosen, relative=True),
            ),
        ]
    accuracy = figures.value_against(results, "batch_size", reported=printed)
    drawn += [
        ReportFigure(
            "accuracy_three_ways",
            f"Test accuracy{where} against steps, against examples seen, and against the training time of the size's "
            "program divided by its members: what a member costs in this run, less than it would take alone.",
            figures.views(chosen, "test_accuracy"),
        ),
        ReportFigure(
            "steps_against_batch_size",
            f"Steps until the test accuracy first reaches {TRAINED:g}, against batch size (the source's claim that a "
            "larger batch needs fewer steps).",
            figures.value_against(with_divergence(steps_to_train(results, TRAINED), results), "batch_size", log_y=True),
        ),
        ReportFigure(
            "accuracy_against_batch_size",
            f"Test accuracy after the last step against batch size{as_printed(accuracy)}.",
            accuracy,
        ),
    ]
    if "final_train_loss" in results:
        caption = "Generalisation gap, test loss minus training loss after the last step, against batch size."
        gap = with_divergence(generalisation_gap(results), results)
        drawn.append(ReportFigure("gap_against_batch_size", caption, figures.value_against(gap, "batch_size")))
    if "gradient_variance" in results:
        caption = (
            "Gradient noise scale at the end of training against batch size: variance of the gradient over examples "
            "divided by the square of its mean, averaged over the last 40 checks before they are divided (McCandlish "
            "et al., 2018)."
        )
        scale = figures.value_against(with_divergence(noise_scale(results), results), "batch_size", log_y=True)
        drawn.append(ReportFigure("gradient_noise_scale", caption, scale))
    if "learning_rate" in results.dims:
        drawn += _rate_figures(results)
    return drawn


def _rate_figures(results: xr.Dataset) -> list[ReportFigure]:
    """Which rate a batch size wants, at the best setting of other axes."""
    from jaxreg.reporting import figures

    both, where = held_at(results, best_setting(results), "batch_size", "learning_rate")
    return [
        ReportFigure(
            "accuracy_map",
            f"Validation accuracy after the last step over batch size and learning rate{where}.",
            figures.heat_map(both, "final_validation_accuracy", "batch_size", "learning_rate"),
        ),
        ReportFigure(
            "best_rate_against_batch_size",
            f"The learning rate that is best on validation, for each seed, against batch size{where} (the source's "
            "claim that a small batch wants a small rate).",
            figures.value_against(with_divergence(best_rate(both), both), "batch_size"),
        ),
    ]


def _one_line(results: xr.Dataset) -> tuple[xr.Dataset, str]:
    """The results with batch_size as the only axis, and in words at which setting of the others."""
    chosen, where = held_at(results, best_setting(results), "batch_size")
    return chosen, f"{where}, the best on validation," if where else ""


STUDY = Study(
    name="batch_size",
    title="Batch size",
    question="Does a larger batch fluctuate less and need fewer steps, and which size generalises best?",
    source=told("000", "part 4, figures 23-28"),
    reported=REPORTED,
    claims=CLAIMS,
    answer=answer,
    figures=draw,
    notes=(
        "All sizes take equally many steps, so that a larger batch sees more examples.",
        "Training time is that of a size's program, shared equally by its members; alone a member takes longer.",
    ),
)

if __name__ == "__main__":
    sys.exit(cli.main(STUDY))
