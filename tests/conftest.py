"""Strictness that all tests share: two CPU devices, no silent broadcasting, no cache of another run."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.compiling import QUICK, compilation_as_users_have_it, quick_compilation

# XLA reads these flags when it is first used, here and in the processes that tests start.
quick = [f"--{name}={str(value).lower()}" for name, value in QUICK.items()]
os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *quick]).strip()

# Runs flush what they write to the disk, file by file, and a disk that is busy takes a tenth of a second for each.
IN_MEMORY = Path("/dev/shm")
if "TMPDIR" not in os.environ and os.access(IN_MEMORY, os.W_OK) and shutil.disk_usage(IN_MEMORY).free > 4 * 2**30:
    os.environ["TMPDIR"] = tempfile.tempdir = str(IN_MEMORY)

# Under nohup, or in the background of a shell, a process begins with signals that it ignores, and keeps to that.
for number, usual in ((signal.SIGHUP, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, usual)

import jax  # noqa: E402 - it reads the flags
import pytest  # noqa: E402

jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)  # tests compile equal programs again and again

# Tracing leaves many objects behind, few of them garbage: to look through all of them often takes a tenth of the time.
gc.set_threshold(200_000, 20, 100)

# A file's tests run in one process, which trains and compiles once what they share. The longest files go first, so that
# all processes end at about the same time.
LONGEST_FIRST = (
    *("promises_test", "cli_test", "extract_test", "docs_test", "earlier_test", "environment_test", "faults_test"),
    *("console_test", "own_models_test", "examples_test", "halting_test", "flax_models_test", "flags_test"),
    *("portable_test", "snapshots_test", "processes_test", "join_test", "submit_test"),
    *("signal_flow_test", "adam_bias_test", "parts_test", "point_cloud_test", "early_stopping_test", "batch_size_test"),
    *("surfaces_test", "judgement_test", "browser_test", "watch_test", "regularizers_test", "probe_test"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sorts files by how long they take; tests of one file stay as they are."""
    place = {name: number for number, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


@pytest.fixture(scope="session", autouse=True)
def _own_caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compilations and decoded data are cached for the session only, so that tests start from nothing.

    All processes of the session share the compilations, those that tests start as well.
    """
    base = tmp_path_factory.getbasetemp()
    compilations = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "compilations"
    jax.config.update("jax_compilation_cache_dir", str(compilations))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(compilations))
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        patch.setenv("JAXREG_CACHE_DIR", str(tmp_path_factory.mktemp("data")))
        yield


ABOUT_BITS = ("promises_test", "layout_test")


@pytest.fixture(scope="module", autouse=True)
def _compilation(request: pytest.FixtureRequest) -> Iterator[None]:
    """Programs are compiled as users have them where tests are about bits, else quickly."""
    if request.module.__name__.endswith(ABOUT_BITS):
        with compilation_as_users_have_it():
            yield
    else:
        yield


@pytest.fixture
def compiled_quickly() -> Iterator[None]:
    """For a test in a file about bits that is not about bits itself."""
    with quick_compilation():
        yield


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that leaves a run folder leaves it in its own place."""
    monkeypatch.chdir(tmp_path)
