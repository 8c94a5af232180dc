from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from jaxreg.reporting.figures import spread


def results(accuracy: list[float], diverged: list[int]) -> xr.Dataset:
    return xr.Dataset(
        {"final_test_accuracy": ("seed", accuracy, {"units": "1"}), "diverged_step": ("seed", diverged)},
        coords={"seed": np.arange(len(accuracy))},
    )


def test_every_seed_that_did_not_diverge_is_in_the_histogram() -> None:
    accuracy = np.random.default_rng(0).normal(0.9, 0.01, 200)
    figure = spread(results([*accuracy, np.nan, np.nan], [-1] * 200 + [3, 4]))
    (axes,) = figure.axes
    shaded, *bars = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert sum(bar.get_height() for bar in bars) == 200
    assert shaded.get_x() == pytest.approx(np.quantile(accuracy, 0.025))
    (line,) = axes.lines
    assert np.asarray(line.get_xdata())[0] == pytest.approx(accuracy.mean())
    texts: list[Any] = figure.findobj(Text)
    text = " ".join(str(each.get_text()).replace("\n", " ") for each in texts)
    assert "middle 95 % of 200 seeds" in text
    assert "2 more diverged" in text


def test_several_settings_or_a_single_seed_are_refused() -> None:
    with pytest.raises(ValueError, match="fewer than two"):
        spread(results([0.9, np.nan], [-1, 2]))
    two = xr.concat([results([0.9, 0.8], [-1, -1])] * 2, xr.Variable("learning_rate", [0.1, 1.0]))
    with pytest.raises(ValueError, match="learning_rate"):
        spread(two)


def test_bins_of_accuracies_hold_as_many_possible_values_each() -> None:
    right = np.random.default_rng(0).binomial(10_000, 0.95, 5000)
    many = results((right / 10_000).astype(np.float32).tolist(), [-1] * 5000).assign_attrs(test_examples=10_000)
    _, *bars = [patch for patch in spread(many).axes[0].patches if isinstance(patch, Rectangle)]
    widths = np.array([10_000 * bar.get_width() for bar in bars])
    np.testing.assert_allclose(widths, round(widths[0]), rtol=1e-6)
    edge = 10_000 * bars[0].get_x()
    assert edge == pytest.approx(right.min() - 0.5)
    assert sum(bar.get_height() for bar in bars) == 5000
