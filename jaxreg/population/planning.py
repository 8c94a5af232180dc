"""The plan of a run: everything that follows from experiment, data and hardware before anything is compiled.

Made once by `make_plan`, which refuses what cannot be trained, and handed down from there.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax import Array

from jaxreg import processes
from jaxreg.config.division import parse_part, part_of
from jaxreg.config.experiment import Experiment
from jaxreg.config.hparams import BY_SEED
from jaxreg.config.sweeps import Group, Sweep, make_sweep
from jaxreg.config.validation import describe
from jaxreg.data import Data
from jaxreg.diagnostics.probe import layer_watch
from jaxreg.diagnostics.surfaces import SURFACES
from jaxreg.diagnostics.watch import View, Watch, variables_of
from jaxreg.errors import ConfigError, JaxregError
from jaxreg.jax_settings import random_key
from jaxreg.nn.activations import with_unit_interval
from jaxreg.nn.losses import LOSSES, loss_named
from jaxreg.nn.tables import TABLES, is_own
from jaxreg.population.evaluation import initial_params
from jaxreg.population.layout import MEMORY_SHARE, Layout, choose_layout, parse_layout
from jaxreg.training.models import is_dense, on_flat_inputs
from jaxreg.training.problem import Problem, with_terms
from jaxreg.training.state import TrainState, init_state
from jaxreg.training.unread_axes import hyperparameters_read, refuse_unread_axes

_WATCHED_BYTES = 4 << 30  # that a run may keep of what watches measure
_RECORDED_BYTES = 2 * 4  # that a member keeps of a recorded step: two losses
_CHECK_BYTES = 5 * 4  # that a member keeps of a check: losses and accuracies
_CHECK_TRAIN_BYTES = 2 * 4  # that it keeps besides with --check_train
_CHECK_BYTES_BESIDES = 64  # that each check takes besides
_COPIES = 3  # of what is kept, at the same time in memory: here, in the results, on the way to disk

Shapes = dict[str, jax.ShapeDtypeStruct]


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is trained, on what, and how it is laid out.

    Attributes:
      experiment: as asked for.
      data: examples and their splits.
      problem: model, penalties and constraints of a member.
      sweep: its members; those of the part, where a part of a sweep is trained.
      watches: what is measured inside the programs.
      layouts: one per group.
    """

    experiment: Experiment
    data: Data
    problem: Problem
    sweep: Sweep
    watches: tuple[Watch, ...]
    layouts: tuple[Layout, ...]

    def for_seeds(self, first_seed: int, seeds: int, record_every: int) -> Plan:
        """The plan of other seeds of the same experiment, whose curves are recorded every so many steps."""
        other = dataclasses.replace(self.experiment, first_seed=first_seed, seeds=seeds, record_every=record_every)
        sweep = make_sweep(other, len(self.data.train.labels))
        layouts = plan_layouts(other, sweep, self.data, self.problem)
        return dataclasses.replace(self, experiment=other, sweep=sweep, layouts=layouts)

    def data_of(self, group: Group) -> Data:
        """The data that a group sees: all of it, or the part of its training examples that all seeds share.

        Where each seed draws its own part, data of the same shapes.
        """
        return self.data.training_on(size_of(group), first=group.trains_on_first)

    def watched_shapes(self, group: Group) -> Shapes:
        """The shape of what each variable of the watches holds of one member at one check or step."""
        return _watched_shapes(group, self.data_of(group), self.problem, self.watches)

    def layer_names(self) -> tuple[str, ...]:
        """The names of the layers of a model whose layers are modules, of the deepest group; none of dense ones."""
        model = self.problem.model
        if model.layers is None:
            return ()
        example, found = jax.numpy.zeros((1, math.prod(self.data.input_shape))), []
        for group in self.sweep.groups:
            params = state_shapes(group, self.data, self.problem).params
            found.append(tuple(layer.name for layer in model.layers(params, group.shared, example)(params)))
        return max(found, key=len)


def size_of(group: Group) -> int:
    """The number of training examples of a group."""
    assert group.shared.train_size is not None  # once resolved
    return group.shared.train_size


def uses_own_entries(group: Group) -> bool:
    """Whether a group uses entries of the tables of named parts that did not come with the package."""
    chosen = [(kind, getattr(group.shared, kind)) for kind in TABLES if kind != "regulariser"]
    return any(is_own(kind, name) for kind, name in (*chosen, *(("regulariser", n) for n in group.terms.split("+"))))


def make_plan(
    experiment: Experiment,
    data: Data,
    problem: Problem | None = None,
    watches: Sequence[Watch] = (),
    devices: Sequence[jax.Device] | None = None,
) -> Plan:
    """The plan of an experiment that has been validated, on `devices` (default all, of all processes).

    `watches` come besides those that the experiment's flags ask for.

    Raises:
      ConfigError: a batch larger than the training set; a loss for other labels; a model with other outputs; an axis
        that no part of a member reads; a regulariser or a watch that the model gives nothing to work on; too large for
        the memory; a layout that does not fit the sweep.
    """
    problem = problem or Problem()
    problem = problem._replace(model=on_flat_inputs(problem.model, data.input_shape))
    whole = make_sweep(experiment, len(data.train.labels))
    sweep = part_of(whole, parse_part(experiment.part)) if experiment.part else whole
    _require_room(experiment, sweep)
    for group in sweep.groups:
        require_loss(group, data)
        require_outputs(group, data, problem)
    layouts = plan_layouts(experiment, sweep, data, problem, devices)
    for group, layout in zip(sweep.groups, layouts, strict=True):
        require_terms(layout, group, data, problem)
    of_numbers = not data.num_classes
    refuse_unread_axes(experiment, whole, problem, data.input_shape, data.num_outputs, of_numbers=of_numbers)
    plan = Plan(experiment, data, problem, sweep, (*_asked_for(experiment), *watches), layouts)
    _require_watches(plan)
    return plan


def plan_layouts(
    experiment: Experiment,
    sweep: Sweep,
    data: Data,
    problem: Problem,
    devices: Sequence[jax.Device] | None = None,
) -> tuple[Layout, ...]:
    """The layout of each group: the pinned one, or chosen by rule.

    Raises:
      ConfigError: a pinned layout that does not fit the sweep or the devices; a member that does not fit in memory.
    """
    if experiment.layout:
        return (_pinned(experiment, sweep),)
    return tuple(plan_layout(group, sweep, data, problem, experiment, devices=devices) for group in sweep.groups)


def plan_layout(
    group: Group,
    sweep: Sweep,
    data: Data,
    problem: Problem,
    experiment: Experiment,
    max_members: int = 0,
    devices: Sequence[jax.Device] | None = None,
) -> Layout:
    """The layout of a group on `devices` (default all), from the shapes of its state; nothing is allocated.

    `max_members` bounds the width; 0 for as many as fit in memory, or as the experiment asks for.

    Raises:
      ConfigError: a single member does not fit in memory.
    """
    state, shared = state_shapes(group, data, problem), group.shared
    layer_sizes, products = _sizes(group, data, problem, state)
    layout = choose_layout(
        num_seeds=len(sweep.seeds),
        num_configs=len(group.configs),
        batch_size=shared.batch_size,
        shared_batch=shared.batch_size == size_of(group) and not group.draws_by_seed,
        num_features=math.prod(data.input_shape),
        layer_sizes=layer_sizes,
        num_parameters=sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(state.params)),
        state_bytes=sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(state)),
        eval_every=min(group.eval_every, experiment.run.checkpoint_every or group.eval_every),
        max_members=max_members or experiment.members_per_program,
        data_bytes=sum(array.nbytes for split in (data.train, data.validation, data.test) for array in split),
        devices=jax.devices() if devices is None else devices,
        products=products,
    )
    return dataclasses.replace(layout, terms=group.terms)


def _sizes(group: Group, data: Data, problem: Problem, state: TrainState) -> tuple[tuple[int, ...], float]:
    """The numbers that each layer gives for an example, and the multiplications of all, 0 for dense layers.

    Of a model of the user's own it is all that a forward pass makes on its way, as one layer, and its outputs.
    """
    shared, forward = group.shared, problem.model.forward
    if is_dense(problem.model):
        return (*shared.hidden_sizes, data.num_outputs), 0
    jaxpr = jax.make_jaxpr(lambda p, x: forward(p, shared, x)[0])(state.params, _example(data)).jaxpr
    made = sum(math.prod(out.aval.shape) for equation in jaxpr.eqns for out in equation.outvars)
    cost = jax.jit(lambda p, x: forward(p, shared, x)[0]).lower(state.params, _example(data)).cost_analysis()
    return (made, data.num_outputs), (cost or {}).get("flops", 0) / 2


def state_shapes(group: Group, data: Data, problem: Problem) -> TrainState:
    """The shapes of a member's state."""
    shapes: TrainState = jax.eval_shape(
        lambda: init_state(random_key(0), group.shared, problem, data.input_shape, data.num_outputs)
    )
    return shapes


def require_loss(group: Group, data: Data) -> None:
    """Refuses a loss of classes for labels that are numbers.

    Raises:
      ConfigError: naming those that take numbers.
    """
    if data.num_classes or loss_named(group.shared.loss).takes_numbers:
        return
    others = ", ".join(name for name in LOSSES if loss_named(name).takes_numbers)
    reason = f"wants classes, and the labels of {data.name} are numbers; take {others}, or give labels [examples]"
    raise ConfigError("loss", group.shared.loss, reason)


def require_outputs(group: Group, data: Data, problem: Problem) -> None:
    """Refuses a model that does not give one output per class, or per number of a label.

    Of classes too few would diverge at once, and too many train to a wrong loss.

    Raises:
      ConfigError: with the shape that it gives.
    """
    forward = problem.model.forward
    try:
        params = state_shapes(group, data, problem).params
        logits, _ = jax.eval_shape(lambda p, x: forward(p, group.shared, x), params, _example(data))
    except JaxregError:
        raise
    except Exception as error:  # whatever a function of the user's own raises
        if is_dense(problem.model):
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        shape = "x".join(map(str, data.input_shape))
        raise ConfigError("model", "own model", f"fails on examples of {shape} numbers: {reason}") from error
    if logits.shape != (1, data.num_outputs):
        outputs = "x".join(map(str, logits.shape[1:])) or "no"
        wanted = f"{data.num_outputs} {'classes' if data.num_classes else 'numbers to a label'}"
        remedy = f"gives {outputs} outputs for an example, and {data.name} has {wanted}; give one each"
        raise ConfigError("model", "own model", remedy)


def _example(data: Data) -> jax.ShapeDtypeStruct:
    """The shape of a batch of one example."""
    return jax.ShapeDtypeStruct((1, math.prod(data.input_shape)), np.float32)


def require_terms(layout: Layout, group: Group, data: Data, problem: Problem) -> None:
    """Refuses regularisers that the model gives nothing to work on, be they a member's or only the pinned layout's.

    Raises:
      ConfigError: naming the strength, or the layout.
    """
    terms, shared = layout.terms.split("+"), group.shared

    def refusal(name: str, reason: str) -> ConfigError:
        largest = max(getattr(config, name) for config in group.configs)
        return ConfigError(name, describe(largest), reason) if largest > 0 else ConfigError("layout", layout, reason)

    if "dropout" in terms and problem.model.dropout_forward is None:
        if problem.model.train_forward is None:
            raise refusal("dropout_rate", "this model has no dropout_forward; do without dropout")
        told = with_terms(problem, layout.terms)
        of_numbers = not data.num_classes
        read = hyperparameters_read(shared, told, data.input_shape, data.num_outputs, of_numbers=of_numbers)
        if "dropout_rate" not in read:
            raise refusal("dropout_rate", "this model does not read dropout_rate; do without it")
    if "label_smoothing" in terms and not (data.num_classes and loss_named(shared.loss).of_targets):
        others = ", ".join(name for name in LOSSES if loss_named(name).of_targets)
        reason = f"smooths classes, under --loss={others}"
        raise refusal("label_smoothing", f"{reason}; do without it")
    if "kl" not in terms:
        return
    if shared.activation not in with_unit_interval():
        known = ", ".join(with_unit_interval())
        raise refusal("kl_strength", f"kl acts on --activation={known}, not on {shared.activation}; do without it")
    params = state_shapes(group, data, problem).params
    if not jax.eval_shape(lambda p, x: problem.model.forward(p, shared, x), params, _example(data))[1]:
        raise refusal("kl_strength", "this model shows no hidden activations for kl to act on; do without it")


def _pinned(experiment: Experiment, sweep: Sweep) -> Layout:
    """The layout that `--layout` asks for."""
    layout = parse_layout(experiment.layout or "")
    if len(sweep.groups) > 1:
        raise ConfigError("layout", layout, f"pins one program, this sweep has {len(sweep.groups)}; leave it out")
    if layout.devices > jax.device_count():
        raise ConfigError("layout", layout, f"needs {layout.devices} devices, there are {jax.device_count()}")
    if processes.count() > 1 and layout.devices < jax.device_count():
        reason = f"names {layout.devices} devices, and {processes.count()} processes have {jax.device_count()} in all"
        raise ConfigError("layout", layout, f"{reason}: some would have nothing to do; start fewer processes")
    if lacking := set(sweep.groups[0].terms.split("+")) - {*layout.terms.split("+"), "none"}:
        raise ConfigError("layout", layout, f"leaves out {', '.join(sorted(lacking))}, which a member needs")
    return layout


def _asked_for(experiment: Experiment) -> list[Watch]:
    """The watches that flags turn on."""
    watches = []
    if experiment.diagnostics or experiment.histograms:
        watches.append(layer_watch(histograms=experiment.histograms))
    if experiment.surfaces:
        watches.append(SURFACES)
    return watches


def _check_bytes(experiment: Experiment) -> int:
    return _CHECK_BYTES + _CHECK_TRAIN_BYTES * experiment.check_train


def _require_room(experiment: Experiment, sweep: Sweep) -> None:
    """Refuses curves that would fill the memory, before any is made.

    Raises:
      ConfigError: naming the flag that says how many values a curve has.
    """
    members, checks = sweep.num_members, max(group.num_checks for group in sweep.groups)
    recorded = -(-max(group.num_steps for group in sweep.groups) // sweep.record_every)
    kept = {
        "eval_every": checks * (members * _check_bytes(experiment) + _CHECK_BYTES_BESIDES),
        "record_every": recorded * members * _RECORDED_BYTES,
    }
    values = {"eval_every": min(group.eval_every for group in sweep.groups), "record_every": sweep.record_every}
    words = {"eval_every": f"{checks} checks", "record_every": f"the losses of {recorded} steps"}
    most = MEMORY_SHARE * processes.host_memory_bytes() / _COPIES
    if sum(kept.values()) > most:
        flag = max(kept, key=kept.__getitem__)
        needed = f"{words[flag]} of {members} member(s) would take {kept[flag] / 2**30:.1f} GiB"
        remedy = "take a larger one, or fewer seeds or settings"
        raise ConfigError(flag, values[flag], f"{needed}, at most {most / 2**30:.1f} GiB here; {remedy}")


def _require_watches(plan: Plan) -> None:
    """Refuses watches that cannot measure here, or would fill the memory.

    Raises:
      ConfigError: naming the flag that asks for it.
    """
    variables_of(plan.watches)
    for group, layout in zip(plan.sweep.groups, plan.layouts, strict=True):
        if group.draws_by_seed:
            _require_room_for_draws(plan, group, layout)
    group = plan.sweep.groups[0]
    params = state_shapes(group, plan.data, plan.problem).params if plan.watches else ()
    for watch in plan.watches:
        if watch.require is not None:
            watch.require(plan.problem, params, plan.data_of(group))
    kept = {watch.name: max(_kept_bytes(watch, group, plan) for group in plan.sweep.groups) for watch in plan.watches}
    needed = len(plan.sweep.settings) * sum(kept.values())
    most = min(_WATCHED_BYTES, MEMORY_SHARE * processes.host_memory_bytes() / _COPIES)
    if needed > most:
        flag = max(kept, key=kept.__getitem__)
        remedy = "check less often (--eval_every), or take fewer seeds or settings"
        remedy += ", or --diagnostics alone" if flag == "histograms" else ""
        raise ConfigError(
            flag, "true", f"would keep {needed / 2**30:.1f} GiB, at most {most / 2**30:.1f} GiB here; {remedy}"
        )


def _require_room_for_draws(plan: Plan, group: Group, layout: Layout) -> None:
    """Refuses what seeds draw, and watches look at of it, where that would fill the memory.

    Raises:
      ConfigError: naming the draw.
    """
    data = plan.data_of(group)
    prepared = jax.tree.leaves([watch.prepare(data) for watch in plan.watches])
    needed = layout.seeds * (4 * size_of(group) + sum(np.asarray(leaf).nbytes for leaf in prepared))
    most = MEMORY_SHARE * processes.host_memory_bytes() / _COPIES
    if needed > most:
        held = f"the examples of {layout.seeds} seeds at once would take {needed / 2**30:.1f} GiB"
        remedy = "take fewer members at once (--members_per_program), or --train_draw=shared"
        raise ConfigError("train_draw", BY_SEED, f"{held}, at most {most / 2**30:.1f} GiB here; {remedy}")


def measured_bytes(plan: Plan, group: Group) -> int:
    """What the measurements of a group take in the memory of the host when results are made: several copies of them."""
    recorded = -(-group.num_steps // plan.sweep.record_every)
    of_a_member = recorded * _RECORDED_BYTES + group.num_checks * _check_bytes(plan.experiment)
    of_a_setting = len(plan.sweep.seeds) * of_a_member + sum(_kept_bytes(watch, group, plan) for watch in plan.watches)
    return _COPIES * len(group.configs) * of_a_setting


def _kept_bytes(watch: Watch, group: Group, plan: Plan) -> int:
    """What a watch keeps of all seeds of one setting of a group."""
    shapes = _watched_shapes(group, plan.data_of(group), plan.problem, [watch])
    once = sum(math.prod(shape.shape) * shape.dtype.itemsize for shape in shapes.values())
    times = group.num_checks if watch.at == "checks" else -(-group.num_steps // plan.sweep.record_every)
    return once * times * (1 if watch.first_seed_only else len(plan.sweep.seeds))


def _watched_shapes(group: Group, data: Data, problem: Problem, watches: Sequence[Watch]) -> Shapes:
    if not watches:
        return {}
    measure, prepared = (
        measured_by(watches, group, data, problem),
        {watch.name: watch.prepare(data) for watch in watches},
    )
    shapes: Shapes = jax.eval_shape(lambda prepared: measure(random_key(0), prepared), prepared)
    return shapes


def measured_by(
    watches: Sequence[Watch], group: Group, data: Data, problem: Problem
) -> Callable[[Array, dict[str, Any]], dict[str, Any]]:
    """(key, prepared data by watch) -> what watches measure of a new member of a group, by variable."""
    problem = with_terms(problem, group.terms)

    def measure(key: Array, prepared: dict[str, Any]) -> dict[str, Any]:
        shapes = group.shared, data.input_shape, data.num_outputs
        state = init_state(key, group.shared, problem, data.input_shape, data.num_outputs)
        start = initial_params(problem, key, *shapes)
        step = jax.numpy.int32(0)
        found: dict[str, Any] = {}
        for watch in watches:
            found |= watch.measure(View(state, state, group.shared, problem, start, step, prepared[watch.name]))
        return found

    return measure
