from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from jaxreg.statistics import variance_shares

SHARES = ("main", "total", "interaction")


def grid(values: np.ndarray, axes: tuple[str, ...] = ("a", "b")) -> xr.DataArray:
    """[axes, seed]."""
    return xr.DataArray(values, dims=(*axes, "seed"), attrs={"units": "nats"})


def without_noise(seeds: int = 4) -> xr.DataArray:
    """f = 3a + b + 2ab for a, b = -1 and 1: variances 9, 1 and 4, and what each seed adds to all settings alike."""
    a, b = np.meshgrid([-1.0, 1.0], [-1.0, 1.0], indexing="ij")
    return grid((3 * a + b + 2 * a * b)[..., None] + np.arange(seeds))


def test_shares_of_a_grid_of_two_by_two_by_hand() -> None:
    shares = variance_shares(without_noise(), ("a", "b"))
    np.testing.assert_allclose(shares["main"], [9 / 14, 1 / 14])
    np.testing.assert_allclose(shares["total"], [13 / 14, 5 / 14])
    np.testing.assert_allclose(shares["interaction"], 4 / 14)
    np.testing.assert_allclose(shares["sd"], np.sqrt(14))
    assert shares["sd"].attrs["units"] == "nats"
    assert int(shares["n"]) == 4
    for name in SHARES:  # seeds that agree leave no room
        np.testing.assert_allclose(shares[f"{name}_low"], shares[name], atol=1e-12)
        np.testing.assert_allclose(shares[f"{name}_high"], shares[name], atol=1e-12)


def test_three_axes_and_values_that_are_not_evenly_spaced() -> None:
    """f = u + v, u in (0, 0, 3) with variance 2, v in (0, 4) with variance 4, and w without effect."""
    u, v, w = np.meshgrid([0.0, 0.0, 3.0], [0.0, 4.0], [0.0, 0.0], indexing="ij")
    shares = variance_shares(grid((u + v + w)[..., None] * np.ones(3), ("u", "v", "w")), ("u", "v", "w"))
    np.testing.assert_allclose(shares["main"], [1 / 3, 2 / 3, 0], atol=1e-12)
    np.testing.assert_allclose(shares["total"], [1 / 3, 2 / 3, 0], atol=1e-12)
    np.testing.assert_allclose(shares["interaction"], 0, atol=1e-12)


def test_the_noise_of_seeds_is_no_interaction_and_intervals_cover() -> None:
    """Noise of variance 4 on f with variances 9, 1 and 4: means over 400 studies are right, 95 of 100 intervals too."""
    rng, studies = np.random.default_rng(0), []
    for _ in range(400):
        values = without_noise(5) + grid(2 * rng.normal(size=(2, 2, 5)))
        studies.append(variance_shares(values, ("a", "b")))
    found = xr.concat(studies, "study")
    truth: dict[str, Any] = {"main": [9 / 14, 1 / 14], "total": [13 / 14, 5 / 14], "interaction": 4 / 14}
    for name, true in truth.items():
        np.testing.assert_allclose(found[name].mean("study"), true, atol=0.03)
        held = ((found[f"{name}_low"] <= true) & (found[f"{name}_high"] >= true)).mean("study").values
        assert (held > 0.9).all(), (name, held)
        assert bool(((found[f"{name}_low"] >= 0) & (found[f"{name}_high"] <= 1)).all())


def test_units_and_the_order_of_dimensions_do_not_matter() -> None:
    values = without_noise(3) + grid(np.random.default_rng(0).normal(size=(2, 2, 3)))
    plain, changed = (
        variance_shares(of, ("a", "b")) for of in (values, (-1e3 * values + 7).transpose("seed", "b", "a"))
    )
    for name in SHARES:
        np.testing.assert_allclose(changed[name], plain[name], rtol=1e-9)
        np.testing.assert_allclose(changed[f"{name}_low"], plain[f"{name}_low"], rtol=1e-9)


@pytest.mark.parametrize("seeds", [1, 2])
def test_too_few_seeds_give_no_interval(seeds: int) -> None:
    shares = variance_shares(without_noise(seeds), ("a", "b"))
    np.testing.assert_allclose(shares["main"], [9 / 14, 1 / 14])
    assert np.isnan(shares["main_low"]).all()
    assert np.isnan(shares["interaction_high"])


def test_settings_that_are_all_alike_have_no_shares() -> None:
    shares = variance_shares(grid(np.full((2, 2, 4), 0.1) + np.arange(4)), ("a", "b"))
    assert np.isnan(shares["main"]).all()
    assert float(shares["sd"]) == 0


def test_what_hangs_on_one_seed_may_be_anything() -> None:
    values = without_noise(3)
    values[:, :, 2] = -values[:, :, 2]  # without the first seed, the two others contradict each other
    values[:, :, 0] *= 10
    values[:, :, 1] *= 10
    shares = variance_shares(values, ("a", "b"))
    assert np.isfinite(shares["main"]).all()
    np.testing.assert_array_equal([shares["main_low"], shares["main_high"]], [[0, 0], [1, 1]])


@pytest.mark.parametrize("axes", [(), ("a",), ("a", "b", "c")])
def test_other_dimensions_are_refused(axes: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="must have the dimensions"):
        variance_shares(without_noise(), axes)


def test_a_value_that_is_not_finite_is_refused() -> None:
    values = without_noise()
    values[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="finite"):
        variance_shares(values, ("a", "b"))
