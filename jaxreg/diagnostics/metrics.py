"""Metrics of the user's own: means over the held-out sets at every check."""

from __future__ import annotations

from typing import Any

from jax import Array

from jaxreg.data import Data
from jaxreg.diagnostics.watch import Variable, View, Watch
from jaxreg.errors import ConfigError
from jaxreg.nn.losses import Function
from jaxreg.training.binding import bind
from jaxreg.training.member import mean_over_examples

_PARTS = ("validation", "test")
_BLOCK = 250  # examples at once, of each member


def metric(name: str, function: Function, units: str = "1", description: str = "") -> Watch:
    """A watch that measures the mean of a function over the validation and the test set at every check.

    Args:
      name: what it is called; the results hold `validation_NAME` and `test_NAME`, [..., seed, check]. A share that ends
        in `accuracy`, `error`, `share` or `fraction` is shown in per cent.
      function: (outputs [examples, outputs], labels) -> [examples]; further parameters are hyperparameters by name.
      units: of what it returns.
      description: what it is, in words.

    Raises:
      ConfigError: the name is none that a variable can have.
    """
    if not name.isidentifier() or name in ("loss", "accuracy"):
        raise ConfigError("metric", name, "is no name for a metric, or is measured already; give letters, digits and _")

    def measure(view: View) -> dict[str, Array]:
        measured, params = bind(function, view.hparams, 2), view.state.params
        return {
            f"{part}_{name}": mean_over_examples(measured, params, view.hparams, view.problem, inputs, labels, _BLOCK)
            for part, (inputs, labels) in view.data.items()
        }

    def prepare(data: Data) -> dict[str, Any]:
        return {part: tuple(data.splits[part]) for part in _PARTS}

    about = description or name.replace("_", " ")
    variables = {f"{part}_{name}": Variable(units, f"{about}, mean over the {part} set", ("check",)) for part in _PARTS}
    return Watch(name, variables, measure, prepare)
