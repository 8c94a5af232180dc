"""Shared flags, made from the fields of the configuration, and the experiment that they ask for.

Flags live in a `FlagValues` of their own, so that nothing is defined by importing this module. All values are taken as
text and parsed here: a refusal names the flag, the value and what is allowed.
"""

from __future__ import annotations

import dataclasses
import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from absl import flags as absl_flags

from experiments.catalogue import on_digits, shipped
from jaxreg import command
from jaxreg.config import FIELDS, DataConfig, Experiment, RunConfig, describe
from jaxreg.config.flagfile import experiment_from_flags, flag_lines, flags_of, make_experiment
from jaxreg.config.validation import Rule
from jaxreg.errors import ConfigError, JaxregError
from jaxreg.files import user_path
from jaxreg.runs.folder import flags_of_run

FlagValues = absl_flags.FlagValues

SEVERAL_VALUES = (
    "A hyperparameter (of model, training, optimizer or regularisation) takes one value, or several, which make an "
    "axis: 0.01,0.1,1 or log:1e-3:1:7 (from 1e-3 to 1 in 7 values of equal ratio) or lin:0:2:9 (from 0 to 2 in 9 "
    "values of equal distance). Axes multiply; every setting is trained with every seed."
)
EXAMPLES = {  # by subject
    "run": "--workdir=runs/mine --max_minutes=30",
    "model": "--hidden_sizes=32,64x64 --activation=sigmoid,relu",
    "training": "--batch_size=10,100 --num_epochs=20",
    "optimizer": "--optimizer=sgd,adam --learning_rate=log:1e-3:1:7",
    "regularisation": "--method=none,l2,dropout --l2_strength=1e-4 --dropout_rate=0.2",
    "sweep": "--seeds=10 --learning_rate=0.1,1 --batch_size=10,100 --zip=learning_rate,batch_size",
    "diagnostics": "--diagnostics --histograms",
    "data": "--dataset=mnist --downsample=4",
}


def make_flags() -> FlagValues:
    """All shared flags, grouped by subject."""
    values = FlagValues()
    _define(values, "flagfile", "", "Read flags from this file; later flags win.", "run")
    _define(values, "undefok", "", "Flags that may be unknown, comma between.", "run")
    of_digits = "The small version of the experiment, on digits: nothing to download. Other flags count too."
    absl_flags.DEFINE_flag(command.switch("digits", False, of_digits), values, "run")
    of_quiet = "Print warnings only: no progress, no table, no verdicts; log.txt of the run has all messages."
    absl_flags.DEFINE_flag(command.switch("quiet", False, of_quiet), values, "run")
    _define(
        values,
        "submit",
        "",
        "Submit the --parts of the sweep as an array of jobs: slurm (by submitit), local (all at once, on this "
        "machine) or sbatch (print a script for it).",
        "run",
    )
    _define(values, "parts", "", "With --submit, into how many parts the sweep is divided.", "run")
    _define(values, "submit_options", "", "With --submit, options of sbatch: partition=gpu,time=120.", "run")
    command.define_help(values, "run")
    for name, field in FIELDS.items():
        default = "" if field.default is None else describe(field.default)
        _define(values, name, default, _help(field.metadata), field.metadata["subject"])
    _define(values, "zip", [], "Axes that advance together, comma between; repeatable.", "sweep")
    for part in (Experiment, DataConfig, RunConfig):
        for option in dataclasses.fields(part):
            if not option.metadata:
                continue
            preset: Any = "" if option.default is None else option.default
            preset = preset if isinstance(preset, bool) else describe(preset)
            _define(values, option.name, preset, _help(option.metadata), option.metadata["subject"])
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
    """The flags by subject: what each does, what it may be given, its default; and an example of every subject."""
    width = min(max(shutil.get_terminal_size().columns, 40), 120)
    lines = ["", textwrap.fill(SEVERAL_VALUES, width)]
    for subject, flags in values.flags_by_module_dict().items():
        lines.append(f"\n{subject}, such as  {EXAMPLES[subject]}" if subject in EXAMPLES else f"\n{subject}")
        for flag in flags:
            default = f" [{flag.serialize().partition('=')[2] or flag.default}]" if flag.default else ""
            name = f"-{flag.short_name}, --{flag.name}" if flag.short_name else f"--{flag.name}"
            lines.append(textwrap.fill(f"  {name}: {flag.help}{default}", width, subsequent_indent=" " * 6))
    return "\n".join(lines)


def short_help(name: str) -> str:
    """How an experiment is begun, in three lines."""
    lines = ["  --digits for its small version, which downloads nothing"] if on_digits(name) else []
    return "\n".join(
        [*lines, "  --flagfile=FILE.cfg, or flags such as " + EXAMPLES["optimizer"], "  --help for all flags"]
    )


def _help(metadata: Mapping[str, Any]) -> str:
    """What a flag does, and what it may be given."""
    rule: Rule | None = metadata["rule"]
    if rule is None:
        return str(metadata["help"])
    allowed = f"one of {', '.join(rule.table)}" if rule.table is not None else rule.allowed.removeprefix("must be ")
    return f"{metadata['help']} {allowed[0].upper()}{allowed[1:]}."


def _define(values: FlagValues, name: str, default: Any, help: str, subject: str) -> None:
    """A flag of text: on or off where the default is a bool, repeatable where it is a list."""
    parser: Any = absl_flags.ArgumentParser()
    serializer: Any = absl_flags.ArgumentSerializer()
    if isinstance(default, bool):
        flag: absl_flags.Flag[Any] = command.switch(name, default, help)
    elif isinstance(default, list):
        flag = absl_flags.MultiFlag(parser, serializer, name, default, help)
        flag.help = help  # without what absl adds
    else:
        flag = absl_flags.Flag(parser, serializer, name, default, help)
    absl_flags.DEFINE_flag(flag, values, subject)
