"""The command `jaxreg`: a door to the experiments, your own among them, and to what is done with their runs.

Nothing slow is imported before it is needed, so that `jaxreg --help` and `jaxreg list` answer at once.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from experiments import catalogue
from experiments.startup import begin

if TYPE_CHECKING:
    from jaxreg.study import Study

USAGE = """jaxreg: how initialisation, step size, batch size and regularisation shape the training of a small network

  jaxreg list                     the experiments that come with it, and their flagfiles
  jaxreg run NAME [--flag=value]  trains one: --digits for its small version, --flagfile=FILE.cfg, or flags of your own
  jaxreg run FILE.py [...]        trains an experiment of your own, the STUDY of that file
  jaxreg resume RUN [...]         goes on with a run that was stopped; --seeds=N adds seeds to one that is done
  jaxreg report RUN [RUN ...]     makes the report of a run again, or a page that compares several
  jaxreg extract RUN [...]        takes one member out: --select=learning_rate=0.1,seed=3 --out=FOLDER
  jaxreg join PART [PART ...]     makes one run of parts that were trained with --part=K/N: --workdir=RUN

  jaxreg run NAME --help          all flags; likewise for report, extract and join
  jaxreg --version"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command in `argv`, the name of the program first, and returns its exit code."""
    word, *rest = [*(sys.argv if argv is None else argv)[1:], ""]
    arguments = rest[:-1]
    if word in ("", "help", "-h", "-?", "--help", "--helpshort", "--helpfull"):
        return catalogue.say(USAGE)
    if word == "--version":
        return catalogue.say(f"jaxreg {version('jaxreg')}")
    if word == "list":
        return catalogue.print_list()
    commands = {"run": _run, "resume": _resume, "report": _report, "extract": _extract, "join": _join}
    if word not in commands:
        nearest = _nearest(word, [*commands, "list"])
        print(f"jaxreg {word}: no such command{nearest}; see jaxreg --help", file=sys.stderr)
        return 1
    begin()
    return commands[word](arguments)


def _run(arguments: Sequence[str]) -> int:
    what, flags = _first_word(arguments)
    return _main(lambda: _study(what), "run", flags)


def _study(what: str | None) -> Study:
    """The study of an experiment that comes with the package, or that a file holds."""
    from jaxreg.errors import JaxregError
    from jaxreg.runs import study_source

    if what in catalogue.names():
        return study_source.of(catalogue.module_of(what))
    if what is None:
        raise JaxregError("jaxreg run: give the name of an experiment or a file first; see jaxreg list")
    if Path(what.partition(":")[0]).suffix != ".py" and not Path(what).is_file():
        raise JaxregError(f"{what}: no such experiment{_nearest(what, catalogue.names())}; see jaxreg list")
    return study_source.of(what)


def _resume(arguments: Sequence[str]) -> int:
    run, flags = _first_word(arguments)
    return _main(lambda: _study_of_run(run), "resume", [*flags, f"--workdir={run}", "--resume"])


def _study_of_run(run: str | None) -> Study:
    from jaxreg.errors import JaxregError, RunFolderError
    from jaxreg.files import user_path
    from jaxreg.runs import study_source
    from jaxreg.runs.meta import read_meta

    if run is None:
        raise JaxregError("jaxreg resume: give the folder of a run first")
    folder = user_path(run)
    meta = read_meta(folder)
    if meta is None:
        raise RunFolderError(f"{run}: holds no run; give the folder of one, such as runs/NAME/STAMP")
    if meta.get("own") or meta.get("study") == study_source.DEFAULT:
        raise RunFolderError(f"{run}: was begun from Python; run its script again with RunConfig(resume=True)")
    try:
        return study_source.find(meta, folder)[0]
    except RunFolderError as error:
        reason = str(error).partition("; give it by")[0]
        raise RunFolderError(f"{reason}; go on with  jaxreg run FILE.py --workdir={run} --resume") from error


def _report(arguments: Sequence[str]) -> int:
    from jaxreg import report

    return report.main(["jaxreg report", *arguments])


def _extract(arguments: Sequence[str]) -> int:
    from jaxreg import extract

    return extract.main(["jaxreg extract", *arguments])


def _join(arguments: Sequence[str]) -> int:
    from jaxreg import join

    return join.main(["jaxreg join", *arguments])


def _main(study: Callable[[], Study], word: str, flags: Sequence[str]) -> int:
    from experiments import cli

    return cli.main(study, [f"jaxreg {word}", *flags])


def _first_word(arguments: Sequence[str]) -> tuple[str | None, list[str]]:
    """The first argument, None if it is a flag (behind one a word may be its value), and the others."""
    first, rest = arguments[:1], list(arguments[1:])
    return (None, list(arguments)) if not first or first[0].startswith("-") else (first[0], rest)


def _nearest(word: str, names: Sequence[str]) -> str:
    found = difflib.get_close_matches(word, names, n=1)
    return f"; did you mean {found[0]}?" if found else ""


if __name__ == "__main__":
    sys.exit(main())
