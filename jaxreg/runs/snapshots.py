"""Snapshots of a run: what its checkpoints hold, when one is due, and how a run goes on from one."""

from __future__ import annotations

import dataclasses
import time
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxreg import processes
from jaxreg.config.sweeps import Group
from jaxreg.errors import CheckpointError
from jaxreg.population.blocks import Block, block_name
from jaxreg.population.layout import Layout, layout_from
from jaxreg.population.placement import Placements
from jaxreg.runs.checkpoints.store import Checkpoints, Found
from jaxreg.runs.interruption import Interruption
from jaxreg.runs.progress import Position
from jaxreg.runs.record import Record

SECONDS_BETWEEN_CHECKPOINTS = 60.0


class Snapshot(NamedTuple):
    """Where a run goes on.

    Attributes:
      position: the step that comes next.
      state: states of all members of its block, [seeds, configs, ...]; None at the beginning of a block.
      remaining: the members that were still in the program, where it had been recompiled for fewer.
    """

    position: Position = Position()
    state: Any = None
    remaining: Block | None = None


class Snapshots:
    """Keeps snapshots of a record as checkpoints; without `checkpoints` it keeps nothing."""

    def __init__(self, record: Record, checkpoints: Checkpoints | None) -> None:
        self._record, self._checkpoints = record, checkpoints
        self._last_saved = time.monotonic()

    def is_due(self, group: Group, step: int, interruption: Interruption) -> bool:
        """Whether to save after a step: asked for by a signal, every `checkpoint_every` steps, or at checks."""
        if self._checkpoints is None:
            return False
        if interruption.take_save_request():
            return True
        if every := self._record.plan.experiment.run.checkpoint_every:
            return step % every == 0
        return group.is_checked(step) and self._is_long_ago()

    def is_due_after_a_block(self) -> bool:
        """Whether to save when a block has ended: always with `checkpoint_every`, else as at any check."""
        every = self._record.plan.experiment.run.checkpoint_every
        return self._checkpoints is not None and (every > 0 or self._is_long_ago())

    def _is_long_ago(self) -> bool:
        return processes.any_of(time.monotonic() - self._last_saved > SECONDS_BETWEEN_CHECKPOINTS)

    def save(self, snapshot: Snapshot) -> None:
        """Writes a checkpoint.

        Raises:
          CheckpointError: it could not be written.
        """
        if self._checkpoints is None:
            return
        record, position = self._record, snapshot.position
        about = {
            "position": dataclasses.asdict(position),
            "layouts": [dataclasses.asdict(layout) for layout in record.layouts],
            "seconds": record.cost.seconds,
            "member_steps": record.member_steps,
            "compactions": record.compactions,
            "device_changes": record.device_changes,
            "unlike_parts": record.unlike_parts,
            "left": dataclasses.asdict(snapshot.remaining) if snapshot.remaining else None,
        }
        groups = record.plan.sweep.groups
        with record.cost.timed("write"):
            steps = sum(groups[block.group].num_steps for _, block in record.finished_blocks(position))
            kept = _kept(record, snapshot.state if position.step else None)
            self._checkpoints.save(steps + position.step, kept, about)
        self._last_saved = time.monotonic()


def restore(record: Record, placements: Placements, found: Found) -> Snapshot:
    """Takes over all that a checkpoint holds, and returns where to go on.

    Raises:
      CheckpointError: it cannot be read here.
    """
    about = found.about
    position, remaining = Position(**about["position"]), about["left"]
    record.layouts = [layout_from(layout) for layout in about["layouts"]]
    record.device_changes = about.get("device_changes", [])
    record.unlike_parts = about.get("unlike_parts", False)
    _go_on_here(record, position)
    record.cost.seconds |= about["seconds"]
    record.member_steps, record.compactions = about["member_steps"], about["compactions"]
    if remaining:
        remaining = Block(remaining["group"], tuple(remaining["configs"]), tuple(remaining["seeds"]))

    for number, block in record.finished_blocks(position):
        ended = placements.state_shapes(block, _on_devices_here(record.layouts[block.group]))
        blank = {"params": ended.params, "best_params": ended.best_params}
        record.params[block_name(block.group, number)] = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), blank)
    state = None
    if position.step:
        block = record.blocks(position.group)[position.block]
        state = placements.state_shapes(block, record.layouts[block.group])
    kept = found.restore(_kept(record, state))
    for block, params in kept["params"].items():
        record.keep(block, params)
    for history, arrays in zip(record.histories, kept["histories"], strict=True):
        history.arrays = arrays
    return Snapshot(position, kept["state"], remaining)


def _go_on_here(record: Record, position: Position) -> None:
    """Lays what is left to train out on fewer devices, where there are fewer than the run was begun on.

    Raises:
      CheckpointError: `--fewer_devices` does not allow it.
    """
    for number in range(position.group, len(record.layouts)):
        layout = record.layouts[number]
        here = _on_devices_here(layout)
        if processes.count() > 1 and here.devices < jax.device_count():
            raise CheckpointError(
                f"--resume: the run was begun on {layout.devices} devices, and {processes.count()} processes have "
                f"{jax.device_count()} in all, of which some would have nothing to do; start fewer processes, or on a "
                "CPU give each fewer devices (JAX_NUM_CPU_DEVICES)"
            )
        if here == layout:
            continue
        if not record.plan.experiment.run.fewer_devices:
            raise CheckpointError(
                f"--resume: the run was begun on {layout.devices} devices, here it could use {here.devices}: "
                "--fewer_devices goes on with those, to results that are equal only within rounding; to the same bits "
                f"it goes on where there are {layout.devices}, on a CPU also with JAX_NUM_CPU_DEVICES={layout.devices}"
            )
        record.layouts[number] = here
        change = {"group": number, "block": position.block, "step": position.step}
        if number > position.group:
            change |= {"block": 0, "step": 0}
        record.device_changes.append(change | {"before": layout.devices, "devices": here.devices})


def _on_devices_here(layout: Layout) -> Layout:
    """The layout on as many of its devices as there are here: the same width, which these must divide."""
    length = layout.seeds if layout.split == "seeds" else layout.configs
    most = min(layout.devices, jax.device_count())
    return layout.resized(devices=max(n for n in range(1, most + 1) if length % n == 0))


def _kept(record: Record, state: Any) -> dict[str, Any]:
    """What a checkpoint holds."""
    return {"state": state, "params": record.params, "histories": [history.arrays for history in record.histories]}
