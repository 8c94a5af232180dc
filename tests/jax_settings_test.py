"""A run has the same bits whatever JAX's settings are, and leaves them as they were."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import pytest
import xarray as xr

import jaxreg
from jaxreg import jax_settings
from jaxreg.jax_settings import DECIDE_BITS, STAND_IN_THE_WAY, pinned
from tests.training_run import assert_same_bits, experiment

config: Any = jax.config
OTHERWISE: dict[str, Any] = {
    "jax_default_prng_impl": "rbg",
    "jax_random_seed_offset": 3,
    "jax_threefry_partitionable": False,
    "jax_enable_x64": True,
    "jax_default_matmul_precision": "bfloat16",
    "jax_numpy_dtype_promotion": "strict",
    "jax_softmax_custom_jvp": True,
    "jax_disable_most_optimizations": True,
    "jax_optimization_level": "O0",
    "jax_exec_time_optimization_effort": -1.0,
    "jax_disable_jit": True,
    "jax_debug_nans": True,
    "jax_debug_infs": True,
    "jax_transfer_guard": "disallow",
    "jax_transfer_guard_host_to_device": "disallow",
    "jax_transfer_guard_device_to_host": "disallow",
    "jax_transfer_guard_device_to_device": "disallow",
}


@contextlib.contextmanager
def process_set_to(settings: dict[str, Any]) -> Iterator[None]:
    before = {name: config.values[name] for name in settings}
    for name, value in settings.items():
        config.update(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            config.update(name, "allow" if name.startswith("jax_transfer") else getattr(value, "value", value))


def trained() -> xr.Dataset:
    """Two members of which one diverges, with dropout, so that every generator and a NaN are in it."""
    axes = {"learning_rate": (0.1, 1e38)}
    asked = experiment(
        axes, num_steps=12, eval_every=5, dropout_rate=0.5, l2_strength=1.0, loss="cross_entropy_on_probabilities"
    )
    results = jaxreg.run(asked)
    assert int((results["diverged_step"] >= 0).sum()) == 1
    return results.drop_vars("check_seconds", errors="ignore")


def test_every_setting_is_tried() -> None:
    assert OTHERWISE.keys() == DECIDE_BITS.keys() | STAND_IN_THE_WAY.keys()
    assert OTHERWISE.keys() <= config.values.keys(), "a setting that this JAX does not have"


def test_a_run_has_the_same_bits_under_any_settings_and_leaves_them_as_they_were(
    caplog: pytest.LogCaptureFixture,
) -> None:
    usual = trained()
    assert "set aside" not in caplog.text
    with process_set_to(OTHERWISE), caplog.at_level(logging.WARNING, "jaxreg"):
        before = dict(config.values)
        assert_same_bits(trained(), usual)
        assert dict(config.values) == before
    (line,) = [record.getMessage() for record in caplog.records if "set aside" in record.getMessage()]
    assert all(f"{name}={OTHERWISE[name]}" in line for name in DECIDE_BITS)
    assert not any(name in line for name in STAND_IN_THE_WAY)


def test_settings_of_the_callers_thread_are_pinned_too() -> None:
    usual = trained()
    with jax.enable_x64(True), jax.default_prng_impl("rbg"), jax.disable_jit(), jax.transfer_guard("disallow"):
        assert_same_bits(trained(), usual)
        assert config.values["jax_enable_x64"]
    with ThreadPoolExecutor(1) as other_thread:
        assert not other_thread.submit(lambda: config.values["jax_enable_x64"]).result()


def test_keys_name_their_generator() -> None:
    with jax.default_prng_impl("rbg"):
        assert jax_settings.random_key(0).dtype == jax.random.key(0, impl="threefry2x32").dtype


def test_the_record_holds_what_is_pinned_and_the_flags_of_xla_that_act(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", "--xla_b=1  --xla_force_host_platform_device_count=8 --xla_dump_to=x --xla_a=2")
    with pinned():
        assert jax_settings.record() == DECIDE_BITS | {"XLA_FLAGS": "--xla_a=2 --xla_b=1"}
