"""Settings of JAX for this machine. They act on the whole process, so they are made where a program starts."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import jax
import platformdirs
import psutil

from jaxreg.errors import JaxregError

_config: Any = jax.config  # its attributes are made at run time


def host_memory_bytes() -> int:
    """The memory of this machine, or of its control group."""
    limits = [psutil.virtual_memory().total]
    with contextlib.suppress(OSError, ValueError):  # absent, or "max"
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return min(limits)


def use_all_cores() -> None:
    """Gives JAX one CPU device per core, which trains sweeps faster than one device with many threads.

    Takes effect only before JAX is first used. A number that was set before (`jax_num_cpu_devices`, the environment
    variable JAX_NUM_CPU_DEVICES, or XLA_FLAGS) stays.
    """
    if _config.jax_num_cpu_devices < 1 and "host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        with contextlib.suppress(RuntimeError):  # JAX has been used
            _config.update("jax_num_cpu_devices", cores)


def require_devices() -> None:
    """Refuses what JAX_PLATFORMS asks for and this machine does not have.

    Raises:
      JaxregError: in one line, where JAX has many.
    """
    try:
        jax.devices()
    except Exception as error:  # RuntimeError, and of some versions of JAX an AssertionError without a word
        asked, reason = _config.jax_platforms, str(error).split("\n", 1)[0] or "there is none"
        remedy = "set JAX_PLATFORMS=cpu, or unset it" if asked else "see BUILD.md"
        raise JaxregError(f"JAX_PLATFORMS={asked or ''}: no device can be used ({reason}); {remedy}") from error


def take_gpu_memory(share: float) -> None:
    """Has JAX take a share in (0, 1] of the memory of each GPU; before JAX is first used. A CPU has none to take."""
    os.environ.pop("XLA_PYTHON_CLIENT_MEM_FRACTION", None)  # the older name, which must not contradict
    os.environ["XLA_CLIENT_MEM_FRACTION"] = str(share)


def keep_compilations() -> None:
    """Turns on JAX's persistent compilation cache, in the user's cache folder unless one is set already.

    Where there is no such folder, or none that can be written, programs are compiled anew at each start.
    """
    if _config.jax_compilation_cache_dir is None:
        folder = Path(platformdirs.user_cache_dir("jaxreg"), "compilations")
        if not folder.is_absolute():  # there is no home directory
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            return
        if os.access(folder, os.W_OK):
            _config.update("jax_compilation_cache_dir", str(folder))
            _config.update("jax_persistent_cache_min_compile_time_secs", 0)  # also what compiles fast, at every start
