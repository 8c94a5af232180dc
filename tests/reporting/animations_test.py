from __future__ import annotations

import io
import itertools
import json
from pathlib import Path

import numpy as np
import xarray as xr
from PIL import Image

from jaxreg import results as labelled
from jaxreg.reporting import animations, figures
from jaxreg.reporting.assemble import write_report
from jaxreg.reporting.document import alternative_text
from jaxreg.study import ReportFigure, Study
from tests.reporting.figures.reading import words
from tests.synthetic import add_surfaces, make_meta, make_results


def watched(num_checks: int = 6) -> xr.Dataset:
    return add_surfaces(make_results(axes={"method": ["none", "l2"]}, seeds=1, num_checks=num_checks))


def frames(gif: bytes) -> list[tuple[np.ndarray, int]]:
    """The pictures and how long each is shown, in milliseconds."""
    image = Image.open(io.BytesIO(gif))
    assert image.info["loop"] == 0
    found = []
    for number in range(getattr(image, "n_frames", 1)):
        image.seek(number)
        found.append((np.asarray(image.convert("RGB")), int(image.info["duration"])))
    return found


def test_there_is_a_frame_for_each_check_and_the_last_one_stays() -> None:
    figure, gif = animations.decision_surfaces(watched(), title="Surfaces")
    drawn = frames(gif)
    assert [duration for _, duration in drawn] == [150] * 5 + [3000]
    assert all((a != b).any() for (a, _), (b, _) in itertools.pairwise(drawn))
    assert len(gif) < 3_000_000
    assert "Surfaces" in words(figure)
    assert any(text.get_text() == "after step 250" for text in figure.texts)
    assert "probability of class 1" in alternative_text(figure)


def test_the_colours_are_those_of_the_figure() -> None:
    figure, gif = animations.decision_surfaces(watched())
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    still = np.asarray(Image.open(buffer).convert("RGB")).astype(float)
    last = frames(gif)[-1][0].astype(float)
    assert last.shape == still.shape
    np.testing.assert_array_equal(last[:3], 255)  # white is white
    assert np.abs(last - still).mean() < 3


def test_of_many_checks_forty_are_frames() -> None:
    results = watched(num_checks=101)
    _, gif = animations.decision_surfaces(results.isel(method=[0]))
    assert len(frames(gif)) == animations.MAX_FRAMES


def test_the_report_keeps_and_shows_it_and_a_later_one_without_it_clears_it_away(tmp_path: Path) -> None:
    results = watched()
    labelled.save(results, tmp_path / "results.nc")
    (tmp_path / "meta.json").write_text(json.dumps(make_meta()), encoding="utf-8")
    (tmp_path / "flags.cfg").write_text("--method=none,l2\n", encoding="utf-8")

    def moving(results: xr.Dataset) -> list[ReportFigure]:
        figure, gif = animations.decision_surfaces(results)
        return [ReportFigure("surfaces", "From check to check.", figure, moving=gif)]

    def still(results: xr.Dataset) -> list[ReportFigure]:
        return [ReportFigure("surfaces", "At the end.", figures.decision_surfaces(results))]

    page = write_report(tmp_path, Study(figures=moving)).read_text(encoding="utf-8")
    assert {path.name for path in (tmp_path / "figures").glob("surfaces.*")} == {
        "surfaces.gif",
        "surfaces.png",
        "surfaces.svg",
    }
    assert len(frames((tmp_path / "figures" / "surfaces.gif").read_bytes())) == 6
    assert '<img class="moving" src="data:image/gif;base64,' in page
    assert '<img src="data:image/svg+xml;base64,' in page

    page = write_report(tmp_path, Study(figures=still)).read_text(encoding="utf-8")
    assert not (tmp_path / "figures" / "surfaces.gif").exists()
    assert 'class="moving"' not in page
