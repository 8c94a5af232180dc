"""What not every platform has: None, or a flag that does nothing, where it is missing. Windows has none of these."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
from typing import Any


def _module(name: str) -> Any:
    with contextlib.suppress(ImportError):
        return importlib.import_module(name)
    return None


fcntl, resource = _module("fcntl"), _module("resource")
NOFOLLOW, NONBLOCK, CLOEXEC = (getattr(os, f"O_{name}", 0) for name in ("NOFOLLOW", "NONBLOCK", "CLOEXEC"))
BINARY = getattr(os, "O_BINARY", 0)  # which only Windows has
SIGHUP: signal.Signals | None = getattr(signal, "SIGHUP", None)
SIGUSR1: signal.Signals | None = getattr(signal, "SIGUSR1", None)
