from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot
import numpy as np
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from jaxreg.claims import Judgement
from jaxreg.reporting import figures
from tests.reporting.figures.reading import words
from tests.synthetic import make_results


def drawings() -> dict[str, Callable[[], Figure]]:
    one, grid = make_results(seeds=3, diverged=1), make_results(axes={"a": [1, 2], "b": [1, 2]}, seeds=2)
    counts = xr.DataArray(np.arange(1, 25).reshape(2, 3, 4), dims=("layer", "check", "bin"), name="weight_counts")
    codes = (counts % 2).assign_attrs(flag_values=[0, 1], flag_meanings="healthy dead")
    return {
        "curves": lambda: figures.curves(one, "train_loss"),
        "panels": lambda: figures.panels(one, "learning_rate"),
        "value_against": lambda: figures.value_against(one, "learning_rate"),
        "heat_map": lambda: figures.heat_map(grid, "final_test_loss", "a", "b"),
        "paired": lambda: figures.paired(one, "learning_rate"),
        "differences": lambda: figures.differences(one, "learning_rate", 0.1),
        "evidence": lambda: figures.evidence([Judgement("a claim " * 30, "part 5", "undecided", "why", 3, "1", ())]),
        "histograms": lambda: figures.histograms_over_time(counts),
        "ridges": lambda: figures.histograms_over_time(counts, ridge=True),
        "verdict_map": lambda: figures.verdict_map(codes, "check", "bin"),
        "weight_images": lambda: figures.weight_images(np.arange(24.0).reshape(12, 2), (3, 4)),
        "confusion": lambda: figures.confusion(xr.DataArray(np.eye(3) + 1, dims=("label", "prediction"))),
    }


def in_a_notebook(figure: Figure, kind: str = "png") -> tuple[bytes, dict[str, int]]:
    """What IPython shows where a figure is the value of a cell: it calls the method named after the kind of picture."""
    found: tuple[bytes, dict[str, int]] = getattr(figure, f"_repr_{kind}_")()
    return found


@pytest.mark.parametrize("name", list(drawings()))
def test_figures_are_files_with_the_same_bytes_twice(name: str, tmp_path: Path) -> None:
    draw, settings_before = drawings()[name], dict(mpl.rcParams)
    figure = draw()
    first = figures.save(figure, tmp_path / "new", name)
    again = figures.save(figure, tmp_path / "again", name)
    anew = figures.save(draw(), tmp_path / "anew", name)
    assert [path.name for path in first] == [f"{name}.png", f"{name}.svg"]
    for paths in zip(first, again, anew, strict=True):
        assert len({path.read_bytes() for path in paths}) == 1
    with Image.open(first[0]) as image:
        np.testing.assert_allclose(image.size, figure.get_size_inches() * 150, atol=1)
    svg = first[1].read_text(encoding="utf-8")
    assert "<text" in svg
    assert "dc:date" not in svg
    assert dict(mpl.rcParams) == settings_before


def test_a_matplotlibrc_of_the_user_s_changes_nothing(tmp_path: Path) -> None:
    names = ("curves", "heat_map", "histograms")
    usual = [figures.save(drawings()[name](), tmp_path / "usual", name) for name in names]
    own: Any = {
        **{"text.usetex": True, "font.size": 30, "lines.linewidth": 9, "axes.formatter.use_mathtext": True},
        **{"savefig.bbox": "tight", "savefig.transparent": True, "savefig.dpi": 20, "figure.dpi": 33},
        **{"xtick.direction": "in", "axes.unicode_minus": False, "svg.fonttype": "path", "axes.grid": False},
    }
    with mpl.rc_context(own):
        anew = [figures.save(drawings()[name](), tmp_path / "own", name) for name in names]
    for before, after in zip(usual, anew, strict=True):
        for one, other in zip(before, after, strict=True):
            assert one.read_bytes() == other.read_bytes(), one


def test_dollar_signs_in_names_are_dollar_signs(tmp_path: Path) -> None:
    results = make_results(axes={"init": ["a$_$", "x_{$"]}, seeds=2)
    _, svg = figures.save(figures.value_against(results, "init"), tmp_path, "dollars")
    text = svg.read_text(encoding="utf-8")
    assert ">a$_$<" in text
    assert ">x_{$<" in text


@pytest.mark.parametrize("name", list(drawings()))
def test_nothing_is_cut_off_by_the_edge_of_the_page(name: str) -> None:
    figure = drawings()[name]()
    width, height = figure.get_size_inches()
    FigureCanvasAgg(figure)
    drawn = figure.get_tightbbox()
    assert 0 <= drawn.x0 < drawn.x1 <= width
    assert 0 <= drawn.y0 < drawn.y1 <= height


def test_a_title_can_be_given() -> None:
    figure = figures.curves(make_results(axes={}), "test_loss", title="All rates (figure 36)")
    assert words(figure) == "All rates (figure 36) mean of 5 seeds, band: 95 % t interval"


@pytest.mark.parametrize("name", list(drawings()))
def test_a_notebook_shows_a_figure_that_can_be_altered(name: str) -> None:
    figure = drawings()[name]()
    colour, dpi, canvas = figure.get_facecolor(), figure.dpi, figure.canvas
    first, size = in_a_notebook(figure)
    with Image.open(io.BytesIO(first)) as image:
        assert image.format == "PNG"
        inches = figure.get_size_inches()
        np.testing.assert_allclose([size["width"], size["height"]], 96 * inches, atol=1)
        np.testing.assert_allclose(image.size, 144 * inches, atol=1)
        assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    assert (figure.get_facecolor(), figure.dpi, figure.canvas) == (colour, dpi, canvas)
    figure.axes[0].text(0.5, 0.5, "mine", transform=figure.axes[0].transAxes, fontsize=30)
    assert in_a_notebook(figure)[0] != first
    figure.savefig(io.BytesIO(), format="pdf")


def test_pyplot_knows_nothing_of_the_figures() -> None:
    figures.curves(make_results(axes={}), "test_loss")
    assert matplotlib.pyplot.get_fignums() == []
