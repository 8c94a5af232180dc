"""A program on its way to be compiled: XLA works in a thread while the next program is traced, or the devices train."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax

COMPILER_OPTIONS: dict[str, Any] = {}
"""Options of XLA for all programs, as `jax.stages.Lowered.compile` takes them; none unless somebody puts them here."""
_LEVEL = "xla_backend_optimization_level"


def options_of_a_program_that_runs_once() -> dict[str, Any]:
    """On a CPU at most LLVM's first level of optimisation.

    So compiled, which takes about half as long, initial states have the same bits and are made in the same time.
    """
    if jax.default_backend() != "cpu":
        return {}
    named = re.findall(rf"{_LEVEL}=(\d)", os.environ.get("XLA_FLAGS", ""))
    level = COMPILER_OPTIONS.get(_LEVEL, int(named[-1]) if named else 1)
    return {_LEVEL: min(level, 1)}


class Compilation:
    """One program, traced where `start` is called and compiled in a thread of its own."""

    def __init__(self, lower: Callable[[], jax.stages.Lowered], options: Mapping[str, Any] | None = None) -> None:
        """`lower` traces the program; nothing is done before it is asked for.

        `options` of XLA are for this program alone, and come before those for all.
        """
        self._lower, self._options = lower, dict(options or {})
        self._compiled: Future[jax.stages.Compiled] | None = None

    def start(self) -> None:
        """Traces the program and has it compiled, unless that was done before; what tracing raises is raised here."""
        if self._compiled is None:
            thread = ThreadPoolExecutor(1)
            self._compiled = thread.submit(self._lower().compile, compiler_options=COMPILER_OPTIONS | self._options)
            thread.shutdown(wait=False)

    @property
    def program(self) -> jax.stages.Compiled:
        """The compiled program, waited for."""
        self.start()
        assert self._compiled is not None
        return self._compiled.result()

    def __call__(self, *arguments: Any) -> Any:
        """Calls the compiled program."""
        return self.program(*arguments)
