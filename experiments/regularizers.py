"""Six ways to regularise a small network, beside none: what each does to loss, test error, weights and activations.

Question: which regulariser helps a network of 32 ReLU units, and what does each do to its weights and activations?
Source:   report 003, part 3, figures 4-23: MNIST, 50 epochs; L2, L2 with L1 towards the end, L2 with KL sparsity,
          max-norm of radius 3, dropout 0.5 with L2, dropout 0.5 with max-norm. The control without any is ours.
Command:  python -m experiments.regularizers --flagfile=experiments/flagfiles/regularizers.cfg [--data_dir=...]
          regularizers_cross_entropy.cfg: the same with cross-entropy on logits, the better practice;
          regularizers_tuned.cfg: with strengths that the small sweep regularizers_tuning.cfg found best on validation;
          regularizers_strengths.cfg: test error against strength; regularizers_7x7.cfg: images of 7x7 pixels;
          regularizers_late_l1.cfg, regularizers_kl.cfg: strengths that the source leaves open.

Assumed: the source prints neither rate, batch size, initial weights nor strengths. More than 80 000 iterations in 50
epochs are batches of 32. Weights are drawn as PyTorch does, the rate is the default, 0.1. Three numbers are fitted
and no evidence: the error under L2 gives its strength, 0.002; the 5.0 to which the training loss jumps in figure 7
that of L1, 0.005; the error under L2 with KL that of KL, 0.01 (its figure 10 begins where figure 4 does, which allows
anything up to 0.1). "Towards the end" is taken for the last fifth. An elementwise clamp at 3, another reading of its
"clamp rate", would not act: without regulariser the largest weight of seed 0 is 1.8 at rate 0.04.

Expected (regularizers.cfg, ten seeds), test error in percent, mean (median), the source's in brackets: none 6.5
(4.0), L2 5.7 (5.8) [5.6], late L1 23.6 (23.6) [35], KL 6.0 (6.0) [6.1], max-norm 4.6 (3.8) [4.6], dropout with L2 8.4
(8.4), dropout with max-norm 6.5 (6.5). Without L2 and dropout seeds fall into two groups: three of ten of the control
and one under max-norm never predict some class and end above 12 %, the others at 3.4 to 4.1 %. So the 4.6 % of
max-norm says nothing of it; a radius of 3 holds 14 % of the hidden and 18 % of the output units. KL is above L2, as
in the source, and no smoother at this n; it is above dropout with max-norm in validation loss, against the source.
Training loss under L2 ends at 1.63 (the source: under 1.6), validation loss at 1.547 (1.52), which is missed.
Late L1 (regularizers_late_l1.cfg, five seeds): the peak fixes L1 where L2 is given, and leaves the error open. Where
5.0 lies in the interval of one run the error goes from 21.8 % (L2 0.0015, L1 0.0045) to 31.4 % (0.003, 0.006); with
L2 0.003 both 5.0 and the 35 % do. What costs error is classes that are lost: 9 of 10 are left at 23 %, 8 at 31 %.
KL (regularizers_kl.cfg, five seeds): 5.4, 6.0, 6.8, 7.4 and 8.2 % at strengths of 0.001, 0.01, 0.03, 0.1 and 0.3.
With cross-entropy on logits, at rate 0.04 and weaker strengths, no class is lost: 3.1, 3.0, 11.1, 2.9, 2.9, 5.4 and
4.9 %; dropout with max-norm beats dropout with L2 there. With tuned strengths all six are better than none: 3.3, 2.9,
3.1, 3.0, 2.9, 2.8 and 3.0 %, and cannot be told apart in most pairs; late L1 is no longer worst. On images of 7x7
pixels, at rate 0.04 and with weaker strengths, late L1 has 33 %, but L2 has 15 % and the peak is 3.3: no near miss.
Wall time on 2 virtual cores of a shared cloud machine (Intel Xeon), left alone: 7 minutes for regularizers.cfg and
for regularizers_tuned.cfg, 3 for regularizers_7x7.cfg.
"""

from __future__ import annotations

import sys
from functools import partial

from experiments import cli, source
from jaxreg.claims import Best, Claim, Higher, Lower, Measure, Reported, ReportedNumber, compare
from jaxreg.config import strengths_of
from jaxreg.measures import (
    at_last_check,
    between_checks,
    classes_predicted,
    final_test_error,
    first_l1_step,
    generalisation_gap,
    held_at,
    last_objective,
    leaves_out_a_class,
    peak_objective,
    rise_after_l1,
    roughness,
    setting_dims,
    setting_label,
    validation_rise_after_l1,
    with_divergence,
)
from jaxreg.measures.summary import best_setting
from jaxreg.nn.regularisers import REGULARISERS
from jaxreg.reporting.defaults import default_answer, default_figures
from jaxreg.slow_imports import xr
from jaxreg.statistics import mean_in_words
from jaxreg.study import ReportFigure, Study

NONE, L2, L2_L1, L2_KL = "none", "l2", "l2+late_l1", "l2+kl"
MAX_NORM, DROPOUT_L2, DROPOUT_MAX_NORM = "max_norm", "dropout+l2", "dropout+max_norm"
METHODS = (L2, L2_L1, L2_KL, MAX_NORM, DROPOUT_L2, DROPOUT_MAX_NORM)  # the source's (a) to (f)
PART_3 = source.cited("003", "part 3")
SOURCE = {
    "dataset": "mnist",
    "downsample": 1,
    "num_epochs": 50,
    "loss": "cross_entropy_on_probabilities",
}


_STRENGTHS = {regulariser.strength for regulariser in REGULARISERS.values()}
ERROR = Measure("test error", final_test_error, better="lower")
OBJECTIVE = Measure("training loss with penalties at the end", last_objective, better="lower")
ROUGHNESS = Measure("roughness of the training loss with penalties", roughness, better="lower")
RISES = {
    "The training loss with its penalties jumps when L1 sets in (by construction: L1 is added).": Measure(
        "rise of the training loss with penalties", partial(rise_after_l1, variable="train_objective")
    ),
    "The training loss without penalties rises within 100 steps of where L1 sets in.": Measure(
        "rise of the training loss without penalties", partial(rise_after_l1, variable="train_loss")
    ),
    "The validation loss jumps when L1 sets in.": Measure("rise of the validation loss", validation_rise_after_l1),
}


ERROR_ID, PEAK_ID = "B3-l2-l1", "B3-l2-l1-peak"
LATE_L1 = "the error depends on the strength of L2, which the source does not print (regularizers_late_l1.cfg)"
VALIDATION = "the strength of L2 that its test error fixes ends above it; without L2 it is 1.53 here"
NO_MAX_NORM = (
    "a radius of 3 hardly acts, a clamp of each weight at 3 would not, and some seeds lose a class: this says nothing"
)


def reported(id: str, method: str, variable: str, *, fitted: bool = False, found: str = "") -> Reported:
    """A number that the source prints for one of its methods."""
    of = {"error": final_test_error, "objective": last_objective, "peak": peak_objective}.get(variable, variable)
    return source.reported(id, of, SOURCE | {"method": method}, fitted=fitted, found=found)


REPORTED = (
    reported("B3-l2", L2, "error", fitted=True),
    reported(ERROR_ID, L2_L1, "error", found=LATE_L1),
    reported("B3-l2-kl", L2_KL, "error", fitted=True),
    reported("B3-maxnorm", MAX_NORM, "error", found=NO_MAX_NORM),
    reported("B3-l2-loss", L2, "objective"),
    reported("B3-l2-val", L2, "final_validation_loss", found=VALIDATION),
    reported(PEAK_ID, L2_L1, "peak", fitted=True),
)
CLAIMS: tuple[Claim, ...] = (
    Lower(
        "L2 with KL sparsity has a smoother training loss over epochs than L2.",
        ROUGHNESS,
        {"method": L2_KL},
        {"method": L2},
        source=f"{PART_3}c",
    ),
    *(
        Higher(claim, measure, {"method": L2_L1}, {"method": L2}, source=f"{PART_3}b, figures 7-9")
        for claim, measure in RISES.items()
    ),
    Higher(
        "L2 with KL sparsity is worse in test error than L2.",
        ERROR,
        {"method": L2_KL},
        {"method": L2},
        source=f"{PART_3}c",
    ),
    Best(
        "L2 with late L1 is worst in test error.",
        ERROR,
        {"method": L2_L1},
        METHODS,
        "higher",
        source=f"{PART_3}b, figure 23",
    ),
    Best(
        "Max-norm alone is best in test error.",
        ERROR,
        {"method": MAX_NORM},
        METHODS,
        "lower",
        source=f"{PART_3}f, figure 23",
    ),
    Higher(
        "Dropout with L2 is worse in test error than L2.",
        ERROR,
        {"method": DROPOUT_L2},
        {"method": L2},
        source=f"{PART_3}e",
    ),
    Lower(
        "Dropout with max-norm beats dropout with L2 in test error.",
        ERROR,
        {"method": DROPOUT_MAX_NORM},
        {"method": DROPOUT_L2},
        source=f"{PART_3}f",
    ),
    Best(
        "Dropout with L2 has the worst training loss apart from late L1.",
        OBJECTIVE,
        {"method": DROPOUT_L2},
        tuple(method for method in METHODS if method != L2_L1),
        "higher",
        source=f"{PART_3}, figure 22",
    ),
    Lower(
        "L2 with KL sparsity beats dropout with max-norm in validation loss.",
        "final_validation_loss",
        {"method": L2_KL},
        {"method": DROPOUT_MAX_NORM},
        source=f"{PART_3}, figure 22",
    ),
    Higher(
        "L2 with KL sparsity does not beat dropout with max-norm in training loss.",
        OBJECTIVE,
        {"method": L2_KL},
        {"method": DROPOUT_MAX_NORM},
        source=f"{PART_3}, figure 22",
    ),
    *(
        Lower(f"{method} has a lower test error than no regulariser.", ERROR, {"method": method}, {"method": NONE})
        for method in METHODS
    ),
    *(ReportedNumber(number) for number in REPORTED),
)


def answer(results: xr.Dataset) -> str:
    """The test error of each method; of a run over strengths, those that are best on validation for each."""
    if is_plane(results):
        return "\n\n".join(filter(None, (default_answer(results), _along_the_plane(results))))
    if "method" not in results.dims:
        return default_answer(results)
    text = f"{default_answer(results)}\n\n{by_method(results)}"
    if len(setting_dims(results["diverged_step"])) > 1:
        return text
    text += _left_out_classes(results)
    if MAX_NORM in results["method"] and "at_bound_fraction" in results:
        share = at_last_check(results, "at_bound_fraction").sel({"method": MAX_NORM}).mean("seed").values
        layers = ", ".join(f"{100 * of_layer:.0f} % in layer {number}" for number, of_layer in enumerate(share, 1))
        text += f" Units that max-norm holds at its bound at the end: {layers}."
    return text


def by_method(results: xr.Dataset) -> str:
    """The test error of each method, or, where more is swept, the setting that is best for each on validation."""
    if len(setting_dims(results["diverged_step"])) > 1:
        return f"Best on validation: {'; '.join(_best_of_each(results))}."
    parts = [
        f"{method} {mean_in_words(100 * error, '.2f', within=(0, 100))} ({100 * float(error.median()):.2f})"
        for method, error in zip(results["method"].values.tolist(), final_test_error(results), strict=True)
    ]
    return f"Test error in percent, in brackets the median: {', '.join(parts)}."


def _left_out_classes(results: xr.Dataset) -> str:
    """How many members of each method leave out a class, as a sentence; nothing if none does."""
    if "test_confusion" not in results:
        return ""
    counts = leaves_out_a_class(results).sum("seed")
    parts = [
        f"{count} with {method}"
        for method, count in zip(results["method"].values.tolist(), counts.values.tolist(), strict=True)
        if count
    ]
    seeds = results.sizes["seed"]
    return f" Of {seeds} seeds so many never predict one of the classes: {', '.join(parts)}." if parts else ""


def is_plane(results: xr.Dataset) -> bool:
    """Whether a run of L2 with L1 that sets in during training sweeps both strengths and nothing else."""
    if set(setting_dims(results["diverged_step"])) != {"l1_strength", "l2_strength"}:
        return False
    try:
        first_l1_step(results)
    except KeyError:
        return False
    return bool(results["method"] == L2_L1)


def _along_the_plane(results: xr.Dataset) -> str:
    """At which strengths the source's peak is met, and the test error there."""
    found = compare(results, [number for number in REPORTED if number.id in (ERROR_ID, PEAK_ID)])
    axes = ["l2_strength", "l1_strength"]
    by_setting = {id: of.set_index(axes) for id, of in found.groupby("id")}
    if set(by_setting) != {ERROR_ID, PEAK_ID}:
        return ""
    errors, peaks = by_setting[ERROR_ID], by_setting[PEAK_ID]
    met = peaks.index[peaks["inside"].map(bool)]
    if met.empty:
        return f"No setting has the source's peak of {peaks['reported'].iloc[0]:g} in the interval of one run."
    parts = [
        f"{100 * errors['mean'][at]:.1f} % (of one run {100 * errors['low'][at]:.0f} to "
        f"{100 * errors['high'][at]:.0f}) at " + setting_label(dict(zip(axes, at, strict=True)))
        for at in met
    ]
    return (
        f"The peak of the training loss fixes L1 where L2 is given, and leaves the error open: where the source's "
        f"{peaks['reported'].iloc[0]:g} lies in the interval of one run, the test error is {'; '.join(parts)}. "
        f"The source has {100 * errors['reported'].iloc[0]:g} %."
    )


def _best_of_each(results: xr.Dataset) -> list[str]:
    """For each method the setting that is best on validation, as far as it acts: "l2 at l2_strength=0.001"."""
    parts = []
    for method in results["method"].values.tolist():
        of_method = results.sel({"method": method})
        at = best_setting(of_method)
        if at is None:
            parts.append(f"{method} diverged")
            continue
        best = of_method.sel(at)
        others = [dim for dim in at if dim != "method" and dim not in _STRENGTHS]
        strengths = setting_label({name: best[name].item() for name in (*others, *strengths_of(method))})
        accuracy = float(best["final_validation_accuracy"].mean("seed"))
        parts.append(f"{method}{' at ' if strengths else ''}{strengths} ({100 * accuracy:.2f} %)")
    return parts


def read_outs(results: xr.Dataset) -> list[xr.DataArray]:
    """What regularisers act on, after the last step: gap, and by layer sparsity, norms and rank, [..., seed] each."""
    found = [generalisation_gap(results)] if "final_train_loss" in results else []
    layered = {
        "small_weights_fraction": "share of weights < 0.001",
        "silent_fraction": "share of activations < 0.001",
        "weight_norm": "norm of the weights",
        "effective_rank": "effective rank",
        "at_bound_fraction": "share of units at max_norm",
    }
    for name, words in layered.items():
        if name not in results:
            continue
        last = at_last_check(results, name)
        for layer in last["layer"].values.tolist():
            values = last.sel(layer=layer, drop=True)
            if bool(values.notnull().any()):
                found.append(values.rename(f"{words}, layer {layer}"))
    return [with_divergence(each, results) for each in found]


def draw(results: xr.Dataset) -> list[ReportFigure]:
    """The figures of the source's part 3; of a run over strengths, test error against them."""
    if "method" not in results.dims:
        return [*_of_the_plane(results), *_of_one_strength(results), *default_figures(results)]
    from jaxreg.reporting import figures  # matplotlib is slow to import, and not needed for a refusal

    drawn = []
    swept = [dim for dim in setting_dims(results["diverged_step"]) if dim != "method"]
    if len(swept) == 1:
        from jaxreg.reporting.figures.strengths import SWITCHED_OFF
        from jaxreg.reporting.figures.style import shows

        strengths = figures.strengths(with_divergence(final_test_error(results), results))
        off = "; dashed with it switched off" if shows(strengths, SWITCHED_OFF) else ""
        caption = f"Test error after the last step against the strength of each method{off}."
        drawn.append(ReportFigure("error_against_strength", caption, strengths))
    chosen, where = held_at(results, best_setting(results), "method")
    chosen = chosen.assign(train_loss_with_penalties=between_checks(chosen))
    comparison = compare(chosen, REPORTED)
    printed = comparison[comparison["variable"] == "final_test_error"]
    errors = figures.value_rows(
        [with_divergence(final_test_error(chosen), chosen)],
        "method",
        baseline=_control(chosen),
        medians=True,
        reported=printed,
    )
    drawn += [
        ReportFigure(
            "fig23_test_error",
            f"Test error after the last step{where}, a row for each method{source.as_printed(errors)} (the source's "
            f"figure 23).{_left_out_classes(chosen)}",
            errors,
        ),
        ReportFigure(
            "fig22_training_loss",
            f"Training loss with penalties{where}, means from check to check, an epoch each in the flagfiles (the "
            "source's figure 22, left). That of a method with a penalty holds its value too and cannot be compared "
            "with the others as a loss.",
            figures.curves(
                chosen, "train_loss_with_penalties", log_y=True, title="Training loss with penalties for each method"
            ),
        ),
        ReportFigure(
            "fig22_validation_loss",
            f"Validation loss{where}, without penalties and dropout (the source's figure 22, right).",
            figures.curves(chosen, "validation_loss", log_y=True),
        ),
        ReportFigure(
            "fig4_21_each_method",
            f"One seed{where}, a column for each method: training loss with and without penalties along the steps; "
            "the former's means from check to check, an epoch each in the flagfiles, and validation loss (the source's "
            "figures 4-21).",
            figures.panels(
                chosen.isel(seed=[0]),
                "method",
                (("train_objective", "train_loss"), ("train_loss_with_penalties", "validation_loss")),
                log_y=True,
            ),
        ),
    ]
    if measured := read_outs(chosen):
        drawn.append(
            ReportFigure(
                "read_outs",
                f"What the methods do{where}: gap between test and training loss, sparsity of weights and activations, "
                "norms and effective rank of the weights, and units at the bound of max-norm, after the last step.",
                figures.value_rows(
                    measured, "method", baseline=_control(chosen), title="Weights and activations under each method"
                ),
            )
        )
    if "at_bound_fraction" in chosen:
        bounded = [method for method in chosen["method"].values.tolist() if "max_norm" in method.split("+")]
        if bounded:
            share = chosen.sel({"method": bounded})["at_bound_fraction"].sel(layer=1, drop=True)
            drawn.append(
                ReportFigure(
                    "units_at_bound",
                    f"Share of hidden units that max-norm holds at its bound{where}: one that never acts is the "
                    "control under another name.",
                    figures.curves(
                        chosen.sel({"method": bounded}).assign(at_bound_share=share.assign_attrs(units="1")),
                        "at_bound_share",
                        title="Share of hidden units at the bound of max-norm",
                    ),
                )
            )
    return drawn


def _of_the_plane(results: xr.Dataset) -> list[ReportFigure]:
    """Test error, peak of the training loss and classes that are left over both strengths of L2 with late L1."""
    if not is_plane(results):
        return []
    from jaxreg.reporting import figures  # matplotlib is slow to import

    printed, axes = compare(results, REPORTED), ("l1_strength", "l2_strength")
    drawn = {
        "final_test_error": ("Test error after the last step", final_test_error),
        "peak_objective": ("Largest training loss after L1 has set in, with penalties", peak_objective),
        "classes_predicted": ("Classes that are predicted at all", classes_predicted),
    }
    return [
        ReportFigure(
            f"late_l1_{name}",
            f"{words} over the strengths of L1 and L2. Framed settings meet the number that the source prints.",
            figures.heat_map(results.assign({name: measure(results)}), name, *axes, reported=printed, title=words),
        )
        for name, (words, measure) in drawn.items()
        if name != "classes_predicted" or "test_confusion" in results
    ]


def _of_one_strength(results: xr.Dataset) -> list[ReportFigure]:
    """Test error against the only thing that is swept."""
    swept = setting_dims(results["diverged_step"])
    if len(swept) != 1 or swept[0] not in _STRENGTHS:
        return []
    from jaxreg.reporting import figures  # matplotlib is slow to import

    comparison = compare(results, REPORTED)
    printed = comparison[comparison["variable"] == "final_test_error"]
    error = with_divergence(final_test_error(results), results)
    against = figures.value_against(error, swept[0], reported=printed)
    caption = f"Test error after the last step{source.as_printed(against)}."
    return [ReportFigure(f"error_against_{swept[0]}", caption, against)]


def _control(results: xr.Dataset) -> str | None:
    return NONE if NONE in results["method"].values.tolist() else None


STUDY = Study(
    name="regularizers",
    title="Regularisers",
    question="Which regulariser helps a small network, and what does each do to its weights and activations?",
    source=source.told("003", "part 3, figures 4-23"),
    reported=REPORTED,
    claims=CLAIMS,
    answer=answer,
    figures=draw,
    notes=(
        "The training loss of a method holds its penalties and its dropout, as the source plots it; validation "
        "and test losses hold neither.",
        "Cross-entropy on probabilities takes the softmax twice: it cannot fall below 1.461 nats.",
        "Penalties and max-norm act on the weights of both layers, never on biases; dropout on the hidden layer.",
    ),
)

if __name__ == "__main__":
    sys.exit(cli.main(STUDY))
