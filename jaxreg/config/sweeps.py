"""A sweep: axes -> grid of settings -> groups that share array shapes and code.

No JAX computation here: a sweep says which members there are, `jaxreg.population` trains them.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxreg.config.experiment import Experiment
from jaxreg.config.fields import FrozenMapping
from jaxreg.config.hparams import BY_SEED, FIELDS, FIRST, SHARED, STATIC, TRACED, Hparams, resolved
from jaxreg.config.methods import effective_hparams, terms_of_any
from jaxreg.config.steps import steps_before, steps_of_epochs
from jaxreg.config.validation import MAX_STEPS, describe
from jaxreg.errors import ConfigError
from jaxreg.nn.regularisers import compiled_terms

_RECORD_BYTES = 256e6  # for the two curves of batch losses
_CHECKS = 20
_MOST_MEMBERS = 10_000_000


@dataclasses.dataclass(frozen=True)
class Dimension:
    """One dimension of the grid: a swept hyperparameter, or several that are zipped.

    Attributes:
      name: that of the (first) hyperparameter.
      values: for each hyperparameter along this dimension its values, all of one length.
    """

    name: str
    values: Mapping[str, tuple[Any, ...]]

    def __len__(self) -> int:
        """Number of values."""
        return len(self.values[self.name])


@dataclasses.dataclass(frozen=True)
class Group:
    """The settings that share one compiled program.

    Attributes:
      settings: positions in the flattened grid, one per config.
      configs: the effective hyperparameters of each, complete: strengths that its method does not name are off, and of
        the whole training set there is nothing to draw. Their static fields are equal.
      eval_every: steps between checks.
    """

    settings: tuple[int, ...]
    configs: tuple[Hparams, ...]
    eval_every: int

    @property
    def shared(self) -> Hparams:
        """A config that stands for what all of them share: the static fields."""
        return self.configs[0]

    @functools.cached_property
    def terms(self) -> str:
        """The regularisers that any config needs, as `Layout.terms` names them."""
        needed = terms_of_any(self.configs)
        return "+".join(term for term in compiled_terms() if term in needed) or "none"

    @property
    def draws_by_seed(self) -> bool:
        """Whether each seed trains on a part of the training set that it draws for itself."""
        return self.shared.train_draw == BY_SEED

    @property
    def trains_on_first(self) -> bool:
        """Whether it trains on the first examples of the training set, as they stand there."""
        return self.shared.train_draw == FIRST

    @property
    def num_steps(self) -> int:
        """Steps that every member of the group trains."""
        assert self.shared.num_steps is not None
        return self.shared.num_steps

    @property
    def check_steps(self) -> tuple[int, ...]:
        """The steps after which the group is checked: 0, eval_every, 2 eval_every, ..., num_steps.

        As many as there are checks: what only asks for their number, or about one step, has the methods below.
        """
        return (*range(0, self.num_steps, self.eval_every), self.num_steps)

    @property
    def num_checks(self) -> int:
        """How often the group is checked, before the first step and after the last one included."""
        return 1 + self.check_number(self.num_steps)

    def is_checked(self, step: int) -> bool:
        """Whether the group is checked after so many steps."""
        return step % self.eval_every == 0 or step == self.num_steps

    def check_number(self, step: int) -> int:
        """The number, from 0, of the check after so many steps; of a step between two checks that of the later one."""
        return -(-step // self.eval_every)

    def stacked(self, positions: Sequence[int], count: int) -> Hparams:
        """The configs at these positions as one Hparams of float32 arrays [count]; the last one fills up.

        Where L1 sets in between two steps, `l1_start` is moved to the later one, so that rounding cannot move it.
        """
        rows = [self.configs[i] for i in positions]
        rows += [rows[-1]] * (count - len(rows))

        def column(values: Sequence[float | None]) -> np.ndarray | None:
            return None if values[0] is None else np.array(values, np.float32)

        starts = {start: steps_before(start, self.num_steps) / self.num_steps for start in {r.l1_start for r in rows}}
        traced = [field.name for field in dataclasses.fields(Hparams) if field.name in TRACED]
        columns = {name: column([getattr(row, name) for row in rows]) for name in traced}
        own = {name: column([row.own_traced[name] for row in rows]) for name in rows[0].own_traced}
        columns |= {"l1_start": column([starts[row.l1_start] for row in rows])}
        return rows[0].replace(**columns, own_traced=FrozenMapping(own))


@dataclasses.dataclass(frozen=True)
class Sweep:
    """All members: the grid over `dimensions`, times `seeds`.

    Attributes:
      dimensions: in the order of the fields of `Hparams`.
      settings: the complete hyperparameters of every point of the grid, last dimension fastest.
      groups: a partition of the grid; of a part of a sweep, of what belongs to it.
      seeds: the replicates, uint32.
      record_every: steps between recorded batch losses.
    """

    dimensions: tuple[Dimension, ...]
    settings: tuple[Hparams, ...]
    groups: tuple[Group, ...]
    seeds: tuple[int, ...]
    record_every: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the dimensions; () for a single setting."""
        return tuple(len(dimension) for dimension in self.dimensions)

    @property
    def num_members(self) -> int:
        """Settings of all groups, times seeds."""
        return sum(len(group.configs) for group in self.groups) * len(self.seeds)


def make_sweep(experiment: Experiment, num_examples: int) -> Sweep:
    """The members of an experiment on a training set of `num_examples`.

    Raises:
      ConfigError: for a batch larger than the training set, or more steps than int32 counts.
    """
    dimensions = _dimensions(experiment)
    num_members = math.prod(len(dimension) for dimension in dimensions) * experiment.seeds
    if num_members > _MOST_MEMBERS:
        raise ConfigError("seeds", experiment.seeds, f"{num_members} members; at most {_MOST_MEMBERS}")
    single = {name: values[0] for name, values in experiment.axes.items() if len(values) == 1}
    shared = dataclasses.replace(experiment.hparams, **single)
    settings = []
    for point in itertools.product(*(range(len(dimension)) for dimension in dimensions)):
        chosen = {
            name: values[i]
            for dimension, i in zip(dimensions, point, strict=True)
            for name, values in dimension.values.items()
        }
        settings.append(resolve(dataclasses.replace(shared, **chosen), num_examples))
    if any(setting.bias_variance is not None for setting in settings):
        settings = [dataclasses.replace(s, bias_variance=s.bias_variance or 0.0) for s in settings]

    members: dict[Any, list[int]] = {}
    static = operator.attrgetter(*STATIC)
    for number, hparams in enumerate(settings):
        members.setdefault(static(hparams), []).append(number)
    groups = []
    for numbers in members.values():
        configs = tuple(_effective(settings[number], num_examples) for number in numbers)
        num_steps = configs[0].num_steps
        assert num_steps is not None
        eval_every = min(experiment.eval_every or math.ceil(num_steps / _CHECKS), num_steps)
        groups.append(Group(tuple(numbers), configs, eval_every))

    seeds = tuple(range(experiment.first_seed, experiment.first_seed + experiment.seeds))
    steps = max(group.num_steps for group in groups)
    record_every = experiment.record_every or math.ceil(2 * 4 * steps * len(settings) * len(seeds) / _RECORD_BYTES)
    return Sweep(dimensions, tuple(settings), tuple(groups), seeds, record_every)


def _effective(hparams: Hparams, num_examples: int) -> Hparams:
    """What the programs of a member are made from: only what acts in it, on a training set of `num_examples`."""
    draw = SHARED if hparams.train_size == num_examples else hparams.train_draw
    return dataclasses.replace(effective_hparams(hparams), train_draw=draw)


def resolve(hparams: Hparams, num_examples: int) -> Hparams:
    """The hyperparameters with every default that depends on others filled in, and the steps counted from epochs."""
    if hparams.train_size is not None and hparams.train_size > num_examples:
        raise ConfigError("train_size", hparams.train_size, f"the training set has {num_examples} examples")
    num_examples = hparams.train_size or num_examples
    if hparams.batch_size > num_examples:
        raise ConfigError("batch_size", hparams.batch_size, f"the training set has {num_examples} examples")
    num_steps = hparams.num_steps
    if num_steps is None and hparams.num_epochs > 0:
        num_steps = steps_of_epochs(hparams.num_epochs, num_examples, hparams.batch_size)
        if num_steps > MAX_STEPS:
            raise ConfigError("num_epochs", describe(hparams.num_epochs), f"{num_steps} steps; at most {MAX_STEPS}")
    num_steps = resolved(hparams, "num_steps") if num_steps is None else num_steps
    variance = resolved(hparams, "init_variance")
    return hparams.replace(num_steps=num_steps, train_size=num_examples, init_variance=variance)


def hyperparameter_table(sweep: Sweep) -> dict[str, np.ndarray[Any, Any]]:
    """Every hyperparameter over the grid, shape `sweep.shape`: numbers, or text for choices by name."""
    table = {}
    for name in FIELDS:
        column = [getattr(hparams, name) for hparams in sweep.settings]
        if name == "bias_variance":
            column = [value or 0.0 for value in column]
        if isinstance(column[0], tuple):
            column = [describe(value) for value in column]
        table[name] = np.array(column).reshape(sweep.shape)
    return table


def _dimensions(experiment: Experiment) -> tuple[Dimension, ...]:
    zipped = {name: names for names in experiment.zip for name in names}
    dimensions = []
    for name in FIELDS:
        if name not in experiment.axes or (name in zipped and zipped[name][0] != name):
            continue
        names = zipped.get(name, (name,))
        if len(experiment.axes[name]) > 1:
            dimensions.append(Dimension(name, {n: tuple(experiment.axes[n]) for n in names}))
    return tuple(dimensions)
