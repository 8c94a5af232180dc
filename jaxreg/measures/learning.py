"""How fast and how well members train: curves read at a check, time to train, the best value of an axis, errors."""

from __future__ import annotations

import math

import numpy as np

from jaxreg.measures.outcomes import outcome_of, validation_accuracy
from jaxreg.measures.settings import NotHeldError
from jaxreg.slow_imports import xr

_LOSSES = ("validation_loss", "train_objective", "train_loss", "test_loss", "final_test_loss")


def steps_to_train(results: xr.Dataset, threshold: float = 0.85) -> xr.DataArray:
    """Steps to the first check with test accuracy >= threshold, […, seed]; never is +inf (censored, ranked last).

    A member that diverged counts by what it reached before. `attrs["threshold"]` keeps the threshold, and
    `attrs["resolution"]` says how often it was looked: "checked every 50 steps".
    """
    reached = results["test_accuracy"] >= threshold
    steps = results["check_step"].where(reached).min("check").fillna(np.inf)
    return (
        steps.transpose(*(dim for dim in reached.dims if dim != "check"))
        .rename("steps_to_train")
        .assign_attrs(
            units="steps",
            description=f"steps to the first check with test accuracy >= {threshold:g}",
            threshold=threshold,
            resolution=checked_every(results),
            long_name=f"steps to a test accuracy of {threshold:g}",
        )
    )


def checked_every(results: xr.Dataset) -> str:
    """How far apart the checks are, which is how exactly a step can be known that is read off them.

    "checked every 50 steps", or "checked every 10 to 50 steps" where settings differ; "" of fewer than two checks.
    """
    steps = results["check_step"].transpose(..., "check").values
    apart = np.diff(steps, axis=-1)[..., :1].astype(float)
    if not (apart := apart[np.isfinite(apart)]).size:
        return ""
    least, most = int(apart.min()), int(apart.max())
    return f"checked every {least if least == most else f'{least} to {most}'} steps"


def with_divergence(values: xr.DataArray, results: xr.Dataset) -> xr.DataArray:
    """The same values with the coordinate `diverged_step`, by which figures tell a member that diverged from a gap.

    A value of several members, such as the best of an axis, is of one that diverged where all of them did.
    """
    step = results["diverged_step"]
    return values.assign_coords(diverged_step=step.min([dim for dim in step.dims if dim not in values.dims]))


def best_value(results: xr.Dataset, axis: str) -> xr.DataArray:
    """The value of an axis that is best on validation for each seed, [..., seed] without `axis`.

    By the highest final validation accuracy, ties, and all where there is none, by the lower loss. NaN where all
    members along the axis diverged.

    Raises:
      NotHeldError: `axis` is not swept.
    """
    if axis not in results.dims:
        raise NotHeldError(f"This run does not sweep {axis}")
    accuracy, loss = validation_accuracy(results), results["final_validation_loss"]
    ties = loss.where(accuracy == accuracy.max(axis))
    return (
        ties.idxmin(axis)
        .rename(f"best_{axis}")
        .assign_attrs(units="1", description=f"value of {axis} with the best final validation {outcome_of(results)}")
    )


def log10_best_value(results: xr.Dataset, axis: str) -> xr.DataArray:
    """The decimal logarithm of `best_value`, [..., seed] without `axis`: for an axis whose values span decades.

    Raises:
      NotHeldError: `axis` is not swept.
    """
    best = best_value(results, axis)
    return best.copy(data=np.log10(best.values)).rename(f"log10_of_the_best_{axis}").assign_attrs(units="1")


def units_of_losses(results: xr.Dataset) -> str:
    """The units of the losses of a run: "nats", or "1" where its loss is in none, or its losses are in several."""
    return next((str(results[name].attrs.get("units", "nats")) for name in _LOSSES if name in results), "nats")


def generalisation_gap(results: xr.Dataset) -> xr.DataArray:
    """Mean loss of the test set minus that of the training set after the last step, [..., seed], in their units."""
    gap = results["final_test_loss"] - results["final_train_loss"]
    about = {"units": units_of_losses(results), "description": "final test loss - training loss"}
    return gap.rename("generalisation_gap").assign_attrs(about)


def final_test_error(results: xr.Dataset) -> xr.DataArray:
    """The share of test examples that are classified wrongly after the last step, [..., seed]."""
    error = 1 - results["final_test_accuracy"]
    return error.rename("final_test_error").assign_attrs(units="1", description="1 - final test accuracy")


def between_checks(results: xr.Dataset, variable: str = "train_objective") -> xr.DataArray:
    """The mean of a curve along `step` over the steps between a check and the one before it, [..., seed, check].

    NaN at the first check, where no step has been taken, and where no step was recorded. With a check after every epoch
    it is the mean over the epoch.

    Raises:
      KeyError: settings differ in when they are checked: select some first that do not.
    """
    curve, checks = results[variable], results["check_step"]
    if checks.dims != ("check",):
        raise KeyError("check_step")
    edges = np.searchsorted(results["step"].values, checks.values)  # the first step that was taken after each check
    before = [dim for dim in curve.dims if dim != "step"]
    values = curve.transpose(*before, "step").values
    means = np.full((*values.shape[:-1], len(edges)), np.nan)
    for check in range(1, len(edges)):
        if edges[check] > edges[check - 1]:
            means[..., check] = values[..., edges[check - 1] : edges[check]].mean(-1, dtype=np.float64)
    units = curve.attrs.get("units", "1")
    return xr.DataArray(
        means,
        dims=(*before, "check"),
        coords={name: c for name, c in curve.coords.items() if "step" not in c.dims} | {"check_step": checks},
        name=f"{variable}_between_checks",
        attrs={"units": units, "description": f"mean of {variable} since the check before"},
    )


def at_check(curve: xr.DataArray, check: xr.DataArray) -> xr.DataArray:
    """The value of a curve [..., check] at one check of each member; NaN where that is -1."""
    curve = curve.drop_vars([name for name, coordinate in curve.coords.items() if "check" in coordinate.dims])
    return curve.isel(check=check.astype(np.int64).clip(min=0)).where(check >= 0)


def at_last_check(results: xr.Dataset, variable: str) -> xr.DataArray:
    """The last value of a curve along `check` that a member has, [..., seed, ...]; NaN if it has none."""
    curve, loss = results[variable], results["validation_loss"]
    checks = xr.DataArray(np.arange(loss.sizes["check"]), dims="check")
    last = checks.where(loss.notnull()).max("check").fillna(-1)
    return at_check(curve, last).rename(variable).assign_attrs(curve.attrs)


def up_to_now(results: xr.Dataset) -> xr.Dataset:
    """Results of a run that goes on, with what stands for the end of training taken at the last check so far.

    That is every `final_NAME` of a NAME along `check`, of members that neither ended nor diverged. Members that have
    not begun have none.
    """
    sound = results["diverged_step"] < 0
    last = {}
    for name in results.data_vars:
        curve = str(name).removeprefix("final_")
        if curve != name and curve in results and "check" in results[curve].dims:
            end = results[name]
            last[str(name)] = end.fillna(at_last_check(results, curve).where(sound)).transpose(*end.dims)
            last[str(name)].attrs = end.attrs
    return results.assign(last)


def time_per_member(results: xr.Dataset) -> xr.DataArray:
    """The coordinate `seconds` divided by the members that share it, [..., check].

    Members of one program train at the same time, so their time is shared equally. It is what a member costs in this
    run, which is less than it would take alone.
    """
    members, seconds = results["diverged_step"], results["seconds"]
    sharing = math.prod(members.sizes[dim] for dim in members.dims if dim not in seconds.dims)
    return (seconds / sharing).assign_attrs(
        units="s",
        long_name="training time per member (seconds)",
        description=f"training time of all members of a program, divided by the {sharing} that it trains at once",
    )


def time_alone(results: xr.Dataset) -> xr.DataArray:
    """Training time of each method alone, [method, seed], in seconds.

    Repeat r of `training_time_alone` [method, repeat] trained the r-th seed, so that methods are paired by seed.

    Raises:
      KeyError: the run does not hold such times.
    """
    seconds = results["training_time_alone"].rename(repeat="seed")
    return seconds.assign_coords(seed=results["seed"].values[0] + np.arange(seconds.sizes["seed"]))


def classes_predicted(results: xr.Dataset) -> xr.DataArray:
    """How many classes a member predicts for one test example or more after the last step, [..., seed]."""
    count = (results["test_confusion"].sum("label") > 0).sum("prediction")
    return count.rename("classes_predicted").assign_attrs(units="classes")


def leaves_out_a_class(results: xr.Dataset) -> xr.DataArray:
    """Which members predict some class for no test example, bool [..., seed]; not those that diverged."""
    return (classes_predicted(results) < results.sizes["prediction"]) & (results["diverged_step"] < 0)
