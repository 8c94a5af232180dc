"""The command line of every experiment: flags in, run folder out; one line and an exit code if something is wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

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
from jaxreg import command
from jaxreg.claims import judge
from jaxreg.errors import Stopped
from jaxreg.hardware import keep_compilations, use_all_cores
from jaxreg.reporting.defaults import answer_of
from jaxreg.runs.commands import resuming
from jaxreg.session import Outcome, dry_run, execute
from jaxreg.study import Study

_NARROWEST = 20  # columns


def main(study: Study | Callable[[], Study], argv: Sequence[str] | None = None) -> int:
    """Runs a study, or the one that a function finds, with the flags of `argv` and returns its exit code.

    0 done, 1 error, 75 time limit, 130, 143 or 129 stopped by SIGINT, SIGTERM or SIGHUP.
    """
    imported()
    arguments = list(sys.argv if argv is None else argv)
    return command.run(lambda: _run(study if isinstance(study, Study) else study(), arguments))


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
    if experiment.run.dry_run:
        for line in dry_run(experiment, study):
            print(line)
        return 0
    try:
        outcome = execute(experiment, study)
    except Stopped as stop:
        if stop.folder is not None:
            stop.go_on = resuming(stop.folder)
        raise
    if not values["quiet"].value:
        _show(study, outcome)
    return 0


def _show(study: Study, outcome: Outcome) -> None:
    """Prints the answer, the table, the verdicts, and where the rest is."""
    console = Console(emoji=False)
    if console.width < _NARROWEST:  # COLUMNS=0, on which Rich would print nothing
        console.width = _NARROWEST
    from jaxreg.reporting.tables import print_answer, print_table, print_verdicts  # what shows is slow to import

    print_answer(answer_of(study, outcome.results), console)
    print_table(outcome.results, console)
    print_verdicts(judge(study.claims, outcome.results), console)
    if outcome.folder is not None:
        for name in ("report.html", "results.nc"):
            if (outcome.folder / name).exists():
                print(f"{name}: {outcome.folder / name}")
                break
