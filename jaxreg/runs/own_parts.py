"""The user's own parts of a run, each as a digest of what it computes at the shapes of the run.

Own parts are what is handed to `jaxreg.run`, and entries that were made or replaced in the tables of named parts.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxreg.config.hparams import Hparams, resolved
from jaxreg.config.sweeps import Group
from jaxreg.diagnostics.probe import LAYER_WATCHES
from jaxreg.jax_settings import random_key
from jaxreg.nn.activations import activation_named
from jaxreg.nn.initializers import Initializer, scheme_named
from jaxreg.nn.regularisers import REGULARISERS
from jaxreg.nn.tables import is_own
from jaxreg.population.planning import Plan, measured_by, uses_own_entries
from jaxreg.runs.traced import digest_of, trace_digest
from jaxreg.training.binding import bind
from jaxreg.training.member import loss_of
from jaxreg.training.models import joined, parted
from jaxreg.training.optimizers import make_optimizer
from jaxreg.training.problem import constraint_of, penalty_of


def own_digests(plan: Plan, given: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 of each own part of a run, by name.

    Args:
      plan: of the run; the parts are those of its problem, its watches, and the tables.
      given: what was handed over by name: `model`, `initializer`, `penalty 0`, `constraint 0`, `watch NAME`. Data are
        no part: their digest is `Data.digest`.
    """
    traces: dict[str, list[str]] = {}
    for group in plan.sweep.groups:
        if given.keys() - {"data"} or uses_own_entries(group):
            shapes = _Shapes.of(plan, group)
            for name, digest in (*_given(plan, group, given, shapes), *_from_tables(plan, group, shapes)):
                traces.setdefault(name, []).append(digest)
    return {name: digest_of(digests) for name, digests in traces.items()}


class _Shapes(NamedTuple):
    """What the functions of a member of a group are called with."""

    key: Any
    hparams: Any  # traced ones are scalars
    params: Any
    inputs: Any  # [batch, features]
    labels: Any  # [batch], or [batch, outputs] of numbers
    logits: Any  # [batch, classes]
    activations: Any  # [batch, units] each
    step: Any  # []

    @classmethod
    def of(cls, plan: Plan, group: Group) -> _Shapes:
        model, data, batch_size = plan.problem.model, plan.data, group.shared.batch_size
        key = jax.eval_shape(lambda: random_key(0))
        hparams = jax.tree.map(lambda _: jax.ShapeDtypeStruct((), jnp.float32), group.shared)
        inputs = jax.ShapeDtypeStruct((batch_size, math.prod(data.input_shape)), jnp.float32)
        params = jax.eval_shape(lambda k, h: model.init(k, h, data.input_shape, data.num_outputs), key, hparams)
        logits, activations = jax.eval_shape(model.forward, params, hparams, inputs)
        labels = jax.ShapeDtypeStruct((batch_size, *data.train.labels.shape[1:]), data.train.labels.dtype)
        step = jax.ShapeDtypeStruct((), jnp.int32)
        return cls(key, hparams, params, inputs, labels, logits, activations, step)


def _given(plan: Plan, group: Group, given: Mapping[str, Any], shapes: _Shapes) -> Iterator[tuple[str, str]]:
    """The parts that were handed over."""
    model, data = plan.problem.model, plan.data_of(group)
    key, hparams, params, inputs, _, _, activations, step = shapes
    trained, _ = parted(params, model)
    if "model" in given:
        init = trace_digest(lambda k, h: model.init(k, h, data.input_shape, data.num_outputs), key, hparams)
        yield "model", init
        yield "model", trace_digest(_with_gradient(lambda p, h, x: model.forward(p, h, x)), params, hparams, inputs)
        if train_forward := model.train_forward:
            yield "model", trace_digest(train_forward, params, hparams, inputs, key)
            trains = _with_gradient(lambda p, o, h, x, k: train_forward(joined(p, o), h, x, k)[0])
            yield "model", trace_digest(trains, *parted(params, model), hparams, inputs, key)
        if dropout_forward := model.dropout_forward:
            dropped = _with_gradient(lambda p, h, x, k: dropout_forward(p, h, x, k))
            yield "model", trace_digest(dropped, params, hparams, inputs, key)
        if (trace := model.trace) and any(watch.name in LAYER_WATCHES for watch in plan.watches):
            signals = jax.eval_shape(trace, params, hparams, inputs, ())[1]
            yield "model", trace_digest(trace, params, hparams, inputs, signals)
    if "initializer" in given:
        yield "initializer", _initializer_digest(plan, group, given["initializer"], shapes)
    for number, penalty in enumerate(plan.problem.penalties):
        trace = _with_gradient(lambda p, a, h, s, penalty=penalty: penalty(p, a, h, s))
        yield f"penalty {number}", trace_digest(trace, trained, activations, hparams, step)
    for number, constraint in enumerate(plan.problem.constraints):
        yield f"constraint {number}", trace_digest(constraint, trained, hparams)
    for watch in plan.watches:
        if f"watch {watch.name}" in given:
            prepared = {watch.name: watch.prepare(data)}
            yield f"watch {watch.name}", trace_digest(measured_by([watch], group, data, plan.problem), key, prepared)
            yield f"watch {watch.name}", digest_of(jax.tree.leaves(prepared))


def _from_tables(plan: Plan, group: Group, shapes: _Shapes) -> Iterator[tuple[str, str]]:
    """The entries of tables that a group uses and that did not come with the package."""
    _, hparams, params, _, labels, logits, activations, step = shapes
    trained, _ = parted(params, plan.problem.model)
    shared = group.shared
    hidden = [jax.ShapeDtypeStruct((shared.batch_size, size), jnp.float32) for size in shared.hidden_sizes]
    for kind, units in (("activation", hidden), ("output_activation", [logits])):
        if is_own(kind, getattr(shared, kind)):
            activation = activation_named(getattr(shared, kind))
            for function in filter(None, (activation.function, activation.unit_interval)):
                trace = _with_gradient(lambda z, h, function=function: bind(function, h, 1)(z))
                for each in units:
                    yield f"{kind} {getattr(shared, kind)}", trace_digest(trace, each, hparams)
    if is_own("init", shared.init):
        scheme = scheme_named(shared.init)
        for initializer in filter(None, (scheme.weights, scheme.bias)):
            yield f"init {shared.init}", _initializer_digest(plan, group, initializer, shapes)
    if is_own("loss", shared.loss):
        trace = _with_gradient(lambda z, h, y: loss_of(h)(z, y))
        yield f"loss {shared.loss}", trace_digest(trace, logits, hparams, labels)
    for kind, name in (("optimizer", shared.optimizer), ("schedule", shared.schedule)):
        if is_own(kind, name):
            yield f"{kind} {name}", trace_digest(_one_step, trained, hparams)
    for name in group.terms.split("+"):
        if is_own("regulariser", name):
            regulariser = REGULARISERS[name]
            if regulariser.penalty:
                trace = _with_gradient(penalty_of(regulariser))
                yield f"regulariser {name}", trace_digest(trace, trained, activations, hparams, step)
            if regulariser.projection:
                yield f"regulariser {name}", trace_digest(constraint_of(regulariser), trained, hparams)


def _with_gradient(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with what its derivative with respect to the first argument makes of any cotangents."""

    def traced(first: Any, *rest: Any) -> Any:
        value, pullback = jax.vjp(lambda x: function(x, *rest), first)
        return value, pullback(jax.tree.map(jnp.ones_like, value))

    return traced


def _one_step(params: Any, hparams: Hparams) -> Any:
    optimizer = make_optimizer(hparams)
    return optimizer.update(params, optimizer.init(params), params)


def _initializer_digest(plan: Plan, group: Group, initializer: Initializer, shapes: _Shapes) -> str:
    """Of the weights of every layer."""
    sizes = (math.prod(plan.data.input_shape), *group.shared.hidden_sizes, plan.data.num_outputs)

    def layers(key: Any, hparams: Hparams) -> Any:
        variance = resolved(hparams, "init_variance")
        return [bind(initializer, hparams, 3)(key, shape, variance) for shape in itertools.pairwise(sizes)]

    return trace_digest(layers, shapes.key, shapes.hparams)
