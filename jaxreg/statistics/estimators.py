"""Estimators that keep one value per replicate, so that the intervals and tests of this package apply to them."""

from __future__ import annotations

import numpy as np

from jaxreg.slow_imports import xr


def log_binned(values: xr.DataArray, dim: str = "t", per_decade: int = 6) -> xr.DataArray:
    """Sums over bins of a count from 1 that are of equal width in its logarithm.

    Args:
      values: any shape with `dim`, along which position i stands for the count i + 1.
      dim: the dimension of the count, with a coordinate of that name.
      per_decade: bins in each decade, before ends that round to the same count are merged.

    Returns:
      [..., bin] in the units of `values`, float64, `dim` being the last dimension; its coordinate becomes the geometric
      mean of the first and the last count of a bin.
    """
    values = values.transpose(..., dim)
    end = values.sizes[dim] + 1
    edges = np.unique(np.geomspace(1, end, max(2, round(per_decade * np.log10(end)) + 1)).round().astype(int))
    sums = np.add.reduceat(values.values.astype(float), edges[:-1] - 1, axis=-1)
    centres = np.sqrt(edges[:-1] * (edges[1:] - 1))
    first = values.isel({dim: slice(sums.shape[-1])}).drop_vars(dim)
    return first.copy(data=sums).assign_coords({dim: (dim, centres, values[dim].attrs)})


def ratio_of_means(a: xr.DataArray, b: xr.DataArray, dim: str = "seed") -> xr.DataArray:
    """Values of each seed whose mean is r = mean(a) / mean(b), and whose spread is that of r: r + (a - r b) / mean(b).

    The linearised ratio estimator; the mean of a / b would be biased where b is noisy. Pairs with NaN are left out.

    Args:
      a, b: of one shape, with `dim`.
      dim: the dimension of the replicates.

    Returns:
      Dimensions and shape of `a`, without units.

    References: Cochran (1977), Sampling Techniques, section 2.11.
    """
    present = a.notnull() & b.notnull()
    mean = b.where(present).mean(dim)
    ratio = a.where(present).mean(dim) / mean
    return (ratio + (a - ratio * b) / mean).transpose(*a.dims).assign_attrs(units="1")
