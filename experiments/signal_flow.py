"""What happens inside? The runs of init_variance, watched layer by layer; and deep stacks, where signals get lost.

Question: which initial weights saturate, freeze or starve a layer, and at which depth do gradients vanish or explode?
Source:   report 000, parts 1-3, figures 1 and 5-22: weights, biases and activations of both layers in TensorBoard, for
          zero weights and variance 0.1, 0.2, 0.3, 1, 2. Figure 1 is TensorBoard's Graphs tab.
Command:  python -m experiments.signal_flow --flagfile=experiments/flagfiles/signal_flow.cfg [--data_dir=...]
          Depth x variance x activation: --flagfile=experiments/flagfiles/signal_flow_depth.cfg
          The numbers as standard deviations: add --init_variance=0,0.01,0.04,0.09,1,4.

Assumed: as in experiments/init_variance.py. The source judges by eye; here a layer is saturated where it has that
verdict (docs/diagnostics.md), and its weights "do not change" where their relative change stays below 0.001. The eye
sees histograms, so a second reading, with a bound of ours, asks how far the last histogram is from the first. Deep
stacks are not in the source's runs: it asserts in part 2 what they do, and signal_flow_depth.cfg tries it.

Expected (ten seeds): the saturated share of layer 1 rises with the variance, from 0, 30, 46, 55, 74 and 81 % before the
first step to 17, 61, 68, 73, 85 and 90 % at the end; at 0.1, 0.2 and 0.3 the layer is saturated, as figures 9, 13 and
16 have it (with the numbers as standard deviations: at 0.2 and 0.3 only). Its weights do move where figures 7, 18 and
20 see none, by 25 % of their initial norm at variance 1 and 19 % at 2, but so that their histogram stays the same
within 2 % (total variation): a histogram hides it. Weights that start at zero move plainly. In signal_flow_depth.cfg
(five seeds) eight sigmoid layers at He's variance leave the first layer a gradient 3.6 decades below that of the last,
ReLU 4.2 decades more than that; every verdict occurs, and the signals before the first step lie on the mean-field
lines.
Wall time: 6 minutes, 2.5 for signal_flow_depth.cfg, on 2 virtual cores of a shared cloud machine (Intel Xeon), other
work beside.
"""

from __future__ import annotations

import math
import sys
from functools import partial
from typing import Any

from experiments import cli
from experiments.init_variance import AXIS, SOURCE, AsRead, reading_of
from experiments.source import cited, told
from jaxreg.claims import Claim, Higher, Measure, Trend, Within
from jaxreg.diagnostics.thresholds import MOST_SATURATED, SMALLEST_CHANGE
from jaxreg.measures import (
    agree,
    gradient_decades,
    has_diagnosis,
    held_at,
    histogram_shift,
    last_measured_check,
    saturation,
    setting_dims,
    setting_values,
    value_labels,
    verdict_codes,
    weight_change,
    with_divergence,
)
from jaxreg.measures.summary import best_setting
from jaxreg.reporting.defaults import default_answer, default_figures
from jaxreg.slow_imports import xr
from jaxreg.statistics import SHARE, mean_interval
from jaxreg.study import ReportFigure, Study

FIGURES = {0.0: "5-7", 0.1: "8-10", 0.2: "11-13", 0.3: "14-16", 1.0: "17-19", 2.0: "20-22"}  # by the source's number
SMALLEST_SHIFT = 0.05  # distance of two histograms below which they look the same
SIGMOID = {"activation": "sigmoid"}
DEEP = {"hidden_sizes": "x".join(["32"] * 8), "init": "he", AXIS: 1.0}
MAX_WATCHED = 8  # settings with histograms of their own
DEPTH = "hidden_sizes"

# What is measured of layer 1.

AT_START = Measure("saturated share of layer 1 before the first step", partial(saturation, at_end=False))
AT_END = Measure("saturated share of layer 1 at the end", saturation)
DIAGNOSED = Measure("diagnosis saturated of layer 1 at the end, 1 for yes", partial(has_diagnosis, verdict="saturated"))
CHANGE = Measure("relative change of the weights of layer 1", weight_change)
SHIFT = Measure("distance of the last histogram of the weights of layer 1 from the first", histogram_shift)
DECADES = Measure("log10 of the gradient norm of the first layer over the last", gradient_decades)


def _within(statement: str, measure: Measure, number: float, low: float, high: float, source: str) -> AsRead:
    """The measure lies within bounds at a number of the source."""
    return AsRead(
        statement,
        lambda words, variance: Within(words, measure, {AXIS: variance(number), **SOURCE}, low, high, source=source),
    )


PARTS_2_3 = cited("000", "parts 2 and 3")
UNCHANGED = {0.0: 7, 1.0: 18, 2.0: 20}  # where the source sees weights that do not change: its figures
CLAIMS: tuple[Claim, ...] = (
    *(
        _within(f"Layer 1 saturates at {number:g}.", DIAGNOSED, number, 1, 1, f"{PARTS_2_3}, figure {figure}")
        for number, figure in ((0.1, 9), (0.2, 13), (0.3, 16))
    ),
    *(
        _within(
            f"The weights of layer 1 do not change at {number:g}.",
            *(CHANGE, number, 0, SMALLEST_CHANGE),
            f"{PARTS_2_3}, figure {figure}",
        )
        for number, figure in UNCHANGED.items()
    ),
    *(
        _within(
            f"The histogram of the weights of layer 1 looks at the end as at the start at {number:g}.",
            *(SHIFT, number, 0, SMALLEST_SHIFT),
            "",
        )
        for number in UNCHANGED
    ),
    Trend(
        "The saturated share of layer 1 rises with the variance, before the first step.",
        AT_START,
        AXIS,
        "rises",
        SIGMOID,
    ),
    Trend("The saturated share of layer 1 rises with the variance, at the end.", AT_END, AXIS, "rises", SIGMOID),
    Within(
        "In a deep sigmoid stack gradients shrink towards the first layer.",
        DECADES,
        {**SIGMOID, **DEEP},
        -math.inf,
        0,
        source=PARTS_2_3,
    ),
    Trend(
        "In sigmoid stacks the gradient of the first layer shrinks with depth, relative to that of the last.",
        DECADES,
        DEPTH,
        "falls",
        {name: value for name, value in (SIGMOID | DEEP).items() if name != DEPTH},
        source=PARTS_2_3,
    ),
    Higher(
        "In a deep stack gradients shrink less with ReLU than with the sigmoid.",
        DECADES,
        {"activation": "relu", **DEEP},
        {**SIGMOID, **DEEP},
        source=PARTS_2_3,
    ),
)

# The answer and the figures.


def answer(results: xr.Dataset) -> str:
    """The saturated share of layer 1 at each variance, and how the layers end."""
    if "saturated_fraction" not in results:
        return f"{default_answer(results)} Signals were not recorded; run with --diagnostics."
    from jaxreg.reporting.tables import percent  # matplotlib is slow to import

    chosen, where = held_at(results, best_setting(results), AXIS)
    share = saturation(chosen).sortby(AXIS) if AXIS in chosen.dims else saturation(chosen).expand_dims(AXIS)
    interval = mean_interval(share, within=SHARE)
    values, columns = value_labels(share[AXIS].values.tolist()), (interval["mean"], interval["low"], interval["high"])
    each = [
        f"{percent(mean, low, high, decimals=1)} at {value}"
        for value, mean, low, high in zip(values, *(column.values.tolist() for column in columns), strict=True)
    ]
    ends = results["diagnosis"].isel(check=last_measured_check(results))
    counts = {verdict: int((ends == code).sum()) for verdict, code in verdict_codes(results["diagnosis"]).items()}
    shown = [f"{count} {verdict}" for verdict, count in counts.items() if count]
    return (
        f"Saturated share of layer 1 at the end{where}, by {AXIS}: {', '.join(each)}. "
        f"Of {sum(counts.values())} layers in all members {', '.join(shown) or 'none is judged'} at the last check."
        f"\n\n{default_answer(results)}"
    )


def draw(results: xr.Dataset) -> list[ReportFigure]:
    """The source's figures 5-22, verdicts, and signals at the start; at the best values of any further axes."""
    if "saturated_fraction" not in results:
        return default_figures(results)
    from jaxreg.reporting import figures  # matplotlib is slow to import, and not needed for a refusal

    best = best_setting(results)
    chosen, where = held_at(results, best, AXIS)
    drawn = [*_verdicts(results), *_propagation(results, best)]
    if AXIS in chosen.dims:
        chosen = chosen.sortby(AXIS)
        change = weight_change(chosen, at_end=False)
        watched = chosen.assign(
            saturated_share=chosen["saturated_fraction"].sel(layer=1, drop=True).assign_attrs(units="1"),
            weight_change=change.where(chosen["check_step"] > 0),  # before the first step it is rounding
        )
        drawn += [
            ReportFigure(
                "fig9_13_16_saturation",
                f"Saturated share of layer 1 against steps{where} (the source's figures 9, 13 and 16); above "
                f"{100 * MOST_SATURATED:g} % the layer counts as saturated.",
                figures.curves(watched, "saturated_share", title="Saturated share of layer 1"),
            ),
            ReportFigure(
                "fig7_18_20_weight_change",
                f"Relative change of the weights of layer 1 since the start against steps{where} (the source's figures "
                "7, 18 and 20); weights that start at zero are measured against 1/sqrt(inputs).",
                figures.curves(watched, "weight_change", log_y=True, title="Change of the weights of layer 1"),
            ),
        ]
    if "weights_histogram" in chosen:
        drawn += _histograms(chosen, where)
    if AXIS in chosen.dims:
        rows = (("train_loss", "test_loss"),)
        drawn.append(
            ReportFigure(
                "fig5_22_losses",
                f"Training and test loss against steps, a column for each variance{where} (the source's figures 5-22).",
                figures.panels(chosen, AXIS, rows, log_y=True),
            )
        )
    return drawn


def _verdicts(results: xr.Dataset) -> list[ReportFigure]:
    """Verdicts over the axis and training; of several axes, over settings and layers at the last check."""
    from jaxreg.reporting import figures

    diagnosis = with_divergence(results["diagnosis"], results)
    axes = setting_dims(diagnosis)
    if len(axes) < 2:
        over = axes[0] if axes else "layer"
        caption = f"The diagnosis of each layer, over {over} and training."
        return [ReportFigure("verdicts", caption, figures.verdict_map(diagnosis, "check", over))]
    panel = "activation" if "activation" in axes else axes[0]
    others = [axis for axis in axes if axis != panel]
    rows = ", ".join(others)
    ends = diagnosis.isel(check=last_measured_check(results))
    if len(others) > 1:
        settings = setting_values(ends.to_dataset(), others)
        columns = [value_labels([setting[name] for setting in settings]) for name in settings[0]]
        labels = [", ".join(row) for row in zip(*columns, strict=True)]
        ends = ends.stack({rows: others}, create_index=False).drop_vars(others).assign_coords({rows: labels})
    title = "Diagnosis at the last check"
    caption = (
        f"The diagnosis of each layer at the last check, for each {' and '.join(others)}; a panel for each {panel}."
    )
    return [ReportFigure("verdicts", caption, figures.verdict_map(ends, "layer", rows, title=title))]


def _propagation(results: xr.Dataset, best: dict[str, Any] | None) -> list[ReportFigure]:
    """Signals before the first step, of the deepest network; and the gradient ratio against depth."""
    from jaxreg.reporting import figures

    drawn, deepest = [], {}
    if DEPTH in results.dims:
        chosen, where = held_at(results, best, DEPTH, "activation")
        decades = gradient_decades(chosen).rename("log10_of_the_gradient_ratio")
        caption = f"Gradient norm of the first layer over that of the last before the first step, against depth{where}."
        title = "Gradient of the first layer over that of the last"
        drawn.append(ReportFigure("gradient_ratio", caption, figures.value_against(decades, DEPTH, title=title)))
        deepest = {DEPTH: max(results[DEPTH].values.tolist(), key=lambda sizes: (sizes.count("x"), sizes != "none"))}
    chosen, where = held_at(results, best and best | deepest, AXIS, "activation")
    caption = (
        f"Second moments of the signals in each layer before the first step{where}, with the mean-field prediction "
        "(Poole et al. 2016; Schoenholz et al. 2017)."
    )
    return [ReportFigure("signal_propagation", caption, figures.signal_propagation(chosen, AXIS)), *drawn]


def _histograms(results: xr.Dataset, where: str) -> list[ReportFigure]:
    """A figure of histograms for each variance, at most 8."""
    from jaxreg.reporting import figures
    from jaxreg.reporting.figures.style import evenly

    settings = results if AXIS in results.dims else results.expand_dims(AXIS)
    reading = reading_of(results)
    of_source = reading and all(results[name].item() == value for name, value in SOURCE.items())
    labels = value_labels(settings[AXIS].values.tolist())
    drawn = []
    for i in evenly(settings.sizes[AXIS], MAX_WATCHED):
        value, shown = settings[AXIS].values[i].item(), labels[i]
        numbers = (n for n in FIGURES if reading and of_source and agree(value, reading.variance(n)))
        source = FIGURES.get(next(numbers, math.nan))
        name = f"fig{source.replace('-', '_')}_histograms" if source else f"histograms_{shown}"
        named = f" (the source's figures {source})" if source else ""
        caption = (
            f"Weights, biases, activations and gradients of each layer along training at {AXIS}={shown}"
            f"{where.replace(' at ', ', ')}{named}."
        )
        title = f"Histograms at an initial variance of {shown}"
        drawn.append(ReportFigure(name, caption, figures.layer_histograms(settings.isel({AXIS: i}), title=title)))
    return drawn


STUDY = Study(
    name="signal_flow",
    title="Signal flow",
    question="Which initial weights saturate, freeze or starve a layer, and where do gradients vanish or explode?",
    source=told("000", "parts 1-3, figures 1 and 5-22"),
    claims=CLAIMS,
    answer=answer,
    figures=draw,
    notes=(
        "Signals are taken on a fixed probe of 1000 training examples at every check; rules and thresholds of the "
        "verdicts are in docs/diagnostics.md.",
        "Weights that start at zero have no relative change: theirs is measured against a root mean square of "
        "1/sqrt(inputs).",
        "Layer 1 saturates where it has that verdict: more than half of the (example, unit) pairs while the weights "
        "are still near those that were drawn. A larger share alone does not decide: trained weights of small variance "
        "end near one half too.",
        "Whether a histogram looks the same is judged by its total variation distance, with a bound of "
        f"{SMALLEST_SHIFT:g} that is ours: moves of single weights that cancel in it do not show.",
        "The source's figure 1, the computational graph, is TensorBoard's Graphs tab.",
        "The claims are in the source's numbers, judged at the variances for which the run takes them: a run of their "
        "squares reads them as standard deviations.",
    ),
)

if __name__ == "__main__":
    sys.exit(cli.main(STUDY))
