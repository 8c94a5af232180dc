from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxreg.config import FIELDS, Hparams
from jaxreg.nn.optimizers import OPTIMIZERS, SCHEDULES
from jaxreg.training.optimizers import make_optimizer, make_schedule

STEPS = 6
PARAMS = {
    "weights": np.array([[1.0, -2.0], [0.5, 3.0], [-1.5, 0.0]], np.float32),
    "bias": np.array([0.3, -0.7], np.float32),
}
_rng = np.random.default_rng(0)
GRADS = {name: _rng.normal(size=(STEPS, *leaf.shape)).astype(np.float32) for name, leaf in PARAMS.items()}
SETTINGS: dict[str, dict[str, float]] = {
    "sgd": {},
    "momentum": {"momentum": 0.8},
    "nesterov": {"momentum": 0.8},
    "adam": {"beta1": 0.85, "beta2": 0.98},
    "adamw": {"beta1": 0.85, "beta2": 0.98, "weight_decay": 0.3},
    "rmsprop": {"beta2": 0.9, "momentum": 0.5},
}

every_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)


def hparams(name: str, **fields: Any) -> Hparams:
    values: dict[str, Any] = {"optimizer": name, "learning_rate": 0.2, "num_steps": 100} | SETTINGS[name]
    return Hparams(**(values | fields))


def follow(settings: Hparams, params: Any = PARAMS) -> Any:
    """The parameters after the updates by the gradients GRADS."""
    optimizer = make_optimizer(settings)
    state = optimizer.init(params)
    for step in range(STEPS):
        updates, state = optimizer.update({name: grads[step] for name, grads in GRADS.items()}, state, params)
        params = optax.apply_updates(params, updates)
    return params


def recursion(settings: Hparams, w: np.ndarray, grads: np.ndarray, decay: float) -> np.ndarray:
    """The same for one array, as the papers write it, in double precision."""
    mu, beta1, beta2 = settings.momentum, settings.beta1, settings.beta2
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, g in enumerate(grads, start=1):
        match settings.optimizer:
            case "sgd":
                direction = g
            case "momentum":  # Polyak 1964
                direction = m = mu * m + g
            case "nesterov":  # Sutskever et al. 2013
                m = mu * m + g
                direction = g + mu * m
            case "adam" | "adamw":  # Kingma & Ba 2015, algorithm 1; Loshchilov & Hutter 2019
                m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
                direction = m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + 1e-8)
            case "rmsprop":  # Tieleman & Hinton 2012, with momentum on the scaled gradient
                v = beta2 * v + (1 - beta2) * g**2
                direction = m = mu * m + g / np.sqrt(v + 1e-8)
            case other:
                raise AssertionError(other)
        w = w - settings.learning_rate * (direction + decay * w)
    return w


def test_the_tables_have_the_names_that_flags_take() -> None:
    for chooser, names in (("optimizer", SETTINGS), ("schedule", SCHEDULES)):
        assert FIELDS[chooser].metadata["rule"].allowed == f"must be one of {', '.join(names)}"
    assert tuple(OPTIMIZERS) == tuple(SETTINGS)


@every_optimizer
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_updates_follow_the_recursion_and_only_weights_decay(name: str, weight_decay: float) -> None:
    settings = hparams(name, weight_decay=weight_decay)
    for leaf, params in follow(settings).items():
        decay = weight_decay if leaf == "weights" else 0.0
        w, grads = (np.asarray(values, np.float64) for values in (PARAMS[leaf], GRADS[leaf]))
        np.testing.assert_allclose(params, recursion(settings, w, grads, decay), rtol=2e-5, atol=1e-6)


@every_optimizer
def test_traced_hyperparameters_under_vmap_are_a_loop(name: str) -> None:
    columns = {"learning_rate": [0.01, 0.3, 1.0], "momentum": [0.0, 0.5, 0.9], "beta1": [0.0, 0.9, 0.5]}
    columns |= {"beta2": [0.5, 0.999, 0.9], "weight_decay": [0.1, 0.0, 0.02], "warmup_steps": [0.0, 2.0, 9.0]}
    stacked = hparams(name, **{field: jnp.array(values) for field, values in columns.items()})
    mapped = jax.jit(jax.vmap(follow))(jax.tree.map(lambda leaf: jnp.broadcast_to(jnp.asarray(leaf), (3,)), stacked))
    for i in range(3):
        alone = follow(hparams(name, **{field: values[i] for field, values in columns.items()}))
        for leaf in PARAMS:
            np.testing.assert_allclose(mapped[leaf][i], alone[leaf], rtol=1e-4, atol=5e-5)


@pytest.mark.parametrize("name", ["momentum", "nesterov"])
def test_no_momentum_is_sgd(name: str) -> None:
    plain, without = follow(hparams("sgd")), follow(hparams(name, momentum=0.0))
    for leaf in PARAMS:
        np.testing.assert_array_equal(without[leaf], plain[leaf])


def test_adam_with_weight_decay_is_adamw() -> None:
    adam, adamw = (follow(hparams(name, weight_decay=0.3)) for name in ("adam", "adamw"))
    for leaf in PARAMS:
        np.testing.assert_array_equal(adam[leaf], adamw[leaf])


@pytest.mark.parametrize("name", ["adam", "adamw", "rmsprop"])
def test_the_first_step_does_not_depend_on_the_size_of_the_gradient(name: str) -> None:
    # Adam: m/sqrt(v) = sign(g) after bias correction. RMSProp has no correction: sign(g)/sqrt(1 - beta2).
    optimizer = make_optimizer(hparams(name, weight_decay=0.0, beta2=0.75, momentum=0.0))
    grads = {"weights": jnp.array([[3.0, -0.5], [7.0, -7.0], [1.0, 2.0]]), "bias": jnp.array([10.0, -0.2])}
    updates, _ = optimizer.update(grads, optimizer.init(PARAMS), PARAMS)
    for leaf, update in updates.items():
        np.testing.assert_allclose(update, -0.2 * np.sign(grads[leaf]) * (2 if name == "rmsprop" else 1), rtol=1e-5)


@every_optimizer
def test_an_update_of_nothing_changes_nothing_and_a_zero_gradient_is_harmless(name: str) -> None:
    optimizer = make_optimizer(hparams(name, weight_decay=0.0))
    updates, _ = optimizer.update(jax.tree.map(jnp.zeros_like, PARAMS), optimizer.init(PARAMS), PARAMS)
    for update in updates.values():
        np.testing.assert_array_equal(update, jnp.zeros_like(update))


@every_optimizer
def test_state_keeps_tree_shapes_and_dtypes(name: str) -> None:
    optimizer = make_optimizer(hparams(name))
    before = optimizer.init(PARAMS)
    _, after = optimizer.update(PARAMS, before, PARAMS)
    assert str(jax.tree.structure(before)) == str(jax.tree.structure(after))
    for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)


@every_optimizer
def test_a_gradient_of_another_tree_or_shape_raises(name: str) -> None:
    optimizer = make_optimizer(hparams(name))
    for wrong in ({"weights": PARAMS["weights"]}, PARAMS | {"weights": np.zeros((3, 3), np.float32)}):
        with pytest.raises((TypeError, ValueError)):
            optax.apply_updates(PARAMS, optimizer.update(wrong, optimizer.init(PARAMS), PARAMS)[0])


# Rates at 0.4 to begin with, by hand from the formulas of make_schedule.
@pytest.mark.parametrize(
    ("fields", "rates"),
    [
        ({"schedule": "constant"}, {0: 0.4, 1: 0.4, 99: 0.4}),
        ({"schedule": "constant", "warmup_steps": 4}, {0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4, 4: 0.4, 50: 0.4}),
        ({"schedule": "constant", "warmup_steps": 1}, {0: 0.4, 1: 0.4}),
        ({"schedule": "inverse_time", "decay_steps": 10}, {0: 0.4, 10: 0.2, 30: 0.1, 90: 0.04}),
        ({"schedule": "inverse_time"}, {0: 0.4, 50: 0.4 / 1.5, 100: 0.2}),
        ({"schedule": "inverse_time", "decay_steps": 1, "warmup_steps": 2}, {0: 0.2, 1: 0.4, 2: 0.4, 3: 0.2, 5: 0.1}),
        ({"schedule": "exponential", "decay_steps": 10}, {0: 0.4, 10: 0.04, 20: 0.004, 5: 0.4 / math.sqrt(10)}),
        ({"schedule": "exponential", "decay_rate": 0.25}, {0: 0.4, 50: 0.2, 100: 0.1}),
        ({"schedule": "exponential", "decay_rate": 1.0}, {0: 0.4, 77: 0.4}),
        ({"schedule": "cosine"}, {0: 0.4, 50: 0.2, 100: 0.0}),
        ({"schedule": "cosine", "decay_steps": 60}, {20: 0.3, 30: 0.2, 40: 0.1, 60: 0.0, 99: 0.0}),
        ({"schedule": "cosine", "warmup_steps": 20}, {9: 0.2, 19: 0.4, 20: 0.4, 60: 0.2, 100: 0.0}),
    ],
    ids=lambda value: ",".join(f"{k}={v}" for k, v in value.items()) if "schedule" in value else "",
)
def test_schedules_have_their_closed_forms(fields: dict[str, Any], rates: dict[int, float]) -> None:
    schedule = make_schedule(Hparams(learning_rate=0.4, num_steps=100, **fields))
    for step, rate in rates.items():
        np.testing.assert_allclose(schedule(step), rate, rtol=1e-5, atol=1e-7)


def test_a_warm_up_as_long_as_training_leaves_no_steps_to_decay() -> None:
    schedule = make_schedule(Hparams(learning_rate=0.4, num_steps=10, warmup_steps=10.0, schedule="cosine"))
    np.testing.assert_allclose([schedule(t) for t in range(10)], 0.04 * np.arange(1, 11), rtol=1e-5)


@pytest.mark.parametrize("name", SCHEDULES)
def test_traced_schedules_under_jit_and_vmap_are_a_loop(name: str) -> None:
    steps = jnp.arange(0, 40, 7)
    columns = {"learning_rate": [0.1, 1.0, 2.0], "decay_steps": [0.0, 5.0, 30.0], "warmup_steps": [0.0, 3.0, 10.0]}
    columns |= {"decay_rate": [0.5, 0.1, 1.0]}

    def rates(values: dict[str, Any]) -> Any:
        return make_schedule(Hparams(schedule=name, num_steps=40, **values))(steps)

    mapped = jax.jit(jax.vmap(rates))({field: jnp.array(values) for field, values in columns.items()})
    for i in range(3):
        np.testing.assert_allclose(
            mapped[i], rates({field: values[i] for field, values in columns.items()}), rtol=1e-5, atol=1e-7
        )


def test_the_first_update_takes_the_rate_of_step_zero() -> None:
    optimizer = make_optimizer(hparams("sgd", warmup_steps=4.0))
    state, seen = optimizer.init(PARAMS), []
    for _ in range(5):
        updates, state = optimizer.update(jax.tree.map(jnp.ones_like, PARAMS), state, PARAMS)
        seen.append(-updates["bias"][0])
    np.testing.assert_allclose(seen, [0.05, 0.1, 0.15, 0.2, 0.2], rtol=1e-6)
