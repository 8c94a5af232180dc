from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from jaxreg.measures import expected_fluctuation, fluctuation
from jaxreg.reporting import figures
from tests.reporting.figures.reading import legend_texts, marks, words
from tests.synthetic import make_results

SIZES = [1, 10, 100, 1000]


def noisy(sizes: list[int] = SIZES, *, seeds: int = 3, height: float = 0.8) -> xr.Dataset:
    """Losses around 2 whose noise falls as that of a batch of 1000 training and 500 test examples does."""
    results = make_results(axes={"batch_size": sizes}, seeds=seeds, num_checks=41, eval_every=25)
    rng = np.random.default_rng(0)
    for name, examples in (("train_loss", 1000), ("test_batch_loss", 500), ("test_loss", 1000)):
        noise = height * expected_fluctuation(sizes, examples)[:, None, None]
        results[name][:] = 2 + noise * rng.normal(size=results[name].shape)
    return results.assign_attrs(train_examples=1000, test_examples=500)


def test_lines_are_the_expected_ones_at_their_fitted_height() -> None:
    figure = figures.fluctuations(noisy())
    axes = figure.axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert len(axes.containers) == len(marks(axes, "_expected")) == 3
    for line, examples in zip(marks(axes, "_expected"), (1000, 500, 1000), strict=True):
        size, value = np.asarray(line.get_xydata()).T
        inside = size < 0.9 * examples
        height = value[inside] / expected_fluctuation(size[inside], examples)
        np.testing.assert_allclose(height, height[0], rtol=1e-6)
        np.testing.assert_allclose(height[0], 0.8, rtol=0.25)
        np.testing.assert_allclose(size.max(), examples, rtol=1e-3)
    assert legend_texts(axes) == ["training loss", "test batch loss", "test loss"]
    assert axes.get_ylabel() == "fluctuation (nats)"
    assert "fitted in height" in words(figure)


def test_points_are_means_over_seeds() -> None:
    results = noisy(SIZES[:3])
    points = figures.fluctuations(results).axes[0].containers[0][0]
    np.testing.assert_allclose(np.asarray(points.get_ydata()), fluctuation(results).mean("seed"))


def test_exact_zeros_sit_at_the_lower_edge() -> None:
    results = noisy()
    axes = figures.fluctuations(results).axes[0]
    zero = marks(axes, "_zero")  # the full batch: train loss, test batch, test loss
    assert [np.asarray(mark.get_ydata()).tolist() for mark in zero] == [[0], [0], [0]]
    assert axes.get_ylim()[0] > 0
    assert not marks(figures.fluctuations(noisy(SIZES[:3])).axes[0], "_zero")


def test_relative_fluctuation_is_a_share() -> None:
    axes = figures.fluctuations(noisy(SIZES[:2]), relative=True).axes[0]
    assert axes.get_ylabel() == "fluctuation (share of the loss)"
    points = axes.containers[0][0]
    np.testing.assert_allclose(np.asarray(points.get_ydata()), 0.4 * expected_fluctuation(SIZES[:2], 1000), rtol=0.1)


def test_losses_without_enough_checks_are_left_out() -> None:
    results = noisy(SIZES[:2])
    assert legend_texts(figures.fluctuations(results, last_steps=20).axes[0]) == ["training loss"]
    with pytest.raises(ValueError, match="fewer than three"):
        figures.fluctuations(results, last_steps=1)


def test_diverged_members_are_counted_and_further_axes_refused() -> None:
    results = noisy(SIZES[:2])
    results["diverged_step"][0, 0] = 5
    assert figures.fluctuations(results).axes[0].texts[0].get_text().split() == ["1", "of", "3", "diverged"]
    both = make_results(axes={"batch_size": [1, 10], "init": ["he", "normal"]}, num_checks=41, eval_every=25)
    with pytest.raises(ValueError, match="select one value of init"):
        figures.fluctuations(both.assign_attrs(train_examples=1000, test_examples=500))
