from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from jaxreg.measures import fluctuation, setting_dims, setting_label, settings, steps_to_train, value_label
from tests.synthetic import make_results


def test_setting_dims_are_the_axes_in_order() -> None:
    results = make_results(axes={"learning_rate": [0.1, 1.0], "activation": ["relu", "tanh"]}, seeds=2)
    assert setting_dims(results) == ("learning_rate", "activation")
    assert setting_dims(results["final_test_loss"].transpose("seed", "activation", ...)) == (
        "activation",
        "learning_rate",
    )
    assert setting_dims(make_results(axes={})) == ()
    layered = results.assign(histogram=xr.zeros_like(results["train_accuracy"]).expand_dims({"layer": 2, "bin": 8}))
    assert setting_dims(layered) == ("learning_rate", "activation")


def test_settings_go_through_the_grid_with_zipped_values() -> None:
    axes: dict[str, list[Any]] = {"batch_size": [10, 100], "init": ["normal", "he"]}
    results = make_results(axes=axes, zipped={"learning_rate": ("batch_size", [0.1, 0.1])}, seeds=2)
    found = list(settings(results))
    assert [setting["init"] for setting, _ in found] == ["normal", "he"] * 2
    assert found[2][0] == {"batch_size": 100, "learning_rate": 0.1, "init": "normal"}
    assert found[2][1]["final_test_loss"].identical(results["final_test_loss"].isel(batch_size=1, init=0))
    assert [setting for setting, _ in settings(make_results(axes={}))] == [{}]


def test_setting_label_is_short() -> None:
    setting = {"learning_rate": 0.1, "init_variance": np.float32(0.01), "batch_size": 55000, "hidden_sizes": "32x32"}
    setting = {name: np.asarray(value).item() for name, value in setting.items()}
    assert setting_label(setting) == "learning_rate=0.1, init_variance=0.01, batch_size=55000, hidden_sizes=32x32"
    assert setting_label({}) == ""


@pytest.mark.parametrize(
    ("value", "text"), [(2.0, "2"), (1e-5, "1e-05"), (100000, "100000"), (np.inf, "inf"), (True, "True"), ("a", "a")]
)
def test_value_label(value: object, text: str) -> None:
    assert value_label(value) == text
    assert value_label(1 / 3, digits=3) == "0.333"


def curves(accuracy: object, check_step: object) -> xr.Dataset:
    """Hand-made accuracies [..., seed, check]."""
    values = np.asarray(accuracy, np.float32)
    names = ("seed", "check") if values.ndim == 2 else ("batch_size", "seed", "check")
    steps = np.asarray(check_step)
    return xr.Dataset(
        {"test_accuracy": (names, values)}, coords={"check_step": (("batch_size", "check")[-steps.ndim :], steps)}
    )


def test_steps_to_train_is_the_first_check_at_the_threshold() -> None:
    accuracy = [
        [0.1, 0.5, 0.9, 0.8],  # there at step 20, although it falls back
        [0.9, 0.9, 0.9, 0.9],  # there before any training
        [0.1, 0.2, 0.3, 0.84],  # never
        [0.1, 0.86, np.nan, np.nan],  # there before it diverges
        [0.1, np.nan, np.nan, np.nan],  # diverges before it is there
    ]
    steps = steps_to_train(curves(accuracy, [0, 10, 20, 30]))
    assert steps.values.tolist() == [20, 0, np.inf, 10, np.inf]
    assert (steps.attrs["units"], steps.attrs["threshold"], steps.name) == ("steps", 0.85, "steps_to_train")
    assert steps_to_train(curves(accuracy, [0, 10, 20, 30]), 0.2).values.tolist() == [10, 0, 10, 10, np.inf]


def test_steps_to_train_reads_the_checks_of_each_group() -> None:
    accuracy = [[[0.1, 0.9, np.nan]], [[0.1, 0.2, 0.9]]]
    steps = steps_to_train(curves(accuracy, [[0, 5, np.nan], [0, 10, 20]]))
    assert steps.dims == ("batch_size", "seed")
    assert steps.values.tolist() == [[5], [20]]


def test_steps_to_train_falls_with_the_speed_of_training() -> None:
    steps = steps_to_train(make_results(), 0.5).mean("seed").values
    assert (np.diff(steps[1:]) < 0).all()


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
