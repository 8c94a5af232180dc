"""jaxreg against its peers on each workload."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence

from benchmarks.peers.contestants import PEERS, Contestant
from benchmarks.peers.loops import Seconds
from benchmarks.peers.processes import FailedError, Remote
from benchmarks.peers.rounds import Readings, Ready, interleave, readings
from benchmarks.workloads import Workload


@dataclasses.dataclass(frozen=True)
class Versus:
    """All contestants on one workload.

    Attributes:
      workload: what was trained.
      peers: readings by name; those that failed are not there.
    """

    workload: Workload
    peers: Mapping[str, Readings]


def measure(workloads: Sequence[Workload], names: Sequence[str], rounds: int, seconds: float) -> Iterator[Versus]:
    """Each workload with the contestants of these names, every one in a process that stays for all workloads."""
    with contextlib.ExitStack() as stack:
        processes = {name: Remote(Contestant, name) for name in names}
        for process in processes.values():
            stack.callback(process.close)
        for workload in workloads:
            print(f"\n{workload}", flush=True)
            ready = dict(_prepared(processes, workload, seconds))
            taken = interleave({name: functools.partial(_time, processes[name], name) for name in ready}, rounds)
            peers = {name: readings(each, taken[name]) for name, each in ready.items()}
            yield Versus(workload, peers)


def _time(process: Remote, name: str) -> Seconds:
    try:
        return process.ask("time")
    except FailedError as error:
        raise FailedError(f"{PEERS[name].about}: {error}") from error


def _prepared(processes: Mapping[str, Remote], workload: Workload, seconds: float) -> Iterator[tuple[str, Ready]]:
    """Contestants that can be timed; of each one line."""
    for name, process in processes.items():
        try:
            ready: Ready = process.ask("prepare", workload, seconds)
        except FailedError as error:
            print(f"  {PEERS[name].about}: left out, {error}", flush=True)
            continue
        print(f"  {PEERS[name].about}: {ready.setting or 'ready'}", flush=True)
        yield name, ready
