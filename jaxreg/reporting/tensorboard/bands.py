"""Means over seeds, and the bands around them."""

from __future__ import annotations

import numpy as np
import xarray as xr

from jaxreg.statistics import mean_interval


def bands(values: np.ndarray, steps: np.ndarray, diverged_step: np.ndarray, per_block: int = 1) -> np.ndarray:
    """Mean, lower and upper end of its 95 % t interval over the seeds that count; with one seed the mean.

    Args:
      values: [run, seed, point].
      steps: [point].
      diverged_step: [run, seed], -1 for never.
      per_block: points that are averaged for each seed beforehand.

    Returns:
      [run, 3 or 1, block]; NaN where no seed counts, the ends where fewer than two do.
    """
    blocks = block_means(_sound(values, steps, diverged_step), per_block)
    over_seeds = mean_interval(xr.DataArray(blocks, dims=("run", "seed", "block")))
    parts = ("mean", "low", "high") if values.shape[1] > 1 else ("mean",)
    return np.stack([over_seeds[part].values for part in parts], axis=1)


def means(values: np.ndarray, steps: np.ndarray, diverged_step: np.ndarray) -> np.ndarray:
    """Mean of [..., run, seed, point] over the seeds that count, [..., run, point]; NaN where none does."""
    return _mean(_sound(values, steps, diverged_step), axis=-2)


def block_means(values: np.ndarray, per_block: int) -> np.ndarray:
    """Mean without NaN of [..., point] over blocks of `per_block` points; the last block may be shorter."""
    if per_block == 1:
        return values
    points = values.shape[-1]
    padded = np.full((*values.shape[:-1], points + -points % per_block), np.nan)
    padded[..., :points] = values
    return _mean(padded.reshape(*values.shape[:-1], -1, per_block), axis=-1)


def _sound(values: np.ndarray, steps: np.ndarray, diverged_step: np.ndarray) -> np.ndarray:
    """NaN in place of what does not count: a value that is not finite, or of a seed that has diverged by then."""
    sound = (diverged_step[:, :, None] < 0) | (steps < diverged_step[:, :, None])
    return np.where(np.isfinite(values) & sound, values, np.nan)


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    count = np.isfinite(values).sum(axis)
    return np.where(count > 0, np.nansum(values, axis) / np.maximum(count, 1), np.nan)
