"""Configurations as text: the values a flag may be given, and the flagfile that repeats a run."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxreg.config.experiment import DataConfig, Experiment, RunConfig
from jaxreg.config.hparams import FIELDS, Hparams
from jaxreg.config.validation import describe
from jaxreg.errors import ConfigError
from jaxreg.files import user_path

# Flags that may differ between a run and its resumption; of data their content is compared, wherever they are.
NOT_COMPARED = frozenset({"data_dir", *(field.name for field in dataclasses.fields(RunConfig))})
_UNKNOWN = "not a flag of this jaxreg; see --help, or declare it with jaxreg.add_hyperparameter first"
_MOST_VALUES = 100_000  # of a range
# Flags of one call only, which a flagfile that repeats the run leaves out.
_NOT_WRITTEN = (
    *("workdir", "resume", "overwrite", "fewer_devices", "dry_run", "profile"),
    *("distributed", "coordinator", "num_processes", "process_id", "gpu_memory"),
)
_MOST_BYTES = 1 << 20  # of a flagfile
_QUOTED = re.compile(r"""(?:"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>[^']*)')\s*(?:#.*)?""")
_COMMENT = re.compile(r"(^|\s)#.*")
_FLAG = re.compile(r"--?(?P<name>[^-=\s][^=\s]*)(?P<equals>=?)(?P<rest>.*)", re.DOTALL)


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
            lines.append(f"--{name}={_quoted_if_needed(','.join(map(describe, values)))}")
    lines += [f"--zip={','.join(names)}" for names in experiment.zip]
    parts: list[Experiment | DataConfig | RunConfig] = [experiment, experiment.data, experiment.run]
    for part in parts:
        for field in dataclasses.fields(part):
            value = getattr(part, field.name)
            if field.metadata and value is not None and field.name not in _NOT_WRITTEN:
                lines.append(f"--{field.name}={_quoted_if_needed(describe(value))}")
    return lines


def with_flagfiles(arguments: Sequence[str]) -> list[str]:
    """Command-line arguments, with the lines of the file in place of every `--flagfile=PATH`.

    A file may name others: their paths count from its own folder.

    Raises:
      ConfigError: a file that cannot be read, names itself, or holds something else than flags.
    """
    return list(_expanded(arguments, Path(), ()))


def _expanded(arguments: Sequence[str], folder: Path, within: tuple[Path, ...]) -> Iterator[str]:
    """The arguments with their flagfiles read; `folder` is where paths count from, `within` the files being read."""
    rest = iter(arguments)
    for argument in rest:
        flag, equals, value = argument.partition("=")
        if argument == "--":
            yield argument
            yield from rest
        elif flag not in ("-flagfile", "--flagfile"):
            yield argument
        else:
            given = value if equals else next(rest, "")
            path = folder / user_path(given)
            if path.resolve() in (file.resolve() for file in within):
                raise ConfigError("flagfile", given, f"names itself, by way of {within[-1]}; leave that line out")
            if within and _is_of_a_run(within[-1]):
                raise ConfigError("flagfile", given, f"{within[-1]} repeats a run and names no other file")
            yield from _expanded(_read_flagfile(path, given), path.parent, (*within, path))


def _read_flagfile(path: Path, given: str) -> list[str]:
    """The flags of a file."""
    if not given:
        raise ConfigError("flagfile", given, "needs a file of --name=value lines")
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError("flagfile", given, f"cannot be read ({reason.lower()})") from error
    if len(content) > _MOST_BYTES:
        raise ConfigError("flagfile", given, f"is too large for a file of flags, at most {_MOST_BYTES} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise ConfigError("flagfile", given, "holds something else than text; give a file of --name=value lines")
    try:
        return [flag for _, flag in flags_of(text)]
    except LineError as error:
        raise ConfigError("flagfile", given, f"line {error.number}: {error}") from None


def _is_of_a_run(flagfile: Path) -> bool:
    return flagfile.name == "flags.cfg" and flagfile.with_name("meta.json").exists()


class LineError(Exception):
    """A line of a flagfile that is no flag: its number, the line, and as its text what is wrong with it."""

    def __init__(self, number: int, line: str, reason: str) -> None:
        self.number, self.line = number, line
        super().__init__(reason)


def flags_of(text: str) -> Iterator[tuple[int, str]]:
    """The flags of a flagfile as arguments of the command line, with the numbers of their lines.

    A line is empty, a comment after `#` or `//`, or a flag: `--name=value`, `--switch`, `--noswitch`; white space and a
    `#` after it begin a comment there too. A value, or the whole flag, may stand in quotation marks, where `#` means
    nothing and, in double ones, `\\"`, `\\\\`, `\\n` and `\\r` stand for a mark, a backslash and new lines.

    Raises:
      LineError: for anything else.
    """
    for number, line in enumerate(re.split("\r\n|\n|\r", text.removeprefix("\ufeff")), 1):
        line = line.strip()
        if not line or line.startswith(("#", "//")):
            continue
        quoted = line.startswith(('"', "'"))
        match = _FLAG.fullmatch(_unquoted(number, line) if quoted else line)
        if match is None:
            raise LineError(number, line, "is no flag; give --name=value, or a comment after #")
        rest = match["rest"] if quoted else _unquoted(number, match["rest"].strip())
        if rest and not match["equals"]:
            raise LineError(number, line, f"gives no value; write --{match['name']}=VALUE")
        yield number, f"--{match['name']}{match['equals']}{rest}"


def _unquoted(number: int, text: str) -> str:
    """The text without its quotation marks, or without the comment that follows it."""
    if not text.startswith(('"', "'")):
        return _COMMENT.sub("", text).rstrip()
    match = _QUOTED.fullmatch(text)
    if match is None:
        raise LineError(number, text, "a quotation mark is not closed, or something else than a comment follows it")
    if match["single"] is not None:
        return match["single"]
    return re.sub(r'\\([\\"nr])', lambda escape: {"n": "\n", "r": "\r"}.get(escape[1], escape[1]), match["double"])


def _quoted_if_needed(value: str) -> str:
    """The value as a line of a flagfile holds it."""
    plain = value.isprintable() and value == value.strip() and not value.startswith(('"', "'"))
    if plain and not _COMMENT.search(value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'


def experiment_from_flags(text: str, name: str = "run") -> Experiment:
    """The experiment that lines `--name=value` spell: the inverse of `flag_lines`.

    Lines are those that `flags_of` reads. Of a repeated flag the last counts, what is not named has its default.

    Raises:
      ConfigError: an unknown flag or a malformed value.
    """
    known = {*FIELDS, *(option for part in (Experiment, DataConfig, RunConfig) for option in _options(part))}
    values: dict[str, str] = {}
    zipped = []
    try:
        for _, line in flags_of(text):
            flag, _, value = line.removeprefix("--").partition("=")
            if flag == "zip":
                zipped.append(value)
            elif flag in known:
                values[flag] = value
            else:
                raise ConfigError(flag, value, _UNKNOWN)
    except LineError as error:
        flag, _, value = error.line.removeprefix("--").partition("=")
        raise ConfigError(flag, value, f"line {error.number} of the flags: {error}") from None
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
        kind = metadata["kind"]
        if kind is bool:
            return {"true": True, "false": False}[text]
        return _whole(text) if kind is int else kind(text)
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
        return _whole(part) if kind is int else float(part)
    except ValueError:
        allowed = FIELDS[name].metadata["rule"].allowed
        raise ConfigError(name, text, f"{part} is not a value; {allowed}") from None


def _whole(text: str) -> int:
    """The whole number that a text spells, as 1000 or as 1e3.

    Raises:
      ValueError: it spells none.
    """
    try:
        return int(text)
    except ValueError:
        value = float(text)
        if not value.is_integer():  # neither are infinity and nan
            raise
        return int(value)


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
