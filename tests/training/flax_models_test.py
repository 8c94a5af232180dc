"""Flax modules as models: trained as plain Flax and Optax train them, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import jaxreg
from jaxreg.errors import ConfigError
from jaxreg.nn.losses import cross_entropy
from jaxreg.training.flax_models import from_linen, from_nnx
from jaxreg.training.models import Model
from jaxreg.training.state import DROPOUT, INIT, member_key
from tests.flax_modules import BatchNormed, Convolutional, Dense, NnxBatchNormed, NnxDense, Residual
from tests.trajectory import batches

STEPS, BATCH = 100, 16
RATE = 0.3  # of dropout, where it is swept


def experiment(**hparams: Any) -> jaxreg.Experiment:
    shared: dict[str, Any] = {"num_steps": STEPS, "batch_size": BATCH, "learning_rate": 0.1}
    return jaxreg.Experiment(hparams=jaxreg.Hparams(**(shared | hparams)), eval_every=STEPS)


Loop = Callable[[Any, Any, Any, Any, jax.Array], tuple[jax.Array, Any]]


def plain_linen(module: nn.Module, shape: tuple[int, ...], training: dict[str, Any], **arguments: Any) -> list[float]:
    """The losses of a Linen module trained by Optax in a loop, as its documentation trains one."""
    evaluation: dict[str, Any] = {name: not value for name, value in training.items()}
    variables = module.init(member_key(0, 0, INIT), jnp.zeros((1, *shape)), **evaluation, **arguments)
    params, carried = variables["params"], {name: value for name, value in variables.items() if name != "params"}

    def loss(params: Any, carried: Any, inputs: Any, labels: Any, key: jax.Array) -> tuple[jax.Array, Any]:
        rngs = {"params": key, "dropout": key}
        logits, carried = module.apply(
            {"params": params, **carried}, inputs, **training, **arguments, rngs=rngs, mutable=list(carried)
        )
        return cross_entropy(logits, labels).mean(), carried

    return loop(loss, params, carried, shape)


def plain_nnx(make: Callable[..., Any], apply: Callable[[Any, Any, jax.Array], Any]) -> list[float]:
    """The losses of an NNX module trained by Optax in a loop; `apply` takes module, inputs and the key of the step."""
    module = make(nnx.Rngs(member_key(0, 0, INIT)))
    module.train()
    parts: Any = nnx.split(module, nnx.Param, nnx.RngState, ...)
    definition, params, random, carried = parts

    def loss(params: Any, carried: Any, inputs: Any, labels: Any, key: jax.Array) -> tuple[jax.Array, Any]:
        module = nnx.merge(definition, params, random, carried, copy=True)
        logits = apply(module, inputs, key)
        after: Any = nnx.split(module, nnx.Param, nnx.RngState, ...)
        return cross_entropy(logits, labels).mean(), after[3]

    return loop(loss, params, carried, (64,))


def dropped(module: NnxDense, inputs: Any, key: jax.Array) -> jax.Array:
    """An NnxDense with the mask that the first draw from the second variable of its stream gives."""
    key = jax.random.fold_in(jax.random.fold_in(key, 1), 0)
    logits: jax.Array = module.last(module.dropout(nnx.relu(module.first(inputs)), rngs=key))
    return logits


def loop(loss: Loop, params: Any, carried: Any, shape: tuple[int, ...]) -> list[float]:
    optimizer = optax.sgd(0.1)
    state, losses = optimizer.init(params), []
    noise = member_key(0, 0, DROPOUT)

    @jax.jit
    def step(params: Any, carried: Any, state: Any, inputs: Any, labels: Any, number: Any) -> Any:
        key = jax.random.fold_in(noise, number)
        (value, carried), grads = jax.value_and_grad(loss, has_aux=True)(params, carried, inputs, labels, key)
        updates, state = optimizer.update(grads, state)
        return optax.apply_updates(params, updates), carried, state, value

    for number, (inputs, labels) in enumerate(zip(*batches(BATCH, STEPS), strict=True)):
        inputs = inputs.reshape(BATCH, *shape)
        params, carried, state, value = step(params, carried, state, inputs, labels, jnp.int32(number))
        losses.append(float(value))
    return losses


MODULES: dict[str, tuple[Model, dict[str, Any], Callable[[], list[float]]]] = {
    "Linen with dropout": (from_linen(Dense()), {}, lambda: plain_linen(Dense(), (64,), {"deterministic": False})),
    "Linen, convolutional, with its own dropout": (
        from_linen(Convolutional(), flat=False),
        {"dropout_rate": RATE},
        lambda: plain_linen(Convolutional(), (8, 8, 1), {"train": True}, dropout_rate=RATE),
    ),
    "Linen with batch norm": (
        from_linen(BatchNormed()),
        {},
        lambda: plain_linen(BatchNormed(), (64,), {"train": True}),
    ),
    "Linen, residual, with batch norm": (
        from_linen(Residual(), flat=False),
        {},
        lambda: plain_linen(Residual(), (8, 8, 1), {"train": True}),
    ),
    "NNX with dropout": (from_nnx(NnxDense), {}, lambda: plain_nnx(NnxDense, dropped)),
    "NNX with batch norm": (
        from_nnx(NnxBatchNormed),
        {},
        lambda: plain_nnx(NnxBatchNormed, lambda module, inputs, _: module(inputs)),
    ),
}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_trains_as_plain_flax_and_optax_train_it(name: str) -> None:
    model, hparams, plain = MODULES[name]
    results = jaxreg.run(experiment(**hparams), model=model)
    np.testing.assert_allclose(results["train_loss"].values[0], plain(), rtol=1e-4)
    assert results["train_loss"].values[0, -1] < results["train_loss"].values[0, 0]


def test_batch_statistics_are_frozen_in_evaluation_and_kept_with_the_parameters() -> None:
    model = from_linen(BatchNormed())
    params = model.init(jax.random.key(0), jaxreg.Hparams(), (64,), 10)
    inputs = jax.random.normal(jax.random.key(1), (32, 64))
    assert model.train_forward is not None
    _, _, carried = model.train_forward(params, jaxreg.Hparams(), inputs, jax.random.key(2))
    assert jnp.abs(carried["batch_stats"]["BatchNorm_0"]["mean"]).max() > 1e-3
    alone = model.forward(params, jaxreg.Hparams(), inputs[:1])[0]
    np.testing.assert_allclose(alone, model.forward(params, jaxreg.Hparams(), inputs)[0][:1], atol=1e-5)


def test_penalties_and_decay_leave_statistics_alone() -> None:
    seen = []

    def penalty(params: Any, *_: Any) -> jax.Array:
        seen.append(set(params))
        return jnp.zeros(())

    jaxreg.run(experiment(num_steps=2, weight_decay=0.5), model=from_linen(BatchNormed()), penalties=[penalty])
    assert set().union(*seen) == {"params"}


class _Drawing(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.Dense(10)(nn.Dropout(0.5, deterministic=False)(x))


class _Carrying(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.Dense(10)(nn.BatchNorm(use_running_average=False)(x))


class _Reading(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array, slope: jax.Array) -> jax.Array:
        return nn.Dense(10)(x * slope)


@pytest.mark.parametrize(
    ("module", "hparams", "message"),
    [
        (_Carrying(), {}, r"^--model=_Carrying: carries batch_stats, which evaluation does not use as training does; "),
        (_Drawing(), {}, r"^--model=_Drawing: draws random numbers in evaluation; give its __call__ a parameter train"),
        (_Reading(), {}, r"^--model=_Reading: reads slope, which is no hyperparameter; jaxreg.add_hyperparameter"),
        (
            nn.Sequential([nn.Dense(10), lambda x: x.reshape(7, 7)]),
            {},
            r"^--model=own model: fails on examples of 8x8 numb",
        ),
        (BatchNormed(), {"dropout_rate": 0.5}, r"^--dropout_rate=0.5: this model does not read dropout_rate"),
    ],
)
def test_a_module_that_cannot_be_trained_as_asked_is_refused(module: Any, hparams: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        jaxreg.run(experiment(**hparams), model=from_linen(module))


def test_sizes_may_be_hyperparameters_of_a_module() -> None:
    model = from_linen(lambda hidden_sizes: nn.Sequential([*map(nn.Dense, hidden_sizes), nn.Dense(10)]))
    shapes = [
        jax.tree.map(jnp.shape, model.init(jax.random.key(0), jaxreg.Hparams(hidden_sizes=sizes), (64,), 10))
        for sizes in ((5,), (6, 7))
    ]
    assert [len(shape["params"]) for shape in shapes] == [2, 3]
    assert shapes[0]["params"]["layers_0"]["kernel"] == (64, 5)


def test_sizes_may_be_hyperparameters_of_a_class_of_nnx() -> None:
    class Net(nnx.Module):
        def __init__(self, rngs: nnx.Rngs, hidden_sizes: tuple[int, ...]) -> None:
            self.first = nnx.Linear(64, *hidden_sizes, rngs=rngs)

    shapes = [
        jax.eval_shape(
            lambda sizes=sizes: from_nnx(Net).init(jax.random.key(0), jaxreg.Hparams(hidden_sizes=sizes), (64,), 10)
        )
        for sizes in ((5,), (6,))
    ]
    assert [shape["params"]["first"]["kernel"].shape for shape in shapes] == [(64, 5), (64, 6)]
