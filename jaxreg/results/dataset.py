"""The labelled results: one xarray Dataset of all members of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxreg.config.hparams import FIELDS
from jaxreg.config.sweeps import Sweep, hyperparameter_table
from jaxreg.diagnostics.probe import with_layer_names
from jaxreg.diagnostics.watch import variables_of
from jaxreg.nn.losses import loss_named
from jaxreg.population.planning import Plan
from jaxreg.runs.history import CHECK_VARIABLES, TRAIN_CHECK_VARIABLES, History
from jaxreg.slow_imports import xr

Values = np.ndarray[Any, Any]

_DESCRIPTIONS = {
    "train_loss": ("nats", "mean loss of the batch before the update, without penalties"),
    "train_objective": ("nats", "mean loss of the batch before the update, with penalties"),
    "validation_loss": ("nats", "mean loss over the validation set"),
    "validation_accuracy": ("1", "accuracy on the validation set"),
    "test_loss": ("nats", "mean loss over the test set"),
    "test_accuracy": ("1", "accuracy on the test set"),
    "test_batch_loss": ("nats", "mean loss of one test batch of batch_size examples"),
    "train_set_loss": ("nats", "mean loss over the training set"),
    "train_set_accuracy": ("1", "accuracy on the training set"),
    "final_train_loss": ("nats", "mean loss over the training set after the last step"),
    "train_accuracy": ("1", "accuracy on the training set after the last step"),
    "best_check": ("1", "check with the lowest validation loss, -1 for none"),
    "stopped_check": ("1", "check at which patience ran out, -1 for never"),
    "diverged_step": ("steps", "step at which the member diverged, -1 for never"),
    "checks_done": ("1", "checks that the member has passed so far: measured, or skipped once it has halted"),
    "test_confusion": ("examples", "test examples by label and prediction after the last step, 0 if it diverged"),
}
_ACCURACIES = ("validation_accuracy", "test_accuracy", "train_accuracy", "train_set_accuracy")
_AT_CHECKS = (*CHECK_VARIABLES, *TRAIN_CHECK_VARIABLES)
_LAST_DIMENSIONS = {
    "train_loss": ("step",),
    "train_objective": ("step",),
    "test_confusion": ("label", "prediction"),
}


def make_dataset(plan: Plan, histories: Sequence[History]) -> xr.Dataset:
    """The measurements of all groups on the grid of the sweep, with what their watches conclude from them.

    Args:
      plan: what was trained.
      histories: of each group of its sweep, arrays [configs, seeds, ...].

    Returns:
      A Dataset whose dimensions are the swept hyperparameters by name, then `seed`, then what a variable has besides:
      `step`, `check`, `layer`, ... Every variable has `units` and a `description`. Groups of fewer steps, checks or
      layers are padded with NaN (integers with -1, counts with 0). A coordinate that is the same along a dimension
      does not have it. Where no prediction is right or wrong there is no accuracy.
    """
    sweep, data = plan.sweep, plan.data
    axes = tuple(dimension.name for dimension in sweep.dimensions)
    members = (*axes, "seed")
    watched = variables_of(plan.watches)
    of_first_seed = {name for watch in plan.watches if watch.first_seed_only for name in watch.variables}
    variables: dict[str, Any] = {}
    for name in histories[0].arrays:
        if name == "seconds" or (name in _ACCURACIES and not data.has_accuracy):
            continue
        dims = axes if name in of_first_seed else members
        last = watched[name].dims if name in watched else _last_dimensions(name)
        variables[name] = (*dims, *last), _on_grid(sweep, [history.arrays[name] for history in histories], len(last))

    best, stopped = variables["best_check"][1], variables["stopped_check"][1]
    end = _per_setting(sweep, [group.num_checks - 1 for group in sweep.groups])[..., None]
    halts = _per_setting(sweep, [group.shared.after_stop == "halt" for group in sweep.groups])[..., None]
    final = np.where(halts & (stopped >= 0), stopped, end)
    for name in [name for name in _AT_CHECKS if name in variables]:
        curve = variables[name][1]
        variables[f"final_{name}"] = members, _at(curve, final)
        variables[f"best_{name}"] = members, np.where(best < 0, np.nan, _at(curve, np.maximum(best, 0)))

    units_of_losses = {loss_named(hparams.loss).units for hparams in sweep.settings}

    def attrs(name: str) -> dict[str, Any]:
        if name in watched:
            about: dict[str, Any] = {"units": watched[name].units, "description": watched[name].description}
            about |= {"seed": sweep.seeds[0]} if name in of_first_seed else {}
        else:
            about = _attrs(name)
        if "nats" in about["units"] and units_of_losses != {"nats"}:
            about["units"] = "1" if len(units_of_losses) > 1 else next(iter(units_of_losses))
        return about

    dataset = xr.Dataset({name: xr.Variable(dims, values, attrs(name)) for name, (dims, values) in variables.items()})
    num_recorded = dataset.sizes["step"]
    dataset = dataset.assign_coords(_coordinates(sweep, histories, axes, num_recorded))
    dataset = dataset.assign_coords(
        dataset=((), data.name, {"description": "what was learned"}),
        downsample=((), plan.experiment.data.downsample, {"description": "average-pooling factor of the inputs"}),
    )
    for watch in plan.watches:
        if watch.complete is not None:
            dataset = watch.complete(dataset, data)
    if "layer" in dataset.dims and (names := plan.layer_names()):
        dataset = with_layer_names(dataset, names)
    if "test_confusion" in dataset:
        for name, words in (("label", "true class"), ("prediction", "predicted class")):
            dataset = dataset.assign_coords({name: (name, list(data.class_names), {"description": words})})
    return dataset.assign_attrs(
        experiment=plan.experiment.name,
        input_shape=list(data.input_shape),
        train_examples=len(data.train.labels),
        validation_examples=len(data.validation.labels),
        test_examples=len(data.test.labels),
    )


def _on_grid(sweep: Sweep, by_group: Sequence[Values], num_last: int) -> Values:
    """Arrays of each group, [configs, ...], on the grid of settings; their last dimensions padded to the longest."""
    example = by_group[0]
    shapes = np.array([values.shape for values in by_group])
    padded = (*shapes[0, 1 : example.ndim - num_last], *shapes[:, example.ndim - num_last :].max(0))
    flat = np.full((len(sweep.settings), *padded), {"f": np.nan, "i": -1, "u": 0}[example.dtype.kind], example.dtype)
    for group, values in zip(sweep.groups, by_group, strict=True):
        at: Any = (list(group.settings), *(slice(n) for n in values.shape[1:]))
        flat[at] = values
    return flat.reshape((*sweep.shape, *padded))


def add_seeds(results: xr.Dataset, added: xr.Dataset) -> xr.Dataset:
    """The results of a run with those of the seeds that were added to it, along `seed`; training times add up.

    Raises:
      ValueError: they differ in a dimension other than `seed`.
    """
    seconds = (results["seconds"] + added["seconds"]).assign_attrs(results["seconds"].attrs)
    parts = [part.drop_vars("seconds") for part in (results, added)]
    joined = xr.concat(parts, "seed", data_vars="minimal", coords="minimal", compat="override", join="exact")
    return joined.assign_coords(seconds=seconds)


def _last_dimensions(name: str) -> tuple[str, ...]:
    """The dimensions of a variable besides those of the members."""
    return ("check",) if name in _AT_CHECKS else _LAST_DIMENSIONS.get(name, ())


def _coordinates(
    sweep: Sweep, histories: Sequence[History], axes: tuple[str, ...], num_recorded: int
) -> dict[str, Any]:
    coordinates: dict[str, Any] = {}
    for name, table in hyperparameter_table(sweep).items():
        attrs = {"description": FIELDS[name].metadata["help"]}
        coordinates[name] = xr.Variable(*_without_constant(axes, table), attrs)

    num_checks = max(group.num_checks for group in sweep.groups)
    check_step = np.full((len(sweep.groups), num_checks), np.nan)
    seconds = check_step.copy()
    for number, (group, history) in enumerate(zip(sweep.groups, histories, strict=True)):
        check_step[number, : group.num_checks] = group.check_steps
        seconds[number, : group.num_checks] = np.cumsum(history.arrays["seconds"])
    batch_size = np.array([group.shared.batch_size for group in sweep.groups])[:, None]
    checks = {
        "check_step": (check_step, "steps", "optimizer steps taken at the check"),
        "examples_seen": (check_step * batch_size, "examples", "training examples seen at the check"),
        "seconds": (seconds, "s", "training time of all members of the program up to the check, without compilation"),
    }
    for name, (by_group, units, description) in checks.items():
        dims, values = _without_constant((*axes, "check"), _per_setting(sweep, by_group), keep="check")
        if np.all(values == np.round(values)) and name != "seconds":
            values = values.astype(np.int64)
        coordinates[name] = xr.Variable(dims, values, {"units": units, "description": description})
    coordinates["seed"] = xr.Variable("seed", np.array(sweep.seeds, np.int64), {"description": "replicate"})
    steps = np.arange(num_recorded) * sweep.record_every
    coordinates["step"] = xr.Variable("step", steps, {"units": "steps", "description": "steps taken before"})
    return coordinates


def _per_setting(sweep: Sweep, by_group: Any) -> Values:
    """Values of each group, on the grid of settings."""
    by_group = np.asarray(by_group)
    flat = np.empty((len(sweep.settings), *by_group.shape[1:]), by_group.dtype)
    for group, value in zip(sweep.groups, by_group, strict=True):
        flat[list(group.settings)] = value
    return flat.reshape((*sweep.shape, *by_group.shape[1:]))


def _without_constant(dims: tuple[str, ...], values: Values, keep: str = "") -> tuple[tuple[str, ...], Values]:
    """The array without the dimensions along which nothing changes; an axis keeps its own coordinate elsewhere."""
    kept = []
    for axis in reversed(range(len(dims))):
        first = values.take([0], axis)
        same = (values == first) | ((values != values) & (first != first))
        if dims[axis] != keep and np.all(same):
            values = first.squeeze(axis)
        else:
            kept.append(dims[axis])
    return tuple(reversed(kept)), values


def _at(curve: Values, index: Values) -> Values:
    return np.take_along_axis(curve, index[..., None], -1)[..., 0]


def _attrs(name: str) -> dict[str, Any]:
    if name in _DESCRIPTIONS:
        units, description = _DESCRIPTIONS[name]
    else:
        when, _, what = name.partition("_")
        units, description = _DESCRIPTIONS[what]
        at = "the last check of the member" if when == "final" else "the check with the lowest validation loss"
        description += f" at {at}"
    return {"units": units, "description": description}
