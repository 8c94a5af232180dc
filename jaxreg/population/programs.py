"""Many members in one compiled program: the only place that maps over members.

Arrays of a population are [seeds, configs, ...]. Seeds lie outside: the members of one seed share their batches, so
that XLA turns their first layers into one matrix product [batch, in] x [in, configs * hidden]. Devices divide the seeds
or the configs; the data is replicated on each of them and passed as an argument. A device trains its members in tiles.
Where seeds draw training examples of their own, the whole training set is passed, and which rows of it each seed has.
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

from jaxreg import processes
from jaxreg.config.hparams import Hparams
from jaxreg.diagnostics.watch import View, Watch
from jaxreg.jax_settings import key_from
from jaxreg.population.drawn import Drawn
from jaxreg.population.evaluation import (
    Check,
    CheckedSets,
    Examples,
    FinalMetrics,
    check_member,
    final_metrics,
    initial_params,
    watch_member,
)
from jaxreg.population.layout import Layout
from jaxreg.population.stepping import take_steps_tested_each, take_steps_tested_together
from jaxreg.population.tiles import over_tiles
from jaxreg.training.batches import batch_indices
from jaxreg.training.member import StepMetrics, advance, is_halted, is_well, settle, take_rows, update
from jaxreg.training.problem import Problem, with_terms
from jaxreg.training.state import TrainState, init_state
from jaxreg.training.stopping import is_finite
from jaxreg.training.threefry import Words

Watched = Mapping[str, Array]  # what watches measure, by the name in the results


class Population(NamedTuple):
    """The members that are trained: hyperparameters [configs], and what each seed has, [seeds, ...]."""

    hparams: Hparams
    init: ArrayLike  # [seeds, 2], the data of a key for the initial parameters
    noise: ArrayLike  # [seeds, 2], that of one for what training draws
    drawn: Drawn | None = None  # training examples of each seed's own; None where all seeds share them


class Programs:
    """The functions of one group at one width, mapped over its members and divided among the devices.

    `init`, `train`, `check`, `finish` and those in `watch`, by the name of the watch, are pure and jitted. `train` and
    `check` donate their states: the memory of the argument is used for the result, and the argument is gone.
    """

    def __init__(
        self,
        problem: Problem,
        layout: Layout,
        input_shape: tuple[int, ...],
        num_outputs: int,
        num_classes: int,
        watches: Sequence[Watch] = (),
        *,
        check_train: bool = False,
    ) -> None:
        """The functions of a population of `layout.width` members on the first `layout.devices` devices.

        `num_classes` is 0 where labels are numbers, one for each of the outputs. With `check_train` a check measures
        the whole training set too.
        """
        self.layout, self._check_train = layout, check_train
        self._problem = with_terms(problem, layout.terms)
        self._input_shape, self._num_outputs, self._num_classes = input_shape, num_outputs, num_classes
        self._step_watches = [watch for watch in watches if watch.at == "steps"]
        self._tested_together = not self._step_watches and not problem.constraints
        self.mesh = jax.sharding.Mesh(np.array(jax.devices()[: layout.devices]), ("members",))
        by_seed = layout.split == "seeds"
        everywhere, divided = PartitionSpec(), PartitionSpec("members")
        members = divided if by_seed else PartitionSpec(None, "members")
        curves = divided if by_seed else PartitionSpec(None, None, "members")
        configs, seeds = (everywhere, divided) if by_seed else (divided, everywhere)
        population = Population(configs, seeds, seeds, seeds)  # type: ignore[arg-type]  # specs of the fields
        self.state_sharding = NamedSharding(self.mesh, members)
        self._config_sharding, self._seed_sharding = (NamedSharding(self.mesh, spec) for spec in (configs, seeds))

        def mapped(fn: Callable[..., Any], in_specs: tuple[Any, ...], out_specs: Any, *donate: int) -> Any:
            fn = jax.shard_map(fn, mesh=self.mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)
            return jax.jit(fn, donate_argnums=donate)

        self.init = mapped(self._init, (population,), members)
        self.train = mapped(
            self._train, (members, population, seeds, *[everywhere] * 5), (members, (curves, curves)), 0
        )
        self.check = mapped(self._check, (members, population, seeds, *[everywhere] * 3), (members, members), 0)
        self.finish = mapped(self._finish, (members, population, everywhere, everywhere), members)
        self.watch = {
            watch.name: mapped(self._watch(watch), (members, population, everywhere, everywhere), members)
            for watch in watches
            if watch.at == "checks"
        }

    def place(self, hparams: Hparams, init: Words, noise: Words, drawn: Drawn | None = None) -> Population:
        """The population on its devices, [configs] and [seeds, ...]."""
        placed: Hparams = processes.put(hparams, self._config_sharding)
        of_seeds: tuple[Array, Array, Drawn | None] = processes.put((init, noise, drawn), self._seed_sharding)
        return Population(placed, *of_seeds)

    def place_of_seeds(self, values: Words) -> Array:
        """What seeds have, [seeds, ...], on their devices."""
        placed: Array = processes.put(values, self._seed_sharding)
        return placed

    def checked_sets(self, train: Examples, validation: Examples, test: Examples) -> CheckedSets:
        """The sets that `check` measures."""
        return CheckedSets(validation, test, train if self._check_train else None)

    def data_of_steps(self, watch_data: Mapping[str, Any]) -> dict[str, Any]:
        """The part that `train` takes of what all watches look at."""
        return {watch.name: watch_data[watch.name] for watch in self._step_watches if watch.name in watch_data}

    def state_shapes(self, population: Population) -> TrainState:
        """The shapes of a state, with its placement: what a checkpoint is restored to."""
        shapes: TrainState = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=self.state_sharding),
            jax.eval_shape(self.init, population),
        )
        return shapes

    def _over_seeds(self, fn: Callable[..., Any], *args: Any, at_once: int | None = None) -> Any:
        """fn for each seed of a device, the leading axis of arguments; `at_once` or those of a tile side by side."""
        at_once = at_once or self.layout.tile_seeds
        if at_once == self.layout.of_device[0]:
            return jax.vmap(fn)(*args)
        return jax.lax.map(lambda one: fn(*one), args, batch_size=None if at_once == 1 else at_once)

    def _view(
        self, state: TrainState, before: TrainState, hparams: Hparams, init: Array, step: Array, data: Any
    ) -> View:
        start = initial_params(self._problem, key_from(init), hparams, self._input_shape, self._num_outputs)
        return View(state, before, hparams, self._problem, start, step, data)

    def _init(self, population: Population) -> TrainState:
        def one_seed(init: Array) -> TrainState:
            key = key_from(init)
            return jax.vmap(lambda h: init_state(key, h, self._problem, self._input_shape, self._num_outputs))(
                population.hparams
            )

        return self._over_seeds(one_seed, population.init)

    def _train(
        self,
        states: TrainState,
        population: Population,
        order: Array | None,
        train: Examples,
        offset: Array,
        step: Array,
        stop: Array,
        watch_data: Mapping[str, Any],
    ) -> tuple[TrainState, tuple[StepMetrics, Watched]]:
        """The steps from `step` to before `stop`, at most `chunk_steps`; metrics [seeds, chunk_steps, configs, ...].

        `order` are the round keys of the chunk, [seeds, epochs, ROUNDS], of which it begins at `offset`; None where
        each batch is the whole set.
        """

        def one_tile(states: TrainState, hparams: Hparams, of_seeds: Any) -> Any:
            return self._train_tile(states, hparams, of_seeds, train, offset, step, stop, watch_data)

        of_seeds: dict[str, Any] = {"init": population.init, "noise": population.noise, "order": order}
        if (drawn := population.drawn) is not None:
            of_seeds |= {"rows": drawn.rows, "watched": self.data_of_steps(drawn.watched)}
        return over_tiles(one_tile, self.layout, states, population.hparams, of_seeds)

    def _train_tile(
        self,
        states: TrainState,
        hparams: Hparams,
        of_seeds: Mapping[str, Any],
        train: Examples,
        offset: Array,
        first: Array,
        stop: Array,
        watch_data: Mapping[str, Any],
    ) -> tuple[TrainState, tuple[StepMetrics, Watched]]:
        """As `_train`, for members that are trained side by side."""
        problem, length, drawn = self._problem, self.layout.chunk_steps, of_seeds.get("rows")
        num_examples, batch_size = (train.labels if drawn is None else drawn[0]).shape[0], hparams.batch_size

        # The examples of the batches of each seed, [seeds, steps, batch], unless each is the whole set.
        rows = whole = None
        if of_seeds["order"] is not None:
            rows = jax.vmap(lambda keys: batch_indices(keys, offset, length, batch_size, num_examples))(
                of_seeds["order"]
            )
            if drawn is not None:
                rows = jax.vmap(lambda drawn, at: drawn[at])(drawn, rows)
        elif drawn is not None:
            whole = jax.vmap(lambda rows: Examples(*take_rows(train, rows)))(drawn)
        noise = key_from(of_seeds["noise"]) if problem.draws else None

        def all_members(fn: Callable[..., Any]) -> Callable[[TrainState, Array], Any]:
            """(states, step) -> what `fn`, `advance` or `update`, makes of all members in that step."""

            def one_seed(
                states: TrainState, rows: Array | None, whole: Examples | None, noise: Array | None, step: Array
            ) -> Any:
                batch = whole or train
                if rows is not None:
                    at = jax.lax.dynamic_index_in_dim(rows, step - first, keepdims=False)
                    batch = Examples(*take_rows(train, at))
                return jax.vmap(lambda state, h: fn(state, h, problem, *batch, step, noise))(states, hparams)

            return lambda states, step: jax.vmap(one_seed, in_axes=(0, 0, 0, 0, None))(states, rows, whole, noise, step)

        def running(states: TrainState) -> Array:
            return ~jax.vmap(jax.vmap(is_halted), in_axes=(0, None))(states, hparams)

        if self._tested_together:
            settle_all = jax.vmap(jax.vmap(settle, (0, 0, 0, 0, None)), (0, 0, None, 0, None))
            states, metrics = take_steps_tested_together(
                all_members(advance),
                lambda before, after, diverges, step: settle_all(before, after, hparams, diverges, step),
                running,
                lambda metrics: is_well(metrics, hparams),
                jax.vmap(jax.vmap(is_finite)),
                *(states, first, stop, length),
            )
            watched: Watched = {}
        else:
            update_all = all_members(update)

            def update_and_watch(states: TrainState, step: Array) -> Any:
                after, metrics = update_all(states, step)
                return after, (metrics, self._watched_steps(states, after, hparams, of_seeds, step, watch_data))

            states, (metrics, watched) = take_steps_tested_each(update_and_watch, running, states, first, stop, length)
        return states, jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), (metrics, watched))

    def _watched_steps(
        self,
        before: TrainState,
        after: TrainState,
        hparams: Hparams,
        of_seeds: Mapping[str, Any],
        step: Array,
        watch_data: Mapping[str, Any],
    ) -> Watched:
        """What the watches of steps measure, [seeds, configs, ...] each."""
        watched: dict[str, Array] = {}
        for watch in self._step_watches:
            shared, own = watch_data.get(watch.name), of_seeds.get("watched", {}).get(watch.name)

            def one_seed(
                before: TrainState, after: TrainState, init: Array, own: Any, watch: Watch = watch, shared: Any = shared
            ) -> Watched:
                data = shared if own is None else own
                return jax.vmap(lambda b, a, h: watch_member(watch, self._view(a, b, h, init, step + 1, data)))(
                    before, after, hparams
                )

            watched |= jax.vmap(one_seed)(before, after, of_seeds["init"], own)
        return watched

    def _check(
        self,
        states: TrainState,
        population: Population,
        order: Array,
        sets: CheckedSets,
        offset: Array,
        check: Array,
    ) -> tuple[TrainState, Check]:
        """Whole sets, and one batch of the test set; best parameters are kept, and patience may run out.

        `order` are the round keys of the test batch, [seeds, epochs, ROUNDS], of which it begins at `offset`.
        """
        hparams, block = population.hparams, self.layout.eval_block
        num_test = sets.test.labels.shape[0]
        batch_size = min(hparams.batch_size, num_test)

        def one_seed(states: TrainState, order: Array, drawn: Array | None) -> tuple[TrainState, Check]:
            rows = batch_indices(order, offset, 1, batch_size, num_test)[0]
            counts = jnp.zeros(num_test).at[rows].add(1)
            problem = self._problem
            return jax.vmap(lambda state, h: check_member(state, h, problem, sets, counts, check, block, drawn))(
                states, hparams
            )

        return self._over_seeds(one_seed, states, order, _rows(population), at_once=self.layout.eval_seeds)

    def _watch(self, watch: Watch) -> Callable[..., Watched]:
        """The program of a watch of checks: [seeds, configs, ...]; of its first seed on each device, if so asked."""

        def one_seed(states: TrainState, init: Array, own: Any, hparams: Hparams, shared: Any, step: Array) -> Watched:
            view_of, data = self._view, shared if own is None else own
            return jax.vmap(lambda state, h: watch_member(watch, view_of(state, state, h, init, step, data)))(
                states, hparams
            )

        def own_data(population: Population) -> Any:
            return None if population.drawn is None else population.drawn.watched[watch.name]

        def all_seeds(states: TrainState, population: Population, shared: Any, step: Array) -> Watched:
            return self._over_seeds(
                lambda states, init, own: one_seed(states, init, own, population.hparams, shared, step),
                *(states, population.init, own_data(population)),
            )

        def first_seed(states: TrainState, population: Population, shared: Any, step: Array) -> Watched:
            first, init, own = jax.tree.map(lambda leaf: leaf[0], (states, population.init, own_data(population)))
            values = one_seed(first, init, own, population.hparams, shared, step)
            return jax.tree.map(lambda leaf: leaf[None], values)

        return first_seed if watch.first_seed_only else all_seeds

    def _finish(self, states: TrainState, population: Population, train: Examples, test: Examples) -> FinalMetrics:
        """The whole training set, and what the test examples are taken for."""
        problem, block, num_classes = self._problem, self.layout.eval_block, self._num_classes

        def one_seed(states: TrainState, rows: Array | None) -> FinalMetrics:
            def one(state: TrainState, hparams: Hparams) -> FinalMetrics:
                return final_metrics(state, hparams, problem, train, test, num_classes, block, rows)

            return jax.vmap(one)(states, population.hparams)

        return self._over_seeds(one_seed, states, _rows(population), at_once=self.layout.eval_seeds)


def _rows(population: Population) -> ArrayLike | None:
    """The training examples of each seed, int32 [seeds, examples]; None where all train on the whole set."""
    return None if population.drawn is None else population.drawn.rows
