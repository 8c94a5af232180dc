"""The variables that the diagnostics measure, by the name in the results."""

from __future__ import annotations

from collections.abc import Mapping

from jaxreg.diagnostics.thresholds import SATURATION_MARGIN, SMALL
from jaxreg.diagnostics.watch import Variable

QUANTITIES = (
    "weights",
    "bias",
    "pre_activations",
    "activations",
    "gradients",
    "updates",
    "backpropagated",
)


def _variables() -> dict[str, Variable]:
    quantities = {
        "weights": ("1", "the weights"),
        "bias": ("1", "the biases"),
        "pre_activations": ("1", "the inputs of the units on the probe"),
        "activations": ("1", "the outputs of the units on the probe"),
        "gradients": ("nats", "the gradient of the objective with respect to the weights"),
        "updates": ("1", "what the optimizer would add to the weights on the gradient of the probe"),
        "backpropagated": ("nats", "the gradient of each example's loss with respect to the inputs of the units"),
    }
    by_layer, by_bin = ("check", "layer"), ("check", "layer", "bin")
    moments = {
        f"{name}_{moment}": Variable(units, f"{words} of {what}", by_layer)
        for name, (units, what) in quantities.items()
        for moment, words in (("mean", "mean"), ("std", "standard deviation"))
    }
    others = {
        "saturated_fraction": (
            "1",
            f"share of (example, unit) pairs within {SATURATION_MARGIN:g} of a flat end of the sigmoid; of the output "
            "layer, share of examples with an output there on the wrong side",
        ),
        "dead_fraction": ("1", "share of ReLU units that fire for no example of the probe"),
        "distinct_units": ("units", "number of different incoming weight vectors, bias included"),
        "weight_norm": ("1", "norm of the weights"),
        "small_weights_fraction": ("1", f"share of weights with |w| < {SMALL:g}"),
        "silent_fraction": ("1", f"share of (example, unit) pairs with an activation |a| < {SMALL:g} on the probe"),
        "effective_rank": ("1", "(sum s^2)^2 / sum s^4 of the singular values s of the weights"),
        "at_bound_fraction": ("1", "share of units whose incoming weights are at the bound max_norm"),
        "gradient_norm": ("nats", "norm of the gradient of the objective with respect to the weights"),
        "update_ratio": ("1", "norm of the update / norm of the weights"),
        "relative_change": ("1", "norm of what the weights changed since the start / their norm at the start"),
        "diagnosis": ("1", "verdict on the layer, by code; -1 for none"),
    }
    of_network = {
        "gradient_ratio": ("1", "gradient norm of the first layer / of the output layer"),
        "gradient_square": (
            "nats^2",
            "estimate of the squared norm of the gradient of the loss; unbiased for examples of an endless population, "
            "plus gradient_variance / train_examples for the training set",
        ),
        "gradient_variance": ("nats^2", "unbiased estimate of the trace of the covariance of one example's gradient"),
    }
    return (
        moments
        | {name: Variable(*texts, by_layer) for name, texts in others.items()}
        | {name: Variable(*texts, ("check",)) for name, texts in of_network.items()}
        | {
            f"{name}_histogram": Variable("values", f"values per bin of {what}", by_bin)
            for name, (_, what) in quantities.items()
        }
    )


VARIABLES: Mapping[str, Variable] = _variables()
