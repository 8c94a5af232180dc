"""Arrays on the disk. The only file that uses Orbax.

Leaves go by their number, so that what Orbax makes of tree types and odd key names does not matter. It refuses arrays
without elements: those are not written, and come back from their shape and dtype.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxreg.runs.checkpoints.leaves import Array, PyTree
from jaxreg.slow_imports import ocp


def write_arrays(folder: Path, leaves: list[Array]) -> None:
    """Writes the leaves of a state into `folder`, which must not exist."""
    item = {f"{i:04d}": leaf for i, leaf in enumerate(leaves) if leaf.size}
    if item:
        _save(folder, item)


def read_arrays(folder: Path, targets: list[Any]) -> list[Array]:
    """What `write_arrays` wrote into `folder`: as NumPy arrays where a target is one, else on its sharding.

    A `jax.ShapeDtypeStruct` without a sharding means the first device. Orbax and TensorStore raise many types for what
    they cannot read or place, and cast to the dtype of the target without a word.
    """
    targets = [_placed(target) for target in targets]
    item = {f"{i:04d}": leaf for i, leaf in enumerate(targets) if leaf.size}
    restored: dict[str, Array] = {}
    if item:
        restore_args = ocp.checkpoint_utils.construct_restore_args(item)
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
            restored = checkpointer.restore(folder, args=ocp.args.PyTreeRestore(item, restore_args=restore_args))
    return [restored[f"{i:04d}"] if leaf.size else _empty(leaf) for i, leaf in enumerate(targets)]


def save_arrays(folder: Path, tree: PyTree) -> None:
    """Writes a pytree of arrays as a plain Orbax checkpoint, for others to load; `folder` must not exist."""
    _save(folder.absolute(), tree)


def load_arrays(folder: Path) -> PyTree:
    """What `save_arrays` wrote, as NumPy arrays; tuples come back as lists."""
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        return jax.tree.map(np.asarray, checkpointer.restore(folder.absolute()))


def _save(folder: Path, tree: PyTree) -> None:
    with _quiet_threads(), ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        checkpointer.save(folder, args=ocp.args.PyTreeSave(tree))
    _give_memory_back()


def _give_memory_back() -> None:
    """Returns freed memory to the system where the C library is glibc: it keeps as much as a large checkpoint holds."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


@contextlib.contextmanager
def _quiet_threads() -> Iterator[None]:
    """What threads of Orbax and TensorStore print of a disk that failed, hundreds of lines, is raised to the caller.

    After a failure they stay quiet: some of them still run then.
    """
    log, hook = logging.getLogger("absl"), sys.unraisablehook
    log.addFilter(_of_others)
    sys.unraisablehook = lambda unraisable: None if _of_closed_loop(unraisable) else hook(unraisable)
    yield
    log.removeFilter(_of_others)
    sys.unraisablehook = hook


def _of_others(record: logging.LogRecord) -> bool:
    return "_SignalingThread.run() raised" not in str(record.msg)


def _of_closed_loop(unraisable: sys.UnraisableHookArgs) -> bool:
    return isinstance(unraisable.exc_value, RuntimeError) and "Event loop is closed" in str(unraisable.exc_value)


def _empty(target: Any) -> Array:
    if isinstance(target, np.ndarray):
        return np.empty(target.shape, target.dtype)
    return jnp.empty(target.shape, target.dtype, device=target.sharding)


def _placed(leaf: Any) -> Any:
    """A restore target with an explicit sharding: without one Orbax falls back to the devices of the run that saved."""
    if isinstance(leaf, np.ndarray):
        return leaf
    sharding = leaf.sharding or jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
