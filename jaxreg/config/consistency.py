"""Refuses experiments that contradict themselves: bad values, axes, zips, and options that exclude each other."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxreg.config.division import parse_part
from jaxreg.config.experiment import DataConfig, Experiment
from jaxreg.config.hparams import FIELDS
from jaxreg.config.parts import require_declared
from jaxreg.config.validation import check_value, describe
from jaxreg.errors import ConfigError


def validate(experiment: Experiment) -> None:
    """Refuses every value that can be refused without the data.

    Raises:
      ConfigError: naming the flag, the value and what is allowed.
    """
    require_declared()
    for part in (experiment, experiment.data, experiment.run):
        for field in dataclasses.fields(part):
            value = getattr(part, field.name)
            if not field.metadata or (value is None and field.default is None):
                continue
            if value is None:
                raise ConfigError(field.name, "", f"needs a value; the default is {describe(field.default)}")
            if field.metadata["kind"] is bool and not isinstance(value, bool):  # "false" would count as true
                raise ConfigError(field.name, describe(value), "must be true or false, given as a bool")
            if field.metadata["kind"] is str and not isinstance(value, str):
                raise ConfigError(field.name, describe(value), "must be text, given as a str")
            check_value(field.name, value, field.metadata["rule"])
    following = {name for names in experiment.zip for name in names[1:]}  # the first one labels the dimension
    for name, field in FIELDS.items():
        values = experiment.axes.get(name, [getattr(experiment.hparams, name)])
        if name in experiment.axes and len(values) == 0:
            raise ConfigError(name, "", "an empty list; give at least one value")
        for value in values:
            if value is None and field.default is None:
                continue
            check_value(name, value, field.metadata["rule"])
        if name not in following:
            _refuse_twice(name, values)
    for name in experiment.axes:
        if name not in FIELDS:
            nearest = difflib.get_close_matches(name, FIELDS, n=1)
            raise ConfigError(
                name, "...", "not a hyperparameter" + (f"; did you mean {nearest[0]}?" if nearest else "")
            )
    _validate_zip(experiment)
    last = experiment.first_seed + experiment.seeds - 1
    if last >= 2**32:
        raise ConfigError("seeds", experiment.seeds, f"the last seed would be {last}; seeds end at {2**32 - 1}")
    if experiment.run.resume and experiment.run.workdir is None:
        raise ConfigError("resume", "true", "needs --workdir, the run to go on with")
    if experiment.run.resume and experiment.run.overwrite:
        raise ConfigError("overwrite", "true", "contradicts --resume; give one of them")
    if experiment.part is not None:
        parse_part(experiment.part)
    for name in ("coordinator", "num_processes", "process_id"):
        value = getattr(experiment.run, name)
        if value is not None and not experiment.run.distributed:
            raise ConfigError(name, value, "is for a run of several processes; give --distributed too")
    sizes = experiment.axes.get("train_size", [experiment.hparams.train_size])
    if experiment.surfaces and any(size is not None for size in sizes):
        remedy = "contradicts --surfaces, which lie over all training points; take fewer points with --num_points"
        raise ConfigError("train_size", ",".join(map(describe, sizes)), remedy)
    if experiment.run.profile and experiment.run.dry_run:
        raise ConfigError("profile", "true", "contradicts --dry_run, which trains nothing; give one of them")


def _refuse_twice(name: str, values: Sequence[Any]) -> None:
    """Refuses a list with a value twice, or with two values that are one number on the device, in float32."""
    seen: dict[Any, Any] = {}
    for value in values:
        is_float32 = isinstance(value, float) and not FIELDS[name].metadata["static"]
        on_device = float(np.float32(value)) if is_float32 else value
        if on_device not in seen:
            seen[on_device] = value
        elif value is not None:
            allowed = f"{describe(value)} is in the list twice"
            if (other := seen[on_device]) != value:
                allowed = f"{describe(other)} and {describe(value)} are one number in float32; leave one of them out"
            raise ConfigError(name, ",".join(map(describe, values)), allowed)


def refuse_data_options(options: DataConfig) -> None:
    """Refuses what was asked of a data set by name where own arrays take its place: they obey none of it.

    Raises:
      ConfigError: naming the first option that is not at its default.
    """
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if value != field.default:
            allowed = "has no effect on the arrays of your own that were given as data; leave one of the two out"
            raise ConfigError(field.name, describe(value), allowed)


def _validate_zip(experiment: Experiment) -> None:
    zipped: list[str] = []
    for names in experiment.zip:
        text = ",".join(names)
        for name in names:
            if name not in FIELDS:
                nearest = difflib.get_close_matches(name, FIELDS, n=1)
                hint = f"; did you mean {nearest[0]}?" if nearest else ""
                raise ConfigError("zip", text, f"{name} is not a hyperparameter{hint}")
            if name in zipped:
                raise ConfigError("zip", text, f"{name} is zipped twice")
            zipped.append(name)
        for name in names:
            if len(experiment.axes.get(name, ())) < 2:
                raise ConfigError("zip", text, f"--{name} has one value; give it a list")
        lengths = {name: len(experiment.axes[name]) for name in names}
        if len(names) < 2:
            raise ConfigError("zip", text, "give two or more names, comma between")
        if len(set(lengths.values())) > 1:
            counts = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise ConfigError("zip", text, f"the lists differ in length: {counts}")
