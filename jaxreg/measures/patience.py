"""Early stopping: where patience runs out, what it would have saved, and what a member that stops keeps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jaxreg.measures.learning import at_check, between_checks, checked_every, units_of_losses
from jaxreg.measures.outcomes import num_trained_on
from jaxreg.slow_imports import xr


def stopped_check(validation_loss: xr.DataArray, patience: int) -> xr.DataArray:
    """The check at which patience runs out, [..., check] -> [...] int: -1 for never.

    The first check c with c - b >= patience, b being the best of the checks 0 ... c: the one of lowest loss, of equal
    ones the first (improvement is strict). NaN is never an improvement, and nothing stops there. 0 never runs out.

    References: Prechelt (1998), Early stopping - but when?
    """
    best = best_so_far(validation_loss)
    checks = xr.DataArray(np.arange(best.sizes["check"]), dims="check")
    out = (checks - best >= patience) & validation_loss.notnull() & (patience > 0)
    first = out.argmax("check").where(out.any("check"), -1)
    return first.rename("stopped_check").assign_attrs(units="1", description=f"check at which patience {patience} ends")


def best_so_far(validation_loss: xr.DataArray) -> xr.DataArray:
    """The first check of lowest loss among the checks 0 ... c, for each c, [..., check] int; 0 before any loss."""
    loss = validation_loss.transpose(..., "check").fillna(np.inf)
    lowest = np.minimum.accumulate(loss.values, axis=-1)
    before = np.insert(lowest[..., :-1], 0, np.inf, axis=-1)
    improved_at = np.where(loss.values < before, np.arange(loss.sizes["check"]), 0)
    return loss.copy(data=np.maximum.accumulate(improved_at, axis=-1)).drop_attrs()


def halted_by_patience(results: xr.Dataset) -> xr.DataArray:
    """Whether a member was halted by its patience, [..., seed]; one that trained on after its stop was not."""
    stopped = results["stopped_check"] >= 0
    return stopped & (results["after_stop"] == "halt") if "after_stop" in results.coords else stopped


def best_step(results: xr.Dataset) -> xr.DataArray:
    """Steps to the check of lowest validation loss, [..., seed]; NaN for a member that diverged or was halted."""
    step = at_check(results["check_step"], results["best_check"])
    step = step.where((results["diverged_step"] < 0) & ~halted_by_patience(results))
    return step.rename("best_step").assign_attrs(
        units="steps", description="steps to the lowest validation loss", resolution=checked_every(results)
    )


def stopping(results: xr.Dataset, patience: Sequence[int]) -> xr.Dataset:
    """What stopping would have done to members that trained on, read off their curves.

    A member that stops keeps the parameters of its best check until then.

    Args:
      results: of members without patience, or with `after_stop=continue`; of members that were halted for patience
        not above their own.
      patience: in checks.

    Returns:
      [patience, ..., seed]: `stopped_check` (-1 for never); `stopped_step` and `kept_step`, the steps taken and those
      to the check that is kept, both over all checks if it never stops; `saved`, the fraction of all steps that
      stopping spares; `kept_validation_loss`, `kept_test_loss` and
      `kept_test_accuracy`; and `diverged_step`.

    Raises:
      ValueError: patience is swept: select one value first.
    """
    if "patience" in results.dims:
        raise ValueError("patience: is swept; select one value of it first")
    results = results.drop_vars("patience", errors="ignore")
    loss, checks = results["validation_loss"], xr.DataArray(np.arange(results.sizes["check"]), dims="check")
    last = checks.where(loss.notnull()).max("check").fillna(-1)
    best, taken = best_so_far(loss), at_check(results["check_step"], last)
    taken = taken.where(~halted_by_patience(results), results["check_step"].max("check"))

    def stop_at(patience: int) -> xr.Dataset:
        stopped = stopped_check(loss, patience)
        until = stopped.where(stopped >= 0, last)
        kept = at_check(best, until).fillna(-1)
        step = at_check(results["check_step"], until)
        parts = {"stopped_check": stopped, "stopped_step": step, "kept_step": at_check(results["check_step"], kept)}
        parts["saved"] = 1 - step / taken.where(taken > 0)
        curves = ("validation_loss", "test_loss", "test_accuracy")
        parts |= {f"kept_{name}": at_check(results[name], kept) for name in curves}
        return xr.Dataset(parts)

    stops = xr.concat([stop_at(each) for each in patience], "patience").assign_coords(patience=list(patience))
    units = dict.fromkeys(("stopped_step", "kept_step"), "steps")
    units |= dict.fromkeys(("kept_validation_loss", "kept_test_loss"), units_of_losses(results))
    for name in stops:
        stops[name].attrs = {"units": units.get(str(name), "1")}
    return stops.assign(diverged_step=results["diverged_step"])


# What a member that stopped keeps.


def steps_taken(results: xr.Dataset) -> xr.DataArray:
    """The steps that a member took until it stopped, or to the end, [..., seed]."""
    taken = results["check_step"].where(results["validation_loss"].notnull()).max("check")
    return taken.rename("steps_taken").assign_attrs(units="steps")


def late_validation_loss(results: xr.Dataset, late: float = 0.1) -> xr.DataArray:
    """The mean validation loss over the last checks, [..., seed], in the units of the loss.

    Of a member that patience halted it is that of the parameters that it keeps: its lowest, which is chosen on the same
    set and so a little too low.

    Args:
      results: labelled results.
      late: the share of the checks that count, at least one.
    """
    loss = results["validation_loss"]
    mean = loss.isel(check=slice(-max(int(late * loss.sizes["check"]), 1), None)).mean("check", skipna=False)
    kept = mean.where(~halted_by_patience(results), results["best_validation_loss"])
    return kept.rename("late_validation_loss").assign_attrs(units=units_of_losses(results))


def kept_test_error(results: xr.Dataset) -> xr.DataArray:
    """Test error of what a member keeps, [..., seed]: the last parameters, or the best ones if patience halted it."""
    return (1 - results["final_test_accuracy"]).where(~halted_by_patience(results), 1 - results["best_test_accuracy"])


def overfitting(results: xr.Dataset) -> xr.DataArray:
    """Test loss at the end minus that at the best check on validation, [..., seed], in the units of the loss.

    NaN for a member whose best check is the last one, or that was halted.
    """
    went_on = (results["best_check"] < results.sizes["check"] - 1) & ~halted_by_patience(results)
    rise = (results["final_test_loss"] - results["best_test_loss"]).where(went_on)
    return rise.assign_attrs(units=units_of_losses(results))


def as_kept(results: xr.Dataset, curve: xr.DataArray) -> xr.DataArray:
    """A curve [..., check] that goes on, where patience has halted a member, with the value of what it keeps."""
    checks = xr.DataArray(np.arange(curve.sizes["check"]), dims="check")
    stopped = halted_by_patience(results) & (checks > results["stopped_check"])
    return curve.where(~stopped, at_check(curve, results["best_check"])).assign_attrs(curve.attrs)


def per_epoch(results: xr.Dataset) -> xr.Dataset:
    """The results with curves from check to check, as they are kept, and epochs in the place of examples seen.

    Added are `training_loss_with_penalty` and `training_loss` (means since the check before) and `validation_error`,
    all [..., seed, check], losses in their units; `validation_loss` goes on as kept, too.
    """
    epochs = (results["examples_seen"] / num_trained_on(results)).assign_attrs(long_name="training (epochs)")
    curves = {
        "training_loss_with_penalty": between_checks(results, "train_objective"),
        "training_loss": between_checks(results, "train_loss"),
        "validation_loss": results["validation_loss"],
        "validation_error": (1 - results["validation_accuracy"]).assign_attrs(units="1"),
    }
    kept = {name: as_kept(results, curve) for name, curve in curves.items()}
    return results.assign(kept).assign_coords(examples_seen=epochs)
