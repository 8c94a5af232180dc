"""Early stopping: where patience runs out, what it would have saved, and what a member that stops keeps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from jaxreg.measures.learning import at_check


def stopped_check(validation_loss: xr.DataArray, patience: int) -> xr.DataArray:
    """The check at which patience runs out, [..., check] -> [...] int: -1 for never.

    The first check c with c - b >= patience, b being the best of the checks 0 ... c: the one of lowest loss, of equal
    ones the first (improvement is strict). NaN is never an improvement, and nothing stops there. 0 is never out.

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
    return step.rename("best_step").assign_attrs(units="steps", description="steps to the lowest validation loss")


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
    units = {"stopped_step": "steps", "kept_step": "steps", "kept_validation_loss": "nats", "kept_test_loss": "nats"}
    for name in stops:
        stops[name].attrs = {"units": units.get(str(name), "1")}
    return stops.assign(diverged_step=results["diverged_step"])
