"""Settings of JAX for this machine. They act on the whole process, so they are made where a program starts."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import jax
import platformdirs

_config: Any = jax.config  # its attributes are made at run time


def use_all_cores() -> None:
    """Gives JAX one CPU device per core, which trains sweeps faster than one device with many threads.

    Takes effect only before JAX is first used. A number that was set before (`jax_num_cpu_devices`, the environment
    variable JAX_NUM_CPU_DEVICES, or XLA_FLAGS) stays.
    """
    if _config.jax_num_cpu_devices < 1 and "host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        with contextlib.suppress(RuntimeError):  # JAX has been used
            _config.update("jax_num_cpu_devices", cores)


def keep_compilations() -> None:
    """Turns on JAX's persistent compilation cache, in the user's cache folder unless one is set already."""
    if _config.jax_compilation_cache_dir is None:
        folder = os.path.join(platformdirs.user_cache_dir("jaxreg"), "compilations")  # noqa: PTH118 - a string is asked for
        _config.update("jax_compilation_cache_dir", folder)
        _config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
