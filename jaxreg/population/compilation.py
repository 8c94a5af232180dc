"""A program on its way to be compiled: XLA works in a thread while the next program is traced, or the devices train."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax

COMPILER_OPTIONS: dict[str, Any] = {}
"""Options of XLA for all programs, as `jax.stages.Lowered.compile` takes them; none unless somebody puts them here."""


class Compilation:
    """One program, traced where `start` is called and compiled in a thread of its own."""

    def __init__(self, lower: Callable[[], jax.stages.Lowered]) -> None:
        """`lower` traces the program; nothing is done before it is asked for."""
        self._lower = lower
        self._compiled: Future[jax.stages.Compiled] | None = None

    def start(self) -> None:
        """Traces the program and has it compiled, unless that was done before; what tracing raises is raised here."""
        if self._compiled is None:
            thread = ThreadPoolExecutor(1)
            self._compiled = thread.submit(self._lower().compile, compiler_options=COMPILER_OPTIONS)
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
