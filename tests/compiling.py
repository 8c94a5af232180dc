"""How much work XLA puts into the programs of tests."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

# Code that is compiled in a quarter of the time and runs slower, which is better for short runs.
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


@contextlib.contextmanager
def compilation_as_users_have_it() -> Iterator[None]:
    """For what is about bits: they depend on what XLA makes of a program."""
    with _options(AS_USERS_HAVE_IT):
        yield


@contextlib.contextmanager
def quick_compilation() -> Iterator[None]:
    """As the flags of XLA say that are set for all tests."""
    with _options({}):
        yield


@contextlib.contextmanager
def _options(options: dict[str, Any]) -> Iterator[None]:
    from jaxreg.population.compilation import COMPILER_OPTIONS  # which imports JAX, and that reads the flags

    before = dict(COMPILER_OPTIONS)
    COMPILER_OPTIONS.clear()
    COMPILER_OPTIONS.update(options)
    try:
        yield
    finally:
        COMPILER_OPTIONS.clear()
        COMPILER_OPTIONS.update(before)
