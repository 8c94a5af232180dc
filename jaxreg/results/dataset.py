"""The labelled results: one xarray Dataset of all members of a run."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from jaxreg.config.hparams import FIELDS, Experiment
from jaxreg.config.sweeps import Sweep, hyperparameter_table
from jaxreg.data import Data
from jaxreg.diagnostics import probe as diagnostics
from jaxreg.diagnostics import surfaces
from jaxreg.diagnostics.verdicts import diagnosis
from jaxreg.runs.history import CHECK_VARIABLES, History

Values = np.ndarray[Any, Any]

_DESCRIPTIONS = {
    "train_loss": ("nats", "mean loss of the batch before the update, without penalties"),
    "train_objective": ("nats", "mean loss of the batch before the update, with penalties"),
    "validation_loss": ("nats", "mean loss over the validation set"),
    "validation_accuracy": ("1", "accuracy on the validation set"),
    "test_loss": ("nats", "mean loss over the test set"),
    "test_accuracy": ("1", "accuracy on the test set"),
    "test_batch_loss": ("nats", "mean loss of one test batch of batch_size examples"),
    "final_train_loss": ("nats", "mean loss over the training set after the last step"),
    "train_accuracy": ("1", "accuracy on the training set after the last step"),
    "best_check": ("1", "check with the lowest validation loss, -1 for none"),
    "stopped_check": ("1", "check at which patience ran out, -1 for never"),
    "diverged_step": ("steps", "step at which the member diverged, -1 for never"),
    "checks_done": ("1", "checks that the member has passed so far: measured, or skipped once it has halted"),
    "test_confusion": ("examples", "test examples by label and prediction after the last step, 0 if it diverged"),
}
_LAST_DIMENSIONS = {
    "train_loss": ("step",),
    "train_objective": ("step",),
    "test_confusion": ("label", "prediction"),
}


def make_dataset(sweep: Sweep, histories: list[History], data: Data, experiment: Experiment) -> xr.Dataset:
    """The measurements of all groups on the grid of the sweep.

    Args:
      sweep: its settings, seeds and groups.
      histories: of each group of the sweep, arrays [configs, seeds, ...].
      data: what was learned.
      experiment: what was asked for.

    Returns:
      A Dataset whose dimensions are the swept hyperparameters by name, then `seed`, then what a variable has besides:
      `step`, `check`, `layer`, ... Every variable has `units` and a `description`. Groups of fewer steps or checks are
      padded with NaN. A coordinate that is the same along a dimension does not have it.
    """
    axes = tuple(dimension.name for dimension in sweep.dimensions)
    members = (*axes, "seed")
    num_checks = max(len(group.check_steps) for group in sweep.groups)
    num_recorded = max(history.arrays["train_loss"].shape[-1] for history in histories)
    num_layers = max(len(group.shared.hidden_sizes) for group in sweep.groups) + 1
    lengths = {"step": num_recorded, "check": num_checks, "label": data.num_classes, "prediction": data.num_classes}
    lengths |= {"layer": num_layers, "bin": diagnostics.NUM_BINS}
    variables: dict[str, Any] = {}
    for name, example in histories[0].arrays.items():
        if name in ("seconds", "surface"):
            continue
        last = _last_dimensions(name)
        empty = {"f": np.nan, "i": -1, "u": 0}[example.dtype.kind]
        flat = np.full((len(sweep.settings), len(sweep.seeds), *(lengths[d] for d in last)), empty, example.dtype)
        for group, history in zip(sweep.groups, histories, strict=True):
            values = history.arrays[name]
            at: Any = (list(group.settings), slice(None), *(slice(n) for n in values.shape[2:]))
            flat[at] = values
        variables[name] = (*members, *last), flat.reshape((*sweep.shape, *flat.shape[1:]))

    best, stopped = variables["best_check"][1], variables["stopped_check"][1]
    end = _per_setting(sweep, [len(group.check_steps) - 1 for group in sweep.groups])[..., None]
    halts = _per_setting(sweep, [group.shared.after_stop == "halt" for group in sweep.groups])[..., None]
    final = np.where(halts & (stopped >= 0), stopped, end)
    for name in CHECK_VARIABLES:
        curve = variables[name][1]
        variables[f"final_{name}"] = members, _at(curve, final)
        variables[f"best_{name}"] = members, np.where(best < 0, np.nan, _at(curve, np.maximum(best, 0)))

    dataset = xr.Dataset({name: xr.Variable(dims, values, _attrs(name)) for name, (dims, values) in variables.items()})
    if "layer" in dataset.dims:
        about = {"description": "layer, from the input on; the last one of a network is its output layer"}
        dataset = dataset.assign_coords(layer=("layer", np.arange(1, num_layers + 1), about))
    dataset = dataset.assign_coords(_coordinates(sweep, histories, axes, num_recorded))
    dataset = dataset.assign_coords(
        dataset=((), data.name, {"description": "what was learned"}),
        downsample=((), experiment.data.downsample, {"description": "average-pooling factor of the inputs"}),
    )
    if "layer" in dataset.dims:
        dataset = dataset.assign(diagnosis=diagnosis(dataset))
    if experiment.surfaces:
        dataset = dataset.assign(_surfaces(sweep, histories, data, num_checks))
    if "test_confusion" in dataset:
        for name, words in (("label", "true class"), ("prediction", "predicted class")):
            dataset = dataset.assign_coords({name: (name, list(data.class_names), {"description": words})})
    return dataset.assign_attrs(
        experiment=experiment.name,
        input_shape=list(data.input_shape),
        train_examples=len(data.train.labels),
        validation_examples=len(data.validation.labels),
        test_examples=len(data.test.labels),
    )


def _surfaces(sweep: Sweep, histories: list[History], data: Data, num_checks: int) -> xr.Dataset:
    """The surfaces on the grid of the sweep, and the training points that lie on them."""
    plane = surfaces.plane_of(data.train.inputs)
    flat = np.full((len(sweep.settings), num_checks, surfaces.SIZE, surfaces.SIZE), np.nan, np.float32)
    for group, history in zip(sweep.groups, histories, strict=True):
        values = history.arrays["surface"]
        flat[list(group.settings), : values.shape[1]] = values
    units, description, last = surfaces.SURFACE
    dims = (*(dimension.name for dimension in sweep.dimensions), *last)
    attrs = {"units": units, "description": description, "seed": sweep.seeds[0]}
    points = {
        "example_x1": (data.train.inputs[:, 0], "first coordinate of a training point"),
        "example_x2": (data.train.inputs[:, 1], "second coordinate of a training point"),
        "example_label": (data.train.labels, "class of a training point"),
    }
    about = {"units": "1", "description": "coordinate of the surface"}
    return xr.Dataset(
        {"surface": (dims, flat.reshape((*sweep.shape, *flat.shape[1:])), attrs)}
        | {name: ("example", values, {"units": "1", "description": text}) for name, (values, text) in points.items()},
        coords={"x1": ("x1", plane.x1, about), "x2": ("x2", plane.x2, about)},
    )


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
    if name in diagnostics.VARIABLES:
        return diagnostics.VARIABLES[name].dims
    return ("check",) if name in CHECK_VARIABLES else _LAST_DIMENSIONS.get(name, ())


def _coordinates(sweep: Sweep, histories: list[History], axes: tuple[str, ...], num_recorded: int) -> dict[str, Any]:
    coordinates: dict[str, Any] = {}
    for name, table in hyperparameter_table(sweep).items():
        attrs = {"description": FIELDS[name].metadata["help"]}
        coordinates[name] = xr.Variable(*_without_constant(axes, table), attrs)

    num_checks = max(len(group.check_steps) for group in sweep.groups)
    check_step = np.full((len(sweep.groups), num_checks), np.nan)
    seconds = check_step.copy()
    for number, (group, history) in enumerate(zip(sweep.groups, histories, strict=True)):
        check_step[number, : len(group.check_steps)] = group.check_steps
        seconds[number, : len(group.check_steps)] = np.cumsum(history.arrays["seconds"])
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
    if name in diagnostics.VARIABLES:
        units, description, dims = diagnostics.VARIABLES[name]
        if "bin" in dims:
            edges = diagnostics.bin_edges(name.removesuffix("_histogram"))
            return {"units": units, "description": description, "bin_edges": edges}
    elif name in _DESCRIPTIONS:
        units, description = _DESCRIPTIONS[name]
    else:
        when, _, what = name.partition("_")
        units, description = _DESCRIPTIONS[what]
        at = "the last check of the member" if when == "final" else "the check with the lowest validation loss"
        description += f" at {at}"
    return {"units": units, "description": description}
