"""`python -m jaxreg.report RUN…`: rebuilds the report of a run, or compares several runs on one page."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jaxreg import command
from jaxreg.errors import ConfigError, RunFolderError
from jaxreg.files import read_text, user_path
from jaxreg.runs import study_source
from jaxreg.runs.folder import read_finished, read_flags

if TYPE_CHECKING:
    from jaxreg.reporting.comparison import Run

USAGE = """python -m jaxreg.report RUN [--study=MODULE_OR_FILE[:ATTRIBUTE]]
python -m jaxreg.report RUN RUN [RUN ...] [--out=comparison.html]

Of one run folder, rebuilds figures/ and report.html in place, from results.nc, meta.json and flags.cfg. Words, claims
and figures are those of the run's study, which is found by what meta.json tells of it, or by --study; of a run without
a study they are the default ones, as with --study=default. Of a run that goes on the page shows what there is so far.
Of several, writes one page that compares them with the first."""


def main(argv: Sequence[str] | None = None) -> int:
    """Writes a page about the run folders in `argv` and returns the exit code: 0 written, 1 refused in one line."""
    arguments = list(sys.argv if argv is None else argv)
    return command.run(lambda: _run(arguments))


def _run(argv: Sequence[str]) -> int:
    from absl import flags

    values = flags.FlagValues()
    flags.DEFINE_string(
        "out", None, "The page that compares several runs (default comparison.html).", flag_values=values
    )
    flags.DEFINE_string("study", None, "Where the study of the run is found.", flag_values=values)
    command.define_help(values)
    folders = [Path(folder) for folder in command.words(values, argv)]
    if command.answered(values, lambda: USAGE):
        return 0
    if not folders:
        raise RunFolderError("no run folder given: python -m jaxreg.report RUN [RUN ...]")
    print(_write(folders, values["out"].value, values["study"].value))
    return 0


def load_runs(folders: Sequence[Path]) -> list[Run]:
    """The runs in `folders`, under labels that tell them apart.

    Raises:
      RunFolderError: one of them is no run folder with results, or is given twice.
    """
    from jaxreg import results
    from jaxreg.reporting.comparison import Run, distinct_labels

    metas = [read_finished(folder) for folder in folders]
    seen: set[Path] = set()
    for folder in folders:
        if folder.resolve() in seen:
            raise RunFolderError(f"{folder}: is given twice; give each run once")
        seen.add(folder.resolve())
    return [
        Run(label, results.load(folder), meta, read_flags(folder, meta))
        for label, folder, meta in zip(distinct_labels(folders), folders, metas, strict=True)
    ]


def _write(folders: Sequence[Path], out: str | None, study: str | None) -> Path:
    """Writes the report of one run, or the comparison of several, and returns its path."""
    folders = [user_path(folder) for folder in folders]
    if len(folders) == 1:
        if out is not None:
            raise ConfigError("out", out, "is for several runs; the report of one is written into its folder")
        meta = read_finished(folders[0], or_so_far=True)
        found, certain = study_source.find(meta, folders[0], study)
        from jaxreg.reporting.assemble import write_report  # what draws is slow to import, and not needed to refuse

        try:
            return write_report(folders[0], found, keep_figures=not certain)
        except (KeyError, ValueError) as error:  # what is not there, or cannot be shown; other errors are bugs
            frame = traceback.extract_tb(error.__traceback__)[-1]
            why = f"{type(error).__name__} in {frame.filename}, line {frame.lineno}: {str(error)[:300]}"
            raise RunFolderError(
                f"{folders[0]}: its study {found.name} cannot show these results ({' '.join(why.split())}); --study="
                "default shows any, if the files are as the run left them"
            ) from error

    if study is not None:
        raise ConfigError("study", study, "is for the report of one run; give one")
    path = user_path("comparison.html" if out is None else out)
    _refuse_foreign(path)
    runs = load_runs(folders)
    from jaxreg.reporting.comparison import write_comparison

    write_comparison(path, runs)
    return path


def _refuse_foreign(path: Path) -> None:
    """A file that is no comparison page is somebody's work."""
    from jaxreg.reporting.comparison import KIND

    if path.is_dir() or not path.parent.is_dir():
        raise ConfigError("out", path, "is not the path of a file in a folder that exists")
    try:
        foreign = path.exists() and KIND not in read_text(path, follow=True)[:4000]
    except OSError:
        foreign = True
    if foreign:
        raise ConfigError("out", path, "exists and is not a comparison page; give another name or remove it")


if __name__ == "__main__":
    sys.exit(main())
