"""A part of the training set, and what checks measure of the whole of it."""

from __future__ import annotations

import numpy as np
import pytest

from jaxreg.config import DataConfig
from jaxreg.data import load
from jaxreg.errors import ConfigError
from jaxreg.measures import noise_scale
from tests.training_run import assert_same_bits, assert_within_tolerance, data_of, experiment, train

RATES = [0.1, 0.3]


def test_smaller_sets_are_parts_of_larger_ones_and_always_the_same() -> None:
    data = load(DataConfig())
    small, large = data.training_on(50), data.training_on(200)
    for part, larger in zip(small.train, large.train, strict=True):
        np.testing.assert_array_equal(part, larger[:50])
    assert not np.array_equal(large.train.labels, data.train.labels[:200])  # shuffled
    assert len({row.tobytes() for row in large.train.inputs} - {row.tobytes() for row in data.train.inputs}) == 0
    assert (small.validation, small.test) == (data.validation, data.test)
    assert data.training_on(len(data.train.labels)) is data


def test_the_first_examples_are_those_of_the_set_as_they_stand() -> None:
    data = load(DataConfig())
    for part, whole in zip(data.training_on(50, first=True).train, data.train, strict=True):
        np.testing.assert_array_equal(part, whole[:50])


@pytest.mark.parametrize("draw", ["shared", "first"])
def test_it_is_training_on_those_examples_alone(draw: str) -> None:
    asked = experiment({"learning_rate": RATES}, seeds=2, train_size=100, train_draw=draw)
    part = data_of(asked).training_on(100, first=draw == "first")
    assert_same_bits(train(asked), train(experiment({"learning_rate": RATES}, seeds=2), data=part))


def test_draws_of_one_size_do_not_share_their_examples() -> None:
    swept = train(experiment({"train_draw": ["shared", "first"]}, seeds=2, train_size=100))
    for draw in ("shared", "first"):
        alone = train(experiment(seeds=2, train_size=100, train_draw=draw))
        assert_same_bits(swept.sel(train_draw=draw, drop=True), alone)


def test_as_an_axis_each_size_is_what_it_is_alone_and_epochs_are_counted_in_it() -> None:
    swept = train(experiment({"train_size": [60, 120]}, seeds=2, num_steps=None, num_epochs=4, batch_size=10))
    assert swept["num_steps"].values.tolist() == [24, 48]
    assert swept["train_size"].values.tolist() == [60, 120]
    alone = train(experiment(seeds=2, num_steps=None, num_epochs=4, batch_size=10, train_size=60))
    checks = alone.sizes["check"]
    part = swept.sel(train_size=60, drop=True).isel(step=slice(24), check=slice(checks))
    assert_within_tolerance(part, alone)


def test_more_examples_than_there_are_and_larger_batches_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^--train_size=1198: the training set has 1197 examples"):
        train(experiment(train_size=1198))
    with pytest.raises(ConfigError, match=r"^--batch_size=20: the training set has 10 examples"):
        train(experiment(train_size=10, batch_size=20))


def test_surfaces_over_a_part_of_the_points_are_refused() -> None:
    for sizes in ({"axes": {"train_size": [50, 100]}}, {"train_size": 50}):
        with pytest.raises(
            ConfigError, match=r"^--train_size=50(,100)?: contradicts --surfaces, .* with --num_points$"
        ):
            experiment(surfaces=True, **sizes)
    experiment(surfaces=True)


def test_the_noise_of_gradients_is_that_of_the_examples_trained_on() -> None:
    results = train(experiment(train_size=100, diagnostics=True, num_steps=8, eval_every=4))
    at_end = results.isel(check=-1)
    square = at_end["gradient_square"] + at_end["gradient_variance"] / 100
    expected = at_end["gradient_variance"] / square
    np.testing.assert_allclose(noise_scale(results, last_checks=1), expected.where(square > 0, np.inf), rtol=1e-5)


def test_checks_measure_the_training_set_where_they_are_asked_to() -> None:
    without = train(experiment({"learning_rate": RATES}, seeds=2))
    results = train(experiment({"learning_rate": RATES}, seeds=2, check_train=True))
    assert "train_set_loss" not in without
    assert results["train_set_loss"].dims == ("learning_rate", "seed", "check")
    at_end = results.isel(check=-1)
    np.testing.assert_allclose(at_end["train_set_loss"], results["final_train_loss"], rtol=1e-5)
    np.testing.assert_allclose(at_end["train_set_accuracy"], results["train_accuracy"], rtol=1e-6)
    np.testing.assert_array_equal(at_end["train_set_loss"], results["final_train_set_loss"])
    assert results["train_set_loss"].attrs["units"] == "nats"
    names = [name for name in without.data_vars if name in results]
    assert_within_tolerance(results[names], without[names])
