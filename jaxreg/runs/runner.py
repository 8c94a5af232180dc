"""The host loop: everything that touches a clock, a disk or a screen, between compiled chunks of steps.

A run trains its groups one after another, and a group block by block where its members do not fit at once. Between
chunks the loop records what was measured, checks on the validation and test sets, and keeps checkpoints.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import jax
import numpy as np
import psutil

from jaxreg.config import Experiment, describe
from jaxreg.config.sweeps import Group, Sweep
from jaxreg.data import Data
from jaxreg.diagnostics import probe as diagnostics
from jaxreg.diagnostics import surfaces
from jaxreg.errors import CheckpointError, ConfigError, Stopped
from jaxreg.nn.activations import with_unit_interval
from jaxreg.population import compaction
from jaxreg.population.layout import MEMORY_SHARE, Layout, choose_layout, memory_bytes, parse_layout
from jaxreg.population.programs import Compiled, Examples, Population, Programs
from jaxreg.runs.history import Block, History, block_name, make_blocks
from jaxreg.runs.signals import SignalGuard
from jaxreg.training.batches import Cursor, cursor_at
from jaxreg.training.problem import Problem
from jaxreg.training.state import TrainState, init_state

if TYPE_CHECKING:
    from jaxreg.runs.checkpoints.store import Checkpoints, Found

_log = logging.getLogger("jaxreg")

_SECONDS_BETWEEN_CHECKPOINTS = 60.0
_TIME_LIMIT_EXIT_CODE = 75
_WATCHED_BYTES = 4 << 30  # that a run may keep of diagnostics and surfaces
_COPIES = 3  # of what is kept, at the same time in memory: here, in the results, on the way to disk


class Progress(Protocol):
    """Is told how many member-steps have been taken, of how many, and in which group."""

    def __call__(self, done: int, total: int, doing: str) -> None: ...  # noqa: D102


class Cost:
    """What a run has used: `seconds` over all sessions of a resumed run, `train_compilations` in this one."""

    def __init__(self) -> None:
        self.seconds = {"compile": 0.0, "train": 0.0, "evaluate": 0.0, "write": 0.0}
        self.train_compilations = 0

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Adds the time that the block takes to `seconds[what]`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[what] += time.perf_counter() - start


@dataclasses.dataclass(frozen=True)
class Position:
    """How far a run has come: `step` steps into block `block` of group `group`."""

    group: int = 0
    block: int = 0
    step: int = 0


@dataclasses.dataclass(frozen=True)
class Crew:
    """The members of a block that are in its program, and the program: all of them, until halted ones are taken out."""

    block: Block
    programs: Programs
    compiled: Compiled
    population: Population


class Runner:
    """Trains a sweep on a dataset.

    Attributes:
      sweep: who is trained.
      histories: what was measured so far, per group.
      layouts: how each group is laid out: chosen here, or as recorded by the run that is resumed.
      cost: time and compilations.
      params: the last and the best parameters of every finished block, [seeds, configs, ...] on the host.
      member_steps: steps that members have trained, halted ones not counted.
      compactions: when halted members were taken out of a program: group, block, step, and how many seeds and configs
        wide it has been since.
      checkpoints, guard, progress, on_check: set before `run` to keep checkpoints, heed signals, show progress, and be
        called after every check.
    """

    def __init__(self, experiment: Experiment, sweep: Sweep, data: Data, problem: Problem) -> None:
        self.sweep = sweep
        self._experiment, self._data, self._problem = experiment, data, problem
        self.checkpoints: Checkpoints | None = None
        self.guard: SignalGuard | None = None
        self.progress: Progress | None = None
        self.on_check: Callable[[Runner], None] | None = None
        self.cost = Cost()
        self.member_steps = 0
        self.compactions: list[dict[str, int]] = []
        diagnosed, draws = _watched(experiment, sweep, data, problem), experiment.surfaces
        self.histories = [
            History(group, len(sweep.seeds), sweep.record_every, data.num_classes, diagnosed, draws=draws)
            for group in sweep.groups
        ]
        self._plane = surfaces.plane_of(data.train.inputs).points if experiment.surfaces else None
        self.layouts = (
            [_pinned(experiment, sweep)]
            if experiment.layout
            else [plan_layout(group, sweep, data, problem, experiment) for group in sweep.groups]
        )
        for group, layout in zip(sweep.groups, self.layouts, strict=True):
            _require_terms(layout, group, data, problem)
        self.params: dict[str, Any] = {}
        self._examples: dict[int, list[Examples]] = {}
        self._restored: tuple[Position, Any] = (Position(), None)
        self._left: Block | None = None  # who was in the program when the restored state was saved
        self._narrow: dict[tuple[int, Layout], Compiled] = {}
        self._first_chunk: float | None = None
        self._last_saved = time.monotonic()

    def run(self) -> None:
        """Trains every member to its end, from the restored checkpoint on if there is one.

        Raises:
          Stopped: by a signal or the time limit, after a checkpoint.
          CheckpointError: no checkpoint could be written.
        """
        position, state = self._restored
        begun = position != Position()
        while position.group < len(self.sweep.groups):
            programs, compiled = self._compile(position.group, shrink=not begun)
            for number, block in enumerate(self._blocks(position.group)):
                if number < position.block:
                    continue
                crew = Crew(block, programs, compiled, self._place(programs, block))
                self._train_block(crew, position, state)
                position, state = Position(position.group, number + 1), None
            position, begun = Position(position.group + 1), False
        self._save(position, None)

    @property
    def finished(self) -> bool:
        """Whether the checkpoint that was restored is that of the end."""
        return self._restored[0].group == len(self.sweep.groups)

    def rehearse(self) -> Iterator[str]:
        """A line per group: its members, memory, and training time as two chunks of its first block suggest."""
        for number, group in enumerate(self.sweep.groups):
            programs, compiled = self._compile(number, shrink=True)
            layout, blocks = self.layouts[number], self._blocks(number)
            population, train = self._place(programs, blocks[0]), self._on_devices(layout.devices)[0]
            state, start = compiled.init(population), 0.0
            for step in (0, layout.chunk_steps):  # the first one warms up
                start = time.perf_counter()
                cursor = _uint32(cursor_at(step, group.shared.batch_size, train.labels.shape[0]))
                stop = np.int32(step + layout.chunk_steps)
                state, metrics = compiled.train(state, population, train, cursor, np.int32(step), stop)
                jax.block_until_ready(metrics)
            seconds = (time.perf_counter() - start) * len(blocks) * math.ceil(group.num_steps / layout.chunk_steps)
            yield (
                f"group {number + 1}: {len(group.configs)} settings x {len(self.sweep.seeds)} seeds x {group.num_steps}"
                f" steps in {len(blocks)} block(s) of {layout.width} on {layout.devices} device(s), "
                f"{compiled.bytes / 2**20:.0f} MiB on each, about {seconds:.0f} s of training"
            )

    def _train_block(self, everyone: Crew, position: Position, state: Any) -> None:
        block = everyone.block
        group, layout, history = self.sweep.groups[block.group], self.layouts[block.group], self.histories[block.group]
        train, validation, test, probe = self._on_devices(layout.devices)
        num_test = test.labels.shape[0]
        crew = everyone
        parked: Any = None  # the states of the whole block when halted members were last taken out

        def whole(state: Any) -> Any:
            return state if crew is everyone else compaction.put_back(parked, jax.device_get(state), block, crew.block)

        def check(state: Any, step: int) -> Any:
            compiled, population = crew.compiled, crew.population
            with self.cost.timed("evaluate"):
                number = group.check_steps.index(step)
                if compiled.diagnose:
                    diagnosed = compiled.diagnose(state, population, probe, np.int32(step))
                    history.record_diagnostics(crew.block, number, jax.device_get(diagnosed))
                if compiled.surface and crew.block.seeds[0] == 0:
                    history.record_surfaces(crew.block, number, compiled.surface(state, population, self._plane))
                cursor = cursor_at(number, min(group.shared.batch_size, num_test), num_test)
                state, measured = compiled.check(state, population, validation, test, _uint32(cursor), np.int32(number))
                history.record_check(crew.block, number, jax.device_get(measured), state)
                history.count_checks(block, number + 1)
            if self.on_check:
                with self.cost.timed("write"):
                    self.on_check(self)
            return state

        step = position.step
        if state is None:
            state = check(everyone.compiled.init(everyone.population), 0)
        elif self._left:
            parked = jax.device_get(state)
            crew, state = self._fewer(everyone, self._left, parked)
        self._left = None
        while step < group.num_steps and (training := history.training(block)).any():
            if step in group.check_steps and self._may_compact(group):
                left = compaction.those_left(block, training)
                narrow = compaction.narrowed(layout, left)
                if left != crew.block and 2 * narrow.width <= crew.programs.layout.width:
                    parked = jax.device_get(whole(state))
                    crew, state = self._fewer(everyone, left, parked)
                    self._say_compacted(position, step, crew)
            position = dataclasses.replace(position, step=step)
            self._left = crew.block if crew is not everyone else None
            if step > 0 and self._save_is_due(group, step):
                self._save(position, whole(state))
            if stop := self._leave(position):
                self._save(position, whole(state))
                raise stop

            before, first = time.perf_counter(), step
            self._first_chunk = self._first_chunk or time.monotonic()
            cursor = _uint32(cursor_at(first, group.shared.batch_size, train.labels.shape[0]))
            step = self._next_stop(group, layout, first)
            state, metrics = crew.compiled.train(state, crew.population, train, cursor, np.int32(first), np.int32(step))
            history.record_steps(crew.block, first, step, jax.device_get(metrics))
            took = time.perf_counter() - before
            self.cost.seconds["train"] += took
            history.record_seconds(-(-step // group.eval_every), took)
            if step in group.check_steps:
                state = check(state, step)
            self.member_steps += int(training.sum()) * (step - first)
            if self.progress:
                doing = f"group {block.group + 1} of {len(self.sweep.groups)}"
                self.progress(self._scheduled(position, step), self.total_member_steps, doing)

        self._left = None
        history.count_checks(block, len(group.check_steps))
        state = whole(state)
        with self.cost.timed("evaluate"):
            if crew is not everyone:
                state = jax.device_put(state, everyone.programs.members)
            measured = everyone.compiled.end(state, everyone.population, train, test)
            history.record_end(block, jax.device_get(measured))
        kept = {"params": state.params, "best_params": state.best_params}
        self.params[block_name(position.group, position.block)] = jax.device_get(kept)

    # Halted members --------------------------------------------------------------------------------------------------

    def _may_compact(self, group: Group) -> bool:
        """Where patience may halt a member, and no width is pinned; who only diverges stays, and changes no bit."""
        may_halt = group.shared.after_stop == "halt" and any(config.patience > 0 for config in group.configs)
        return self._experiment.compaction and not self._experiment.layout and may_halt

    def _fewer(self, everyone: Crew, left: Block, states: Any) -> tuple[Crew, Any]:
        """A crew of those who are left, and their states out of the whole block's, which are on the host."""
        layout = compaction.narrowed(everyone.programs.layout, left)
        programs = self._programs(layout)
        population = self._place(programs, left)
        if (known := (left.group, layout)) not in self._narrow:
            self._narrow[known] = self._compile_at(programs, population)
        states = jax.device_put(compaction.take(states, everyone.block, left, layout), programs.members)
        return Crew(left, programs, self._narrow[known], population), states

    def _say_compacted(self, position: Position, step: int, crew: Crew) -> None:
        layout = crew.programs.layout
        where = {"group": position.group, "block": position.block, "step": step}
        self.compactions.append(where | {"seeds": layout.seeds, "configs": layout.configs})
        _log.info(
            "step %d: %d of %d members have not halted, %d at once from here on",
            *(step, self.histories[position.group].training(crew.block).sum(), crew.block.size, layout.width),
        )

    # Members, programs and data --------------------------------------------------------------------------------------

    @property
    def total_member_steps(self) -> int:
        """Steps of all members together."""
        return sum(len(group.configs) * len(self.sweep.seeds) * group.num_steps for group in self.sweep.groups)

    def _blocks(self, number: int) -> list[Block]:
        return make_blocks(number, self.layouts[number], len(self.sweep.groups[number].configs), len(self.sweep.seeds))

    def _scheduled(self, position: Position, step: int) -> int:
        """Steps of members that lie behind a step in the block of a position, halted members counted too."""
        behind = sum(block.size * self.sweep.groups[block.group].num_steps for _, block in self._finished(position))
        return behind + step * self._blocks(position.group)[position.block].size

    def _finished(self, position: Position) -> Iterator[tuple[int, Block]]:
        """The blocks before a position, each with its number within its group."""
        for group in range(min(position.group + 1, len(self.sweep.groups))):
            for number, block in enumerate(self._blocks(group)):
                if group < position.group or number < position.block:
                    yield number, block

    def _compile(self, number: int, *, shrink: bool) -> tuple[Programs, Compiled]:
        """The compiled programs of a group; at half the width as long as they do not fit in memory."""
        while True:
            layout = self.layouts[number]
            devices = jax.local_devices()[: layout.devices]
            start = time.perf_counter()
            programs = self._programs(layout)
            compiled = self._compile_at(programs, self._place(programs, self._blocks(number)[0]))
            fits = compiled.bytes * layout.devices <= MEMORY_SHARE * memory_bytes(devices)
            if fits or not shrink or layout.width == 1 or self._experiment.layout:
                group, took = self.sweep.groups[number], time.perf_counter() - start
                _log.info(
                    "group %d of %d: %d settings x %d seeds, %d members at once on %d x %s, compiled in %.1f s",
                    *(number + 1, len(self.sweep.groups), len(group.configs), len(self.sweep.seeds)),
                    *(layout.width, layout.devices, devices[0].device_kind, took),
                )
                return programs, compiled
            _log.info("%d members at once do not fit in memory; trying half as many", layout.width)
            self.layouts[number] = plan_layout(
                self.sweep.groups[number], self.sweep, self._data, self._problem, self._experiment, layout.width // 2
            )

    def _compile_at(self, programs: Programs, population: Population) -> Compiled:
        train, validation, test, probe = self._on_devices(programs.layout.devices)
        diagnosed = self._experiment.diagnostics or self._experiment.histograms
        with self.cost.timed("compile"), jax.default_matmul_precision(self._experiment.matmul_precision):
            probe_or_none = probe if diagnosed else None
            compiled = programs.compile(population, train, validation, test, probe_or_none, self._plane)
        self.cost.train_compilations += 1
        return compiled

    def _programs(self, layout: Layout) -> Programs:
        data, base_seed, histograms = self._data, self._experiment.base_seed, self._experiment.histograms
        return Programs(self._problem, layout, base_seed, data.input_shape, data.num_classes, histograms=histograms)

    def _place(self, programs: Programs, block: Block) -> Population:
        hparams = self.sweep.groups[block.group].stacked(block.configs, programs.layout.configs)
        return programs.place(hparams, [self.sweep.seeds[seed] for seed in block.seeds])

    def _on_devices(self, devices: int) -> list[Examples]:
        """The three sets and the probe of the diagnostics, replicated on the first devices of this process."""
        if devices not in self._examples:
            mesh = jax.sharding.Mesh(np.array(jax.local_devices()[:devices]), ("members",))
            everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
            train = self._data.train
            probe = [part[diagnostics.probe_rows(len(train.labels))] for part in train]
            splits = (train, self._data.validation, self._data.test, probe)
            self._examples = {devices: [Examples(*jax.device_put(tuple(split), everywhere)) for split in splits]}
        return self._examples[devices]

    # Stops and checkpoints -------------------------------------------------------------------------------------------

    def _next_stop(self, group: Group, layout: Layout, step: int) -> int:
        """The end of the next chunk: no further than the next check, the next checkpoint and the last step."""
        stops = [step + layout.chunk_steps, _next_multiple(step, group.eval_every), group.num_steps]
        if self._experiment.run.checkpoint_every:
            stops.append(_next_multiple(step, self._experiment.run.checkpoint_every))
        return min(stops)

    def _save_is_due(self, group: Group, step: int) -> bool:
        if self.checkpoints is None:
            return False
        if self.guard and self.guard.take_save_request():
            return True
        if self._experiment.run.checkpoint_every:
            return step % self._experiment.run.checkpoint_every == 0
        return step in group.check_steps and time.monotonic() - self._last_saved > _SECONDS_BETWEEN_CHECKPOINTS

    def _leave(self, position: Position) -> Stopped | None:
        """How the run stops at a position before its end, if it is asked to."""
        minutes = self._experiment.run.max_minutes
        if self.guard and self.guard.stop is not None:
            reason, exit_code = "stopped by a signal", self.guard.exit_code
        elif minutes and self._first_chunk and time.monotonic() - self._first_chunk > 60 * minutes:
            reason, exit_code = f"stopped after --max_minutes={minutes:g}", _TIME_LIMIT_EXIT_CODE
        else:
            return None
        return Stopped(f"{reason} at step {position.step} of {self._experiment.name}", exit_code)

    def _save(self, position: Position, state: Any) -> None:
        if self.checkpoints is None:
            return
        about = {
            "position": dataclasses.asdict(position),
            "layouts": [dataclasses.asdict(layout) for layout in self.layouts],
            "seconds": self.cost.seconds,
            "member_steps": self.member_steps,
            "compactions": self.compactions,
            "left": dataclasses.asdict(self._left) if self._left else None,
        }
        with self.cost.timed("write"):
            steps = sum(self.sweep.groups[block.group].num_steps for _, block in self._finished(position))
            self.checkpoints.save(steps + position.step, self._kept(state if position.step else None), about)
        self._last_saved = time.monotonic()

    def _kept(self, state: Any) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {"state": state, "params": self.params, "histories": [history.arrays for history in self.histories]}

    def restore(self, found: Found) -> None:
        """Takes over all that a checkpoint holds, for `run` to go on with.

        Raises:
          CheckpointError: it cannot be read here.
        """
        self.layouts = [Layout(**layout) for layout in found.about["layouts"]]
        missing = max(layout.devices for layout in self.layouts) - jax.local_device_count()
        if missing > 0:
            raise CheckpointError(f"the run was begun on {missing} more devices than there are here; resume it there")
        self.cost.seconds |= found.about["seconds"]
        self.member_steps, self.compactions = found.about["member_steps"], found.about["compactions"]
        if left := found.about["left"]:
            self._left = Block(left["group"], tuple(left["configs"]), tuple(left["seeds"]))
        position = Position(**found.about["position"])

        def shapes(block: Block) -> TrainState:
            programs = self._programs(self.layouts[block.group])
            return programs.state_shapes(self._place(programs, block))

        for number, block in self._finished(position):
            ended = shapes(block)
            blank = {"params": ended.params, "best_params": ended.best_params}
            self.params[block_name(block.group, number)] = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), blank)
        state = shapes(self._blocks(position.group)[position.block]) if position.step else None
        kept = found.restore(self._kept(state))
        self.params = kept["params"]
        for history, arrays in zip(self.histories, kept["histories"], strict=True):
            history.arrays = arrays
        self._restored = position, kept["state"]


def plan_layout(
    group: Group,
    sweep: Sweep,
    data: Data,
    problem: Problem,
    experiment: Experiment,
    max_members: int = 0,
    devices: Sequence[jax.Device] | None = None,
) -> Layout:
    """The layout of a group on `devices` (default all), from the shapes of its state; nothing is allocated."""
    state, shared = _state_shapes(group, data, problem), group.shared
    layout = choose_layout(
        num_seeds=len(sweep.seeds),
        num_configs=len(group.configs),
        batch_size=shared.batch_size,
        full_batch=shared.batch_size == len(data.train.labels),
        num_features=math.prod(data.input_shape),
        layer_sizes=(*shared.hidden_sizes, data.num_classes),
        num_parameters=sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(state.params)),
        state_bytes=sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(state)),
        eval_every=min(group.eval_every, experiment.run.checkpoint_every or group.eval_every),
        max_members=max_members or experiment.members_per_program,
        data_bytes=sum(array.nbytes for split in (data.train, data.validation, data.test) for array in split),
        devices=jax.local_devices() if devices is None else devices,
    )
    return dataclasses.replace(layout, terms=group.terms)


def _state_shapes(group: Group, data: Data, problem: Problem) -> TrainState:
    """The shapes of a member's state."""
    shapes: TrainState = jax.eval_shape(
        lambda key: init_state(key, group.shared, problem, data.input_shape, data.num_classes), jax.random.key(0)
    )
    return shapes


def _watched(experiment: Experiment, sweep: Sweep, data: Data, problem: Problem) -> tuple[str, ...]:
    """The variables of `jaxreg.diagnostics` that are measured.

    Raises:
      ConfigError: the model does not show its layers, the data has no surfaces, or all that would fill the memory.
    """
    names: tuple[str, ...] = ()
    values: dict[str, int] = {}  # of a setting at a check, by the flag that asks for them
    if experiment.diagnostics or experiment.histograms:
        flag = "histograms" if experiment.histograms else "diagnostics"
        diagnostics.require_trace(problem, _state_shapes(sweep.groups[0], data, problem).params, flag)
        names = diagnostics.measured(histograms=experiment.histograms)
        layers = max(len(group.shared.hidden_sizes) for group in sweep.groups) + 1
        values[flag] = len(sweep.seeds) * diagnostics.num_values(layers, names)
    if experiment.surfaces:
        surfaces.require_plane(data)
        values["surfaces"] = surfaces.SIZE**2
    checks = max(len(group.check_steps) for group in sweep.groups)
    needed = 4 * len(sweep.settings) * checks * sum(values.values())
    most = min(_WATCHED_BYTES, MEMORY_SHARE * psutil.virtual_memory().total / _COPIES)
    if needed > most:
        flag = max(values, key=values.__getitem__)
        remedy = "check less often (--eval_every), or take fewer seeds or settings"
        remedy += ", or --diagnostics alone" if flag == "histograms" else ""
        raise ConfigError(
            flag, "true", f"would keep {needed / 2**30:.1f} GiB, at most {most / 2**30:.1f} GiB here; {remedy}"
        )
    return names


def _require_terms(layout: Layout, group: Group, data: Data, problem: Problem) -> None:
    """Refuses regularisers that the model gives nothing to act on, be they a member's or only the pinned layout's."""
    terms, shared = layout.terms.split("+"), group.shared

    def refusal(name: str, reason: str) -> ConfigError:
        largest = max(getattr(config, name) for config in group.configs)
        return ConfigError(name, describe(largest), reason) if largest > 0 else ConfigError("layout", layout, reason)

    if "dropout" in terms and problem.model.dropout_forward is None:
        raise refusal("dropout_rate", "this model has no dropout_forward; do without dropout")
    if "kl" not in terms:
        return
    if shared.activation not in with_unit_interval():
        known = ", ".join(with_unit_interval())
        raise refusal("kl_strength", f"kl acts on --activation={known}, not on {shared.activation}; do without it")
    params = _state_shapes(group, data, problem).params
    example = jax.ShapeDtypeStruct((1, math.prod(data.input_shape)), np.float32)
    if not jax.eval_shape(lambda p, x: problem.model.forward(p, shared, x), params, example)[1]:
        raise refusal("kl_strength", "this model shows no hidden activations for kl to act on; do without it")


def _pinned(experiment: Experiment, sweep: Sweep) -> Layout:
    """The layout that `--layout` asks for."""
    layout = parse_layout(experiment.layout or "")
    if len(sweep.groups) > 1:
        raise ConfigError("layout", layout, f"pins one program, this sweep has {len(sweep.groups)}; leave it out")
    if layout.devices > jax.local_device_count():
        raise ConfigError("layout", layout, f"needs {layout.devices} devices, there are {jax.local_device_count()}")
    if lacking := set(sweep.groups[0].terms.split("+")) - {*layout.terms.split("+"), "none"}:
        raise ConfigError("layout", layout, f"leaves out {', '.join(sorted(lacking))}, which a member needs")
    return layout


def _next_multiple(step: int, every: int) -> int:
    return step // every * every + every


def _uint32(cursor: Cursor) -> Cursor:
    return Cursor(np.asarray(cursor.epoch, np.uint32), np.asarray(cursor.offset, np.uint32))
