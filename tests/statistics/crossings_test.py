from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import xarray as xr

from jaxreg.statistics import first_zero, mean_interval, zero_of_mean


def along_x(values: object, x: list[float]) -> xr.DataArray:
    """Values [seed, x]."""
    return xr.DataArray(values, dims=("seed", "x"), coords={"x": ("x", x, {"units": "1"})})


def test_a_zero_lies_where_the_line_between_neighbours_has_it() -> None:
    values = along_x([[3.0, -1.0, 5.0], [1.0, 2.0, 3.0], [-2.0, 0.0, 1.0], [1.0, 1.0, -1.0]], [0.0, 4.0, 10.0])
    np.testing.assert_allclose(first_zero(values, "x"), [3.0, np.nan, 4.0, 7.0])


def test_the_interval_is_that_of_fieller_between_two_points() -> None:
    """A line through (0, a) and (1, a - b) is 0 at the ratio a / b, of which Fieller (1954) gives the interval."""
    rng = np.random.default_rng(0)
    a, b = 2 + rng.normal(0, 0.3, 8), 4 + rng.normal(0, 0.5, 8)
    found = zero_of_mean(along_x(np.stack([a, a - b], axis=1), [0.0, 1.0]), "x")
    t2 = scipy.stats.t.ppf(0.975, 7) ** 2
    (vaa, vab), (_, vbb) = np.cov(a, b) / 8
    g = t2 * vbb / b.mean() ** 2
    ratio = a.mean() / b.mean()
    root = np.sqrt(vaa - 2 * ratio * vab + ratio**2 * vbb - g * (vaa - vab**2 / vbb))
    centre, half = ratio - g * vab / vbb, np.sqrt(t2) / b.mean() * root
    np.testing.assert_allclose(found["at"], ratio)
    np.testing.assert_allclose([found["low"], found["high"]], [(centre - half) / (1 - g), (centre + half) / (1 - g)])
    assert [found["crossing"].item(), found["n"].item()] == [8, 8]


def test_at_its_ends_the_t_interval_of_the_interpolated_values_ends_at_0() -> None:
    rng = np.random.default_rng(1)
    values = along_x(np.array([1.0, 0.4, -0.3, -0.9]) + rng.normal(0, 0.2, (6, 4)), [5.0, 6.0, 7.0, 8.0])
    found = zero_of_mean(values, "x")
    assert 5 < found["low"] < found["at"] < found["high"] < 8
    np.testing.assert_allclose(mean_interval(values.interp(x=found["low"]))["low"], 0, atol=1e-9)
    np.testing.assert_allclose(mean_interval(values.interp(x=found["high"]))["high"], 0, atol=1e-9)


def test_an_end_that_is_not_told_from_0_leaves_the_interval_open() -> None:
    rows = [[1.0, -0.1], [1.2, 0.1], [0.8, -0.3]]
    found = zero_of_mean(along_x(rows, [0.0, 1.0]), "x")
    assert 0 < found["low"] < 1
    assert found["high"] == np.inf
    assert [found["crossing"].item(), found["n"].item()] == [2, 3]
    mirrored = zero_of_mean(along_x([row[::-1] for row in rows], [0.0, 1.0]), "x")
    assert mirrored["low"] == -np.inf
    np.testing.assert_allclose(mirrored["high"], 1 - found["low"])


def test_without_a_crossing_there_is_none_and_one_replicate_has_no_interval() -> None:
    found = zero_of_mean(along_x([[1.0, 0.5], [1.0, -0.1], [np.nan, -9.0]], [0.0, 1.0]), "x")
    assert np.isnan([found[name].item() for name in ("at", "low", "high")]).all()
    assert [found["crossing"].item(), found["n"].item()] == [1, 2]
    one = zero_of_mean(along_x([[1.0, -1.0]], [0.0, 1.0]), "x")
    assert one["at"] == 0.5
    assert np.isnan([one["low"].item(), one["high"].item()]).all()
    none = zero_of_mean(along_x([[np.nan, -1.0]], [0.0, 1.0]), "x")
    assert np.isnan(none["at"])
    assert none["n"] == 0


def test_it_holds_the_true_zero_as_often_as_it_says() -> None:
    rng, tries = np.random.default_rng(2), 600
    of_seed = rng.normal(0, 0.3, (tries, 5, 1)) + rng.normal(0, 0.2, (tries, 5, 3))  # values of a seed are correlated
    values = xr.DataArray(
        np.array([1.0, 0.2, -0.6]) + of_seed, dims=("try", "seed", "x"), coords={"x": [0.0, 1.0, 2.0]}
    )
    found = zero_of_mean(values, "x")
    crossed = found["at"].notnull()
    holds = ((found["low"] <= 1.25) & (found["high"] >= 1.25))[crossed]
    assert crossed.mean() > 0.99
    assert 0.93 < holds.mean() < 0.975


def test_equal_replicates_have_an_interval_of_no_width() -> None:
    found = zero_of_mean(along_x([[0.3, 0.1, -0.2]] * 4, [1.0, 2.0, 5.0]), "x")
    np.testing.assert_allclose([found[name].item() for name in ("at", "low", "high")], 3.0)


def test_a_confidence_is_a_share() -> None:
    with pytest.raises(ValueError, match="confidence=1"):
        zero_of_mean(along_x([[1.0, -1.0]], [0.0, 1.0]), "x", confidence=1.0)
