"""How swept axes that a claim leaves open are chosen: the settings that are best on validation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from jaxreg.claims.comparison import Values
from jaxreg.claims.wording import listed
from jaxreg.measures.outcomes import validation_accuracy
from jaxreg.measures.settings import NotHeldError, setting_label
from jaxreg.slow_imports import xr


def best_on_validation(results: xr.Dataset, free: Sequence[str], named: Sequence[str], places: Sequence[int]) -> int:
    """The best position in the flattened [*free], by the order of `measures.summary.ranking`.

    That is: settings without a diverged member first, then by the highest final validation accuracy, ties by the lower
    validation loss; both averaged over the seeds and over the settings that are compared.

    Args:
      results: of the run.
      free: the dimensions that the claim leaves open.
      named: the dimensions that it names.
      places: of the settings compared, positions in the flattened [*named].

    Raises:
      NotHeldError: no setting has a validation accuracy.
    """
    sizes = results.sizes
    shape = (math.prod(sizes[dim] for dim in free), math.prod(sizes[dim] for dim in named), -1)

    def candidates(measured: xr.DataArray) -> Values:
        """[choice, place, seed]"""
        values = measured.variable.transpose(*free, *named, ...).to_numpy()
        return values.reshape(shape)[:, places].astype(np.float64)

    no_accuracy = NotHeldError(
        "No setting has a validation accuracy by which "
        f"{listed([dim for dim in free if sizes[dim] > 1])} could be chosen"
    )
    try:
        accuracies = _mean(candidates(validation_accuracy(results)))
        losses = _mean(candidates(results["final_validation_loss"]))
        diverged = (candidates(results["diverged_step"]) >= 0).any((1, 2))
    except KeyError as missing:
        raise no_accuracy from missing
    if np.isnan(accuracies).all():
        raise no_accuracy
    accuracy = _mean(accuracies).round(9)  # the same count of right examples ties
    order = np.lexsort((_mean(losses), -accuracy, diverged, np.isnan(accuracies).sum(-1)))
    return int(order[0])


def note_choice(results: xr.Dataset, free: Sequence[str], choice: int, compared: str) -> str:
    """A sentence that says which position in the flattened [*free] was chosen, and what that does to p.

    `compared` says in words what the validation accuracy is averaged over, "" if it is one setting.
    """
    sizes = [results.sizes[dim] for dim in free]
    at = np.unravel_index(choice, sizes)
    chosen = {d: results[d].values[i].item() for d, i, size in zip(free, at, sizes, strict=True) if size > 1}
    averaged = f" (averaged over {compared})" if compared else ""
    return (
        f"Judged at {setting_label(chosen)}, the best of {math.prod(sizes)} on validation{averaged}; for that choice p "
        f"is multiplied by {math.prod(sizes)}. A claim that names {listed(list(chosen))} needs no such factor."
    )


def _mean(values: Values) -> Values:
    """Along the last axis, NaN left out."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nansum(values, -1) / (~np.isnan(values)).sum(-1))
