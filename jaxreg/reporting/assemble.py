"""From the folder of a run to its figures and its report page."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxreg.claims import compare, judge
from jaxreg.reporting import figures, page
from jaxreg.reporting.defaults import default_answer, default_figures
from jaxreg.reporting.networks import network_figures
from jaxreg.results import dataset as labelled
from jaxreg.study import Study


def write_report(folder: Path, study: Study, meta: Mapping[str, Any] | None = None) -> Path:
    """Draws the figures of a study into `folder`/figures and writes `folder`/report.html.

    Older figures that are no longer drawn are removed.

    Args:
      folder: a run folder with results.nc and flags.cfg.
      study: question, claims and figures; without an answer or figures of its own those of `defaults`.
      meta: what the page says of the run; by default what is in meta.json.

    Returns:
      The path of the page.
    """
    if meta is None:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    results = labelled.load(folder)
    drawn = [*(study.figures or default_figures)(results), *network_figures(results, folder)]
    for old in (folder / "figures").glob("*.*"):
        moving = old.suffix == ".gif"
        kept = {figure.name for figure in drawn if figure.moving or not moving}
        if old.stem not in kept and old.suffix in (".png", ".svg", ".gif"):
            old.unlink()
    drawn = [
        dataclasses.replace(figure, files=figures.save(figure.figure, folder / "figures", figure.name))
        for figure in drawn
    ]
    for figure in drawn:
        if figure.moving:
            (folder / "figures" / f"{figure.name}.gif").write_bytes(figure.moving)
    path = folder / "report.html"
    page.write_report(
        path,
        title=study.title,
        question=study.question,
        answer=(study.answer or default_answer)(results),
        source=study.source,
        results=results,
        meta=meta,
        figures=drawn,
        judgements=judge(study.claims, results),
        comparison=compare(results, study.reported) if study.reported else None,
        flags=(folder / "flags.cfg").read_text(encoding="utf-8"),
        notes=study.notes,
    )
    return path
