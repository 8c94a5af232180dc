"""What penalties do to training: the objective that holds them, and its jump where late L1 sets in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jaxreg.config import suppressed_by
from jaxreg.config.steps import steps_before
from jaxreg.measures.learning import at_last_check, between_checks, units_of_losses
from jaxreg.measures.settings import setting_values
from jaxreg.nn.regularisers import REGULARISERS
from jaxreg.slow_imports import xr


def effective_setting(setting: Mapping[str, Any]) -> dict[str, Any]:
    """A setting without the strengths that its method leaves out: method and l2_strength of a setting of method=l2."""
    if setting.get("method", "all") == "all":
        return dict(setting)
    suppressed = suppressed_by(str(setting["method"]))
    return {name: value for name, value in setting.items() if name not in suppressed}


def effective_settings(results: xr.Dataset, dims: Sequence[str]) -> list[dict[str, Any]]:
    """The settings along `dims`, as `setting_values` goes through them, each without the strengths that do not act.

    Those are what its method leaves out, and what belongs to a regulariser that is off: l1_start at l1_strength=0.
    """
    names = ("method", *(r.strength for r in REGULARISERS.values()))
    fixed = {name: results[name].item() for name in names if name in results.coords and not results[name].dims}

    def acting(setting: dict[str, Any]) -> dict[str, Any]:
        whole = fixed | setting
        kept = effective_setting(whole)
        off = [r for r in REGULARISERS.values() if r.owns and whole.get(r.strength) == r.off]
        idle = {name for regulariser in off for name in regulariser.owns}
        return {name: value for name, value in setting.items() if name in kept and name not in idle}

    return [acting(setting) for setting in setting_values(results[["diverged_step"]], dims)]


def last_objective(results: xr.Dataset) -> xr.DataArray:
    """The training loss with penalties, averaged over the steps from the last check but one to the last.

    In the units of the loss. Of a member that patience halted these are its own last two checks; NaN for one that
    diverged.

    Returns:
      [..., seed]

    Raises:
      KeyError: settings differ in when they are checked.
    """
    last = at_last_check(results.assign(last_objective=between_checks(results)), "last_objective")
    return last.where(results["diverged_step"] < 0).assign_attrs(units=units_of_losses(results))


def rise_after_l1(results: xr.Dataset, variable: str, window: int = 100) -> xr.DataArray:
    """How much a training loss rises where late L1 sets in, in the units of the loss, [..., seed].

    The mean over the steps of a window from there on minus the mean over the steps of a window before.

    Args:
      results: of one `l1_start` and `num_steps`, with a record of the steps around.
      variable: a loss along `step`: "train_objective", or "train_loss" without the penalties.
      window: in steps.

    Raises:
      KeyError: L1 does not set in during training, or not at one step for all settings.
    """
    start, step, loss = first_l1_step(results), results["step"], results[variable]
    after = loss.sel(step=(step >= start) & (step < start + window)).mean("step")
    before = loss.sel(step=(step >= start - window) & (step < start)).mean("step")
    return (after - before).rename(f"rise_of_{variable}").assign_attrs(units=units_of_losses(results))


def validation_rise_after_l1(results: xr.Dataset) -> xr.DataArray:
    """Validation loss after late L1 has acted for as long as lies between checks, minus that before it set in.

    In the units of the loss, [..., seed].

    Raises:
      KeyError: as in `rise_after_l1`.
    """
    start, at = first_l1_step(results), results["check_step"]
    loss = results["validation_loss"]
    before = int((at <= start).sum()) - 1
    after = min(int((at < start + float(at[1] - at[0])).sum()), results.sizes["check"] - 1)
    rise = loss.isel(check=after, drop=True) - loss.isel(check=before, drop=True)
    return rise.rename("rise_of_validation_loss").assign_attrs(units=units_of_losses(results))


def peak_objective(results: xr.Dataset) -> xr.DataArray:
    """The largest training loss of a batch, with penalties, after late L1 has set in, [..., seed], in its units.

    Raises:
      KeyError: as in `rise_after_l1`.
    """
    after = results["step"] >= first_l1_step(results)
    return results["train_objective"].sel(step=after).max("step").assign_attrs(units=units_of_losses(results))


def first_l1_step(results: xr.Dataset) -> int:
    """The first step at which late L1 acts: the smallest whole number >= l1_start · num_steps.

    Raises:
      KeyError: L1 does not set in during training, or not at one step for all settings.
    """
    start, num_steps = results["l1_start"], results["num_steps"]
    if start.dims or num_steps.dims or results["check_step"].dims != ("check",):
        raise KeyError("l1_start")
    first = steps_before(start.item(), num_steps.item())
    if not 0 < first < num_steps.item():
        raise KeyError("l1_start")
    return first
