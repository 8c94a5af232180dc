from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import xarray as xr

from jaxreg.measures import (
    expected_fluctuation,
    fluctuation,
    noise_scale,
    roughness,
)
from tests.synthetic import make_results


def noisy(num_steps: list[int], noise: float, seeds: int = 3) -> xr.Dataset:
    """Losses that fall in a straight line with independent noise; shorter runs are padded with NaN."""
    rng = np.random.default_rng(0)
    loss = np.linspace(2, 1, max(num_steps)) + rng.normal(0, noise, (len(num_steps), seeds, max(num_steps)))
    for number, steps in enumerate(num_steps):
        loss[number, :, steps:] = np.nan
    return xr.Dataset(
        {
            "train_loss": (("num_steps", "seed", "step"), loss, {"units": "nats"}),
            "diverged_step": (("num_steps", "seed"), np.full((len(num_steps), seeds), -1)),
        },
        coords={"num_steps": num_steps, "step": np.arange(max(num_steps))},
    )


def test_fluctuation_of_independent_noise_is_its_deviation() -> None:
    found = fluctuation(noisy([20_000], 0.05), last_steps=20_000)
    assert (found.dims, found.attrs["units"]) == (("num_steps", "seed"), "nats")
    np.testing.assert_allclose(found, 0.05, rtol=0.03)


def test_fluctuation_reads_the_last_steps_of_each_group_by_hand() -> None:
    results = noisy([6, 4], 0.3)
    found = fluctuation(results, last_steps=3)
    for number, steps in enumerate([6, 4]):
        last = results["train_loss"].values[number, :, steps - 3 : steps]
        np.testing.assert_allclose(found[number], np.diff(last).std(-1, ddof=1) / np.sqrt(2))


def test_a_diverged_member_has_no_fluctuation() -> None:
    results = noisy([50], 0.1)
    results["diverged_step"][0, 1] = 40
    assert fluctuation(results).isnull().values.tolist() == [[False, True, False]]


def test_relative_fluctuation_is_a_fraction_of_the_loss() -> None:
    results = noisy([200], 0.05)
    share = fluctuation(results, last_steps=50, relative=True)
    loss = results["train_loss"].isel(step=slice(-50, None)).mean("step")
    np.testing.assert_allclose(share, fluctuation(results, last_steps=50) / loss)
    assert share.attrs["units"] == "1"


def at_checks(loss: np.ndarray, every: int) -> xr.Dataset:
    """Losses [seed, check] as those of the test set, a check every so many steps."""
    return xr.Dataset(
        {
            "test_loss": (("seed", "check"), loss, {"units": "nats"}),
            "diverged_step": ("seed", np.full(len(loss), -1)),
        },
        coords={"check_step": ("check", every * np.arange(loss.shape[1])), "num_steps": every * (loss.shape[1] - 1)},
    )


def test_fluctuation_between_checks_spans_the_last_steps() -> None:
    loss = np.random.default_rng(0).normal(1, 0.1, (2, 21))
    found = fluctuation(at_checks(loss, 50), "test_loss", last_steps=200)
    np.testing.assert_allclose(found, np.diff(loss[:, -5:]).std(-1, ddof=1) / np.sqrt(2))
    assert fluctuation(at_checks(loss, 1000), "test_loss").isnull().all()  # one difference has no spread


def test_fluctuation_of_a_halted_member_is_that_of_its_own_last_steps() -> None:
    results = noisy([200], 0.1)
    whole = fluctuation(results, last_steps=50)
    results["train_loss"][0, 1, 120:] = np.nan
    found = fluctuation(results, last_steps=50)
    own = np.diff(results["train_loss"].values[0, 1, 70:120]).std(ddof=1) / np.sqrt(2)
    np.testing.assert_allclose(found[0], [whole[0, 0], own, whole[0, 2]])

    loss = np.random.default_rng(1).normal(1, 0.1, (2, 21))
    loss[1, 10:] = np.nan
    checks = fluctuation(at_checks(loss, 50), "test_loss", last_steps=200)
    np.testing.assert_allclose(checks[1], np.diff(loss[1, 5:10]).std(ddof=1) / np.sqrt(2))


def test_expected_fluctuation_is_that_of_means_of_batches_drawn_without_replacement() -> None:
    rng = np.random.default_rng(0)
    examples = rng.normal(size=12)
    means = [rng.permutation(examples)[:5].mean() for _ in range(20_000)]
    np.testing.assert_allclose(np.std(means), expected_fluctuation(5, 12) * examples.std(ddof=1), rtol=0.02)
    assert expected_fluctuation([12, 13], 12).tolist() == [0, 0]
    np.testing.assert_allclose(expected_fluctuation(1, 10**9), 1.0)


def with_noise_scale(variance: object, square: object, train_examples: float = math.inf) -> xr.Dataset:
    """Hand-made estimates [seed, check]; of a probe of an endless population."""
    parts = {"gradient_variance": variance, "gradient_square": square}
    arrays: dict[str, Any] = {name: (("seed", "check"), np.asarray(part, float)) for name, part in parts.items()}
    arrays |= {"diverged_step": ("seed", [-1] * len(np.asarray(variance)))}
    return xr.Dataset(arrays, attrs={"train_examples": train_examples})


def test_noise_scale_is_a_ratio_of_averages_over_the_last_checks() -> None:
    results = with_noise_scale([[9, 2, 4], [5, 2, np.nan]], [[9, 1, 3], [1, 0.5, np.nan]])
    found = noise_scale(results, last_checks=2)
    assert found.values.tolist() == [6 / 4, 7 / 1.5]  # of a halted member its own last checks
    assert found.attrs["units"] == "examples"
    assert noise_scale(results, last_checks=1).values.tolist() == [4 / 3, 4]


def test_noise_scale_is_infinite_where_the_gradient_is_lost_in_its_noise() -> None:
    assert noise_scale(with_noise_scale([[2, 4]], [[1, -3]])).values.tolist() == [np.inf]
    results = with_noise_scale([[2, 4]], [[1, 3]])
    results["diverged_step"][:] = 7
    assert noise_scale(results).isnull().all()


@pytest.mark.parametrize("n", [2, 3, 5, 6])
def test_the_noise_scale_of_all_probes_of_a_small_set_is_that_of_the_set(n: int) -> None:
    """Each probe of n of 6 examples as a check: the averages of both estimates are then their expectations."""
    gradients = np.random.default_rng(0).normal(0.4, 1.0, (6, 3))
    of_set = gradients.mean(0)
    covariance = np.sum((gradients - of_set) ** 2) / 5
    square, variance = [], []
    for probe in itertools.combinations(range(6), n):  # as jaxreg.diagnostics.probe estimates them
        of_one, of_all = (gradients[[*probe]] ** 2).sum(1).mean(), (gradients[[*probe]].mean(0) ** 2).sum()
        square.append((n * of_all - of_one) / (n - 1))
        variance.append((of_one - of_all) / (1 - 1 / n))
    results = with_noise_scale([variance], [square], train_examples=6)
    np.testing.assert_allclose(noise_scale(results), covariance / (of_set**2).sum(), rtol=1e-12)


def test_roughness_is_the_noise_around_a_slow_curve() -> None:
    results = make_results(axes={}, seeds=400, num_checks=41, eval_every=2)
    rng = np.random.default_rng(1)
    of_epoch = np.repeat(rng.normal(0, 0.1, (400, 40)), 2, axis=1)
    results["train_objective"][:] = of_epoch + np.linspace(3, 1, 80)  # a straight line has no second differences
    found = roughness(results)
    assert float((found**2).mean()) == pytest.approx(0.01, rel=0.1)


def test_a_member_that_diverged_may_count_as_the_largest_fluctuation() -> None:
    results = make_results(axes={"learning_rate": [0.1, 1.0]}, seeds=3, diverged=1)
    plain, worst = fluctuation(results), fluctuation(results, relative=True, diverged=np.inf)
    gone = results["diverged_step"] >= 0
    assert 0 < int(gone.sum()) < gone.size
    assert plain.where(gone).isnull().all()
    assert np.isposinf(worst.values[gone.values]).all()
    np.testing.assert_array_equal(worst.where(~gone), fluctuation(results, relative=True))
