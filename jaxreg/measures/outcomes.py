"""What settings are judged by, accuracy or loss, and on how many examples they were trained."""

from __future__ import annotations

from typing import Any

from jaxreg.slow_imports import xr


def outcome_of(results: xr.Dataset) -> str:
    """What settings are judged by: "accuracy", or "loss" where there are no accuracies; the end of its name."""
    return "accuracy" if "final_validation_accuracy" in results else "loss"


def num_trained_on(results: xr.Dataset) -> Any:
    """How many training examples the members see: a number, or where settings differ in it an array of those."""
    if "train_size" in results.coords:
        return results["train_size"]
    return results.attrs["train_examples"]  # of a run of an earlier version


def validation_accuracy(results: xr.Dataset) -> xr.DataArray:
    """The final validation accuracy, [..., seed], by which settings are ordered before the loss is looked at.

    Without accuracies it is 0 wherever there is a loss, so that the loss decides.
    """
    if outcome_of(results) == "accuracy":
        return results["final_validation_accuracy"]
    loss = results["final_validation_loss"]
    return xr.zeros_like(loss).where(loss.notnull())
