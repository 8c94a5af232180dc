from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest
from jaxlib import xla_client

from jaxreg import hardware
from jaxreg.errors import JaxregError
from jaxreg.hardware import keep_compilations, require_devices, take_gpu_memory, use_all_cores

CACHE = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")


@pytest.fixture
def no_cache() -> Iterator[None]:
    before = {name: getattr(jax.config, name) for name in CACHE}
    jax.config.update(CACHE[0], None)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The settings that are made in a process where the number of devices has not been set."""
    made: dict[str, int] = {}
    monkeypatch.setattr(type(jax.config), "jax_num_cpu_devices", -1)
    monkeypatch.setattr(jax.config, "update", made.__setitem__)
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    return made


def test_a_new_process_gets_a_device_per_core() -> None:
    code = f"import jax, runpy; runpy.run_path({hardware.__file__!r})['use_all_cores'](); print(jax.device_count())"
    fresh = ("XLA_FLAGS", "JAX_NUM_CPU_DEVICES")
    environment = {name: value for name, value in os.environ.items() if name not in fresh} | {"JAX_PLATFORMS": "cpu"}
    child = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert int(child.stdout) == cores


def test_only_the_cores_of_this_process_count(settings: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    use_all_cores()
    assert settings == {"jax_num_cpu_devices": 3}


def test_a_number_of_devices_that_was_set_stays(settings: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=3")
        use_all_cores()
    monkeypatch.setattr(type(jax.config), "jax_num_cpu_devices", 4)
    use_all_cores()
    assert settings == {}


def test_once_jax_is_used_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    before = jax.device_count()
    monkeypatch.setattr(type(jax.config), "jax_num_cpu_devices", -1)
    use_all_cores()
    assert jax.device_count() == before


def test_jax_takes_the_share_of_a_gpu_that_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.9")
    monkeypatch.setenv("XLA_CLIENT_MEM_FRACTION", "0.8")  # as before, once the test is over
    take_gpu_memory(0.4)
    assert xla_client.generate_pjrt_gpu_plugin_options()["memory_fraction"] == 0.4


@pytest.mark.usefixtures("no_cache")
def test_compilations_are_kept_in_the_user_s_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: str(tmp_path / name))
    keep_compilations()
    assert getattr(jax.config, CACHE[0]) == str(tmp_path / "jaxreg" / "compilations")


@pytest.mark.usefixtures("no_cache")
def test_a_cache_that_was_set_stays(tmp_path: Path) -> None:
    jax.config.update(CACHE[0], str(tmp_path))
    keep_compilations()
    assert getattr(jax.config, CACHE[0]) == str(tmp_path)


@pytest.mark.usefixtures("no_cache")
@pytest.mark.parametrize("home", ["/dev/null/home/.cache/jaxreg", "~/.cache/jaxreg"], ids=["read-only", "none"])
def test_without_a_home_that_can_be_written_nothing_is_kept(
    home: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda _: home)
    keep_compilations()
    assert getattr(jax.config, CACHE[0]) is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "reason", [RuntimeError("Unable to initialize backend 'cuda': no GPU\nmore\n"), AssertionError()]
)
def test_a_platform_that_is_not_there_is_one_line(reason: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise reason

    monkeypatch.setattr(jax, "devices", fail)
    monkeypatch.setattr(type(jax.config), "jax_platforms", "cuda")
    with pytest.raises(JaxregError, match="JAX_PLATFORMS=cuda: no device can be used") as refusal:
        require_devices()
    assert "\n" not in str(refusal.value)
    assert "set JAX_PLATFORMS=cpu, or unset it" in str(refusal.value)
