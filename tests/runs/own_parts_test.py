"""Own parts are told apart by what they compute: whatever changes a number counts, and nothing else does."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxreg
from jaxreg.diagnostics.watch import Variable, Watch
from jaxreg.nn.activations import ACTIVATIONS
from jaxreg.nn.initializers import INITIAL_SCHEMES
from jaxreg.nn.losses import LOSSES
from jaxreg.nn.optimizers import OPTIMIZERS, SCHEDULES
from jaxreg.nn.regularisers import REGULARISERS, Regulariser
from jaxreg.population.planning import Plan
from jaxreg.runs.own_parts import own_digests
from jaxreg.runs.traced import trace_digest
from jaxreg.training.flax_models import from_linen
from jaxreg.training.models import Model, mlp
from jaxreg.training.problem import Problem
from tests.training_run import experiment, plan

factor = 1.0
X = jnp.ones(3)


@pytest.fixture
def another_factor() -> Iterator[Callable[[], None]]:
    """Changes the number that functions of this module read."""

    def change() -> None:
        global factor
        factor = 2.0

    yield change
    globals()["factor"] = 1.0


def helper(x: Any) -> Any:
    return factor * x


class Scaling:
    def __init__(self, weight: float) -> None:
        self.weight = weight

    def __call__(self, x: Any) -> Any:
        return self.weight * x

    def __repr__(self) -> str:
        return "always the same"


def test_a_changed_global_is_another_function_directly_in_a_helper_and_under_jit(
    another_factor: Callable[[], None],
) -> None:
    functions: list[Callable[[], Callable[..., Any]]] = [
        lambda: lambda x: factor * x,
        lambda: lambda x: helper(x) + 1,
        lambda: jax.jit(lambda x: factor * x),
        lambda: functools.partial(lambda y, x: factor * x + y, 3.0),
    ]
    before = [trace_digest(make(), X) for make in functions]
    assert before == [trace_digest(make(), X) for make in functions]
    another_factor()
    after = [trace_digest(make(), X) for make in functions]
    assert all(one != other for one, other in zip(before, after, strict=True))


def test_the_same_function_object_is_traced_anew(another_factor: Callable[[], None]) -> None:
    before = trace_digest(helper, X)
    another_factor()
    assert trace_digest(helper, X) != before


def test_constants_objects_and_derivatives_count() -> None:
    def rounded(slope: float) -> Callable[..., Any]:
        @jax.custom_vjp
        def function(x: Any) -> Any:
            return jnp.round(x)

        function.defvjp(lambda x: (jnp.round(x), None), lambda _, g: (slope * g,))
        return function

    def backward(slope: float) -> str:
        return trace_digest(jax.grad(lambda x: rounded(slope)(x).sum()), X)

    table = np.arange(3.0)
    assert trace_digest(lambda x: x + jnp.asarray(table), X) != trace_digest(lambda x: x + jnp.asarray(table + 1), X)
    assert trace_digest(Scaling(1.0), X) != trace_digest(Scaling(2.0), X)
    assert backward(1.0) != backward(2.0)
    assert trace_digest(lambda x: jax.pure_callback(lambda y: y + 1, x, x), X) != trace_digest(
        lambda x: jax.pure_callback(lambda y: y + 2, x, x), X
    )
    assert trace_digest(lambda x: x, X) != trace_digest(lambda x: x, jnp.ones(4))


def test_names_comments_and_addresses_do_not_count() -> None:
    @jax.jit
    def one(x: Any) -> Any:
        return jax.nn.relu(x) + jax.nn.gelu(x)

    @jax.jit
    def another(y: Any) -> Any:
        z = jax.nn.relu(y)  # in two steps
        return z + jax.nn.gelu(y)

    assert trace_digest(one, X) == trace_digest(another, X)
    assert trace_digest(jax.grad(lambda x: one(x).sum()), X) == trace_digest(jax.grad(lambda x: another(x).sum()), X)


def test_a_function_that_refers_to_itself() -> None:
    def power(x: Any, n: int = 3) -> Any:
        return x if n == 1 else x * power(x, n - 1)

    assert trace_digest(power, X) == trace_digest(power, X)


# The parts of a run ---------------------------------------------------------------------------------------------------


def digests(
    problem: Problem, given: dict[str, Any] | None = None, watches: tuple[Watch, ...] = (), **asked: Any
) -> dict[str, str]:
    made: Plan = plan(experiment(num_steps=5, **asked), problem=problem, watches=watches)
    return own_digests(made, given or {})


def linen(width: int, scale: float) -> Model:
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x: Any) -> Any:
            return scale * nn.Dense(10)(jnp.tanh(nn.Dense(width)(x)))

    return from_linen(Net())


def test_an_edited_linen_module_of_the_same_name_is_another_model() -> None:
    of = {key: digests(Problem(linen(*key)), {"model": ...}) for key in ((4, 1.0), (5, 1.0), (4, 2.0))}
    assert set(of[4, 1.0]) == {"model"}
    assert len({found["model"] for found in of.values()}) == 3
    assert digests(Problem(linen(4, 1.0)), {"model": ...}) == of[4, 1.0]


def test_what_a_model_says_of_its_layers_counts_where_they_are_watched(another_factor: Callable[[], None]) -> None:
    plain = mlp()

    def trace(params: Any, hparams: Any, inputs: Any, perturbations: Any) -> Any:
        assert plain.trace is not None
        logits, signals, activations = plain.trace(params, hparams, inputs, perturbations)
        return logits, signals, tuple(factor * each for each in activations)

    problem, given = Problem(plain._replace(trace=trace)), {"model": ...}
    before = digests(problem, given, diagnostics=True), digests(problem, given)
    another_factor()
    after = digests(problem, given, diagnostics=True), digests(problem, given)
    assert (before[0] != after[0], before[1] == after[1]) == (True, True)


def test_what_is_handed_over_and_nothing_else_is_digested() -> None:
    def initializer(_key: Any, shape: tuple[int, int], _variance: Any) -> Any:
        return jnp.full(shape, factor)

    def penalty(params: Any, activations: Any, *_: Any) -> Any:
        return factor * (params[0]["bias"].sum() + activations[0].sum())

    def constraint(params: Any, _hparams: Any) -> Any:
        return jax.tree.map(lambda leaf: factor * leaf, params)

    seen = Watch("size", {"size": Variable("1", "", ("check",))}, lambda view: {"size": view.step * factor})
    problem = Problem(mlp(initializer), (penalty,), (constraint,))
    given = {"initializer": initializer, "penalty 0": penalty, "constraint 0": constraint, "watch size": seen.measure}
    before = digests(problem, given, (seen,))
    assert list(before) == list(given)
    assert digests(Problem(), diagnostics=True) == {}
    globals()["factor"] = 2.0
    try:
        after = digests(problem, given, (seen,))
    finally:
        globals()["factor"] = 1.0
    assert all(before[name] != after[name] for name in given)
    assert digests(problem, given, (seen,)) == before


def test_entries_of_tables_are_own_where_they_were_made_or_replaced(
    another_factor: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    own: list[tuple[str, dict[str, Any], str, Any]] = [
        ("activation", ACTIVATIONS, "sigmoid", lambda z: factor * z),
        ("init", INITIAL_SCHEMES, "normal", lambda _key, shape, _variance: jnp.full(shape, factor)),
        ("loss", LOSSES, "cross_entropy", lambda logits, _labels: factor * (logits**2).sum(-1)),
        ("optimizer", OPTIMIZERS, "sgd", lambda: optax.scale(factor)),
        ("schedule", SCHEDULES, "constant", lambda elapsed: factor * jnp.ones_like(elapsed)),
    ]
    for _, table, name, entry in own:
        monkeypatch.setitem(table, name, entry)

    def l2(params: Any, l2_strength: Any) -> Any:
        return factor * l2_strength * params[0]["bias"].sum()

    penalty = Regulariser("l2_strength", 0.0, penalty=l2)
    monkeypatch.setitem(REGULARISERS, "l2", penalty)
    names = [*(f"{kind} {name}" for kind, _, name, _ in own), "regulariser l2"]
    before = digests(Problem(), l2_strength=0.1)
    assert list(before) == names
    another_factor()
    after = digests(Problem(), l2_strength=0.1)
    assert all(before[name] != after[name] for name in names)


def test_all_groups_count(another_factor: Callable[[], None]) -> None:
    """A model that differs for one of the hidden sizes only."""

    def forward(params: Any, hparams: Any, inputs: Any) -> Any:
        scale = factor if hparams.hidden_sizes == (9,) else 1.0
        return inputs @ params * scale, ()

    def init(key: Any, _hparams: Any, _input_shape: tuple[int, ...], num_classes: int) -> Any:
        return jax.random.normal(key, (64, num_classes))

    asked: dict[str, Any] = {"axes": {"hidden_sizes": ((8,), (9,))}}
    problem = Problem(Model(init, forward))
    before = digests(problem, {"model": ...}, **asked)
    another_factor()
    assert digests(problem, {"model": ...}, **asked) != before


def test_other_own_data_are_not_resumed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 4)), np.arange(20) % 3
    asked = experiment(batch_size=5, num_steps=2, run=jaxreg.RunConfig(workdir=str(tmp_path), report=False))
    again = dataclasses.replace(asked, run=dataclasses.replace(asked.run, resume=True))

    def data(labels: Any = y, **how: Any) -> jaxreg.Data:
        return jaxreg.from_arrays((x, labels), (x, labels), (x, labels), **how)

    jaxreg.run(asked, data=data())
    jaxreg.run(again, data=data(num_classes=3, class_names=("0", "1", "2"), name="under another name"))
    for other in (data(num_classes=4), data(class_names=("a", "b", "c")), data((y + 1) % 3)):
        with pytest.raises(
            jaxreg.RunFolderError, match=r"another configuration \(other data: SHA-256 .*… there, .*… h"
        ):
            jaxreg.run(again, data=other)
