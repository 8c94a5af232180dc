"""Commands of jaxreg in processes of their own, forked from one that has imported everything but has not begun JAX.

A fork begins in a tenth of a second, and a crash, a hang or a traceback of it is seen from outside.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax

LIMIT = 180.0  # seconds after which a command counts as hanging
HANGING = 999  # its exit code

_LATE = ("jaxreg.claims", "jaxreg.reporting.assemble", "jaxreg.reporting.tensorboard", "orbax.checkpoint")


class Ended(NamedTuple):
    """How a command ended: its exit code, negative for a signal, and all that it printed."""

    code: int
    said: str

    @property
    def fault(self) -> str | None:
        """`traceback`, `crash` or `hang`; None for an end in order or by a signal that was sent."""
        if self.code == HANGING:
            return "hang"
        if self.code not in (0, 1, 130, 143, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT):
            return "crash"
        return "traceback" if "Traceback" in self.said else None


class Kill(NamedTuple):
    """A signal that a command gets.

    Attributes:
      number: of the signal.
      delay: seconds after the call that is waited for, or after the start of the command.
      owner, name: the function of that call; None for the start of the command.
      nth: of its calls, counted from 0.
      twice: whether it comes again a moment later.
    """

    number: int
    delay: float
    owner: Any = None
    name: str = ""
    nth: int = 0
    twice: bool = False


def prepare(cache: Path) -> None:
    """Settings for all forks: equal programs are compiled once, and what a run imports late is there."""
    config: Any = jax.config
    config.update("jax_compilation_cache_dir", str(cache))
    config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    config.update("jax_num_cpu_devices", 1)  # half the time of two
    for module in _LATE:
        importlib.import_module(module)


def forked(act: Callable[[], int], output: Path, kill: Kill | None = None) -> Ended:
    """Runs `act` in a fork, printing into `output`, and waits for it."""
    return wait(start(act, output, kill), output)


def start(act: Callable[[], int], output: Path, kill: Kill | None = None) -> int:
    """Starts `act` in a fork and returns its process id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.setsid()
        printed = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        os.dup2(printed, 1)
        os.dup2(printed, 2)
        if kill:
            _set_trap(kill)
        code = act()
    except KeyboardInterrupt:
        code = 130
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def wait(child: int, output: Path) -> Ended:
    """Waits for a fork; one that hangs is killed."""
    end = time.monotonic() + LIMIT
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return Ended(os.waitstatus_to_exitcode(status), output.read_text(encoding="utf-8", errors="replace"))
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return Ended(HANGING, output.read_text(encoding="utf-8", errors="replace"))
        time.sleep(0.01)


def _set_trap(kill: Kill) -> None:
    def spring() -> None:
        os.kill(os.getpid(), kill.number)
        if kill.twice:
            time.sleep(0.02)
            os.kill(os.getpid(), kill.number)

    def arm() -> None:
        timer = threading.Timer(kill.delay, spring)
        timer.daemon = True
        timer.start()

    if kill.owner is None:
        arm()
        return
    original, calls = getattr(kill.owner, kill.name), itertools.count()

    def trapped(*arguments: Any, **named: Any) -> Any:
        if next(calls) == kill.nth:
            arm()
        return original(*arguments, **named)

    setattr(kill.owner, kill.name, trapped)
