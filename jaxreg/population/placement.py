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

from jaxreg.config.sweeps import Group
from jaxreg.data import Data
from jaxreg.diagnostics.watch import Watch
from jaxreg.population.blocks import Block
from jaxreg.population.compilation import Compilation
from jaxreg.population.evaluation import Check, Examples, FinalMetrics
from jaxreg.population.layout import Layout
from jaxreg.population.planning import Plan
from jaxreg.population.programs import Population, Programs, Watched
from jaxreg.training.batches import Cursor, cursor_at
from jaxreg.training.member import StepMetrics
from jaxreg.training.state import TrainState


class DeviceData(NamedTuple):
    """The three sets, and what the watches look at, replicated on the devices of a placement."""

    train: Examples
    validation: Examples
    test: Examples
    watches: Mapping[str, Any]  # by the name of the watch


def put_data(data: Data, watches: tuple[Watch, ...], devices: int) -> DeviceData:
    """Copies the data to the first devices of this process."""
    mesh = jax.sharding.Mesh(np.array(jax.local_devices()[:devices]), ("members",))
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    splits = (data.train, data.validation, data.test)
    prepared = {watch.name: watch.prepare(data) for watch in watches}
    train, validation, test = (Examples(*jax.device_put(tuple(split), everywhere)) for split in splits)
    return DeviceData(train, validation, test, jax.device_put(prepared, everywhere))


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
      group: hyperparameters and steps of its members.
      data: on the devices.
      compiled: the programs, ready to be called.
      seconds: what compilation took.
    """

    programs: Programs
    group: Group
    data: DeviceData
    compiled: Compiled
    seconds: float

    @property
    def layout(self) -> Layout:
        """Width, devices and length of a chunk."""
        return self.programs.layout

    def population(self, block: Block, seeds: tuple[int, ...]) -> Population:
        """The members of a block on the devices; `seeds` are those of the sweep, of which the block names positions."""
        return place_block(self.programs, self.group, block, seeds)

    def init(self, population: Population) -> TrainState:
        """The states before the first step, [seeds, configs, ...]."""
        return self.compiled.init(population)

    def train(
        self, states: TrainState, population: Population, first: int, last: int
    ) -> tuple[TrainState, tuple[StepMetrics, Watched]]:
        """Takes the steps first ... last - 1, at most `layout.chunk_steps`; `states` are donated, and gone.

        Returns:
          The states, and the metrics of each step, [seeds, chunk_steps, configs, ...], of which the first
          last - first count.
        """
        cursor = cursor_at(first, self.group.shared.batch_size, self.data.train.labels.shape[0])
        steps = np.int32(first), np.int32(last)
        watched = self.programs.data_of_steps(self.data.watches)
        return self.compiled.train(states, population, self.data.train, _uint32(cursor), *steps, watched)

    def check(self, states: TrainState, population: Population, number: int) -> tuple[TrainState, Check]:
        """Measures the held-out sets at check `number`, [seeds, configs]; `states` are donated, and gone."""
        num_test = self.data.test.labels.shape[0]
        cursor = cursor_at(number, min(self.group.shared.batch_size, num_test), num_test)
        held_out = self.data.validation, self.data.test
        return self.compiled.check(states, population, *held_out, _uint32(cursor), np.int32(number))

    def watch(self, name: str, states: TrainState, population: Population, step: int) -> Watched:
        """What a watch of checks measures after `step` steps, [seeds, configs, ...]; of the first seed, [1, ...]."""
        return self.compiled.watch[name](states, population, self.data.watches[name], np.int32(step))

    def prepare_finish(self) -> None:
        """Has `finish` compiled, if it is not yet, which may go on while the devices train."""
        self.compiled.finish.start()

    def finish(self, states: TrainState, population: Population) -> FinalMetrics:
        """What is measured after the last step, [seeds, configs, ...]."""
        measured: FinalMetrics = self.compiled.finish(states, population, self.data.train, self.data.test)
        return measured

    def put(self, states: Any) -> TrainState:
        """States from the host, [seeds, configs, ...], on the devices."""
        placed: TrainState = jax.device_put(states, self.programs.state_sharding)
        return placed


class Placements:
    """The placements of a plan, made when they are first asked for; one compilation each.

    Attributes:
      plan: what is trained.
      compilations: how many training programs were compiled.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan, self.compilations = plan, 0
        self._data: dict[int, DeviceData] = {}
        self._made: dict[tuple[int, Layout], Placement] = {}

    def programs(self, layout: Layout) -> Programs:
        """The functions at a width, not compiled."""
        plan = self.plan
        shapes = plan.data.input_shape, plan.data.num_outputs, plan.data.num_classes
        return Programs(plan.problem, layout, plan.experiment.base_seed, *shapes, plan.watches)

    def state_shapes(self, block: Block, layout: Layout) -> TrainState:
        """The shapes of the states of a block, with their placement; nothing is compiled."""
        programs = self.programs(layout)
        population = place_block(programs, self.plan.sweep.groups[block.group], block, self.plan.sweep.seeds)
        return programs.state_shapes(population)

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
        if layout.devices not in self._data:
            self._data = {layout.devices: put_data(self.plan.data, self.plan.watches, layout.devices)}
        data, group, programs = self._data[layout.devices], self.plan.sweep.groups[number], self.programs(layout)
        block = Block(number, tuple(range(min(layout.configs, len(group.configs)))), (0,))
        population = place_block(programs, group, block, self.plan.sweep.seeds)
        compiled = _compile(programs, population, data, self.plan.experiment.matmul_precision)
        self.compilations += 1
        return Placement(programs, group, data, compiled, time.perf_counter() - start)


def place_block(programs: Programs, group: Group, block: Block, seeds: tuple[int, ...]) -> Population:
    """The members of a block of a group on the devices; the last config and the last seed fill up to the width."""
    hparams = group.stacked(block.configs, programs.layout.configs)
    return programs.place(hparams, [seeds[seed] for seed in block.seeds])


def _compile(programs: Programs, population: Population, data: DeviceData, matmul_precision: str) -> Compiled:
    """Compiles everything before the first step, one training program among it; `finish` when that is asked for."""
    state = programs.state_shapes(population)
    number, cursor = np.int32(0), Cursor(np.uint32(0), np.uint32(0))

    def compilation(program: Any, *arguments: Any) -> Compilation:
        def lower() -> jax.stages.Lowered:
            with jax.default_matmul_precision(matmul_precision):
                return program.lower(*arguments)

        return Compilation(lower)

    watched = programs.data_of_steps(data.watches)
    train = compilation(programs.train, state, population, data.train, cursor, number, number, watched)
    check = compilation(programs.check, state, population, data.validation, data.test, cursor, number)
    init = compilation(programs.init, population)
    watches = {
        name: compilation(watch, state, population, data.watches[name], number)
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


def _uint32(cursor: Cursor) -> Cursor:
    return Cursor(np.asarray(cursor.epoch, np.uint32), np.asarray(cursor.offset, np.uint32))
