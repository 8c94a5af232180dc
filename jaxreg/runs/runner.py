"""The host loop over groups and blocks: compiles, trains, and keeps what a plan asks for.

A run trains its groups one after another, and a group block by block where its members do not fit at once.
"""

from __future__ import annotations

import logging

import jax

from jaxreg.population.layout import MEMORY_SHARE, memory_bytes
from jaxreg.population.placement import Placement, Placements
from jaxreg.population.planning import Plan, plan_layout
from jaxreg.runs.block_training import BlockTraining, Hooks
from jaxreg.runs.checkpoints.store import Found
from jaxreg.runs.progress import Position
from jaxreg.runs.record import Record
from jaxreg.runs.snapshots import Snapshot, Snapshots, restore

_log = logging.getLogger("jaxreg")


class Runner:
    """Trains what a plan asks for.

    Attributes:
      plan: what is trained.
      record: measurements, parameters and cost so far.
      placements: the compiled programs, dropped as groups are finished; those that are handed over are kept.
    """

    def __init__(self, plan: Plan, placements: Placements | None = None) -> None:
        self.plan, self.record = plan, Record.of(plan)
        self.placements = placements or Placements(plan)
        self._keeps_placements = placements is not None
        self._start = Snapshot()

    def restore(self, found: Found) -> None:
        """Takes over all that a checkpoint holds, for `run` to go on with.

        Raises:
          CheckpointError: it cannot be read here.
        """
        self._start = restore(self.record, self.placements, found)

    @property
    def finished(self) -> bool:
        """Whether the checkpoint that was restored is that of the end."""
        return self._start.position.group == len(self.plan.sweep.groups)

    def run(self, hooks: Hooks | None = None) -> None:
        """Trains every member to its end, from the restored checkpoint on if there is one.

        Raises:
          Stopped: by a signal or the time limit, after a checkpoint.
          CheckpointError: no checkpoint could be written.
        """
        hooks = hooks or Hooks()
        snapshots = Snapshots(self.record, hooks.checkpoints)
        training = BlockTraining(self.record, self.placements, hooks, snapshots)
        snapshot = self._start
        position = snapshot.position
        resumed = (position.block, position.step) != (0, 0)
        while position.group < len(self.plan.sweep.groups):
            self.fit(position.group, may_shrink=not resumed)
            blocks = self.record.blocks(position.group)
            for number in range(position.block, len(blocks)):
                training.run(blocks[number], snapshot)
                position = Position(position.group, number + 1)
                snapshot = Snapshot(position)
                if number + 1 < len(blocks) and snapshots.is_due_after_a_block():
                    snapshots.save(snapshot)
            if not self._keeps_placements:
                self.placements.forget(position.group)
            position, resumed = Position(position.group + 1), False
            snapshot = Snapshot(position)
            if position.group < len(self.plan.sweep.groups) and snapshots.is_due_after_a_block():
                snapshots.save(snapshot)
        snapshots.save(snapshot)

    def fit(self, number: int, *, may_shrink: bool = True) -> Placement:
        """The compiled placement of a group.

        While it does not fit in memory, `record.layouts` gets a layout of half the width, which is compiled in its
        place; not where the width is pinned, and not unless it `may_shrink`, as a resumed group may not.
        """
        groups = self.plan.sweep.groups
        group = groups[number]
        while True:
            layout = self.record.layouts[number]
            devices = jax.devices()[: layout.devices]
            with self.record.cost.timed("compile"):
                placement = self.placements.get(number, layout)
            fits = placement.compiled.bytes * layout.devices <= MEMORY_SHARE * memory_bytes(devices)
            if fits or not may_shrink or layout.width == 1 or self.plan.experiment.layout:
                _log.info(
                    "group %d of %d: %d settings x %d seeds, %d members at once on %d x %s, compiled in %.1f s",
                    *(number + 1, len(groups), len(group.configs), len(self.plan.sweep.seeds)),
                    *(layout.width, layout.devices, devices[0].device_kind, placement.seconds),
                )
                return placement
            _log.info("%d members at once do not fit in memory; trying half as many", layout.width)
            self.record.layouts[number] = plan_layout(
                *(group, self.plan.sweep, self.plan.data, self.plan.problem, self.plan.experiment, layout.width // 2)
            )
