"""Several processes that train one run: how they meet, what they tell one another, arrays of which each has a part.

Each process drives its own devices; a mesh over all devices divides the members among them. The programs are those of
one process with as many devices: nothing in a step talks. Between chunks of steps processes exchange what was measured,
so that each holds all measurements, and agree on whether to stop or to save. With one process everything here is what
it would be without.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import jax
import numpy as np
import psutil
from jax.experimental import multihost_utils

from jaxreg import hardware
from jaxreg.errors import ConfigError, JaxregError, one_line

_log = logging.getLogger("jaxreg")
_config: Any = jax.config  # its attributes are made at run time
_T = TypeVar("_T")

SECONDS_TO_MEET = 300  # until all processes must have started
SECONDS_SILENT = 30  # after which a process that cannot be reached counts as gone
_AT_ONCE = 2**26  # bytes that are exchanged in one go

_OF_CONNECTIONS = re.compile("gloo|nccl|coordination|heartbeat|barrier|unavailable|deadline|peer", re.IGNORECASE)

_memory: int | None = None  # of the host, for each process, once they have met


class ProcessLostError(JaxregError):
    """Another process of the run is gone, or cannot be reached."""


def join(coordinator: str | None = None, num_processes: int | None = None, process_id: int | None = None) -> None:
    """Makes this process one of several that train a run together; before JAX is first used.

    What is None is found by JAX, where SLURM, Open MPI, Kubernetes or a TPU pod started the processes.

    Args:
      coordinator: address and port of process 0, `host:port`.
      num_processes: how many there are.
      process_id: which one this is, 0 to num_processes - 1.

    Raises:
      ConfigError: some are not given and cannot be found.
      ProcessLostError: the others did not come.
    """
    global _memory
    _config.update("jax_enable_preemption_service", False)  # it would take SIGTERM, which a run heeds itself
    all_named = None not in (coordinator, num_processes, process_id)
    if all_named:
        where = f"process {process_id} of {num_processes} waits for the others at {coordinator}"
        _log.info("%s, at most %d minutes", where, SECONDS_TO_MEET // 60)
    try:
        jax.distributed.initialize(
            coordinator,
            num_processes,
            process_id,
            cluster_detection_method="deactivate" if all_named else None,
            initialization_timeout=SECONDS_TO_MEET,
            heartbeat_timeout_seconds=SECONDS_SILENT,
        )
    except (ValueError, TypeError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        if isinstance(error, jax.errors.JaxRuntimeError):
            raise ProcessLostError(
                one_line(
                    f"--distributed: the processes did not meet ({reason}); start all of them, with one coordinator"
                )
            ) from error
        remedy = (
            "give --coordinator=HOST:PORT --num_processes=N --process_id=I, or start it by srun, mpirun or Kubernetes"
        )
        raise ConfigError(
            "distributed", "true", one_line(f"cannot tell which process this is ({reason}); {remedy}")
        ) from error
    devices = [len([d for d in jax.devices() if d.process_index == process]) for process in range(count())]
    if len(set(devices)) > 1:
        here = f"the processes have {', '.join(map(str, devices))} devices"
        raise ConfigError("distributed", "true", f"{here}; give each as many (on a CPU JAX_NUM_CPU_DEVICES)")
    _memory = _least_memory()


def count() -> int:
    """How many processes train the run."""
    return jax.process_count() if jax.distributed.is_initialized() else 1


def is_first() -> bool:
    """Whether this is process 0, which writes what there is once: results, TensorBoard, report, the folder."""
    return count() == 1 or jax.process_index() == 0


# What processes tell one another --------------------------------------------------------------------------------------


def largest(value: int) -> int:
    """The largest of the values that the processes give, in [0, 2³¹)."""
    if count() == 1:
        return value
    with losses_in_words():
        return int(np.max(multihost_utils.process_allgather(np.array([value], np.int32))))


def any_of(value: bool) -> bool:
    """Whether any of the processes says so."""
    return bool(largest(int(value)))


def wait() -> None:
    """Waits until all processes are here, for as long as that takes."""
    any_of(value=False)


def gather(value: Any) -> list[Any]:
    """What each process gives, in their order: anything that JSON holds."""
    if count() == 1:
        return [value]
    return [json.loads(text.tobytes()) for text in _gather_bytes(np.frombuffer(json.dumps(value).encode(), np.uint8))]


def of_first(act: Callable[[], _T]) -> _T:
    """What `act` returns on process 0, which alone calls it; anything that JSON holds.

    Raises:
      JaxregError: what `act` raised, on all processes.
    """
    told: list[Any] = together(lambda: act() if is_first() else None, of="process 0")
    value: _T = told[0]
    return value


def together(act: Callable[[], _T], of: str | None = None) -> list[_T]:
    """What `act` returns on each process: anything that JSON holds.

    Raises:
      JaxregError: what `act` raised; on those where it did not fail, which process it failed on, and why.
    """
    if count() == 1:
        return [act()]
    value, failure = None, None
    try:
        value = act()
    except JaxregError as error:
        failure = error
    told = gather({"value": value, "failure": None if failure is None else str(failure)})
    if failure is not None:
        raise failure
    for number, entry in enumerate(told):
        if entry["failure"] is not None:
            raise JaxregError(one_line(f"{of or f'process {number}'}: {entry['failure']}"))
    return [entry["value"] for entry in told]


def require_same(what: Mapping[str, Any]) -> None:
    """Refuses to go on where the processes differ in one of these, by name.

    Raises:
      JaxregError: on all processes alike, naming what differs and where.
    """
    told = gather(what)
    for name in {name: None for each in told for name in each}:
        differing = [number for number, other in enumerate(told) if other.get(name) != told[0].get(name)]
        if differing:
            numbers = ", ".join(map(str, differing))
            raise JaxregError(
                one_line(
                    f"--distributed: {name} of process {numbers} is not that of process 0; give all processes the same"
                )
            )


# Arrays ---------------------------------------------------------------------------------------------------------------


def put(tree: Any, sharding: jax.sharding.Sharding) -> Any:
    """Arrays of the host, the same on every process, on the devices of all."""
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)

    def placed(leaf: Any) -> jax.Array:
        values = np.asarray(leaf)
        return jax.make_array_from_callback(values.shape, sharding, lambda index: values[index])

    return jax.tree.map(placed, tree)


def on_host(tree: Any) -> Any:
    """The values of arrays on any devices, whole and on every process, as NumPy arrays."""
    leaves, structure = jax.tree.flatten(tree)
    divided = [i for i, leaf in enumerate(leaves) if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable]
    if not divided:
        return jax.device_get(tree)
    whole = [leaf if i in divided else np.asarray(leaf) for i, leaf in enumerate(leaves)]
    parts = [_own_part(leaves[i]) for i in divided]
    gathered = _gather_bytes(np.concatenate([part.reshape(-1).view(np.uint8) for part in parts]))
    begin = 0
    for i, part in zip(divided, parts, strict=True):
        end = begin + part.nbytes
        of_each = [one[begin:end].view(part.dtype).reshape(part.shape) for one in gathered]
        whole[i], begin = _assembled(leaves[i], of_each), end
    return jax.tree.unflatten(structure, whole)


def _own_part(leaf: jax.Array) -> np.ndarray[Any, Any]:
    """What this process holds of an array, [devices here, ...], in the order of the mesh."""
    here = {shard.device: shard.data for shard in leaf.addressable_shards}
    return np.stack([np.asarray(here[device]) for device in _devices_of(leaf, jax.process_index())])


def _assembled(leaf: jax.Array, of_each: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """The whole of an array from what each process holds of it."""
    whole = np.empty(leaf.shape, of_each[0].dtype)
    places = leaf.sharding.devices_indices_map(leaf.shape)
    for process, part in enumerate(of_each):
        for device, values in zip(_devices_of(leaf, process), part, strict=True):
            whole[places[device]] = values
    return whole


def _devices_of(leaf: jax.Array, process: int) -> list[jax.Device]:
    assert isinstance(leaf.sharding, jax.sharding.NamedSharding)  # as all arrays of a run
    return [device for device in np.ravel(leaf.sharding.mesh.devices) if device.process_index == process]


def _gather_bytes(own: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    """The bytes that each process gives, which may be of different lengths."""
    with losses_in_words():
        lengths = multihost_utils.process_allgather(np.array([own.size], np.int32)).reshape(-1)
        longest = int(lengths.max())
        padded = np.zeros(longest, np.uint8)
        padded[: own.size] = own
        parts = [
            multihost_utils.process_allgather(padded[begin : begin + _AT_ONCE]) for begin in range(0, longest, _AT_ONCE)
        ]
    return [np.concatenate([part[i] for part in parts])[:length] for i, length in enumerate(lengths)]


# The machines ---------------------------------------------------------------------------------------------------------


def host_memory_bytes() -> int:
    """The memory of the host that a process of the run may count on: its machine's, shared with others there.

    The same on all processes, that of the one with the least, so that they lay a run out alike.
    """
    return hardware.host_memory_bytes() if _memory is None else _memory


def _least_memory() -> int:
    told = gather([f"{socket.gethostname()} {psutil.boot_time():.0f}", hardware.host_memory_bytes()])
    hosts = [host for host, _ in told]
    return min(memory // hosts.count(host) for host, memory in told)


# The end --------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def losses_in_words() -> Iterator[None]:
    """An error of what joins several processes means that one of them is gone, and that is said in a line.

    Raises:
      ProcessLostError: in place of that error, which JAX raises as one type or another.
    """
    try:
        yield
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        if count() == 1 or not _OF_CONNECTIONS.search(reason):
            raise
        raise ProcessLostError(
            one_line(f"another process of this run is gone ({reason}); start all of them again with --resume")
        ) from error


def leave(exit_code: int) -> None:
    """Ends this process where it cannot wait for the others: JAX would, for minutes."""
    if count() > 1 and exit_code:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(exit_code)
