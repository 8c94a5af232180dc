from __future__ import annotations

import numpy as np
import pytest

from jaxreg.reporting import figures
from jaxreg.statistics import mean_interval
from tests.reporting.figures.reading import marks, words
from tests.synthetic import make_results


@pytest.mark.parametrize(("size", "annotated"), [(4, True), (11, False)])
def test_heat_map_shows_the_mean_over_seeds(size: int, annotated: bool) -> None:
    axes_of = {"learning_rate": list(np.logspace(-3, 0, size)), "init_variance": list(np.linspace(0.1, 2, size))}
    results = make_results(axes=axes_of, seeds=4, diverged=1)
    figure = figures.heat_map(results, "final_test_accuracy", "learning_rate", "init_variance")
    axes, bar = figure.axes
    mean = results["final_test_accuracy"].mean("seed").transpose("init_variance", "learning_rate").values
    np.testing.assert_allclose(axes.collections[0].get_array(), mean, rtol=1e-6)  # type: ignore[arg-type]
    assert len(axes.texts) == (size**2 if annotated else 0)
    if annotated:
        first = mean_interval(results["final_test_accuracy"].isel(learning_rate=0, init_variance=0))
        half_width = float(first["high"] - first["low"]) / 2
        assert axes.texts[0].get_text() == f"{100 * float(first['mean']):#.3g}\n± {100 * half_width:.2g}"
    assert bar.get_ylabel() == "test accuracy (%)"
    (cross,) = marks(axes, "diverged")
    assert (np.floor(np.asarray(cross.get_xydata())) == size - 1).all()
    interval = ", ±: 95 % t interval, below n = 5 only if values are normal" if annotated else ""
    assert f"mean of 4 seeds{interval}; cross: 1 of" in words(figure)


def test_heat_map_of_nothing_but_diverged_members_and_of_names() -> None:
    results = make_results(axes={"init": ["he"], "activation": ["relu"]}, seeds=2, diverged=2)
    axes = figures.heat_map(results, "final_test_loss", "init", "activation").axes[0]
    assert len(marks(axes, "diverged")) == 1
    assert [label.get_text() for label in axes.get_xticklabels()] == ["he"]


def test_heat_map_refuses_a_third_axis() -> None:
    results = make_results(axes={"a": [1, 2], "b": [1, 2], "activation": ["relu", "tanh"]}, seeds=1)
    with pytest.raises(ValueError, match="select one value of activation"):
        figures.heat_map(results, "final_test_loss", "a", "b")
