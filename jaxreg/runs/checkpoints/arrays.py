"""Arrays on the disk. The only file that uses Orbax.

Leaves go by their number, so that what Orbax makes of tree types and odd key names does not matter. It refuses arrays
without elements: those are not written, and come back from their shape and dtype. What is large is written in portions,
because Orbax holds all that it writes at once in memory, and more than once.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxreg import processes
from jaxreg.runs.checkpoints.leaves import Array, PyTree
from jaxreg.slow_imports import ocp

PORTION = 2**28  # bytes that are written at once; a larger leaf is a portion of its own


def write_arrays(folder: Path, leaves: list[Array]) -> None:
    """Writes the leaves of a state into `folder`, which must not exist.

    Up to a portion is one Orbax checkpoint; of more, each portion is one in a folder of its own.
    """
    portions = _portions(leaves)
    if len(portions) == 1:
        _save(folder, portions[0])
        return
    for number, portion in enumerate(portions):
        folder.mkdir(exist_ok=True)
        _save(_portion_folder(folder, number), portion)


def read_arrays(folder: Path, targets: list[Any], chosen: Sequence[int], *, alone: bool = False) -> list[Array]:
    """What `write_arrays` wrote into `folder`: as NumPy arrays where a target is one, else on its sharding.

    `targets` are all that were written; what holds none of the leaves that are `chosen` by number is not read.

    Of several processes all call this together, or one does `alone`, for NumPy arrays.

    A `jax.ShapeDtypeStruct` without a sharding means the first device. Orbax and TensorStore raise many types for what
    they cannot read or place, and cast to the dtype of the target without a word.
    """
    targets = [_placed(target) for target in targets]
    portions = _portions(targets)
    in_one = not _portion_folder(folder, 0).exists()
    if in_one:  # however large: so did earlier versions
        portions = [{name: leaf for portion in portions for name, leaf in portion.items()}] if portions else []
    restored: dict[str, Array] = {}
    names = {f"{number:04d}" for number in chosen}
    for number, item in enumerate(portions):
        if names.isdisjoint(item):
            continue
        restore_args = ocp.checkpoint_utils.construct_restore_args(item)
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(**_by_itself(alone)), **_by_itself(alone)) as checkpointer:
            restored |= checkpointer.restore(
                folder if in_one else _portion_folder(folder, number),
                args=ocp.args.PyTreeRestore(item, restore_args=restore_args),
            )
        for name in item.keys() - names:
            del restored[name]
    return [restored[f"{i:04d}"] if targets[i].size else _empty(targets[i]) for i in chosen]


def _by_itself(alone: bool) -> dict[str, Any]:
    """What has Orbax wait for no other process."""
    if not alone or processes.count() == 1:
        return {}
    this = jax.process_index()
    only = ocp.options.MultiprocessingOptions(
        primary_host=this, active_processes={this}, barrier_sync_key_prefix=f"process{this}"
    )
    return {"multiprocessing_options": only}


def save_arrays(folder: Path, tree: PyTree) -> None:
    """Writes a pytree of arrays as a plain Orbax checkpoint, for others to load; `folder` must not exist."""
    _save(folder.absolute(), tree)


def load_arrays(folder: Path) -> PyTree:
    """What `save_arrays` wrote, as NumPy arrays; tuples come back as lists."""
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        return jax.tree.map(np.asarray, checkpointer.restore(folder.absolute()))


def _portions(leaves: list[Any]) -> list[dict[str, Any]]:
    """Consecutive leaves by name, as many together as are a portion."""
    portions: list[dict[str, Any]] = []
    room = 0
    for number, leaf in enumerate(leaves):
        if not leaf.size:
            continue
        num_bytes = leaf.size * leaf.dtype.itemsize
        if not portions or num_bytes > room:
            portions.append({})
            room = PORTION
        portions[-1][f"{number:04d}"] = leaf
        room -= num_bytes
    return portions


def _portion_folder(folder: Path, number: int) -> Path:
    return folder / f"portion-{number:03d}"


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
