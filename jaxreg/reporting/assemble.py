"""From the folder of a run to its figures and its report page."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxreg import jax_settings
from jaxreg import results as labelled
from jaxreg.claims import compare, judge
from jaxreg.errors import RunFolderError
from jaxreg.files import new_folder, read_text, write_bytes_atomically
from jaxreg.measures import up_to_now
from jaxreg.reporting import figures, page
from jaxreg.reporting.defaults import answer_of, default_figures
from jaxreg.reporting.interactive import curves_if_none
from jaxreg.reporting.networks import network_figures
from jaxreg.runs.folder import SO_FAR, read_finished, read_flags, results_file
from jaxreg.slow_imports import xr
from jaxreg.study import ReportFigure, Study


@jax_settings.pinned()
def write_report(
    folder: Path,
    study: Study,
    meta: Mapping[str, Any] | None = None,
    *,
    results: xr.Dataset | None = None,
    keep_figures: bool = False,
) -> Path:
    """Draws the figures of a study into `folder`/figures and writes `folder`/report.html.

    Older figures that are no longer drawn are removed.

    Earlier figures are replaced once all new ones are drawn and the text is known.

    Args:
      folder: a run folder with flags.cfg and results.nc, or the results so far of a run that goes on.
      study: question, claims and figures; without an answer or figures of its own those of `defaults`.
      meta: what the page says of the run; by default what is in meta.json.
      results: what results.nc holds, if it is at hand.
      keep_figures: refuse to replace an earlier report that has figures or a title which this study does not have.

    Raises:
      RunFolderError: results.nc or flags.cfg cannot be read, or `keep_figures` and there is such a report; nothing has
        changed then.

    Returns:
      The path of the page.
    """
    if meta is None:
        meta = read_finished(folder, or_so_far=True)
    flags, file = read_flags(folder, meta), results_file(folder)
    results = labelled.load(file) if results is None else results
    goes_on = file.name == SO_FAR  # its parameters are not to be had yet
    if goes_on:
        results = up_to_now(results)
    drawn = list((study.figures or default_figures)(results))
    if not goes_on:
        drawn += network_figures(results, folder)
    drawn += curves_if_none(drawn, results)
    answer, judgements = answer_of(study, results), judge(study.claims, results)
    comparison = compare(results, study.reported) if study.reported else None
    if keep_figures:
        _refuse_loss(folder, study, drawn)
    drawn = _replace_figures(folder / "figures", drawn)
    path = folder / "report.html"
    page.write_report(
        path,
        title=study.title,
        question=study.question,
        answer=answer,
        source=study.source,
        results=results,
        meta=meta,
        figures=drawn,
        judgements=judgements,
        comparison=comparison,
        flags=flags,
        notes=study.notes,
    )
    return path


def _replace_figures(folder: Path, drawn: Sequence[ReportFigure]) -> list[ReportFigure]:
    """Puts the figures in place of earlier ones, and says in each which files it has."""
    with new_folder(folder.with_name(f".{folder.name}.partial")) as saving:
        saved = []
        for figure in drawn:
            png, svg = figures.save(figure.figure, saving, figure.name)
            if figure.moving:
                write_bytes_atomically(saving / f"{figure.name}.gif", figure.moving)
            saved.append(dataclasses.replace(figure, files=(folder / png.name, folder / svg.name)))
        folder.mkdir(exist_ok=True)
        made = {path.name for path in saving.iterdir()}
        for old in _figure_files(folder):
            if old.name not in made:
                old.unlink()
        for new in saving.iterdir():
            new.replace(folder / new.name)
    return saved


def _refuse_loss(folder: Path, study: Study, drawn: Sequence[ReportFigure]) -> None:
    lost = {path.stem for path in _figure_files(folder / "figures")} - {figure.name for figure in drawn}
    report = folder / "report.html"
    named = not report.exists() or f"<title>{html.escape(study.title)} " in read_text(report)
    if lost or not named:
        what = f"the figures {', '.join(sorted(lost))}" if lost else "its title"
        raise RunFolderError(
            f"{folder}: its study is not known, and without it the report would lose {what}; give it by "
            "--study=MODULE_OR_FILE[:ATTRIBUTE], or --study=default for a report without it"
        )


def _figure_files(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*.*") if path.suffix in (".png", ".svg", ".gif")]
