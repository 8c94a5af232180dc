"""A group on its devices: programs at one width, compiled, with the data beside them. What trains a block calls this.

`Placement` is all that the host loop, the benchmarks and the tests need: members in, states and measurements out. The
states of a population stay on the devices between its calls.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxreg import processes
from jaxreg.config.sweeps import Group
from jaxreg.data import Data
from jaxreg.diagnostics.moments import ADAM_MOMENTS
from jaxreg.diagnostics.probe import layer_watch
from jaxreg.diagnostics.surfaces import SURFACES
from jaxreg.diagnostics.watch import Watch
from jaxreg.population.blocks import Block
from jaxreg.population.compilation import COMPILER_OPTIONS, Compilation, options_of_a_program_that_runs_once
from jaxreg.population.drawn import draw
from jaxreg.population.evaluation import Check, Examples, FinalMetrics
from jaxreg.population.layout import Layout
from jaxreg.population.planning import Plan, size_of, uses_own_entries
from jaxreg.population.programs import Population, Programs, Watched
from jaxreg.training.batches import cursor_at, round_keys
from jaxreg.training.member import StepMetrics
from jaxreg.training.problem import Problem
from jaxreg.training.state import DROPOUT, INIT, TEST_ORDER, TRAIN_ORDER, TrainState, keys_on_host
from jaxreg.training.threefry import Words

_SHIPPED_WATCHES = (layer_watch(histograms=False), layer_watch(histograms=True), SURFACES, ADAM_MOMENTS)
_MOST_KEPT = 16
_kept: dict[Any, Compiled] = {}  # programs of this process, used last at the end


class Members(NamedTuple):
    """The members of a block: on the devices, and on the host the keys of what each seed reads, uint32 [seeds, 2]."""

    population: Population
    train_order: Words
    test_order: Words


class DeviceData(NamedTuple):
    """The three sets, and what the watches look at, replicated on the devices of a placement.

    Where each seed draws training examples, `train` is what it draws from, and what watches look at is in `Drawn`.
    """

    train: Examples
    validation: Examples
    test: Examples
    watches: Mapping[str, Any]  # by the name of the watch


def put_data(data: Data, watches: tuple[Watch, ...], devices: int) -> DeviceData:
    """Copies the data to each of the first devices; every process to its own, of the data that it has read itself."""
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:devices]), ("members",))
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    splits = (data.train, data.validation, data.test)
    prepared = {watch.name: watch.prepare(data) for watch in watches}
    train, validation, test = (Examples(*processes.put(tuple(split), everywhere)) for split in splits)
    return DeviceData(train, validation, test, processes.put(prepared, everywhere))


class Compiled(NamedTuple):
    """The compiled programs of a population; arguments as in `Programs`."""

    init: Callable[..., TrainState]
    train: jax.stages.Compiled  # (...) -> tuple[TrainState, tuple[StepMetrics, Watched]]
    check: Callable[..., tuple[TrainState, Check]]
    finish: Compilation  # (...) -> FinalMetrics
    watch: Mapping[str, Callable[..., Watched]]
    bytes: int  # on each device during a call, training set included: the largest of training and watches


@dataclasses.dataclass(frozen=True)
class Placement:
    """One group at one width.

    Attributes:
      programs: its functions, and the mesh of its devices.
      plan: of the run.
      group: hyperparameters and steps of its members.
      data: on the devices.
      compiled: the programs, ready to be called.
      seconds: what compilation took.
    """

    programs: Programs
    plan: Plan
    group: Group
    data: DeviceData
    compiled: Compiled
    seconds: float

    @property
    def layout(self) -> Layout:
        """Width, devices and length of a chunk."""
        return self.programs.layout

    def members(self, block: Block) -> Members:
        """The members of a block on the devices."""
        return place_block(self.programs, self.plan, block)

    def init(self, members: Members) -> TrainState:
        """The states before the first step, [seeds, configs, ...]."""
        return self.compiled.init(members.population)

    def train(
        self, states: TrainState, members: Members, first: int, last: int
    ) -> tuple[TrainState, tuple[StepMetrics, Watched]]:
        """Takes the steps first ... last - 1, at most `layout.chunk_steps`; `states` are donated, and gone.

        Returns:
          The states, and the metrics of each step, [seeds, chunk_steps, configs, ...], of which the first
          last - first count.
        """
        arguments = train_arguments(self.programs, self.group, members, self.data, first, last)
        return self.compiled.train(states, *arguments)

    def check(self, states: TrainState, members: Members, number: int) -> tuple[TrainState, Check]:
        """Measures the held-out sets at check `number`, [seeds, configs]; `states` are donated, and gone."""
        return self.compiled.check(states, *check_arguments(self.programs, self.group, members, self.data, number))

    def watch(self, name: str, states: TrainState, members: Members, step: int) -> Watched:
        """What a watch of checks measures after `step` steps, [seeds, configs, ...]; of the first seed, [1, ...]."""
        return self.compiled.watch[name](states, members.population, self.data.watches.get(name), np.int32(step))

    def prepare_finish(self) -> None:
        """Has `finish` compiled, if it is not yet, which may go on while the devices train."""
        self.compiled.finish.start()

    def finish(self, states: TrainState, members: Members) -> FinalMetrics:
        """What is measured after the last step, [seeds, configs, ...]."""
        measured: FinalMetrics = self.compiled.finish(states, members.population, self.data.train, self.data.test)
        return measured

    def put(self, states: Any) -> TrainState:
        """States from the host, [seeds, configs, ...], on the devices."""
        placed: TrainState = processes.put(states, self.programs.state_sharding)
        return placed


class Placements:
    """The placements of a plan, made when they are first asked for; one compilation each.

    Attributes:
      plan: what is trained.
      compilations: how many training programs were compiled.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan, self.compilations = plan, 0
        self._data: dict[tuple[int, int, str], DeviceData] = {}  # as `_make` names them: one at a time
        self._made: dict[tuple[int, Layout], Placement] = {}

    def programs(self, layout: Layout) -> Programs:
        """The functions at a width, not compiled."""
        plan = self.plan
        shapes = plan.data.input_shape, plan.data.num_outputs, plan.data.num_classes
        experiment = plan.experiment
        return Programs(plan.problem, layout, *shapes, plan.watches, check_train=experiment.check_train)

    def state_shapes(self, block: Block, layout: Layout) -> TrainState:
        """The shapes of the states of a block, with their placement; nothing is compiled."""
        programs = self.programs(layout)
        return programs.state_shapes(place_block(programs, self.plan, block).population)

    def get(self, number: int, layout: Layout) -> Placement:
        """Group `number` at a width, compiled."""
        if (number, layout) not in self._made:
            self._made[number, layout] = self._make(number, layout)
        return self._made[number, layout]

    def forget(self, number: int) -> None:
        """Drops the programs of a group that has been trained, and with the last of them the data on its devices."""
        self._made = {key: placement for key, placement in self._made.items() if key[0] != number}

    def _make(self, number: int, layout: Layout) -> Placement:
        start = time.perf_counter()
        plan, group, programs = self.plan, self.plan.sweep.groups[number], self.programs(layout)
        whole = plan.data if group.draws_by_seed else plan.data_of(group)
        of = layout.devices, len(whole.train.labels), group.shared.train_draw
        if of not in self._data:
            self._data = {of: put_data(whole, () if group.draws_by_seed else plan.watches, layout.devices)}
        data = self._data[of]
        block = Block(number, tuple(range(min(layout.configs, len(group.configs)))), (0,))
        members = place_block(programs, plan, block)
        compiled = self._compiled(group, programs, members, data)
        self.compilations += 1
        return Placement(programs, plan, group, data, compiled, time.perf_counter() - start)

    def _compiled(self, group: Group, programs: Programs, members: Members, data: DeviceData) -> Compiled:
        """The programs, from an earlier run of this process where nothing but the numbers that they get differs.

        Own parts are always compiled anew: what a function of the user's reads may have changed since.
        """
        plan, experiment = self.plan, self.plan.experiment
        has_own_watches = any(all(watch is not shipped for shipped in _SHIPPED_WATCHES) for watch in plan.watches)
        if plan.problem != Problem() or has_own_watches or uses_own_entries(group):
            return _compile(programs, group, members, data, experiment.matmul_precision)
        population = members.population
        shapes = jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype)), (population, data))
        key = (
            *(programs.layout, experiment.check_train, experiment.matmul_precision),
            *(
                plan.data.input_shape,
                plan.data.num_outputs,
                plan.data.num_classes,
                tuple(watch.name for watch in plan.watches),
            ),
            *(tuple(jax.tree.leaves(shapes)), jax.tree.structure((population, data)), tuple(COMPILER_OPTIONS.items())),
        )
        compiled = _kept.pop(key, None) or _compile(programs, group, members, data, experiment.matmul_precision)
        _kept[key] = compiled
        while len(_kept) > _MOST_KEPT:
            del _kept[next(iter(_kept))]
        return compiled


def place_block(programs: Programs, plan: Plan, block: Block) -> Members:
    """The members of a block on the devices; the last config and the last seed fill up to the width."""
    group, layout, base_seed = plan.sweep.groups[block.group], programs.layout, plan.experiment.base_seed
    named = [plan.sweep.seeds[seed] for seed in block.seeds]
    named += [named[-1]] * (layout.seeds - len(named))
    keys = {purpose: keys_on_host(base_seed, named, purpose) for purpose in (INIT, DROPOUT, TRAIN_ORDER, TEST_ORDER)}
    drawn = draw(plan.data, plan.watches, size_of(group), base_seed, named) if group.draws_by_seed else None
    population = programs.place(group.stacked(block.configs, layout.configs), keys[INIT], keys[DROPOUT], drawn)
    return Members(population, keys[TRAIN_ORDER], keys[TEST_ORDER])


def train_arguments(
    programs: Programs, group: Group, members: Members, data: DeviceData, first: int, last: int
) -> tuple[Any, ...]:
    """What `Programs.train` takes after the states, for the steps first ... last - 1."""
    batch_size, num_examples = group.shared.batch_size, size_of(group)
    epoch, offset = cursor_at(first, batch_size, num_examples)
    order = None
    if batch_size < num_examples:
        chunk_steps = programs.layout.chunk_steps
        order = programs.place_of_seeds(round_keys(members.train_order, epoch, chunk_steps, batch_size, num_examples))
    steps, watched = (np.int32(first), np.int32(last)), programs.data_of_steps(data.watches)
    return members.population, order, data.train, np.uint32(offset), *steps, watched


def check_arguments(
    programs: Programs, group: Group, members: Members, data: DeviceData, number: int
) -> tuple[Any, ...]:
    """What `Programs.check` takes after the states, for check `number`."""
    num_test = data.test.labels.shape[0]
    batch_size = min(group.shared.batch_size, num_test)
    epoch, offset = cursor_at(number, batch_size, num_test)
    order = programs.place_of_seeds(round_keys(members.test_order, epoch, 1, batch_size, num_test))
    sets = programs.checked_sets(data.train, data.validation, data.test)
    return members.population, order, sets, np.uint32(offset), np.int32(number)


def _compile(programs: Programs, group: Group, members: Members, data: DeviceData, matmul_precision: str) -> Compiled:
    """Compiles everything before the first step, one training program among it; `finish` when that is asked for."""
    population, number = members.population, np.int32(0)
    state = programs.state_shapes(population)

    def compilation(program: Any, *arguments: Any, options: Mapping[str, Any] | None = None) -> Compilation:
        def lower() -> jax.stages.Lowered:
            with jax.default_matmul_precision(matmul_precision):
                return program.lower(*arguments)

        return Compilation(lower, options)

    train = compilation(programs.train, state, *train_arguments(programs, group, members, data, 0, 0))
    check = compilation(programs.check, state, *check_arguments(programs, group, members, data, 0))
    init = compilation(programs.init, population, options=options_of_a_program_that_runs_once())
    watches = {
        name: compilation(watch, state, population, data.watches.get(name), number)
        for name, watch in programs.watch.items()
    }
    finish = compilation(programs.finish, state, population, data.train, data.test)
    for each in (train, check, init, *watches.values()):  # what takes longest first
        each.start()
    watching = {name: watch.program for name, watch in watches.items()}
    memory: Any = train.program.memory_analysis()
    taken = memory.output_size_in_bytes + memory.temp_size_in_bytes - memory.alias_size_in_bytes
    for program in watching.values():
        of_watch: Any = program.memory_analysis()
        taken = max(taken, of_watch.output_size_in_bytes + of_watch.temp_size_in_bytes)
    bytes = memory.argument_size_in_bytes + taken
    return Compiled(init.program, train.program, check.program, finish, watching, bytes)
