"""Trains one block of members to its end, chunk by chunk: checks, watches, snapshots, fewer members as they halt."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from jaxreg import processes
from jaxreg.config.sweeps import Group
from jaxreg.population import compaction
from jaxreg.population.blocks import Block, block_name
from jaxreg.population.layout import Layout
from jaxreg.population.placement import Members, Placement, Placements
from jaxreg.runs.checkpoints.store import Checkpoints
from jaxreg.runs.history import landmarks
from jaxreg.runs.interruption import Interruption
from jaxreg.runs.profile import Profile
from jaxreg.runs.progress import Position, Progress
from jaxreg.runs.record import Record
from jaxreg.runs.snapshots import Snapshot, Snapshots

_log = logging.getLogger("jaxreg")


@dataclasses.dataclass(frozen=True)
class Hooks:
    """What a run calls on its way.

    Attributes:
      checkpoints: where snapshots are kept; None for nowhere.
      interruption: says whether to stop or to save.
      progress: is told how far the run is.
      on_check: is called after every check.
      profile: traces some chunks of steps.
    """

    checkpoints: Checkpoints | None = None
    interruption: Interruption | None = None
    progress: Progress | None = None
    on_check: Callable[[], None] | None = None
    profile: Profile | None = None


class Active(NamedTuple):
    """The members of a block that its program trains: all of them, until halted ones have been taken out."""

    block: Block
    placement: Placement
    members: Members


class BlockTraining:
    """Trains the blocks of a run one at a time, and writes what it measures into the record."""

    def __init__(self, record: Record, placements: Placements, hooks: Hooks, snapshots: Snapshots) -> None:
        self._record, self._plan, self._placements = record, record.plan, placements
        self._hooks, self._snapshots = hooks, snapshots
        self._interruption = hooks.interruption or Interruption(self._plan.experiment.name)

    def run(self, block: Block, snapshot: Snapshot) -> None:
        """Trains a block from a snapshot to its end.

        Raises:
          Stopped: by a signal or the time limit, after a checkpoint.
          CheckpointError: no checkpoint could be written.
        """
        position, state, remaining = snapshot
        group, layout = self._plan.sweep.groups[block.group], self._record.layouts[block.group]
        history = self._record.histories[block.group]
        all_members = self._activate(block, layout)
        active, last_states = all_members, None  # of all members, on the host, when halted ones were last taken out

        def all_states(state: Any) -> Any:
            """The states of all members of the block, those that were taken out included."""
            if active is all_members:
                return state
            return compaction.put_back(last_states, processes.on_host(state), block, active.block)

        if state is None:
            state = self._check(all_members, block, all_members.placement.init(all_members.members), 0)
        elif remaining:
            last_states = processes.on_host(state)
            active, state = self._take_out_halted(all_members, remaining, last_states)

        step = begun_at = position.step
        while step < group.num_steps and (training := history.training(block)).any():
            if group.is_checked(step) and self._may_compact(group):
                remaining = compaction.remaining_members(block, training)
                narrow = compaction.narrowed(layout, remaining)
                if remaining != active.block and 2 * narrow.width <= active.placement.layout.width:
                    last_states = processes.on_host(all_states(state))
                    active, state = self._take_out_halted(all_members, remaining, last_states)
                    self._note_compaction(position, step, active)
            position = dataclasses.replace(position, step=step)
            taken_out = active.block if active is not all_members else None
            if step > 0 and self._snapshots.is_due(group, step, self._interruption):
                self._snapshots.save(Snapshot(position, all_states(state), taken_out))
            if stop := self._interruption.at(position):
                self._snapshots.save(Snapshot(position, all_states(state), taken_out))
                raise stop

            self._interruption.start()
            first, step = step, self._next_stop(group, layout, step)
            if profile := self._hooks.profile:
                program = active.placement.compiled.train
                profile.before_chunk(program, is_first=first == begun_at, is_last=step == group.num_steps)
            before = time.perf_counter()
            with jax.profiler.TraceAnnotation("train", steps=step - first):
                state, (metrics, watched) = active.placement.train(state, active.members, first, step)
                all_members.placement.prepare_finish()  # while the devices train
                metrics, watched = processes.on_host((metrics, watched))
            history.record_steps(active.block, first, step, metrics, watched)
            took = time.perf_counter() - before
            self._record.cost.seconds["train"] += took
            history.record_seconds(group.check_number(step), took)
            if group.is_checked(step):
                state = self._check(active, block, state, step)
            self._record.member_steps += int(training.sum()) * (step - first)
            self._tell_progress(dataclasses.replace(position, step=step))

        if self._hooks.profile:
            self._hooks.profile.end()
        history.count_checks(block, group.num_checks)
        state = all_states(state)
        with self._record.cost.timed("evaluate"):
            if active is not all_members:
                state = all_members.placement.put(state)
            final = all_members.placement.finish(state, all_members.members)
            history.record_final(block, processes.on_host(final))
        kept = {"params": state.params, "best_params": state.best_params}
        self._record.keep(block_name(position.group, position.block), processes.on_host(kept))

    def _check(self, active: Active, block: Block, state: Any, step: int) -> Any:
        """Measures the active members of a block after a step, and returns their states."""
        placement, members = active.placement, active.members
        history, group = self._record.histories[block.group], placement.group
        number = group.check_number(step)
        with self._record.cost.timed("evaluate"):
            for watch in self._plan.watches:
                first_seed = active.block.seeds[0] == 0
                if watch.at == "checks" and (first_seed or not watch.first_seed_only):
                    values = placement.watch(watch.name, state, members, step)
                    history.record_watch(watch, active.block, number, processes.on_host(values))
            state, measured = placement.check(state, members, number)
            history.record_check(active.block, number, *processes.on_host((measured, landmarks(state))))
            history.count_checks(block, number + 1)
        if self._hooks.on_check:
            with self._record.cost.timed("write"):
                self._hooks.on_check()
        return state

    def _activate(self, block: Block, layout: Layout) -> Active:
        with self._record.cost.timed("compile"):
            placement = self._placements.get(block.group, layout)
        return Active(block, placement, placement.members(block))

    def _next_stop(self, group: Group, layout: Layout, step: int) -> int:
        """The end of the next chunk: no further than the next check, the next checkpoint and the last step."""
        stops = [step + layout.chunk_steps, _next_multiple(step, group.eval_every), group.num_steps]
        if every := self._plan.experiment.run.checkpoint_every:
            stops.append(_next_multiple(step, every))
        return min(stops)

    def _tell_progress(self, position: Position) -> None:
        if self._hooks.progress:
            doing = f"group {position.group + 1} of {len(self._plan.sweep.groups)}"
            self._hooks.progress(self._record.member_steps_behind(position), self._record.total_member_steps, doing)

    # Halted members --------------------------------------------------------------------------------------------------

    def _may_compact(self, group: Group) -> bool:
        """Where patience may halt a member, and no width is pinned; members that diverge stay, and change no bit."""
        may_halt = group.shared.after_stop == "halt" and any(config.patience > 0 for config in group.configs)
        return self._plan.experiment.compaction and not self._plan.experiment.layout and may_halt

    def _take_out_halted(self, all_members: Active, remaining: Block, states: Any) -> tuple[Active, Any]:
        """The remaining members in a narrower program, and their states out of the block's, which are on the host."""
        layout = compaction.narrowed(all_members.placement.layout, remaining)
        active = self._activate(remaining, layout)
        return active, active.placement.put(compaction.take(states, all_members.block, remaining, layout))

    def _note_compaction(self, position: Position, step: int, active: Active) -> None:
        layout, history = active.placement.layout, self._record.histories[position.group]
        where = {"group": position.group, "block": position.block, "step": step}
        self._record.compactions.append(where | {"seeds": layout.seeds, "configs": layout.configs})
        still_training = history.training(active.block).sum()
        _log.info(
            "step %d: %d of %d members still train; recompiled for %d at once",
            *(step, still_training, active.block.size, layout.width),
        )


def _next_multiple(step: int, every: int) -> int:
    return step // every * every + every
