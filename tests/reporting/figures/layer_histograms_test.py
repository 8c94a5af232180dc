from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import QuadMesh

from jaxreg.diagnostics import histograms as diagnostics
from jaxreg.reporting import figures
from tests.experiments.watched import NUM_CHECKS, watched
from tests.reporting.figures.reading import cells, words


def counted(values: Any, quantity: str, layers: int = 2) -> xr.Dataset:
    """The same values in each of three seeds, all checks and layers."""
    results = watched({"init_variance": [1.0]}, layers=layers, seeds=3).isel(init_variance=0)
    counts, _ = np.histogram(values, diagnostics.bin_edges(quantity))
    name = f"{quantity}_histogram"
    histogram = (0 * results[name] + xr.DataArray(counts, dims="bin")).astype(np.uint32)
    return results.assign({name: histogram.assign_attrs(results[name].attrs)})


def mesh(axes: Any) -> Any:
    (found,) = [artist for artist in axes.collections if isinstance(artist, QuadMesh)]
    return found


def edges(axes: Any) -> Any:
    return mesh(axes).get_coordinates()[:, 0, 1]


def test_rows_are_layers_and_columns_are_quantities() -> None:
    results = watched({"init_variance": [1.0]}, layers=7, seeds=2).isel(init_variance=0)
    figure = figures.layer_histograms(results, ("weights", "gradients"))
    panels = figure.axes[:-1]  # the last is the colour bar
    assert [axes.get_title() for axes in panels[:2]] == ["weights", "gradients"]
    assert [axes.get_ylabel() for axes in panels[::2]] == ["layer 1", "layer 3", "layer 5", "layer 7"]
    assert "values of 2 seeds together" in words(figure)
    assert "4 of 7 layers shown" in words(figure)
    assert figure.get_supxlabel() == "training (steps)"
    np.testing.assert_allclose(mesh(panels[0]).get_coordinates()[0, :, 0], np.arange(NUM_CHECKS + 1) * 50 - 25)


def test_linear_bins_keep_a_linear_axis_cut_to_what_occurs() -> None:
    figure = figures.layer_histograms(counted([0.1] * 30 + [0.9] * 10, "activations"), ("activations",))
    axes = figure.axes[0]
    assert axes.get_yscale() == "linear"
    np.testing.assert_allclose(edges(axes)[[0, -1]], [0.0875, 0.9125], rtol=1e-6)
    shares = cells(mesh(axes))
    np.testing.assert_allclose(shares[[0, -1], 0], [0.75, 0.25])
    assert shares.mask[1:-1].all()


def test_logarithmic_bins_have_an_axis_with_room_for_both_signs_and_zero() -> None:
    values = np.random.default_rng(0).normal(0, 0.3, 100_000)
    axes = figures.layer_histograms(counted(values, "weights"), ("weights",)).axes[0]
    assert axes.get_yscale() == "symlog"
    found = edges(axes)
    centre = np.flatnonzero((found[1:] > 0) & (found[:-1] < 0))[0]
    within = found[centre + 1]
    assert found[centre] == -within
    assert (np.abs(values) < within).mean() < 0.03  # bins too narrow to be seen became one
    shares = cells(mesh(axes)).filled(0)
    np.testing.assert_allclose(shares[centre, 0], (np.abs(values) < within).mean())
    np.testing.assert_allclose(shares[:, 0].sum(), 1, atol=2e-3)
    shown = {float(tick.get_text().replace("\N{MINUS SIGN}", "-")) for tick in axes.get_yticklabels()}
    assert 0.0 in shown
    assert {0.1, -0.1} <= shown


@pytest.mark.parametrize("value", [0.0, 0.5, -2e-5, 1e9])
def test_values_that_are_all_alike_fill_one_bin(value: float) -> None:
    for quantity in ("bias", "activations"):
        axes = figures.layer_histograms(counted([value] * 50, quantity), (quantity,)).axes[0]
        np.testing.assert_allclose(cells(mesh(axes)), 1.0)
        assert len(edges(axes)) == 2


def test_halted_members_leave_no_trace_and_sweeps_are_refused() -> None:
    results = counted([0.1, 0.2], "weights")
    results["weights_histogram"][:, 3:] = 0
    shares = cells(mesh(figures.layer_histograms(results, ("weights",)).axes[0]))
    assert not shares.mask[[0, -1], :3].any()
    assert shares.mask[:, 3:].all()
    with pytest.raises(ValueError, match="select one value of init_variance"):
        figures.layer_histograms(watched(seeds=2), ("weights",))
    with pytest.raises(KeyError, match="weights_histogram"):
        figures.layer_histograms(watched(histograms=False).isel(init_variance=0), ("weights",))
