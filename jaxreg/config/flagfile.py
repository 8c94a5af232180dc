"""Configurations as text: the values a flag may be given, and the flagfile that repeats a run."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxreg.config.experiment import DataConfig, Experiment, RunConfig
from jaxreg.config.hparams import FIELDS, Hparams
from jaxreg.config.validation import describe
from jaxreg.errors import ConfigError

# Flags that may differ between a run and its resumption; of data their content is compared, wherever they are.
NOT_COMPARED = frozenset({"data_dir", *(field.name for field in dataclasses.fields(RunConfig))})
_UNKNOWN = "not a flag of this jaxreg; see --help, or declare it with jaxreg.add_hyperparameter first"
_MOST_VALUES = 100_000  # of a range
# Flags of one call only, which a flagfile that repeats the run leaves out.
_NOT_WRITTEN = ("workdir", "resume", "overwrite", "dry_run")


def parse_values(name: str, text: str) -> tuple[Any, ...]:
    """The values of a hyperparameter: `0.1`, `0.1,1`, `log:1e-3:1:7` or `lin:0:2:9` (ends included), `32,64x64`.

    Raises:
      ConfigError: for an empty list, a malformed range, or a value of the wrong kind.
    """
    if not text.strip():
        raise ConfigError(name, text, "an empty list; give at least one value")
    kind = FIELDS[name].metadata["kind"]
    if kind in (int, float) and text.strip().partition(":")[0] in ("log", "lin"):
        return _range(name, text, kind)
    return tuple(_value(name, part.strip(), kind, text) for part in text.split(","))


def flag_lines(experiment: Experiment) -> list[str]:
    """The experiment as `--name=value` lines, complete but for its run folder; unset values are left out."""
    lines = []
    for name in FIELDS:
        values = experiment.axes.get(name, (getattr(experiment.hparams, name),))
        if values != (None,):
            lines.append(f"--{name}={','.join(map(describe, values))}")
    lines += [f"--zip={','.join(names)}" for names in experiment.zip]
    parts: list[Experiment | DataConfig | RunConfig] = [experiment, experiment.data, experiment.run]
    for part in parts:
        for field in dataclasses.fields(part):
            value = getattr(part, field.name)
            if field.metadata and value is not None and field.name not in _NOT_WRITTEN:
                lines.append(f"--{field.name}={describe(value)}")
    return lines


def experiment_from_flags(text: str, name: str = "run") -> Experiment:
    """The experiment that lines `--name=value` spell: the inverse of `flag_lines`.

    Empty lines and comments are passed over, of a repeated flag the last counts, what is not named has its default.

    Raises:
      ConfigError: an unknown flag or a malformed value.
    """
    known = {*FIELDS, *(option for part in (Experiment, DataConfig, RunConfig) for option in _options(part))}
    values: dict[str, str] = {}
    zipped = []
    for line in filter(None, map(str.strip, text.splitlines())):
        flag, _, value = line.removeprefix("--").partition("=")
        if line.startswith("#"):
            continue
        if flag == "zip":
            zipped.append(value)
        elif flag in known and line.startswith("--"):
            values[flag] = value
        else:
            raise ConfigError(
                flag,
                value,
                _UNKNOWN,
            )
    return make_experiment(name, values, zipped)


def make_experiment(name: str, values: Mapping[str, str | bool], zipped: Sequence[str] = ()) -> Experiment:
    """The experiment that flags ask for: a list of values makes an axis, a single value is what all members share.

    Args:
      name: of the experiment.
      values: flags as text by name; switches may be given as they are. What is not named has its default.
      zipped: the values of every --zip.

    Raises:
      ConfigError: for a malformed value, list or range.
    """
    chosen = {flag: parse_values(flag, str(values[flag])) for flag in FIELDS if flag in values}

    def options(part: type[Any]) -> dict[str, Any]:
        return {flag: _option(flag, values[flag], meta) for flag, meta in _options(part).items() if flag in values}

    return Experiment(
        name=name,
        hparams=Hparams(**{flag: parsed[0] for flag, parsed in chosen.items() if len(parsed) == 1}),
        axes={flag: parsed for flag, parsed in chosen.items() if len(parsed) > 1},
        zip=tuple(tuple(part.strip() for part in names.split(",")) for names in zipped),
        data=DataConfig(**options(DataConfig)),
        run=RunConfig(**options(RunConfig)),
        **options(Experiment),
    )


def _options(part: type[Any]) -> dict[str, Mapping[str, Any]]:
    return {field.name: field.metadata for field in dataclasses.fields(part) if field.metadata}


def _option(flag: str, text: str | bool, metadata: Mapping[str, Any]) -> Any:
    if isinstance(text, bool):
        return text
    if not text:
        return None
    if text == "auto" and metadata["kind"] is int:
        return 0
    try:
        return {"true": True, "false": False}[text] if metadata["kind"] is bool else metadata["kind"](text)
    except (KeyError, ValueError):
        allowed = metadata["rule"].allowed if metadata["rule"] else "must be true or false"
        raise ConfigError(flag, text, allowed) from None


def _value(name: str, part: str, kind: type, text: str) -> Any:
    if not part:
        raise ConfigError(name, text, "an empty value in the list")
    if kind is str:
        return part
    try:
        if kind is tuple:
            return () if part == "none" else tuple(int(size) for size in part.split("x"))
        return int(part) if kind is int else float(part)
    except ValueError:
        allowed = FIELDS[name].metadata["rule"].allowed
        raise ConfigError(name, text, f"{part} is not a value; {allowed}") from None


def _range(name: str, text: str, kind: type) -> tuple[Any, ...]:
    spacing, *parts = text.strip().split(":")
    remedy = f"a range is {spacing}:first:last:count, such as {'log:1e-3:1:7' if spacing == 'log' else 'lin:0:2:9'}"
    try:
        first, last, count = float(parts[0]), float(parts[1]), int(parts[2])
    except (ValueError, IndexError):
        raise ConfigError(name, text, remedy) from None
    if len(parts) != 3 or not 2 <= count <= _MOST_VALUES or not (math.isfinite(first) and math.isfinite(last)):
        raise ConfigError(name, text, f"{remedy}, with two or more values and at most {_MOST_VALUES}")
    if spacing == "log" and not (first > 0 and last > 0):
        raise ConfigError(name, text, "both ends of a log range must be > 0")
    if kind is int and not (first.is_integer() and last.is_integer()):
        raise ConfigError(name, text, "both ends must be whole numbers")
    values = np.geomspace(first, last, count) if spacing == "log" else np.linspace(first, last, count)
    inner = [float(f"{value:.12g}") for value in values[1:-1]]  # 0.3 rather than 0.30000000000000004
    return tuple(round(value) if kind is int else value for value in (first, *inner, last))
