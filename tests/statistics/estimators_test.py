from __future__ import annotations

import numpy as np
import xarray as xr

from jaxreg.statistics import log_binned, mean_interval, ratio_of_means


def test_bins_share_out_all_steps() -> None:
    steps = xr.DataArray(np.ones((2, 1000)), dims=("seed", "t"), coords={"t": np.arange(1, 1001)})
    sums = log_binned(steps)
    assert float(sums.isel(seed=0).sum()) == 1000
    assert sums["t"].values[0] == 1
    assert 15 <= sums.sizes["t"] <= 3 * 6
    sizes = np.log(sums["t"].values[4:])
    np.testing.assert_allclose(np.diff(sizes), np.log(10) / 6, atol=0.15)
    single = steps.isel(t=slice(1))
    np.testing.assert_array_equal(log_binned(single), single)


def test_the_ratio_of_means_has_no_bias_of_a_mean_of_ratios_and_covers() -> None:
    """Means 2 and 1, 2000 studies of ten seeds: about 95 of 100 intervals hold 2."""
    rng = np.random.default_rng(0)
    a, b = (xr.DataArray(height * rng.gamma(4.0, 0.25, (2000, 10)), dims=("study", "seed")) for height in (2, 1))
    interval = mean_interval(ratio_of_means(a, b))
    np.testing.assert_allclose(interval["mean"], a.mean("seed") / b.mean("seed"))
    held = float(((interval["low"] < 2) & (interval["high"] > 2)).mean())
    assert 0.9 < held < 0.97
    proportional = ratio_of_means(3 * b, b)
    np.testing.assert_allclose(proportional, 3.0)
