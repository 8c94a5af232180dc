"""What a process does at its very start, before anything is imported that takes seconds."""

from __future__ import annotations

import gc
import os
import signal
import sys


def begin() -> None:
    """For a process that Python starts as `python -m experiments.NAME`, called before any other import.

    SIGUSR1, which asks for a checkpoint, is ignored: there is nothing to save yet. SIGINT ends the process without a
    traceback. What JAX cannot make of its environment variables is said in one line. Garbage is not collected until
    `imported` is called.
    """
    gc.disable()
    if hasattr(signal, "SIGUSR1"):  # not on Windows
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        import jax  # noqa: F401 - it reads the environment
    except ValueError as error:
        given = ", ".join(f"{name}={value}" for name, value in os.environ.items() if name.startswith("JAX_"))
        sys.exit(f"JAX cannot read its environment variables ({' '.join(str(error).split())}); given are {given}")


def imported() -> None:
    """Called once all is imported: garbage is collected again, what `begin` let be imported never looked at for it."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
