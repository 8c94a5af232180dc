"""The standard and the normalised initialisation of Glorot and Bengio: signals through five layers, at the start.

Question: which scheme keeps the size of what is passed forward and back from layer to layer, under which activation?
Source:   Glorot and Bengio (2010), Understanding the difficulty of training deep feedforward neural networks, sections
3 and 4: uniform weights within 1/sqrt(inputs), the standard of its time, and its equation 16.
Command:  python -m experiments.references.glorot --flagfile=experiments/flagfiles/glorot.cfg [--data_dir=...]
          On scikit-learn's digits, in seconds: --flagfile=experiments/flagfiles/glorot_digits.cfg

Assumed: MNIST, 100 units a layer; the source has 1000 and pictures of shapes, MNIST, CIFAR-10 and a small ImageNet. Of
its curves there is no table to compare with: its statements are judged.

Expected (MNIST, ten seeds): from one hidden layer to the next below, the signal that is passed back keeps 0.573 of its
size with tanh under the standard scheme and 0.907 under the normalised one; in all layers signals lie on the mean-field
prediction. After 5500 steps the normalised scheme reaches 95.1 % with tanh, the standard one 94.0 %; sigmoid networks
are still at chance under both.
Wall time: 3 minutes on 2 virtual cores of a shared cloud machine (Intel Xeon), other work beside.

Notes: the standard scheme is lecun_uniform with a factor of 1/3, the normalised one glorot_uniform. With n units in a
layer, sqrt(n Var w) is the factor by which a layer changes the size of a signal where its units are linear: 1/sqrt(3) =
0.577 under the standard scheme, 1 under the normalised one. Units that bend pass less back.
"""

from __future__ import annotations

import sys

from experiments import cli
from jaxreg.claims import Claim, Higher, Measure, Within
from jaxreg.measures.settings import held_at
from jaxreg.measures.summary import best_setting
from jaxreg.reporting.defaults import default_figures
from jaxreg.slow_imports import xr
from jaxreg.study import ReportFigure, Study

SOURCE = "Glorot and Bengio (2010)"
STANDARD, NORMALISED = {"init": "lecun_uniform"}, {"init": "glorot_uniform"}
LINEAR = 3**-0.5  # what a linear layer passes on under the standard scheme


def _factor(results: xr.Dataset, quantity: str, *, back: bool) -> xr.DataArray:
    """The mean factor from one hidden layer to the next of the root mean square of a signal at the start, [..., seed].

    From the first hidden layer to the last, or back.
    """
    mean, std = (results[f"{quantity}_{part}"].isel(check=0).astype(float) for part in ("mean", "std"))
    size = (mean**2 + std**2) ** 0.5
    first, last = size.isel(layer=0, drop=True), size.isel(layer=-2, drop=True)
    ratio = first / last if back else last / first
    steps = results.sizes["layer"] - 2
    return (ratio ** (1 / steps)).assign_attrs(units="1")


BACK = Measure("factor per layer of the signal that is passed back", lambda r: _factor(r, "backpropagated", back=True))
FORWARD = Measure("factor per layer of the activations", lambda r: _factor(r, "activations", back=False))


def _same(statement: str, activation: str, low: float, high: float, scheme: dict[str, str]) -> Within:
    return Within(statement, BACK, scheme | {"activation": activation}, low, high, source=SOURCE)


CLAIMS: tuple[Claim, ...] = (
    _same(
        "Under the standard scheme a tanh layer passes back about 1/sqrt(3), as a linear one would.",
        *("tanh", 0.95 * LINEAR, 1.05 * LINEAR, STANDARD),
    ),
    _same("Under the standard scheme a softsign layer passes back less than that.", "softsign", 0, LINEAR, STANDARD),
    _same("Under the normalised scheme a tanh layer passes back nearly all.", "tanh", 0.8, 1, NORMALISED),
    *(
        Higher(
            f"Under the normalised scheme the activations of {activation} units shrink less.",
            FORWARD,
            NORMALISED | {"activation": activation},
            STANDARD | {"activation": activation},
            source=SOURCE,
        )
        for activation in ("tanh", "softsign")
    ),
    *(
        Higher(
            f"Under either scheme {other} layers pass back more than sigmoid layers ({name}).",
            BACK,
            scheme | {"activation": other},
            scheme | {"activation": "sigmoid"},
            source=SOURCE,
        )
        for other in ("tanh", "softsign")
        for name, scheme in (("standard", STANDARD), ("normalised", NORMALISED))
    ),
    Higher(
        "Deep tanh networks train better from the normalised scheme.",
        "final_test_accuracy",
        NORMALISED | {"activation": "tanh"},
        STANDARD | {"activation": "tanh"},
        source=SOURCE,
    ),
)


def draw(results: xr.Dataset) -> list[ReportFigure]:
    """Signals in each layer before the first step, beside mean-field theory, then the usual figures."""
    if "init" not in results.dims or "weights_std" not in results:
        return default_figures(results)
    from jaxreg.reporting import figures  # matplotlib is slow to import

    chosen, where = held_at(results, best_setting(results), "init", "activation")
    caption = (
        f"Second moments of the signals in each layer before the first step{where}, with the mean-field prediction "
        "(Poole et al. 2016; Schoenholz et al. 2017)."
    )
    propagation = figures.signal_propagation(chosen, "init")
    return [ReportFigure("signal_propagation", caption, propagation), *default_figures(results)]


STUDY = Study(
    name="glorot",
    title="The standard and the normalised initialisation",
    question="Which scheme keeps the size of signals through five layers, forward and back?",
    source="Glorot and Bengio (2010), Understanding the difficulty of training deep feedforward neural networks.",
    claims=CLAIMS,
    figures=draw,
    notes=("The source prints no table of these curves: its statements are judged, with factors from its equations.",),
)

if __name__ == "__main__":
    sys.exit(cli.main(STUDY))
