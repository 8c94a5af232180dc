"""What settings are judged by: accuracy, or the loss where no prediction is right or wrong."""

from __future__ import annotations

from jaxreg.slow_imports import xr


def outcome_of(results: xr.Dataset) -> str:
    """What settings are judged by: "accuracy", or "loss" where there are no accuracies; the end of its name."""
    return "accuracy" if "final_validation_accuracy" in results else "loss"


def validation_accuracy(results: xr.Dataset) -> xr.DataArray:
    """The final validation accuracy, [..., seed], by which settings are ordered before the loss is looked at.

    Without accuracies it is 0 wherever there is a loss, so that the loss decides.
    """
    if outcome_of(results) == "accuracy":
        return results["final_validation_accuracy"]
    loss = results["final_validation_loss"]
    return xr.zeros_like(loss).where(loss.notnull())
