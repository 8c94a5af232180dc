"""What other steps of jaxreg cost beside its plain one, and what its layout gains.

For each workload: momentum, Adam, two hidden layers, dropout, every penalty and all of them together, other widths of
the hidden layer. Each is trained in every layout of `LAYOUTS`, timed in turn.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.engine import first_block
from benchmarks.peers import ours
from benchmarks.peers.loops import Loop, Seconds, repeated, timed
from benchmarks.peers.processes import Remote
from benchmarks.peers.rounds import Readings, Ready, interleave, readings
from benchmarks.workloads import Workload, made_up_arrays
from jaxreg.hardware import use_all_cores
from jaxreg.population.layout import Layout
from jaxreg.population.planning import make_plan

PLAIN = "plain"
PENALTIES: dict[str, dict[str, Any]] = {
    "dropout": {"dropout_rate": 0.5},
    "L1": {"l1_strength": 1e-4},
    "L2": {"l2_strength": 1e-3},
    "KL sparsity": {"kl_strength": 1e-3},
    "max-norm": {"max_norm": 3.0},
}
VARIANTS: dict[str, dict[str, Any]] = {
    PLAIN: {},
    "momentum": {"optimizer": "momentum", "momentum": 0.9},
    "Adam": {"optimizer": "adam"},
    "two hidden layers": {"hidden_sizes": (32, 32)},
    **PENALTIES,
    "dropout and all penalties": {name: value for each in PENALTIES.values() for name, value in each.items()},
    **{f"hidden {width}": {"hidden_sizes": (width,)} for width in (11, 100, 512)},
}
"""Hyperparameters that all members share, by name."""

CHOSEN = "as chosen"
LAYOUTS: dict[str, Callable[[Layout], Layout]] = {
    CHOSEN: lambda layout: layout,
    "no tiles": lambda layout: dataclasses.replace(layout, tile_configs=layout.of_device[1]),
}
"""What to make of the layout that jaxreg chooses, by name."""


@dataclasses.dataclass(frozen=True)
class Variant:
    """One kind of step on one workload.

    Attributes:
      workload: what was trained; its hidden width is that of the plain step.
      name: one of `VARIANTS`.
      layouts: readings by the name of the layout.
    """

    workload: Workload
    name: str
    layouts: Mapping[str, Readings]


class Steps:
    """The loops of one workload, in the process that times them."""

    def __init__(self, workload: Workload) -> None:
        use_all_cores()
        self._workload = workload
        self._data = ours.data_of(made_up_arrays(workload.examples, workload.features))
        self._loops: dict[tuple[str, str], Loop] = {}

    def prepare(self, variant: str, layout: str, seconds: float) -> Ready:
        """Compiles and warms up one loop."""
        sizes = VARIANTS[variant].get("hidden_sizes", (self._workload.hidden,))
        operations = self._workload.operations * self._workload.members * max(sizes) / self._workload.hidden
        steps = int(np.clip(1e11 * seconds / operations, 20, 1000))  # a chunk of about so many seconds
        experiment = ours.experiment_of(self._workload, steps, **VARIANTS[variant])
        plan = make_plan(experiment, self._data)
        pinned = LAYOUTS[layout](plan.layouts[0])
        if pinned != plan.layouts[0]:
            plan = make_plan(dataclasses.replace(experiment, layout=str(pinned)), self._data)
        loop = ours.chunks(*first_block(plan), self._workload.members)
        loop.run()
        loop = repeated(loop, max(1, round(seconds / timed(loop.run).wall)))
        self._loops[variant, layout] = loop
        return Ready(str(pinned), loop.member_steps)

    def time(self, variant: str, layout: str) -> Seconds:
        """One timed call."""
        return timed(self._loops[variant, layout].run)


def measure(workloads: Sequence[Workload], names: Iterable[str], rounds: int, seconds: float) -> Iterator[Variant]:
    """The variants of these names on each workload, which share a process: all of them are timed in turn."""
    for workload in workloads:
        print(f"\n{workload}: variants", flush=True)
        process = Remote(Steps, workload)
        try:
            asked = [(variant, layout) for variant in names for layout in LAYOUTS]
            ready = {each: process.ask("prepare", *each, seconds) for each in asked}
            taken = interleave({each: functools.partial(process.ask, "time", *each) for each in asked}, rounds)
        finally:
            process.close()
        for variant in names:
            timed_in = {layout: readings(ready[variant, layout], taken[variant, layout]) for layout in LAYOUTS}
            yield Variant(workload, variant, timed_in)
