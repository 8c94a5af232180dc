from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from jaxreg.reporting import figures
from tests.reporting.figures.reading import cells, words

NAMES = ["healthy", "vanishing", "dead", "decaying"]


def verdicts(codes: Any, dims: tuple[str, ...] = ("init_variance", "check"), **attrs: Any) -> xr.DataArray:
    flags = {"flag_values": np.arange(4, dtype=np.int8), "flag_meanings": " ".join(NAMES)}
    codes = np.asarray(codes)
    steps = {"check_step": ("check", np.arange(codes.shape[dims.index("check")]) * 50)}
    return xr.DataArray(codes, dims=dims, coords=steps, name="verdict", attrs=flags | attrs)


def legend(figure: Figure) -> dict[str, str]:
    return {
        text.get_text(): to_hex(patch.get_facecolor())
        for text, patch in zip(figure.legends[0].get_texts(), figure.legends[0].get_patches(), strict=True)
    }


def test_a_cell_has_the_colour_and_letter_of_its_verdict() -> None:
    figure = figures.verdict_map(verdicts([[0, 1, 2], [3, 3, -1]]), "check", "init_variance")
    (axes,) = figure.axes
    np.testing.assert_array_equal(cells(axes.collections[0]).filled(-1), [[0, 1, 2], [3, 3, -1]])
    letters = {text.get_position(): text.get_text() for text in axes.texts}
    assert letters == {(0.5, 0.5): "h", (1.5, 0.5): "v", (2.5, 0.5): "dea", (0.5, 1.5): "dec", (1.5, 1.5): "dec"}
    shown = legend(figure)
    assert [label.split()[-1] for label in shown] == [*NAMES, "verdict"]
    assert len(set(shown.values())) == 5
    quads = [to_hex(colour) for colour in axes.collections[0].to_rgba(cells(axes.collections[0])).reshape(-1, 4)[:4]]
    assert quads == [*list(shown.values())[:3], shown["dec   decaying"]]
    assert figure.get_supxlabel() == "training (steps)"
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0", "50", "100"]
    assert words(figure) == "Verdict over training and initial variance"  # of how many seeds is not known


@pytest.mark.parametrize(("settings", "checks"), [(7, 21), (64, 50)])
def test_letters_are_left_out_of_small_cells(settings: int, checks: int) -> None:
    codes = np.random.default_rng(0).integers(0, 4, (2, settings, checks))
    figure = figures.verdict_map(verdicts(codes, ("layer", "init_variance", "check")), "check", "init_variance")
    assert len(figure.axes) == 2
    assert [len(axes.texts) for axes in figure.axes] == [settings * checks if settings == 7 else 0] * 2
    assert [axes.get_title() for axes in figure.axes] == ["layer = 0", "layer = 1"]
    assert ("h   healthy" in legend(figure)) == (settings == 7)
    np.testing.assert_array_equal(cells(figure.axes[1].collections[0]), codes[1])


def test_seeds_vote_and_their_differences_are_counted() -> None:
    codes = [[[1, 0]], [[1, 2]], [[0, -1]]]  # 1, 1, 0 -> 1; 0, 2, none -> the later of 0 and 2
    figure = figures.verdict_map(verdicts(codes, ("seed", "init_variance", "check")), "check", "init_variance")
    np.testing.assert_array_equal(cells(figure.axes[0].collections[0]), [[1, 2]])
    assert "the most frequent verdict of 3 seeds; seeds differ in 2 of 2 cells" in words(figure)


def test_codes_need_not_be_in_order_and_padding_is_no_verdict() -> None:
    figure = figures.verdict_map(
        verdicts([[4.0, 2.0, np.nan]], flag_values=[2, 4], flag_meanings="healthy dead"), "check", "init_variance"
    )
    np.testing.assert_array_equal(cells(figure.axes[0].collections[0]).filled(-1), [[1, 0, -1]])


@pytest.mark.parametrize(
    ("attrs", "match"),
    [
        ({"flag_meanings": "healthy dead"}, "4 flag_values but 2 flag_meanings"),
        ({"flag_values": range(10), "flag_meanings": " ".join("abcdefghij")}, "at most 9 categories"),
    ],
)
def test_flags_are_checked(attrs: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        figures.verdict_map(verdicts([[0, 1]], **attrs), "check", "init_variance")


def test_missing_flags_and_dimensions_are_refused() -> None:
    codes = verdicts([[0, 1]])
    with pytest.raises(ValueError, match="needs the attributes"):
        figures.verdict_map(codes.drop_attrs(), "check", "init_variance")
    with pytest.raises(ValueError, match="no dimension layer"):
        figures.verdict_map(codes, "layer", "init_variance")
    with pytest.raises(ValueError, match="select one value each of a, b"):
        figures.verdict_map(codes.expand_dims(a=2, b=2), "check", "init_variance")
