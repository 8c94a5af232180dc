"""How a run came to be: when, from which commit, with which packages, on what devices, in how much memory."""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import psutil

from jaxreg.portable import resource

DECIDE_BITS = ("jaxreg", "jax", "jaxlib", "flax", "optax")  # what computes the numbers of a run
PACKAGES = (*DECIDE_BITS, "orbax-checkpoint", "numpy", "scipy", "xarray")


def utc_stamp() -> str:
    """Now, as in 2031-05-28T09:30:00Z."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def git_state(root: Path | None = None) -> dict[str, Any] | None:
    """`{commit, dirty}` of the checkout that jaxreg (or `root`) is; None without git, a commit or an answer in 2 s.

    A checkout that merely has jaxreg installed somewhere inside it is not meant.
    """
    root = (root or Path(__file__).parents[2]).resolve()

    def git(*arguments: str) -> str:
        command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=2).stdout

    try:
        top, commit = git("rev-parse", "--show-toplevel", "HEAD").split("\n")[:2]
        if Path(top).resolve() != root:
            return None
        return {"commit": commit, "dirty": bool(git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide what a run computes, for those that are installed."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def device_description() -> dict[str, Any]:
    """What JAX computes on: platform and kind of the devices, how many, in how many processes, CPU cores here."""
    devices = jax.devices()
    return {
        "platform": devices[0].platform,
        "kind": devices[0].device_kind,
        "count": len(devices),
        "processes": jax.process_count(),
        "cpu_cores": os.cpu_count(),
        "machine": platform.machine(),
    }


def changes_since(meta: Mapping[str, Any]) -> list[str]:
    """What computes the numbers now and was another when a run's meta.json was written, in words."""
    versions, device = package_versions(), device_description()
    there = {name: meta.get("versions", {}).get(name) for name in DECIDE_BITS}
    there |= {f"device {name}": meta.get("device", {}).get(name) for name in ("platform", "kind")}
    here = versions | {f"device {name}": value for name, value in device.items()}
    changed = {name: old for name, old in there.items() if old not in (None, here.get(name))}
    return [f"{name} {old} there, {here.get(name)} here" for name, old in changed.items()]


def peak_memory_bytes() -> int:
    """Peak memory so far: that of the fullest device where devices count it, else of this process on the host."""
    peaks = [(device.memory_stats() or {}).get("peak_bytes_in_use") for device in jax.local_devices()]
    counted = [int(peak) for peak in peaks if peak is not None]
    if counted:
        return max(counted)
    if resource is None:  # Windows, where psutil tells the peak
        memory = psutil.Process().memory_info()
        return int(getattr(memory, "peak_wset", memory.rss))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
