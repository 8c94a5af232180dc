"""Who is timed, and what a process does that times one of them."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.util
from collections.abc import Mapping

from benchmarks.peers.loops import Loop, Seconds, fastest, repeated, timed
from benchmarks.peers.rounds import Ready
from benchmarks.workloads import Arrays, Workload, made_up_arrays


@dataclasses.dataclass(frozen=True)
class Peer:
    """One way to train a sweep.

    Attributes:
      about: as tables name it.
      loops: `module:function` in this package, (workload, arrays) -> its loops by setting, of which the fastest counts.
      package: what must be installed.
    """

    about: str
    loops: str
    package: str = "jax"

    @property
    def installed(self) -> bool:
        """Whether it can be timed here."""
        return importlib.util.find_spec(self.package) is not None


OURS, LIMIT = "jaxreg", "products"
PEERS = {
    OURS: Peer("jaxreg", "ours:jaxreg"),
    "torch": Peer("PyTorch, one by one", "torch_peers:one_by_one", "torch"),
    "torch.func": Peer("PyTorch, torch.func", "torch_peers:many_at_once", "torch"),
    "jax": Peer("JAX, one by one", "jax_peers:one_by_one"),
    "sklearn": Peer("scikit-learn, one by one", "sklearn_peer:one_by_one", "sklearn"),
    "prototype": Peer("plain scan over vmap", "jax_peers:prototype"),
    "blocks": Peer("the same in blocks, a device per core", "jax_peers:blocks_on_all_cores"),
    LIMIT: Peer("limit: matrix products alone", "ours:products"),
}


class Contestant:
    """One of `PEERS`, in the process that times it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop: Loop | None = None

    def prepare(self, workload: Workload, seconds: float) -> Ready:
        """Builds and warms up its loops, and keeps the fastest, as often as fills so many seconds."""
        self._loop = None  # its arrays make room for the next
        module, function = PEERS[self._name].loops.split(":")
        make = getattr(importlib.import_module(f"benchmarks.peers.{module}"), function)
        loops: Mapping[str, Loop] = make(workload, _arrays(workload.examples, workload.features))
        setting, took = fastest(loops, seconds / 4)
        self._loop = repeated(loops[setting], max(1, round(seconds / took)))
        return Ready(setting, self._loop.member_steps)

    def time(self) -> Seconds:
        """One timed call."""
        assert self._loop is not None, "prepare comes first"
        return timed(self._loop.run)


@functools.lru_cache(maxsize=1)
def _arrays(examples: int, features: int) -> Arrays:
    return made_up_arrays(examples, features)
