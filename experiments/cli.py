"""The command line of every experiment: flags in, run folder out; one line and an exit code if something is wrong."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from absl import flags as absl_flags
from rich.console import Console

from experiments.flags import help_text, make_flags, to_experiment
from jaxreg.errors import JaxregError, Stopped
from jaxreg.hardware import keep_compilations, use_all_cores
from jaxreg.session import dry_run, execute
from jaxreg.study import Study


def main(study: Study, argv: Sequence[str] | None = None) -> int:
    """Runs a study with the flags of `argv` and returns its exit code: 0 done, 1 error, 75, 130 or 143 stopped."""
    argv = list(sys.argv if argv is None else argv)
    console, log = Console(), logging.getLogger("jaxreg")
    handler = logging.StreamHandler(sys.stderr)
    log.setLevel(logging.INFO)
    log.propagate = False  # libraries hang handlers of their own on the root logger
    log.addHandler(handler)
    values = make_flags()
    try:
        unknown = values(argv)[1:]
        if values["help"].value:
            console.print(f"{study.title}\n{study.question}\n{help_text(values)}", markup=False, highlight=False)
            return 0
        if unknown:
            return _refuse(f"{unknown[0]}: flags begin with --; see --help")
        use_all_cores()
        keep_compilations()
        experiment = to_experiment(study.name, values)
        if experiment.run.dry_run:
            for line in dry_run(experiment, study):
                console.print(line, soft_wrap=True, markup=False, highlight=False)
            return 0
        outcome = execute(experiment, study)
    except absl_flags.Error as error:
        return _refuse(" ".join(str(error).split()))
    except UnicodeDecodeError:
        return _refuse("--flagfile: holds something else than text; give a file of --name=value lines")
    except KeyboardInterrupt:
        return 130
    except Stopped as stop:
        log.info("%s; go on with --resume", stop)
        return stop.exit_code
    except JaxregError as error:
        return _refuse(str(error))
    finally:
        log.removeHandler(handler)
        log.propagate = True
    from jaxreg.claims import judge  # slow to import, and not needed for a refusal
    from jaxreg.reporting.tables import print_table, print_verdicts

    print_table(outcome.results, console)
    print_verdicts(judge(study.claims, outcome.results), console)
    if outcome.folder is not None:
        for name in ("report.html", "results.nc"):
            if (outcome.folder / name).exists():
                console.print(f"{name}: {outcome.folder / name}", soft_wrap=True, markup=False, highlight=False)
                break
    return 0


def _refuse(line: str) -> int:
    print(line, file=sys.stderr)
    return 1
