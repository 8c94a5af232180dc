"""Strictness that all tests share: two CPU devices, no silent broadcasting, no cache of another run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

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
def _quick_compilation(request: pytest.FixtureRequest) -> None:
    """Few optimisations, which halves compilation; all of them, as users have them, where tests are about bits."""
    modules = ("promises_test", "extract_test", "layout_test", "earlier_test")
    about_bits = request.module.__name__.endswith(modules)
    jax.config.update("jax_disable_most_optimizations", not about_bits)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that leaves a run folder leaves it in its own place."""
    monkeypatch.chdir(tmp_path)
