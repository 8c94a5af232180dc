"""Made-up results of one measure, with claims about them."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from jaxreg.claims import Best, Claim, Higher, Lower, Trend

RATES = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0]


DRAWS, MOST_FALSE = 1000, 67  # P(X > 67) = 0.7 % for X ~ Binomial(1000, 0.05)


ACCURACY, LOSS = "final_test_accuracy", "final_test_loss"


RISES = Trend("it rises", LOSS, "learning_rate", "rises")


FALLS = Trend("it falls", LOSS, "learning_rate", "falls")


def rate(value: float) -> dict[str, float]:
    return {"learning_rate": value}


LOWER = Lower("a is lower", LOSS, rate(0.001), rate(1))


HIGHER = Higher("a is higher", LOSS, rate(0.001), rate(1))


BEST = Best("0.1 is best", LOSS, rate(0.1), "learning_rate", "lower")


def of(values: Any, name: str = LOSS, units: str = "nats") -> xr.Dataset:
    """Results with one measure, [learning_rate, seed], at the first rates; NaN are diverged members."""
    values, dims = np.asarray(values), ("learning_rate", "seed")
    coords = {"learning_rate": np.array(RATES[: len(values)], np.float32), "seed": np.arange(values.shape[1])}
    diverged_step = np.where(np.isnan(values), 9, -1)
    return xr.Dataset({name: (dims, values, {"units": units}), "diverged_step": (dims, diverged_step)}, coords)


def noisy(means: list[float], seeds: int = 10, sd: float = 0.01, key: int = 0) -> np.ndarray:
    """Means with noise that a seed shares (sd 1) and noise of each member."""
    rng = np.random.default_rng(key)
    return np.array(means)[:, None] + rng.normal(0, 1, seeds) + rng.normal(0, sd, (len(means), seeds))


def verdicts(claim: Claim, results: xr.Dataset) -> str:
    return claim.judge(results).verdict


VARIANCES = [0.01, 0.1, 1.0, 4.0, *range(5, 17)]


def grid_of(values: np.ndarray) -> xr.Dataset:
    """Results with validation accuracies, [init_variance, learning_rate, seed]."""
    variances, rates, seeds = values.shape
    dims = ("init_variance", "learning_rate", "seed")
    variables = {"final_validation_accuracy": values, "final_validation_loss": -values}
    variables |= {"diverged_step": np.where(np.isnan(values), 9, -1)}
    coords = {"init_variance": VARIANCES[:variances], "learning_rate": RATES[:rates], "seed": np.arange(seeds)}
    return xr.Dataset({name: (dims, array, {"units": "1"}) for name, array in variables.items()}, coords)


CHOSEN_BY = "final_validation_accuracy"
