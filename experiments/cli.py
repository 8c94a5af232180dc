"""The command line of every experiment: flags in, run folder out; one line and an exit code if something is wrong."""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from experiments.flags import (
    help_text,
    make_flags,
    read_flags,
    short_help,
    take_for_digits,
    take_from_run,
    to_experiment,
)
from experiments.startup import imported
from experiments.submit import make_array, submit
from jaxreg import command, processes
from jaxreg.claims import judge
from jaxreg.config import Experiment
from jaxreg.config.consistency import validate
from jaxreg.config.division import parse_part
from jaxreg.errors import ConfigError, Stopped
from jaxreg.hardware import keep_compilations, take_gpu_memory, use_all_cores
from jaxreg.reporting.defaults import answer_of
from jaxreg.runs.commands import resuming
from jaxreg.session import check, dry_run, execute
from jaxreg.slow_imports import xr
from jaxreg.study import Study

_NARROWEST = 20  # columns


def main(study: Study | Callable[[], Study], argv: Sequence[str] | None = None) -> int:
    """Runs a study, or the one that a function finds, with the flags of `argv` and returns its exit code.

    0 done, 1 error, 75 time limit, 130, 143 or 129 stopped by SIGINT, SIGTERM or SIGHUP.
    """
    imported()
    arguments = list(sys.argv if argv is None else argv)
    exit_code = command.run(lambda: _run(study if isinstance(study, Study) else study(), arguments))
    processes.leave(exit_code)
    return exit_code


def _run(study: Study, argv: Sequence[str]) -> int:
    values = make_flags()
    read_flags(values, argv)
    about = f"{study.title}\n{study.question}"
    if command.answered(values, lambda: f"{about}\n{help_text(values)}", lambda: f"{about}\n{short_help(study.name)}"):
        return 0
    take_from_run(study.name, values)
    take_for_digits(study.name, values)
    if values["quiet"].value:
        command.be_quiet()
        values["progress"].value = "false"
    use_all_cores()
    keep_compilations()
    experiment = to_experiment(study.name, values)
    if experiment.run.gpu_memory is not None:
        validate(experiment)
        take_gpu_memory(experiment.run.gpu_memory)
    if values["submit"].value:
        array = make_array(study.name, values, sys.argv[1:])
        check(dataclasses.replace(experiment, part=f"1/{array.parts}"), study)
        submit(array, values["submit"].value)
        return 0
    for name in ("parts", "submit_options"):
        if values[name].value:
            raise ConfigError(name, values[name].value, "is for an array of jobs; give --submit too")
    if experiment.run.distributed:
        _join(experiment)
    if experiment.run.dry_run:
        for line in dry_run(experiment, study):
            if processes.is_first():
                print(line)
        return 0
    try:
        outcome = execute(experiment, study)
    except Stopped as stop:
        if stop.folder is not None:
            stop.go_on = resuming(stop.folder)
        raise
    if values["quiet"].value or not processes.is_first():
        return 0
    if outcome.results is None:
        share = parse_part(experiment.part or "")
        print(f"part {share.number} of {share.of} is trained: {outcome.folder}")
        print(f"join all {share.of}: python -m jaxreg.join PART ... --workdir=RUN")
    else:
        _show(study, outcome.results, outcome.folder)
    return 0


def _join(experiment: Experiment) -> None:
    """Makes this process one of several; all but the first say only what went wrong."""
    validate(experiment)
    settings = experiment.run
    processes.join(settings.coordinator, settings.num_processes, settings.process_id)
    if not processes.is_first():
        command.be_quiet(logging.ERROR)


def _show(study: Study, results: xr.Dataset, folder: Path | None) -> None:
    """Prints the answer, the table, the verdicts, and where the rest is."""
    console = Console(emoji=False)
    if console.width < _NARROWEST:  # COLUMNS=0, on which Rich would print nothing
        console.width = _NARROWEST
    from jaxreg.reporting.tables import print_answer, print_table, print_verdicts  # what shows is slow to import

    print_answer(answer_of(study, results), console)
    print_table(results, console)
    print_verdicts(judge(study.claims, results), console)
    if folder is not None:
        for name in ("report.html", "results.nc"):
            if (folder / name).exists():
                print(f"{name}: {folder / name}")
                break
