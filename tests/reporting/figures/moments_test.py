from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes

from jaxreg.reporting import figures
from jaxreg.theory.adam import expected_ratio
from tests.reporting.figures.reading import legend_texts, marks, words

DECAYS = [0.9, 0.999]


def expectation(steps: int = 300) -> xr.DataArray:
    t = xr.DataArray(np.arange(1, steps + 1), dims="t", coords={"t": np.arange(1, steps + 1)})
    ratio: xr.DataArray = expected_ratio(xr.DataArray(DECAYS, dims="beta2", coords={"beta2": DECAYS}), t)
    return ratio


def ratios(seeds: int = 4) -> xr.DataArray:
    """1 - beta2^t, times 1 + 0.1 s for seed s."""
    seed = xr.DataArray(np.arange(seeds), dims="seed", coords={"seed": np.arange(seeds)})
    return (expectation() * (1 + 0.1 * seed)).transpose("beta2", "seed", "t").rename("E[v] / E[g²]")


def points(axes: Axes) -> list[tuple[np.ndarray, np.ndarray]]:
    return [tuple(np.asarray(bars[0].get_xydata()).T) for bars in axes.containers]


def test_points_are_means_over_seeds_and_lines_what_is_expected() -> None:
    (axes,) = figures.moment_ratios(ratios(), {"1 - β₂ᵗ": expectation()}, "beta2").axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    for (t, mean), line, decay in zip(points(axes), marks(axes, "_expected"), DECAYS, strict=True):
        assert (t[0], t[-1], len(t)) == (1, 300, len(np.unique(t)))
        assert len(t) < 20
        np.testing.assert_allclose(mean, 1.15 * (1 - decay**t))
        np.testing.assert_allclose(np.asarray(line.get_ydata()), expectation().sel(beta2=decay))
    assert legend_texts(axes) == ["0.9", "0.999", "1 - β₂ᵗ"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("t (steps)", "E[v] / E[g²]")


def test_the_first_steps_are_on_linear_axes_with_a_panel_for_each_setting() -> None:
    lines = {"t terms": expectation(), "t + 1 terms": expectation()}
    figure = figures.moment_ratios(ratios(), lines, first_steps=5, title="The slip")
    assert [axes.get_title() for axes in figure.axes] == ["β₂ = 0.9", "β₂ = 0.999"]
    for axes in figure.axes:
        ((t, _),) = points(axes)
        assert t.tolist() == [1, 2, 3, 4, 5]
        assert (axes.get_xscale(), axes.get_yscale(), axes.get_ylim()[0]) == ("linear", "linear", 0)
        assert [line.get_linestyle() for line in marks(axes, "_expected")] == ["-", "--"]
    assert figure.axes[0].get_ylim()[1] > 50 * figure.axes[1].get_ylim()[1]
    assert words(figure).startswith("The slip")
    assert "bars: 95 % t interval" in words(figure)


def test_settings_on_a_linear_axis_are_moved_aside() -> None:
    (axes,) = figures.moment_ratios(ratios(), {}, "beta2", log_y=False).axes
    (first, _), (second, _) = points(axes)
    np.testing.assert_allclose(second / first, 1.05)


def test_one_seed_has_points_without_bars() -> None:
    figure = figures.moment_ratios(ratios(seeds=1), {"1 - β₂ᵗ": expectation()}, "beta2")
    assert "1 seed, no interval" in words(figure)


def test_too_many_dimensions_or_lines_are_refused() -> None:
    deep = xr.concat([ratios(), ratios()], "activation").assign_coords(activation=["relu", "tanh"])
    with pytest.raises(ValueError, match="select one value each of activation, beta2"):
        figures.moment_ratios(deep, {})
    with pytest.raises(ValueError, match="at most 4"):
        figures.moment_ratios(ratios(), dict.fromkeys("abcde", expectation()))
