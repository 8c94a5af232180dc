"""Many members in one compiled program: the only place that maps over members.

Arrays of a population are [seeds, configs, ...]. Seeds lie outside: the members of one seed share their batches, so
that XLA turns their first layers into one matrix product [batch, in] x [in, configs * hidden]. Devices divide the seeds
or the configs; the data is replicated on each of them and passed as an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import NamedSharding, PartitionSpec
from jax.typing import ArrayLike

from jaxreg.config import Hparams
from jaxreg.diagnostics import probe as diagnostics
from jaxreg.diagnostics import surfaces
from jaxreg.population.layout import Layout
from jaxreg.training.batches import Cursor, batch_indices
from jaxreg.training.member import Metrics, StepMetrics, after_check, confusion, evaluate, is_halted, update
from jaxreg.training.problem import Problem, with_terms
from jaxreg.training.state import DROPOUT, INIT, TEST_ORDER, TRAIN_ORDER, TrainState, init_state, member_key

MAX_CONFUSED = 100  # classes: the table of a member has their square


class Examples(NamedTuple):
    """A set on the device: inputs [examples, features] and labels [examples]."""

    inputs: Array
    labels: Array


class Population(NamedTuple):
    """Who is trained: hyperparameters [configs] and seeds [seeds]."""

    hparams: Hparams
    seeds: ArrayLike


class Check(NamedTuple):
    """What a check measures of each member, [seeds, configs]."""

    validation: Metrics
    test: Metrics
    test_batch: Metrics


class Ending(NamedTuple):
    """What is measured after the last step of each member, [seeds, configs, ...]."""

    train: Metrics
    test_confusion: Array | None  # int32 [..., label, prediction], 0 for a member that diverged


class Compiled(NamedTuple):
    """The compiled programs of a population; arguments as in `Programs`."""

    init: Callable[..., TrainState]
    train: Callable[..., tuple[TrainState, StepMetrics]]
    check: Callable[..., tuple[TrainState, Check]]
    diagnose: Callable[..., dict[str, Array]] | None  # None where diagnostics are off
    surface: Callable[..., Array] | None  # None where surfaces are off
    end: Callable[..., Ending]
    bytes: int  # of memory that a call takes on each device, of the programs that take much; the training set included


class Programs:
    """The functions of one group at one width, mapped over its members and divided among the devices.

    `init`, `train`, `check`, `diagnose`, `surface` and `end` are pure and jitted; `train` and `check` give their
    state's memory away.
    """

    def __init__(
        self,
        problem: Problem,
        layout: Layout,
        base_seed: int,
        input_shape: tuple[int, ...],
        num_classes: int,
        *,
        histograms: bool = False,
    ) -> None:
        """The functions; `histograms` says whether `diagnose` counts them too."""
        self.layout, self._histograms = layout, histograms
        self._problem, self._base_seed = with_terms(problem, layout.terms), base_seed
        self._input_shape, self._num_classes = input_shape, num_classes
        self._mesh = jax.sharding.Mesh(np.array(jax.local_devices()[: layout.devices]), ("members",))
        by_seed = layout.split == "seeds"
        everywhere, divided = PartitionSpec(), PartitionSpec("members")
        members = divided if by_seed else PartitionSpec(None, "members")
        curves = divided if by_seed else PartitionSpec(None, None, "members")
        people = (everywhere, divided) if by_seed else (divided, everywhere)
        self.members = NamedSharding(self._mesh, members)
        self.people = Population(*(NamedSharding(self._mesh, spec) for spec in people))  # type: ignore[arg-type]  # of the fields

        def mapped(fn: Callable[..., Any], in_specs: tuple[Any, ...], out_specs: Any, *donate: int) -> Any:
            fn = jax.shard_map(fn, mesh=self._mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)
            return jax.jit(fn, donate_argnums=donate)

        population = Population(*people)  # type: ignore[arg-type]  # specs of the fields
        self.init = mapped(self._init, (population,), members)
        self.train = mapped(self._train, (members, population, *[everywhere] * 4), (members, curves), 0)
        self.check = mapped(self._check, (members, population, *[everywhere] * 4), (members, members), 0)
        self.diagnose = mapped(self._diagnose, (members, population, everywhere, everywhere), members)
        self.surface = mapped(self._surface, (members, population, everywhere), members)
        self.end = mapped(self._end, (members, population, everywhere, everywhere), members)

    def place(self, hparams: Hparams, seeds: Sequence[int]) -> Population:
        """The population on its devices; the last seed fills up to the width."""
        filled = [*seeds, *[seeds[-1]] * (self.layout.seeds - len(seeds))]
        placed: Population = jax.device_put(Population(hparams, np.array(filled, np.uint32)), self.people)
        return placed

    def state_shapes(self, population: Population) -> TrainState:
        """The shapes of a state, with its placement: what a checkpoint is restored to."""
        shapes: TrainState = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=self.members),
            jax.eval_shape(self.init, population),
        )
        return shapes

    def compile(
        self,
        population: Population,
        train: Examples,
        validation: Examples,
        test: Examples,
        probe: Examples | None = None,
        plane: ArrayLike | None = None,
    ) -> Compiled:
        """Compiles everything before the first step, one training program among it.

        `diagnose` for a probe only, `surface` for the points of a plane only.
        """
        state = self.state_shapes(population)
        number, cursor = np.int32(0), Cursor(np.uint32(0), np.uint32(0))
        lowered = {
            "init": self.init.lower(population),
            "train": self.train.lower(state, population, train, cursor, number, number),
            "check": self.check.lower(state, population, validation, test, cursor, number),
            "end": self.end.lower(state, population, train, test),
        }
        if probe is not None:
            lowered["diagnose"] = self.diagnose.lower(state, population, probe, number)
        if plane is not None:
            lowered["surface"] = self.surface.lower(state, population, plane)
        with ThreadPoolExecutor() as pool:
            compiled = dict(zip(lowered, pool.map(lambda program: program.compile(), lowered.values()), strict=True))
        memory = compiled["train"].memory_analysis()
        taken = memory.output_size_in_bytes + memory.temp_size_in_bytes - memory.alias_size_in_bytes
        for name in ("diagnose", "surface"):
            if name in compiled:
                watching = compiled[name].memory_analysis()
                taken = max(taken, watching.output_size_in_bytes + watching.temp_size_in_bytes)
            compiled.setdefault(name, None)
        return Compiled(**compiled, bytes=memory.argument_size_in_bytes + taken)

    def _over_seeds(self, fn: Callable[..., Any], *args: Any) -> Any:
        """fn for each seed: the leading axis of every argument."""
        if self.layout.over_seeds == "vmap":
            return jax.vmap(fn)(*args)
        return jax.lax.map(lambda one: fn(*one), args)

    def _init(self, population: Population) -> TrainState:
        def one_seed(seed: Array) -> TrainState:
            key = member_key(self._base_seed, seed, INIT)
            return jax.vmap(lambda h: init_state(key, h, self._problem, self._input_shape, self._num_classes))(
                population.hparams
            )

        return self._over_seeds(one_seed, population.seeds)

    def _train(
        self, states: TrainState, population: Population, train: Examples, cursor: Cursor, step: Array, stop: Array
    ) -> tuple[TrainState, StepMetrics]:
        """`chunk_steps` steps from `step` on, those before `stop` being taken; metrics [seeds, steps, configs]."""
        hparams = population.hparams
        num_examples, batch_size = train.labels.shape[0], hparams.batch_size
        num_steps = self.layout.chunk_steps
        steps = step + jnp.arange(num_steps, dtype=jnp.int32)
        step_all = jax.vmap(update, in_axes=(0, 0, *[None] * 6))

        def one_seed(states: TrainState, seed: Array) -> tuple[TrainState, StepMetrics]:
            key = member_key(self._base_seed, seed, TRAIN_ORDER)
            noise = member_key(self._base_seed, seed, DROPOUT) if self._problem.dropout else None

            def gathered(states: TrainState, x: tuple[Array, Array]) -> tuple[TrainState, StepMetrics]:
                step, rows = x
                inputs, labels = (jnp.take(a, rows, axis=0, mode="clip") for a in train)
                return step_all(states, hparams, self._problem, inputs, labels, step, step < stop, noise)

            def full_batch(states: TrainState, step: Array) -> tuple[TrainState, StepMetrics]:
                return step_all(states, hparams, self._problem, *train, step, step < stop, noise)

            if batch_size == num_examples:
                return jax.lax.scan(full_batch, states, steps)
            rows = batch_indices(key, cursor, num_steps, batch_size, num_examples)
            return jax.lax.scan(gathered, states, (steps, rows))

        return self._over_seeds(one_seed, states, population.seeds)

    def _check(
        self,
        states: TrainState,
        population: Population,
        validation: Examples,
        test: Examples,
        test_cursor: Cursor,
        check: Array,
    ) -> tuple[TrainState, Check]:
        """Both held-out sets, and one batch of the test set; best parameters are kept, and patience may end."""
        hparams, block = population.hparams, self.layout.eval_block
        num_test = test.labels.shape[0]
        batch_size = min(hparams.batch_size, num_test)

        def one_seed(states: TrainState, seed: Array) -> tuple[TrainState, Check]:
            key = member_key(self._base_seed, seed, TEST_ORDER)
            rows = batch_indices(key, test_cursor, 1, batch_size, num_test)[0]
            test_batch = Examples(*(jnp.take(a, rows, axis=0, mode="clip") for a in test))

            def one(state: TrainState, hparams: Hparams) -> tuple[TrainState, Check]:
                measured = Check(
                    *(
                        evaluate(state.params, hparams, self._problem, *examples, block)
                        for examples in (validation, test, test_batch)
                    )
                )
                after = after_check(state, hparams, measured.validation, check)
                return after, _nan_if(is_halted(state, hparams), measured)

            return jax.vmap(one)(states, hparams)

        return self._over_seeds(one_seed, states, population.seeds)

    def _diagnose(self, states: TrainState, population: Population, probe: Examples, step: Array) -> dict[str, Array]:
        """The statistics of `jaxreg.diagnostics` on the probe; a halted member has none."""
        problem = self._problem

        def one_seed(states: TrainState, seed: Array) -> dict[str, Array]:
            key = member_key(self._base_seed, seed, INIT)

            def one(state: TrainState, hparams: Hparams) -> dict[str, Array]:
                start = problem.model.init(key, hparams, self._input_shape, self._num_classes)
                halted, inputs, labels = is_halted(state, hparams), *probe
                values = diagnostics.diagnose(
                    *(state.params, state.opt_state, start, hparams, problem, inputs, labels, step),
                    histograms=self._histograms,
                )
                return {name: _nothing_if(halted, value) for name, value in values.items()}

            return jax.vmap(one)(states, population.hparams)

        return self._over_seeds(one_seed, states, population.seeds)

    def _surface(self, states: TrainState, population: Population, plane: Array) -> Array:
        """What `jaxreg.surfaces` draws of the first seed on each device, [1, configs, x2, x1]; NaN if it is halted."""

        def one(state: TrainState, hparams: Hparams) -> Array:
            values = surfaces.surface(state.params, hparams, self._problem, plane)
            return _nothing_if(is_halted(state, hparams), values)

        first = jax.tree.map(lambda leaf: leaf[0], states)
        return jax.vmap(one)(first, population.hparams)[None]

    def _end(self, states: TrainState, population: Population, train: Examples, test: Examples) -> Ending:
        """The whole training set, and what the test examples are taken for."""
        problem, block, num_classes = self._problem, self.layout.eval_block, self._num_classes

        def one(state: TrainState, hparams: Hparams) -> Ending:
            diverged = state.diverged_step >= 0
            measured = _nan_if(diverged, evaluate(state.params, hparams, problem, *train, block))
            if num_classes > MAX_CONFUSED:
                return Ending(measured, None)
            counts = confusion(state.params, hparams, problem, *test, num_classes, block)
            return Ending(measured, jnp.where(diverged, 0, counts))

        return self._over_seeds(lambda states, _: jax.vmap(one)(states, population.hparams), states, population.seeds)


def _nothing_if(condition: Array, values: Array) -> Array:
    """NaN, or no counts."""
    return jnp.where(condition, jnp.nan if jnp.issubdtype(values.dtype, jnp.floating) else 0, values)


def _nan_if(condition: Array, metrics: Any) -> Any:
    return jax.tree.map(lambda value: jnp.where(condition, jnp.nan, value), metrics)
