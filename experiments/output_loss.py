"""Why does squared error get stuck? Sigmoid outputs under it and under cross-entropy, for larger and larger weights.

Question: sigmoid outputs that begin at 0 or 1 are stuck there under squared error, whose gradient has the slope of the
sigmoid as a factor. From which initial weights on, and does the diagnosis of the output layer say so?
Source:   a classic: Nielsen (2015), Neural Networks and Deep Learning, chapter 3; no numbers of it are compared here.
Command:  python -m experiments.output_loss --flagfile=experiments/flagfiles/output_loss_digits.cfg

Notes: loss and activation of the output are zipped: squared_error sees sigmoid outputs, sigmoid_cross_entropy takes
their sigmoid itself and so sees logits (--output_activation=identity). The diagnosis of the output layer asks for
examples with an output at 0 or 1 on the wrong side; logits have no such ends.

Expected (digits, five seeds): 95, 92, 36 and 18 % right under squared error at variance 0.01, 1, 10 and 100; 98, 98, 90
and 69 % under cross-entropy. At variance 100 all examples begin with an output on the wrong side, and under squared
error nearly nine in ten end so, which the diagnosis calls saturated.
Wall time: half a minute on 2 virtual cores of a shared cloud machine (Intel Xeon), other work beside.
"""

from __future__ import annotations

import sys
from functools import partial

from experiments import cli
from jaxreg.claims import Higher, Measure, Trend, Within
from jaxreg.measures import has_diagnosis, saturation
from jaxreg.reporting.defaults import default_answer, default_figures
from jaxreg.slow_imports import xr
from jaxreg.statistics import mean_interval
from jaxreg.study import ReportFigure, Study

AXIS, ACCURACY = "init_variance", "final_test_accuracy"
SQUARED, ENTROPY = {"loss": "squared_error"}, {"loss": "sigmoid_cross_entropy"}
LARGEST = {AXIS: 100}


def _of_output_layer(measure: str, results: xr.Dataset, *, at_end: bool = True) -> xr.DataArray:
    """The stuck share of the output layer, or whether it is diagnosed as saturated, [..., seed]."""
    layer = results.sizes["layer"]
    if measure == "diagnosis":
        return has_diagnosis(results, "saturated", layer)
    return saturation(results, layer, at_end=at_end)


STUCK = "share of examples with an output stuck on the wrong side"
AT_START = Measure(f"{STUCK}, before the first step", partial(_of_output_layer, "share", at_end=False))
AT_END = Measure(f"{STUCK}, at the end", partial(_of_output_layer, "share"))
DIAGNOSED = Measure(
    "diagnosis saturated of the output layer at the end, 1 for yes", partial(_of_output_layer, "diagnosis")
)

CLAIMS = (
    Higher(
        "With large weights cross-entropy ends with more right.",
        "final_test_accuracy",
        LARGEST | ENTROPY,
        LARGEST | SQUARED,
    ),
    Within(
        "With large weights squared error is stuck below one in three.",
        "final_test_accuracy",
        LARGEST | SQUARED,
        0,
        1 / 3,
    ),
    Within("The diagnosis names it: the output layer is saturated to the end.", DIAGNOSED, LARGEST | SQUARED, 1, 1),
    Within("With small weights it does not.", DIAGNOSED, {AXIS: 0.01} | SQUARED, 0, 0),
    Trend("The larger the weights, the more outputs begin on the wrong side.", AT_START, AXIS, "rises", SQUARED),
    Trend("The larger the weights, the more outputs stay there.", AT_END, AXIS, "rises", SQUARED),
)


def figures(results: xr.Dataset) -> list[ReportFigure]:
    """Where outputs are stuck along training, and what both losses come to."""
    from jaxreg.reporting import figures as draw

    drawn = default_figures(results)
    if "saturated_fraction" in results and "loss" in results.dims:
        of_outputs = results.sel(SQUARED).isel(layer=[-1])
        of_outputs = of_outputs.assign(stuck_share=of_outputs["saturated_fraction"].isel(layer=0, drop=True))
        of_outputs["stuck_share"].attrs |= {"units": "1", "long_name": "share of examples stuck on the wrong side"}
        title = "Squared error: examples with an output stuck on the wrong side"
        caption = "Squared error: share of examples with an output at 0 or 1 on the wrong side, along training."
        drawn.insert(0, ReportFigure("stuck_outputs", caption, draw.curves(of_outputs, "stuck_share", title=title)))
    return drawn


def answer(results: xr.Dataset) -> str:
    """What both losses reach with the largest weights, and what the diagnosis says."""
    said = default_answer(results)
    if "loss" not in results.dims or AXIS not in results.dims or "diagnosis" not in results:
        return said
    largest = results.isel({AXIS: results[AXIS].values.argmax()})
    reached = 100 * mean_interval(largest["final_test_accuracy"])["mean"]
    squared, entropy = (float(reached.sel(loss)) for loss in (SQUARED, ENTROPY))
    stuck = 100 * float(AT_END.of(largest).sel(SQUARED).mean("seed"))
    return (
        f"{said}\n\nWith weights of variance {float(largest[AXIS]):g} squared error ends with {squared:.1f} % right, "
        f"cross-entropy with {entropy:.1f} %; under squared error {stuck:.0f} % of the examples still have an output "
        "at 0 or 1 on the wrong side."
    )


STUDY = Study(
    name="output_loss",
    title="Squared error and sigmoid outputs",
    question="Why does squared error get stuck where cross-entropy learns?",
    source="Nielsen (2015), Neural Networks and Deep Learning, chapter 3.",
    answer=answer,
    claims=CLAIMS,
    figures=figures,
)

if __name__ == "__main__":
    sys.exit(cli.main(STUDY))
