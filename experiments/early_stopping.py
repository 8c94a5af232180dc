"""When should training stop? A run that goes on for 100 000 steps, and where patience would have stopped it.

Question: where is the validation loss lowest, and what does stopping there, or by patience, save and give up?
Source:   report 000, part 6, figures 37-40: MNIST, learning rate 2, batch 1000, validation every 1000 steps.
Command:  python -m experiments.early_stopping --flagfile=experiments/flagfiles/early_stopping.cfg [--data_dir=...]
          With --flagfile=experiments/flagfiles/early_stopping_halt.cfg: the time that halted members no longer cost.

Assumed: the source gives neither hidden size nor init variance. The network is that of experiments/lr_sweep.py, 10
units of variance 0.01, chosen by a number of part 5; rate, batch size and steps are printed, so that nothing is
fitted here. One pass gives the run that goes on and the runs that stop (--after_stop=continue): where another
patience would have stopped is read off the same validation curve. The 60 000 steps of figure 37 are the beginning of
this run. The source counts its steps from 0 and prints the validation loss at step 99 000 last. "Approximately 20 000
steps" is compared with the step of the lowest validation loss.

Expected (ten seeds): the validation loss is lowest after 6300 steps (95 % interval 4275 to 8325; single seeds 3000 to
12 000), not near 20 000. It rises slowly from there: 0.232 nats after 6000 steps, 0.247 after 10 000, 0.255 after
20 000, 0.331 at the end. So the curve of one seed, read by eye as the source does, hardly tells 6000 from 20 000.
Patience 1, 5 and 10 save 95, 89 and 84 % of the steps and keep a test accuracy 0.8 to 1.0 points above that of the last
step (92.65 %; training 96.86 %, validation loss 0.330 at step 99 000, where the source prints 93.2 %, 97.04 % and
0.302).
Wall time: 19 minutes on 2 virtual cores of a shared cloud machine (Intel Xeon) that were busy with other work too.
"""

from __future__ import annotations

import sys

import numpy as np

from experiments import cli
from experiments.source import cited, reported, told
from jaxreg.claims import Claim, Measure, ReportedNumber, Within
from jaxreg.measures import best_step, held_at, overfitting, stopping
from jaxreg.measures.summary import best_setting, halted
from jaxreg.reporting.defaults import default_answer, default_figures
from jaxreg.slow_imports import xr
from jaxreg.statistics import mean_in_words
from jaxreg.study import ReportFigure, Study

PATIENCE = (1, 5, 10)  # checks
SOURCE = {
    "learning_rate": 2,
    "batch_size": 1000,
    "num_steps": 100_000,
    "dataset": "mnist",
    "downsample": 1,
    "schedule": "constant",
}
LAST_PRINTED = 99_000  # steps
FIGURE_37 = {60_000: "figure 37 ends"}
PART_6 = cited("000", "part 6")


def last_printed_validation_loss(results: xr.Dataset) -> xr.DataArray:
    """The validation loss at step 99 000, [..., seed], in nats.

    Raises:
      KeyError: it was not measured there.
    """
    here = results["check_step"] == LAST_PRINTED
    if not bool(here.any()):
        raise KeyError(LAST_PRINTED)
    return results["validation_loss"].where(here).max("check").assign_attrs(units="nats")


FLAT = "the loss rises so slowly, by 0.02 nats from 6000 to 20 000 steps, that one curve hardly tells them apart"
REPORTED = (
    reported("A6-test", "final_test_accuracy", SOURCE),
    reported("A6-train", "train_accuracy", SOURCE),
    reported("A6-val", last_printed_validation_loss, SOURCE),
    reported("A6-stop", best_step, SOURCE, found=FLAT),
)
CLAIMS: tuple[Claim, ...] = (
    Within(
        "The validation loss is lowest near 20 000 steps (between 10 000 and 40 000).",
        Measure("step of the lowest validation loss", best_step),
        SOURCE,
        10_000,
        40_000,
        source=PART_6,
    ),
    Within(
        "Going on after the lowest validation loss raises the test loss.",
        Measure("rise in test loss from there to the end", overfitting),
        SOURCE,
        0,
        np.inf,
    ),
    *(ReportedNumber(number) for number in REPORTED),
)


def answer(results: xr.Dataset) -> str:
    """Where the validation loss is lowest, and what each patience saves and gives up there."""
    chosen, where, patience = one_run(results)
    trained = chosen["diverged_step"] < 0
    if not bool(trained.any()):
        return default_answer(results)
    went_on = best_step(chosen).dropna("seed")
    lowest = mean_in_words(went_on, ".0f", within=(0, float(chosen["check_step"].max())))
    about = f"mean over {went_on.size} seeds, {went_on.attrs['resolution']}"
    sentences = [f"Steps to the lowest validation loss{where}: {lowest} ({about})."]
    if not went_on.size:
        sentences = []
    for each in patience:
        stops = stopping(chosen, (each,)).sel(patience=each).where(trained)
        stopped = int((stops["stopped_check"] >= 0).sum())
        if not stopped:
            sentences.append(f"Patience {each} never stops.")
            continue
        change = mean_in_words(100 * (stops["kept_test_accuracy"] - chosen["final_test_accuracy"]), "+.2f")
        sentences.append(
            f"Patience {each} stops in {stopped} of {int(trained.sum())} seeds. Steps saved: "
            f"{mean_in_words(100 * stops['saved'], '.0f', within=(0, 100), unit=' %')}; change in test accuracy "
            f"against the last step, in points: {change}."
        )
    return f"{default_answer(results)}\n\n{' '.join(sentences)}"


def one_run(results: xr.Dataset) -> tuple[xr.Dataset, str, tuple[int, ...]]:
    """The members that train longest, at the best setting on validation, where that is, and what patience to read off.

    Those without patience or with the largest, and those that train on after their stop, if the run has them. Members
    that were halted do not show what a patience above their own would have done.
    """
    if "after_stop" in results.dims:
        going_on = "continue" if "continue" in results["after_stop"] else results["after_stop"].values[0]
        results = results.sel(after_stop=going_on)
    if "patience" in results.dims:
        longest = max(results["patience"].values.tolist(), key=lambda checks: checks or np.inf)
        results = results.sel(patience=longest)
    chosen, where = held_at(results, best_setting(results))
    own = int(chosen["patience"]) if "patience" in chosen.coords else 0
    patience: tuple[int, ...] = PATIENCE
    if own and bool(halted(chosen)["stopped"].any()):
        patience = tuple(each for each in PATIENCE if each <= own) or (own,)
    return chosen, f"{where}, the best on validation" if where else "", patience


def draw(results: xr.Dataset) -> list[ReportFigure]:
    """The figures of the source's part 6; of a run that sweeps other axes too, at their best setting on validation."""
    from jaxreg.reporting import figures  # matplotlib is slow to import, and not needed for a refusal

    chosen, where, patience = one_run(results)
    last = chosen["check_step"].max().item()
    drawn = [
        ReportFigure(
            "fig37_40_stopping_points",
            f"Training and validation loss against steps{where}, where patience of {_listed(patience)} checks would "
            "have stopped, and where the validation loss is lowest (the source's figures 37-40).",
            figures.stopping_points(
                chosen, patience, marks={step: text for step, text in FIGURE_37.items() if step < last}
            ),
        ),
        ReportFigure(
            "stopping_cost",
            f"What stopping saves and gives up{where}: the steps that it spares, and validation loss and test "
            "accuracy of the parameters that it keeps against those after the last step and at the best check.",
            figures.stopping_cost(chosen, patience),
        ),
    ]
    if bool(halted(results)["stopped"].any()):
        drawn.append(
            ReportFigure(
                "time_per_step",
                "Training time per step of all members of a program, and the share of them that still train.",
                figures.cost_of_steps(results),
            )
        )
    return [*drawn, *(default_figures(results) if where else [])]


def _listed(patience: tuple[int, ...]) -> str:
    *first, last = map(str, patience)
    return f"{', '.join(first)} and {last}" if first else last


STUDY = Study(
    name="early_stopping",
    title="Early stopping",
    question="Where is the validation loss lowest, and what does stopping by patience save and give up?",
    source=told("000", "part 6, figures 37-40"),
    reported=REPORTED,
    claims=CLAIMS,
    answer=answer,
    figures=draw,
    notes=(
        "A member that stops keeps the parameters of its best check until then.",
        "Patience counts checks, so it depends on how far apart they are.",
    ),
)

if __name__ == "__main__":
    sys.exit(cli.main(STUDY))
