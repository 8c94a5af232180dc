"""Which hyperparameters the programs of a sweep read, and the refusal of an axis that none of them does.

Nothing is compiled and no data is touched: the functions of a member are traced on shapes. A traced hyperparameter is
read where the outputs of the trace depend on it, a static one where it is looked up while tracing.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.interpreters.partial_eval import dce_jaxpr

from jaxreg.config.experiment import Experiment
from jaxreg.config.hparams import FIELDS, TRACED, Hparams
from jaxreg.config.methods import effective_hparams, suppressed_by
from jaxreg.config.parts import readers_of
from jaxreg.config.sweeps import Sweep
from jaxreg.config.validation import describe
from jaxreg.errors import ConfigError
from jaxreg.jax_settings import random_key
from jaxreg.nn.regularisers import REGULARISERS
from jaxreg.training.member import Metrics, after_check, evaluate, update
from jaxreg.training.problem import Problem, with_terms
from jaxreg.training.state import TrainState, init_state

# Read outside the functions of a member: by what lays out batches, steps and methods.
_READ_BY_THE_HOST = ("batch_size", "train_size", "train_draw", "num_steps", "num_epochs", "method")


class _Record:
    """The names that were looked up; each is its own, so that no trace of another record is used again."""

    def __init__(self) -> None:
        self.names: set[str] = set()


class _Recording(Hparams):
    """Hyperparameters that keep a record of which of them are looked up."""

    def __getattribute__(self, name: str) -> Any:
        record = object.__getattribute__(self, "__dict__").get("_record")
        if record is not None and name in FIELDS:
            record.names.add(name)
        return super().__getattribute__(name)


def _recording(hparams: Hparams, record: _Record) -> _Recording:
    made = object.__new__(_Recording)
    made.__dict__.update(hparams.__dict__, _record=record)
    return made


def _flatten(recording: _Recording) -> tuple[tuple[Hparams], _Record]:
    plain = object.__new__(Hparams)
    plain.__dict__.update({name: value for name, value in recording.__dict__.items() if name != "_record"})
    return (plain,), recording.__dict__["_record"]


# A model may hand its hyperparameters to jit, scan or vmap.
jax.tree_util.register_pytree_node(_Recording, _flatten, lambda record, children: _recording(children[0], record))


def hyperparameters_read(
    hparams: Hparams, problem: Problem, input_shape: tuple[int, ...], num_outputs: int, *, of_numbers: bool = False
) -> frozenset[str]:
    """The hyperparameters that the program of a member reads: its initial state, step, evaluation and checks.

    A static one counts as read wherever it is looked up, by `dataclasses.replace` as well; a traced one only where it
    can change an output.

    Args:
      hparams: those of a member, complete; values of traced ones do not matter.
      problem: with the regularisers that are compiled in.
      input_shape: of one example, before it is flattened.
      num_outputs: per example.
      of_numbers: whether labels are numbers, one for each output, and not classes.
    """
    record, member = _Record(), _scalars(hparams)

    def read(hparams: Hparams, key: Array, inputs: Array, labels: Array, step: Array) -> Any:
        recorded = _recording(hparams, record)
        state = init_state(key, recorded, problem, input_shape, num_outputs)
        after, metrics = update(state, recorded, problem, inputs, labels, step, key)
        measured: Metrics = evaluate(after.params, recorded, problem, inputs, labels, labels.shape[0])
        checked: TrainState = after_check(after, recorded, measured, step)
        return checked, metrics, measured

    shapes = (
        jax.eval_shape(lambda: random_key(0)),
        jax.ShapeDtypeStruct((hparams.batch_size, math.prod(input_shape)), jnp.float32),
        jax.ShapeDtypeStruct((hparams.batch_size, num_outputs), jnp.float32)
        if of_numbers
        else jax.ShapeDtypeStruct((hparams.batch_size,), jnp.int32),
        jax.ShapeDtypeStruct((), jnp.int32),
    )
    jaxpr = jax.make_jaxpr(read)(member, *shapes).jaxpr
    _, used = dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))
    paths = [path for path, _ in jax.tree.leaves_with_path(member)]
    traced = {_name(path) for path, is_used in zip(paths, used[: len(paths)], strict=True) if is_used}
    return frozenset(traced | (record.names - set(TRACED)))


def refuse_unread_axes(
    experiment: Experiment,
    sweep: Sweep,
    problem: Problem,
    input_shape: tuple[int, ...],
    num_outputs: int,
    *,
    of_numbers: bool = False,
) -> None:
    """Refuses an axis along which all members are the same, since no program of the sweep reads it.

    Args:
      experiment: what is asked for. Each partner in a zip is an axis, but strengths that no method names may be zipped.
      sweep: its members.
      problem: without the regularisers that are compiled in for their strengths.
      input_shape: of one example, before it is flattened.
      num_outputs, of_numbers: as in `hyperparameters_read`.

    Raises:
      ConfigError: naming the axis and its values.
    """
    zipped = {name for names in experiment.zip for name in names}
    open_axes = []
    for name, values in experiment.axes.items():
        if len(set(values)) < 2:
            continue
        if _varies(name, experiment, sweep):
            open_axes.append(name)
        elif not (name in zipped and name in suppressed_by("none")):  # a remark says so, and no column is doubled
            raise _refusal(name, experiment, _why_constant(name))
    open_axes = [name for name in open_axes if name not in _READ_BY_THE_HOST]
    for group in sweep.groups:
        if not open_axes:
            return
        terms = with_terms(problem, group.terms)
        read = hyperparameters_read(group.shared, terms, input_shape, num_outputs, of_numbers=of_numbers)
        open_axes = [name for name in open_axes if name not in read]
    if open_axes:
        raise _refusal(open_axes[0], experiment, _why_unread(open_axes[0]))


def _varies(name: str, experiment: Experiment, sweep: Sweep) -> bool:
    """Whether any two members differ in what the axis effectively is."""
    if name == "method":  # beside a zipped strength it is a label
        methods, zipped = experiment.axes["method"], {each for names in experiment.zip for each in names}
        return "method" in zipped or any(
            len({effective_hparams(dataclasses.replace(setting, method=method)) for method in methods}) > 1
            for setting in sweep.settings
        )
    if name == "num_epochs":
        return None in experiment.axes.get("num_steps", (experiment.hparams.num_steps,))
    configs = (config for group in sweep.groups for config in group.configs)
    if name == "after_stop":
        return any(config.patience > 0 for config in configs)
    first = getattr(next(configs), name)
    return any(getattr(config, name) != first for config in configs)


def _refusal(name: str, experiment: Experiment, reason: str) -> ConfigError:
    values = ",".join(map(describe, experiment.axes[name]))
    return ConfigError(name, values, f"is swept without effect: {reason}; leave the axis out")


def _why_constant(name: str) -> str:
    return {
        "method": "all strengths are equal in every member",
        "num_epochs": "--num_steps wins over it",
        "after_stop": "--patience is 0 in every member",
        "train_draw": "every member trains on the whole training set",
    }.get(name, "--method leaves it out of every member")


def _why_unread(name: str) -> str:
    unread = "no program of this sweep reads it"
    if readers := readers_of(name):
        choices = [f"--{chooser}={', '.join(parts)}" for chooser, parts in readers.items()]
        return f"{unread}; it acts with {' or '.join(choices)}"
    for regulariser in REGULARISERS.values():
        if name in regulariser.owns:
            return f"{unread}; it acts where --{regulariser.strength} is not {describe(regulariser.off)}"
    return unread


def _scalars(hparams: Hparams) -> Hparams:
    """Hyperparameters as the program of a member gets them, [] float32 each, as shapes."""
    return jax.tree.map(lambda _: jax.ShapeDtypeStruct((), jnp.float32), hparams)


def _name(path: tuple[Any, ...]) -> str:
    """The hyperparameter of a leaf: a field, or a key of those that were declared."""
    last = path[-1]
    return str(last.name if hasattr(last, "name") else last.key)
