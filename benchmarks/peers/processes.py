"""Processes of their own for what is timed: each holds one object, and calls its methods when it is told to."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

UNSET = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "JAX_COMPILATION_CACHE_DIR")
"""Variables that processes do without. The first two pin OpenBLAS to the kernels of some processor, perhaps not this
one, under which NumPy and scikit-learn are slower than they need be; with the third, compilations would not be timed
but read from a folder."""

SET = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # several processes share a GPU


class FailedError(Exception):
    """A call in another process failed; the message is one line."""


class Remote:
    """An object in a process of its own, which ends with `close`, or with this one."""

    def __init__(self, make: Callable[..., Any], *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, arguments), daemon=True)
        with _surroundings():
            self._process.start()
        theirs.close()

    def ask(self, method: str, *arguments: Any) -> Any:
        """What a method returns there.

        Raises:
          FailedError: it raised something, or the process ended.
        """
        try:
            self._pipe.send((method, arguments))
            failed, answer = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            raise FailedError(f"its process ended with exit code {self._process.exitcode}") from None
        if failed:
            raise FailedError(answer)
        return answer

    def close(self) -> None:
        """Ends the process."""
        self._pipe.close()
        self._process.join()


def _serve(pipe: Connection, make: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    held: Any = None
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            method, given = pipe.recv()
            try:
                held = make(*arguments) if held is None else held
                pipe.send((False, getattr(held, method)(*given)))
            except Exception as error:  # whatever it is, the other side says it
                first_line = str(error).split("\n", 1)[0]
                pipe.send((True, f"{type(error).__name__}: {first_line}"))


@contextlib.contextmanager
def _surroundings() -> Iterator[None]:
    """The environment that a process begins with."""
    before = {name: os.environ.pop(name, None) for name in (*UNSET, *SET)}
    os.environ.update(SET)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
