"""What is read off labelled results: settings and their names, time to train, noise, generalisation, stopping."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from jaxreg.config import suppressed_by

WITHIN_SETTINGS = (
    *("seed", "step", "check", "layer", "bin", "label", "prediction", "repeat", "t"),
    *("x1", "x2", "example"),
)


def setting_dims(results: xr.Dataset | xr.DataArray) -> tuple[str, ...]:
    """The swept dimensions, in order: all but those within a setting (`WITHIN_SETTINGS`)."""
    arrays = results.data_vars.values() if isinstance(results, xr.Dataset) else [results]
    dims = dict.fromkeys(str(dim) for array in arrays for dim in array.dims)
    return tuple(dim for dim in dims if dim not in WITHIN_SETTINGS)


def settings(
    results: xr.Dataset, dims: Sequence[str] | None = None, *, where: Sequence[bool] | None = None
) -> Iterator[tuple[dict[str, Any], xr.Dataset]]:
    """Each setting, last dimension fastest: its values by name (zipped ones included) and its part of the results.

    `dims` are the dimensions to go through, `setting_dims(results)` by default; of the settings only those that are
    true in `where`, if it is given.
    """
    dims = setting_dims(results) if dims is None else dims
    indices = np.ndindex(*(results.sizes[dim] for dim in dims))
    for number, (index, values) in enumerate(zip(indices, setting_values(results, dims), strict=True)):
        if where is None or where[number]:
            yield values, results.isel(dict(zip(dims, index, strict=True)))


def setting_values(results: xr.Dataset, dims: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """The values of each setting by name, in the order of `settings`."""
    dims = setting_dims(results) if dims is None else dims
    shape = tuple(results.sizes[dim] for dim in dims)
    names = [str(name) for name, coord in results.coords.items() if coord.dims and set(coord.dims) <= set(dims)]
    names.sort(key=lambda name: dims.index(str(results[name].dims[0])))
    columns = []
    for name in names:
        coord = results[name].transpose(*(dim for dim in dims if dim in results[name].dims))
        missing = tuple(axis for axis, dim in enumerate(dims) if dim not in coord.dims)
        columns.append(np.broadcast_to(np.expand_dims(coord.values, missing), shape).ravel().tolist())
    if not columns:
        return [{} for _ in range(math.prod(shape))]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def setting_label(setting: Mapping[str, Any]) -> str:
    """A setting in one line: "learning_rate=0.1, init_variance=0.01"."""
    return ", ".join(f"{name}={value_label(value)}" for name, value in setting.items())


def value_label(value: Any, digits: int = 6) -> str:
    """A value of an axis as it is shown: whole numbers and text as they are, others in so many significant digits."""
    if isinstance(value, float):
        return f"{value:g}" if value.is_integer() else f"{value:.{digits}g}"
    return str(value)


def acting_setting(setting: Mapping[str, Any]) -> dict[str, Any]:
    """A setting without the strengths that its method leaves out: method and l2_strength of a setting of method=l2."""
    if setting.get("method", "all") == "all":
        return dict(setting)
    suppressed = suppressed_by(str(setting["method"]))
    return {name: value for name, value in setting.items() if name not in suppressed}


def held_at(results: xr.Dataset, setting: Mapping[str, Any] | None, *axes: str) -> tuple[xr.Dataset, str]:
    """The results with no swept dimensions but `axes`: the others held at `setting`, at their first values if None.

    And in words where that is: " at init=he", "" where nothing is held.
    """
    setting = setting or {dim: results[dim].values[0] for dim in setting_dims(results)}
    others = {dim: value for dim, value in setting.items() if dim not in axes}
    return results.sel(others), f" at {setting_label(others)}" if others else ""


def steps_to_train(results: xr.Dataset, threshold: float = 0.85) -> xr.DataArray:
    """Steps to the first check with test accuracy >= threshold, […, seed]; never is +inf (censored, ranked last).

    A member that diverged counts by what it reached before. `attrs["threshold"]` keeps the threshold.
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
        )
    )


def best_value(results: xr.Dataset, axis: str) -> xr.DataArray:
    """The value of an axis that is best on validation for each seed, [..., seed] without `axis`.

    By the highest final validation accuracy, ties by the lower loss. NaN where all members along the axis diverged.

    Raises:
      KeyError: `axis` is not swept.
    """
    if axis not in results.dims:
        raise KeyError(axis)
    accuracy, loss = results["final_validation_accuracy"], results["final_validation_loss"]
    ties = loss.where(accuracy == accuracy.max(axis))
    return (
        ties.idxmin(axis)
        .rename(f"best_{axis}")
        .assign_attrs(units="1", description=f"value of {axis} with the highest final validation accuracy")
    )


def generalisation_gap(results: xr.Dataset) -> xr.DataArray:
    """Mean loss of the test set minus that of the training set after the last step, [..., seed], in nats."""
    gap = results["final_test_loss"] - results["final_train_loss"]
    return gap.rename("generalisation_gap").assign_attrs(units="nats", description="final test loss - training loss")


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


def at_last_check(results: xr.Dataset, variable: str) -> xr.DataArray:
    """The last value of a curve along `check` that a member has, [..., seed, ...]; NaN if it has none."""
    curve, loss = results[variable], results["validation_loss"]
    checks = xr.DataArray(np.arange(loss.sizes["check"]), dims="check")
    last = checks.where(loss.notnull()).max("check").fillna(-1)
    return at_check(curve, last).rename(variable).assign_attrs(curve.attrs)


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


# How much a loss fluctuates.


def fluctuation(
    results: xr.Dataset, variable: str = "train_loss", last_steps: int = 1000, *, relative: bool = False
) -> xr.DataArray:
    """How much a loss jumps at the end of training: sd(first differences) / sqrt(2), [..., seed].

    For independent noise of standard deviation s around a slow curve it is s. The differences are those between
    neighbouring records (steps, or checks) over the last steps that the member took: of one that was halted by
    patience those before it stopped. NaN for a member that diverged, and with fewer than two differences.

    Args:
      results: labelled results.
      variable: a curve along `step` or `check`; with `record_every` > 1 not every step is recorded.
      last_steps: how many steps before the member's last one count.
      relative: as a fraction of the mean loss over these steps.
    """
    curve = results[variable]
    along = "step" if "step" in curve.dims else "check"
    at = results["step" if along == "step" else "check_step"].reset_coords(drop=True)
    last = at.where(curve.notnull()).max(along)
    counts = (at <= last) & (at >= last - last_steps + (1 if along == "step" else 0))
    near = counts.any([dim for dim in counts.dims if dim != along]).values
    curve = curve.isel({along: near}).where(counts.isel({along: near})).astype(np.float64)
    differences = curve.diff(along)
    spread = (differences.std(along, ddof=1) / np.sqrt(2)).where(results["diverged_step"] < 0)
    if relative:
        spread = spread / curve.mean(along)
    return (
        spread.transpose(*(dim for dim in results[variable].dims if dim != along))
        .rename("fluctuation")
        .assign_attrs(
            units="1" if relative else results[variable].attrs.get("units", "1"),
            description=f"sd of first differences / sqrt(2) of {variable} over the last {last_steps} steps"
            + (", relative to its mean" if relative else ""),
        )
    )


def expected_fluctuation(batch_size: npt.ArrayLike, num_examples: int) -> np.ndarray:
    """Standard deviation of the mean over a batch drawn without replacement, sqrt(1/B - 1/N), in that of one example.

    0 from B = N on.

    References: Cochran (1977), Sampling Techniques, theorem 2.2.
    """
    batch_size = np.asarray(batch_size, np.float64)
    return np.sqrt(np.maximum(1 / batch_size - 1 / num_examples, 0.0))


def noise_scale(results: xr.Dataset, last_checks: int = 40) -> xr.DataArray:
    """The simple gradient noise scale tr(Sigma) / |G|^2 at the end of training, in examples, [..., seed].

    Batches far below it average too little, batches far above it waste examples. Both unbiased estimates are averaged
    over the member's last checks before they are divided; inf where the average of |G|^2 is not above 0, that is,
    where the gradient is too small to be told from its noise. NaN for a member that diverged.

    Args:
      results: with `gradient_variance` (of tr Sigma) and `gradient_square` (of |G|^2), which --diagnostics records.
      last_checks: how many of the member's last measured checks count.

    Raises:
      KeyError: the run was without diagnostics.

    References: McCandlish, Kaplan, Amodei et al. (2018), An empirical model of large-batch training, appendix A.
    """
    variance, square = results["gradient_variance"], results["gradient_square"]
    known = variance.notnull() & square.notnull()
    since_last = known.isel(check=slice(None, None, -1)).cumsum("check").isel(check=slice(None, None, -1))
    counts = known & (since_last <= last_checks)
    noise, signal = (part.where(counts).mean("check", dtype=np.float64) for part in (variance, square))
    scale = (noise / signal.where(signal > 0)).where((signal > 0) | signal.isnull(), np.inf)
    return (
        scale.where(results["diverged_step"] < 0)
        .rename("gradient_noise_scale")
        .assign_attrs(units="examples", description=f"tr(Sigma) / |G|^2, averaged over the last {last_checks} checks")
    )


# Early stopping.


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


def at_check(curve: xr.DataArray, check: xr.DataArray) -> xr.DataArray:
    """The value of a curve [..., check] at one check of each member; NaN where that is -1."""
    curve = curve.drop_vars([name for name, coordinate in curve.coords.items() if "check" in coordinate.dims])
    return curve.isel(check=check.astype(np.int64).clip(min=0)).where(check >= 0)


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
