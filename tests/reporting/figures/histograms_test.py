from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm
from matplotlib.patches import StepPatch

from jaxreg.reporting import figures
from tests.reporting.figures.reading import cells, words


def histograms(checks: int = 3, bins: int = 4, **dims: int) -> xr.DataArray:
    shape = (*dims.values(), checks, bins)
    counts = np.random.default_rng(0).integers(1, 50, shape)
    return xr.DataArray(
        counts,
        dims=(*dims, "check", "bin"),
        coords={
            "bin": ("bin", np.arange(bins) + 0.5, {"units": "1"}),
            "check_step": ("check", np.arange(checks) * 100),
        },
        name="weight_counts",
    )


def mesh(axes: Any) -> Any:
    (found,) = [artist for artist in axes.collections if isinstance(artist, QuadMesh)]
    return found


def ridges(axes: Any) -> list[Any]:
    return [patch for patch in axes.patches if isinstance(patch, StepPatch)]


@pytest.mark.parametrize(("checks", "bins"), [(7, 8), (200, 64)])
def test_a_heat_map_holds_the_share_of_each_bin(checks: int, bins: int) -> None:
    counts = histograms(checks, bins, seed=3)
    counts[0, 0, 0] = counts[1, 0, 0] = counts[2, 0, 0] = 0
    figure = figures.histograms_over_time(counts)
    drawn = mesh(figure.axes[0])
    summed = counts.sum("seed").values
    array = cells(drawn)
    np.testing.assert_allclose(array.filled(0.0), (summed / summed.sum(1, keepdims=True)).T)
    assert array.mask.sum() == 1  # the empty bin
    corners = drawn.get_coordinates()
    np.testing.assert_allclose(corners[0, :, 0], np.arange(checks + 1) * 100 - 50)
    np.testing.assert_allclose(corners[:, 0, 1], np.arange(bins + 1))
    assert figure.get_supxlabel() == "training (steps)"
    assert figure.get_supylabel() == "weight"
    assert figure.axes[-1].get_ylabel() == "share of the values per bin"
    assert words(figure) == "Histograms of weight along training values of 3 seeds together; blank: empty bins"


@pytest.mark.parametrize("ridge", [False, True])
@pytest.mark.parametrize(("layers", "shown"), [(2, [0, 1]), (3, [0, 1, 2]), (7, [0, 2, 4, 6])])
def test_a_further_dimension_becomes_panels(layers: int, shown: list[int], ridge: bool) -> None:
    figure = figures.histograms_over_time(histograms(layer=layers), ridge=ridge)
    assert [axes.get_title() for axes in figure.axes if axes.get_title()] == [f"layer = {layer}" for layer in shown]
    assert (f"4 of {layers} values of layer shown" in words(figure)) == (layers == 7)


def test_bins_may_be_unequal_and_open() -> None:
    figure = figures.histograms_over_time(histograms(bins=4), bin_edges=[-np.inf, -1, 0, 10, np.inf])
    np.testing.assert_allclose(mesh(figure.axes[0]).get_coordinates()[:, 0, 1], [-2, -1, 0, 10, 20])
    assert "the outermost bins hold all values beyond" in words(figure)


def test_scales_of_colours_and_values() -> None:
    edges = [-1.0, -0.1, 0.0, 0.1, 1.0]
    figure = figures.histograms_over_time(histograms(), bin_edges=edges, value_scale="symlog", log=True)
    assert isinstance(mesh(figure.axes[0]).norm, LogNorm)
    assert figure.axes[0].get_yscale() == "symlog"
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == [
        "\N{MINUS SIGN}1",
        "\N{MINUS SIGN}0.1",
        "0",
        "0.1",
        "1",
    ]
    ridge = figures.histograms_over_time(histograms(), bin_edges=np.logspace(-3, 1, 5), value_scale="log", ridge=True)
    assert ridge.axes[0].get_xscale() == "log"


@pytest.mark.parametrize(("checks", "rows"), [(7, 7), (64, 12)])
def test_a_ridge_plot_has_a_histogram_per_check(checks: int, rows: int) -> None:
    counts = histograms(checks)
    (axes,) = figures.histograms_over_time(counts, ridge=True).axes
    shares = counts / counts.sum("bin")
    drawn = ridges(axes)
    assert len(drawn) == rows
    heights = np.stack([patch.get_data().values - row for row, patch in enumerate(drawn)])
    np.testing.assert_allclose(heights[[0, -1]] / heights.max(), shares[[0, -1]] / float(shares[_chosen(checks)].max()))
    labels = [tick.get_text() for tick in axes.get_yticklabels()]
    assert (labels[0], labels[-1]) == ("0", str(100 * (checks - 1)))
    assert drawn[0].get_zorder() > drawn[-1].get_zorder()


def _chosen(checks: int) -> np.ndarray:
    return np.linspace(0, checks - 1, min(checks, 12)).round().astype(int)


def test_padded_checks_are_dropped_and_empty_ones_left_blank() -> None:
    counts = histograms(checks=4).astype(float)
    counts[2] = 0.0
    counts = counts.assign_coords(check_step=("check", [0.0, 100.0, 200.0, np.nan]))
    array = cells(mesh(figures.histograms_over_time(counts).axes[0]))
    assert array.shape == (4, 3)
    assert array.mask[:, 2].all()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"bin_edges": [0, 1, 2]}, "4 bins need 5 ascending edges"),
        ({"bin_edges": [0, 1, 1, 2, 3]}, "ascending"),
        ({"value_scale": "log"}, "use symlog"),
        ({"log": True, "ridge": True}, "leave it out with ridge=True"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        figures.histograms_over_time(histograms(), **change)


def test_dimensions_are_checked() -> None:
    with pytest.raises(ValueError, match="need a dimension check"):
        figures.histograms_over_time(histograms().isel(check=0))
    with pytest.raises(ValueError, match="select one value each of layer, learning_rate"):
        figures.histograms_over_time(histograms(layer=2, learning_rate=2))
