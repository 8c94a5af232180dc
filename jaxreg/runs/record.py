"""What a run has so far: its measurements, the parameters of its finished blocks, its cost. What a checkpoint keeps."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from jaxreg.population.blocks import Block, make_blocks
from jaxreg.population.layout import Layout
from jaxreg.population.planning import Plan
from jaxreg.runs.history import History
from jaxreg.runs.progress import Cost, Position


@dataclasses.dataclass
class Record:
    """What a run has so far.

    Attributes:
      plan: what is trained.
      layouts: how each group is laid out: as planned, narrower where it did not fit, or as recorded by the run that is
        resumed.
      histories: what was measured, per group.
      params: the last and the best parameters of every finished block, [seeds, configs, ...] on the host.
      cost: seconds.
      member_steps: steps that members have trained, halted ones not counted.
      compactions: when a program was recompiled for fewer members: group, block, step, and its width in seeds and
        configs since.
      device_changes: when the run went on with fewer devices: group, block, step, how many before and since.
      unlike_parts: whether it was joined from parts that were laid out differently, as on unequal machines.
    """

    plan: Plan
    layouts: list[Layout]
    histories: list[History]
    params: dict[str, Any] = dataclasses.field(default_factory=dict)
    cost: Cost = dataclasses.field(default_factory=Cost)
    member_steps: int = 0
    compactions: list[dict[str, int]] = dataclasses.field(default_factory=list)
    device_changes: list[dict[str, int]] = dataclasses.field(default_factory=list)
    unlike_parts: bool = False

    @staticmethod
    def of(plan: Plan) -> Record:
        """An empty one."""
        return Record(plan, list(plan.layouts), [History(plan, group) for group in plan.sweep.groups])

    def blocks(self, number: int) -> list[Block]:
        """The blocks of a group in the order in which they are trained."""
        sweep = self.plan.sweep
        return make_blocks(number, self.layouts[number], len(sweep.groups[number].configs), len(sweep.seeds))

    def keep(self, block: str, params: dict[str, Any]) -> None:
        """Takes up the last and the best parameters of a finished block, those of the same bits as one array.

        They are where every member was best at its end, as in long sweeps that are checked at the end alone.
        """
        last, best = params["params"], params["best_params"]
        best = jax.tree.map(lambda last, best: last if _same_bits(last, best) else best, last, best)
        self.params[block] = {"params": last, "best_params": best}

    def forget_params(self) -> None:
        """Lets go of the parameters of finished blocks, once a checkpoint holds them."""
        self.params.clear()

    def finished_blocks(self, position: Position) -> Iterator[tuple[int, Block]]:
        """The blocks before a position, each with its number within its group."""
        for group in range(min(position.group + 1, len(self.plan.sweep.groups))):
            for number, block in enumerate(self.blocks(group)):
                if group < position.group or number < position.block:
                    yield number, block

    def member_steps_behind(self, position: Position) -> int:
        """Steps of members that lie behind a position, halted members counted too."""
        groups = self.plan.sweep.groups
        finished = sum(block.size * groups[block.group].num_steps for _, block in self.finished_blocks(position))
        return finished + position.step * self.blocks(position.group)[position.block].size

    @property
    def total_member_steps(self) -> int:
        """Steps of all members together."""
        sweep = self.plan.sweep
        return sum(len(group.configs) * len(sweep.seeds) * group.num_steps for group in sweep.groups)


def _same_bits(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> bool:
    """Whether two arrays of one dtype are equal, 0.0 and -0.0 being different."""
    bits = f"u{one.dtype.itemsize}"
    return np.array_equal(one.view(bits), other.view(bits))
