"""Shared flags, made from the fields of the configuration, and the experiment that they ask for.

Flags live in a `FlagValues` of their own, so that nothing is defined by importing this module. All values are taken as
text and parsed here: a refusal names the flag, the value and what is allowed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from absl import flags as absl_flags

from experiments.catalogue import on_digits, shipped
from jaxreg import command
from jaxreg.config import FIELDS, DataConfig, Experiment, RunConfig, describe
from jaxreg.config.flagfile import experiment_from_flags, flag_lines, flags_of, make_experiment
from jaxreg.errors import ConfigError, JaxregError
from jaxreg.files import user_path
from jaxreg.runs.folder import flags_of_run

FlagValues = absl_flags.FlagValues


def make_flags() -> FlagValues:
    """All shared flags, grouped by subject."""
    values = FlagValues()
    _define(values, "flagfile", "", "Read flags from this file; later flags win.", "run")
    _define(values, "undefok", "", "Flags that may be unknown, comma between.", "run")
    of_digits = "The small version of the experiment, on digits: nothing to download. Other flags count too."
    absl_flags.DEFINE_flag(command.switch("digits", False, of_digits), values, "run")
    absl_flags.DEFINE_flag(command.switch("help", False, "Show this help.", short_name="?"), values, "run")
    for name, field in FIELDS.items():
        default = "" if field.default is None else describe(field.default)
        table = field.metadata["rule"].table
        names = "" if table is None else f" One of {', '.join(table)}."
        _define(values, name, default, field.metadata["help"] + names, field.metadata["subject"])
    _define(values, "zip", [], "Axes that advance together, comma between; repeatable.", "sweep")
    for part in (Experiment, DataConfig, RunConfig):
        for option in dataclasses.fields(part):
            if not option.metadata:
                continue
            preset: Any = "" if option.default is None else option.default
            preset = preset if isinstance(preset, bool) else describe(preset)
            _define(values, option.name, preset, option.metadata["help"], option.metadata["subject"])
    return values


def read_flags(values: FlagValues, argv: Sequence[str]) -> None:
    """Parses a command line, the name of the program first, with the flagfiles that it names.

    Raises:
      JaxregError: a flag that is none, a value of the wrong kind, a flagfile that cannot be read, or another word.
    """
    stray = command.words(values, list(_with_shipped_flagfiles(argv)))
    if not stray:
        return
    if "--" in argv and stray[0].startswith("-"):
        raise JaxregError(f"{stray[0]}: stands after --, which ends the flags; leave -- out")
    raise JaxregError(f"{stray[0]}: flags begin with --; see --help")


def take_from_run(name: str, values: FlagValues) -> None:
    """With --resume, flags that are not given are those of the run in --workdir, where that is one of this experiment.

    Raises:
      JaxregError: the run cannot be read, or has a flag that is not known here.
    """
    if not (values["resume"].value and values["workdir"].value):
        return
    text = flags_of_run(user_path(values["workdir"].value), name)
    if text is None:
        return  # which is refused later, with what is there
    in_words_of_today = "\n".join(flag_lines(experiment_from_flags(text)))
    _take(values, [flag for _, flag in flags_of(in_words_of_today)])


def take_for_digits(name: str, values: FlagValues) -> None:
    """With --digits, flags that are not given are those of the experiment's flagfile for digits.

    Raises:
      ConfigError: it has none.
    """
    if not values["digits"].value:
        return
    flagfile = on_digits(name)
    if flagfile is None:
        raise ConfigError("digits", "true", f"{name} brings no flagfile for digits; say what to train by its flags")
    _take(values, [f"--flagfile={flagfile}"])


def _with_shipped_flagfiles(arguments: Sequence[str]) -> Iterator[str]:
    """The arguments, in which a flagfile that is not here is the one of that name that came with the package."""
    is_file = False
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        if is_file:
            yield shipped(argument)
        elif equals and flag.lstrip("-") == "flagfile":
            yield f"{flag}={shipped(value)}"
        else:
            yield argument
        is_file = argument in ("-flagfile", "--flagfile")


def _take(values: FlagValues, arguments: Sequence[str]) -> None:
    """Flags that are not given have the values of these arguments."""
    others = make_flags()
    command.words(others, ["", *arguments])
    for flag in others:
        if others[flag].present and not values[flag].present:
            values[flag].value, values[flag].present = others[flag].value, others[flag].present


def to_experiment(name: str, values: FlagValues) -> Experiment:
    """The experiment that parsed flags ask for.

    Raises:
      ConfigError: for a malformed value, list, range or zip.
    """
    parts = (Experiment, DataConfig, RunConfig)
    options = [option.name for part in parts for option in dataclasses.fields(part) if option.metadata]
    given: dict[str, Any] = {flag: values[flag].value for flag in FIELDS if values[flag].present or values[flag].value}
    given |= {flag: values[flag].value for flag in options}
    return make_experiment(name, given, values["zip"].value or ())


def help_text(values: FlagValues) -> str:
    """The flags by subject, with their defaults."""
    lines = []
    for subject, flags in values.flags_by_module_dict().items():
        lines.append(f"\n{subject}:")
        for flag in flags:
            default = f" [{flag.serialize().partition('=')[2] or flag.default}]" if flag.default else ""
            lines.append(f"  --{flag.name}: {flag.help}{default}")
    return "\n".join(lines)


def _define(values: FlagValues, name: str, default: Any, help: str, subject: str) -> None:
    """A flag of text: on or off where the default is a bool, repeatable where it is a list."""
    parser: Any = absl_flags.ArgumentParser()
    serializer: Any = absl_flags.ArgumentSerializer()
    if isinstance(default, bool):
        flag: absl_flags.Flag[Any] = command.switch(name, default, help)
    elif isinstance(default, list):
        flag = absl_flags.MultiFlag(parser, serializer, name, default, help)
    else:
        flag = absl_flags.Flag(parser, serializer, name, default, help)
    absl_flags.DEFINE_flag(flag, values, subject)
