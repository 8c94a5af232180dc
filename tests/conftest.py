"""Strictness that all tests share: two CPU devices, no silent broadcasting, no cache of another run."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

# Code that is compiled in a quarter of the time and runs slower, which is better for short runs. XLA reads these flags
# when it is first used, here and in the processes that tests start.
QUICK = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}
AS_USERS_HAVE_IT = {
    "xla_backend_optimization_level": 3,
    "xla_llvm_disable_expensive_passes": False,
    "xla_cpu_use_fusion_emitters": True,
    "xla_cpu_parallel_codegen_split_count": 1,  # which only decides how many threads compile
}
quick = [f"--{name}={str(value).lower()}" for name, value in QUICK.items()]
os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *quick]).strip()

# Under nohup, or in the background of a shell, a process begins with signals that it ignores, and keeps to that.
for number, usual in ((signal.SIGHUP, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, usual)

import jax  # noqa: E402 - it reads the flags
import pytest  # noqa: E402

from jaxreg.population import compilation  # noqa: E402

jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)  # tests compile equal programs again and again

# A file's tests run in one process, which trains and compiles once what they share. The longest files go first, so that
# both processes end at about the same time.
LONGEST_FIRST = (
    *("extract_test", "cli_test", "earlier_test", "point_cloud_test", "promises_test", "docs_test"),
    *("signal_flow_test", "batch_size_test", "init_variance_test", "adam_bias_test", "early_stopping_test"),
    *("browser_test", "surfaces_test"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sorts files by how long they take; tests of one file stay as they are."""
    place = {name: number for number, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


@pytest.fixture(scope="session", autouse=True)
def _own_caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compilations and decoded data are cached for the session only, so that tests start from nothing."""
    folder = tmp_path_factory.mktemp("cache")
    jax.config.update("jax_compilation_cache_dir", str(folder / "compilations"))
    before = os.environ.get("JAXREG_CACHE_DIR")
    os.environ["JAXREG_CACHE_DIR"] = str(folder / "data")
    yield
    if before is None:
        del os.environ["JAXREG_CACHE_DIR"]
    else:
        os.environ["JAXREG_CACHE_DIR"] = before


@pytest.fixture(scope="module", autouse=True)
def _compilation(request: pytest.FixtureRequest) -> Iterator[None]:
    """Programs are compiled as users have them where tests are about bits, else quickly."""
    about_bits = ("promises_test", "extract_test", "layout_test", "earlier_test")
    if request.module.__name__.endswith(about_bits):
        compilation.COMPILER_OPTIONS.update(AS_USERS_HAVE_IT)
    yield
    compilation.COMPILER_OPTIONS.clear()


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that leaves a run folder leaves it in its own place."""
    monkeypatch.chdir(tmp_path)
