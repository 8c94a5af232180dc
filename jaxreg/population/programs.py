"""Many members in one compiled program: the only place that maps over members.

Arrays of a population are [seeds, configs, ...]. Seeds lie outside: the members of one seed share their batches, so
that XLA turns their first layers into one matrix product [batch, in] x [in, configs * hidden]. Devices divide the seeds
or the configs; the data is replicated on each of them and passed as an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import NamedSharding, PartitionSpec
from jax.typing import ArrayLike

from jaxreg.config.hparams import Hparams
from jaxreg.diagnostics.watch import View, Watch
from jaxreg.population.evaluation import (
    Check,
    Examples,
    FinalMetrics,
    check_member,
    final_metrics,
    initial_params,
    watch_member,
)
from jaxreg.population.layout import Layout
from jaxreg.training.batches import Cursor, batch_indices
from jaxreg.training.member import StepMetrics, update
from jaxreg.training.problem import Problem, with_terms
from jaxreg.training.state import DROPOUT, INIT, TEST_ORDER, TRAIN_ORDER, TrainState, init_state, member_key

Watched = Mapping[str, Array]  # what watches measure, by the name in the results


class Population(NamedTuple):
    """The members that are trained: hyperparameters [configs] and seeds [seeds]."""

    hparams: Hparams
    seeds: ArrayLike


class Programs:
    """The functions of one group at one width, mapped over its members and divided among the devices.

    `init`, `train`, `check`, `finish` and those in `watch`, by the name of the watch, are pure and jitted. `train` and
    `check` donate their states: the memory of the argument is used for the result, and the argument is gone.
    """

    def __init__(
        self,
        problem: Problem,
        layout: Layout,
        base_seed: int,
        input_shape: tuple[int, ...],
        num_classes: int,
        watches: Sequence[Watch] = (),
    ) -> None:
        """The functions of a population of `layout.width` members on the first `layout.devices` devices."""
        self.layout = layout
        self._problem, self._base_seed = with_terms(problem, layout.terms), base_seed
        self._input_shape, self._num_classes = input_shape, num_classes
        self._step_watches = [watch for watch in watches if watch.at == "steps"]
        self.mesh = jax.sharding.Mesh(np.array(jax.local_devices()[: layout.devices]), ("members",))
        by_seed = layout.split == "seeds"
        everywhere, divided = PartitionSpec(), PartitionSpec("members")
        members = divided if by_seed else PartitionSpec(None, "members")
        curves = divided if by_seed else PartitionSpec(None, None, "members")
        specs = (everywhere, divided) if by_seed else (divided, everywhere)
        population = Population(*specs)  # type: ignore[arg-type]  # specs of the fields
        self.state_sharding = NamedSharding(self.mesh, members)
        self.population_sharding = Population(*(NamedSharding(self.mesh, spec) for spec in specs))  # type: ignore[arg-type]  # of the fields

        def mapped(fn: Callable[..., Any], in_specs: tuple[Any, ...], out_specs: Any, *donate: int) -> Any:
            fn = jax.shard_map(fn, mesh=self.mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)
            return jax.jit(fn, donate_argnums=donate)

        self.init = mapped(self._init, (population,), members)
        self.train = mapped(self._train, (members, population, *[everywhere] * 5), (members, (curves, curves)), 0)
        self.check = mapped(self._check, (members, population, *[everywhere] * 4), (members, members), 0)
        self.finish = mapped(self._finish, (members, population, everywhere, everywhere), members)
        self.watch = {
            watch.name: mapped(self._watch(watch), (members, population, everywhere, everywhere), members)
            for watch in watches
            if watch.at == "checks"
        }

    def place(self, hparams: Hparams, seeds: Sequence[int]) -> Population:
        """The population on its devices; the last seed fills up to the width."""
        filled = [*seeds, *[seeds[-1]] * (self.layout.seeds - len(seeds))]
        population = Population(hparams, np.array(filled, np.uint32))
        placed: Population = jax.device_put(population, self.population_sharding)
        return placed

    def data_of_steps(self, watch_data: Mapping[str, Any]) -> dict[str, Any]:
        """The part that `train` takes of what all watches look at."""
        return {watch.name: watch_data[watch.name] for watch in self._step_watches}

    def state_shapes(self, population: Population) -> TrainState:
        """The shapes of a state, with its placement: what a checkpoint is restored to."""
        shapes: TrainState = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=self.state_sharding),
            jax.eval_shape(self.init, population),
        )
        return shapes

    def _over_seeds(self, fn: Callable[..., Any], *args: Any) -> Any:
        """fn for each seed: the leading axis of every argument."""
        if self.layout.over_seeds == "vmap":
            return jax.vmap(fn)(*args)
        return jax.lax.map(lambda one: fn(*one), args)

    def _view(
        self, state: TrainState, before: TrainState, hparams: Hparams, init_key: Array, step: Array, data: Any
    ) -> View:
        start = initial_params(self._problem, init_key, hparams, self._input_shape, self._num_classes)
        return View(state, before, hparams, self._problem, start, step, data)

    def _init(self, population: Population) -> TrainState:
        def one_seed(seed: Array) -> TrainState:
            key = member_key(self._base_seed, seed, INIT)
            return jax.vmap(lambda h: init_state(key, h, self._problem, self._input_shape, self._num_classes))(
                population.hparams
            )

        return self._over_seeds(one_seed, population.seeds)

    def _train(
        self,
        states: TrainState,
        population: Population,
        train: Examples,
        cursor: Cursor,
        step: Array,
        stop: Array,
        watch_data: Mapping[str, Any],
    ) -> tuple[TrainState, tuple[StepMetrics, Watched]]:
        """`chunk_steps` steps from `step` on, those before `stop` being taken; metrics [seeds, steps, configs, ...]."""
        hparams = population.hparams
        num_examples, batch_size = train.labels.shape[0], hparams.batch_size
        num_steps = self.layout.chunk_steps
        steps = step + jnp.arange(num_steps, dtype=jnp.int32)
        update_all = jax.vmap(update, in_axes=(0, 0, *[None] * 6))

        def one_seed(states: TrainState, seed: Array) -> tuple[TrainState, tuple[StepMetrics, Watched]]:
            key = member_key(self._base_seed, seed, TRAIN_ORDER)
            noise = member_key(self._base_seed, seed, DROPOUT) if self._problem.dropout else None

            def advance(states: TrainState, step: Array, batch: Examples) -> Any:
                after, metrics = update_all(states, hparams, self._problem, *batch, step, step < stop, noise)
                return after, (metrics, self._watched_steps(states, after, hparams, seed, step, watch_data))

            def gathered(states: TrainState, x: tuple[Array, Array]) -> Any:
                step, rows = x
                return advance(states, step, Examples(*(jnp.take(a, rows, axis=0, mode="clip") for a in train)))

            if batch_size == num_examples:
                return jax.lax.scan(lambda states, step: advance(states, step, train), states, steps)
            rows = batch_indices(key, cursor, num_steps, batch_size, num_examples)
            return jax.lax.scan(gathered, states, (steps, rows))

        return self._over_seeds(one_seed, states, population.seeds)

    def _watched_steps(
        self,
        before: TrainState,
        after: TrainState,
        hparams: Hparams,
        seed: Array,
        step: Array,
        watch_data: Mapping[str, Any],
    ) -> Watched:
        """What the watches of steps measure of the members of one seed, [configs, ...] each."""
        watched: dict[str, Array] = {}
        for watch in self._step_watches:
            key = member_key(self._base_seed, seed, INIT)

            def one(
                before: TrainState, after: TrainState, hparams: Hparams, watch: Watch = watch, key: Array = key
            ) -> Watched:
                return watch_member(watch, self._view(after, before, hparams, key, step + 1, watch_data[watch.name]))

            watched |= jax.vmap(one)(before, after, hparams)
        return watched

    def _check(
        self,
        states: TrainState,
        population: Population,
        validation: Examples,
        test: Examples,
        test_cursor: Cursor,
        check: Array,
    ) -> tuple[TrainState, Check]:
        """Both held-out sets, and one batch of the test set; best parameters are kept, and patience may run out."""
        hparams, block = population.hparams, self.layout.eval_block
        num_test = test.labels.shape[0]
        batch_size = min(hparams.batch_size, num_test)

        def one_seed(states: TrainState, seed: Array) -> tuple[TrainState, Check]:
            key = member_key(self._base_seed, seed, TEST_ORDER)
            rows = batch_indices(key, test_cursor, 1, batch_size, num_test)[0]
            test_batch = Examples(*(jnp.take(a, rows, axis=0, mode="clip") for a in test))
            sets = (validation, test, test_batch)
            return jax.vmap(lambda state, h: check_member(state, h, self._problem, sets, check, block))(states, hparams)

        return self._over_seeds(one_seed, states, population.seeds)

    def _watch(self, watch: Watch) -> Callable[..., Watched]:
        """The program of a watch of checks: [seeds, configs, ...]; of its first seed on each device, if so asked."""

        def one_seed(states: TrainState, seed: Array, hparams: Hparams, data: Any, step: Array) -> Watched:
            key = member_key(self._base_seed, seed, INIT)
            view_of = self._view
            return jax.vmap(lambda state, h: watch_member(watch, view_of(state, state, h, key, step, data)))(
                states, hparams
            )

        def all_seeds(states: TrainState, population: Population, data: Any, step: Array) -> Watched:
            return self._over_seeds(
                lambda states, seed: one_seed(states, seed, population.hparams, data, step), states, population.seeds
            )

        def first_seed(states: TrainState, population: Population, data: Any, step: Array) -> Watched:
            first = jax.tree.map(lambda leaf: leaf[0], (states, population.seeds))
            values = one_seed(first[0], first[1], population.hparams, data, step)
            return jax.tree.map(lambda leaf: leaf[None], values)

        return first_seed if watch.first_seed_only else all_seeds

    def _finish(self, states: TrainState, population: Population, train: Examples, test: Examples) -> FinalMetrics:
        """The whole training set, and what the test examples are taken for."""
        problem, block, num_classes = self._problem, self.layout.eval_block, self._num_classes

        def one(state: TrainState, hparams: Hparams) -> FinalMetrics:
            return final_metrics(state, hparams, problem, train, test, num_classes, block)

        return self._over_seeds(lambda states, _: jax.vmap(one)(states, population.hparams), states, population.seeds)
