from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes

from jaxreg.reporting import figures
from jaxreg.reporting.figures.propagation import SIGNALS, second_moment
from jaxreg.theory import meanfield
from tests.experiments.watched import watched
from tests.reporting.figures.reading import legend_texts, marks, words

WIDTHS, VARIANCES = (64, 32, 32, 10), [0.01, 0.1, 1.0]


def at_start(axes: dict[str, list[Any]] | None = None, **fixed: Any) -> xr.Dataset:
    """Signals before the first step exactly as mean-field theory has them, inputs of second moment 0.2."""
    axes = axes or {"init_variance": VARIANCES}
    fixed = {} if "hidden_sizes" in axes else {"hidden_sizes": "32x32"} | fixed
    results = watched(axes, layers=3, seeds=3, histograms=False, **fixed)
    signals = {name: results[f"{name}_std"].copy() for name in SIGNALS}
    for variance in results["init_variance"].values:
        theory = meanfield.predict(0.2, WIDTHS, [float(variance)] * 3, "sigmoid", 0.09)
        for name, std in signals.items():
            std.loc[{"init_variance": variance, "check": 0}] = np.sqrt(getattr(theory, name))
    weights = np.sqrt(results["init_variance"]) + 0 * results["weights_std"]
    changed = {f"{name}_std": std for name, std in signals.items()} | {"weights_std": weights}
    return results.assign(changed)


def theory_of(axes: Axes) -> np.ndarray:
    return np.array([line.get_ydata() for line in marks(axes, "_theory")])


def points_of(axes: Axes) -> np.ndarray:
    return np.array([container[0].get_ydata() for container in axes.containers])


def test_the_second_moment_is_that_of_mean_and_standard_deviation() -> None:
    values = np.random.default_rng(0).normal(3, 2, 1000)
    results = xr.Dataset({"weights_mean": np.float32(values.mean()), "weights_std": np.float32(values.std())})
    np.testing.assert_allclose(second_moment(results, "weights"), np.mean(values**2), rtol=1e-6)


def test_points_lie_on_the_prediction_where_the_theory_holds() -> None:
    figure = figures.signal_propagation(at_start(), "init_variance")
    panels = figure.axes[:3]
    assert [axes.get_title() for axes in panels] == list(SIGNALS.values())
    for axes, name in zip(panels, SIGNALS, strict=True):
        expected = [getattr(meanfield.predict(0.2, WIDTHS, [v] * 3, "sigmoid", 0.09), name) for v in VARIANCES]
        np.testing.assert_allclose(points_of(axes), expected, rtol=1e-5)
        np.testing.assert_allclose(theory_of(axes), expected, rtol=1e-5)
        assert axes.get_yscale() == "log"
    assert [tick.get_text() for tick in panels[0].get_xticklabels()] == ["1", "2", "3"]
    assert legend_texts(panels[-1]) == ["0.01", "0.1", "1", "mean-field theory"]
    assert "Poole et al. 2016, Schoenholz et al. 2017" in words(figure)


def test_means_are_geometric_with_their_intervals() -> None:
    results = at_start()
    scale = xr.DataArray([0.1, 1.0, 10.0], dims="seed")
    figure = figures.signal_propagation(
        results.assign(activations_std=results["activations_std"] * scale), "init_variance"
    )
    expected = [meanfield.predict(0.2, WIDTHS, [v] * 3, "sigmoid").activations for v in VARIANCES]
    np.testing.assert_allclose(points_of(figure.axes[1]), expected, rtol=1e-5)
    ((_, _, (bars,)), *_) = figure.axes[1].containers
    low, high = np.array([segment[:, 1] for segment in bars.get_segments()]).T
    np.testing.assert_allclose(low * high, np.square(expected[0]), rtol=1e-4)  # symmetric in the logarithm
    assert "geometric mean of 3 seeds, bars: 95 % t interval" in words(figure)


@pytest.mark.parametrize("change", ["later", "torch", "own model", "no label"])
def test_nothing_is_predicted_beyond_the_theory(change: str) -> None:
    results = at_start(init="torch") if change == "torch" else at_start()
    if change == "own model":
        del results.attrs["input_shape"]
    if change == "no label":
        results = results.drop_vars("test_confusion")
    figure = figures.signal_propagation(results, "init_variance", check=2 if change == "later" else 0)
    assert not any(len(theory_of(axes)) for axes in figure.axes)
    assert "mean-field" not in words(figure)
    assert words(figure).startswith(f"Signals through the layers at step {100 if change == 'later' else 0}")


def test_zero_has_no_place_and_no_prediction() -> None:
    figure = figures.signal_propagation(watched({"init_variance": [0.0, 1.0]}, seeds=2), "init_variance")
    assert np.isfinite(points_of(figure.axes[0])).all()
    assert len(theory_of(figure.axes[0])) == 1
    still = watched({"init_variance": [0.0]}, seeds=2)
    still["pre_activations_std"] = 0 * still["pre_activations_std"]
    figure = figures.signal_propagation(still, "init_variance")
    assert np.isnan(points_of(figure.axes[0])).all()


def test_a_further_axis_becomes_rows_and_shallow_networks_end_early() -> None:
    results = at_start({"hidden_sizes": ["32", "32x32"], "init_variance": VARIANCES[::-1]})
    results["backpropagated_std"].loc[{"hidden_sizes": "32", "layer": 3}] = np.nan
    results["weights_std"].loc[{"hidden_sizes": "32", "layer": 3}] = np.nan
    figure = figures.signal_propagation(results, "init_variance")
    assert [axes.get_ylabel() for axes in figure.axes[::3]] == [
        "hidden sizes = 32\nsecond moment",
        "hidden sizes = 32x32\nsecond moment",
    ]
    assert [theory_of(axes).shape for axes in figure.axes[::3]] == [(3, 2), (3, 3)]
    np.testing.assert_allclose(theory_of(figure.axes[3])[:, 0], [64 * v * 0.2 for v in VARIANCES], rtol=1e-5)


def test_a_single_setting_and_seed_is_drawn_and_too_many_axes_are_refused() -> None:
    alone = at_start({"init_variance": [0.1]}).isel(init_variance=0, seed=[0])
    figure = figures.signal_propagation(alone, "init_variance")
    assert "1 seed;" in words(figure)
    assert len(theory_of(figure.axes[0])) == 1
    axes: dict[str, list[Any]] = {"init_variance": [0.1, 1.0], "init": ["normal", "he"], "activation": ["tanh", "relu"]}
    wide = watched(axes, seeds=2, histograms=False)
    with pytest.raises(ValueError, match="select one value each of"):
        figures.signal_propagation(wide, "init_variance")
