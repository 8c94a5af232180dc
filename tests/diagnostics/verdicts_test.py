from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from jaxreg.config import DataConfig, Hparams
from jaxreg.data import load
from jaxreg.diagnostics.probe import diagnose
from jaxreg.diagnostics.variables import QUANTITIES, VARIABLES
from jaxreg.diagnostics.verdicts import RULES, VERDICTS, diagnosis
from jaxreg.nn.losses import cross_entropy
from jaxreg.theory.meanfield import predict
from jaxreg.training.models import mlp
from jaxreg.training.optimizers import make_optimizer
from jaxreg.training.problem import Problem

MODEL, PROBLEM = mlp(), Problem()
FEATURES, CLASSES, EXAMPLES = 20, 10, 200
DEEP = (32,) * 5
CHECKS = 3
RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(EXAMPLES, FEATURES)).astype(np.float32)
LABELS = RNG.integers(CLASSES, size=EXAMPLES)


@functools.partial(jax.jit, static_argnames="settings")
def measure(params: Any, initial: Any, settings: Hparams, inputs: jax.Array, labels: jax.Array) -> dict[str, jax.Array]:
    """The diagnostics of many checks or networks at once: the leading axis of `params` and `initial`."""

    def one(params: Any, initial: Any) -> dict[str, jax.Array]:
        opt_state = make_optimizer(settings).init(params)
        return diagnose(params, opt_state, initial, settings, PROBLEM, inputs, labels, 0, histograms=False)

    return jax.vmap(one)(params, initial)


def verdicts(
    checks: Sequence[Any], settings: Hparams, inputs: np.ndarray = INPUTS, labels: np.ndarray = LABELS
) -> np.ndarray:
    """The verdicts [check, layer] on parameters at equally spaced checks, the first of them before the first step."""
    filled = [*checks, *[checks[-1]] * (CHECKS - len(checks))]  # to one shape, which is compiled once
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *filled)
    initial = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[:1], leaf.shape), stacked)
    values = measure(stacked, initial, settings, jnp.asarray(inputs), jnp.asarray(labels))
    results = xr.Dataset(
        {name: (VARIABLES[name].dims, np.asarray(value)) for name, value in values.items()},
        {"check_step": ("check", 100 * np.arange(len(filled))), "num_steps": 100 * len(filled)},
    )
    return np.array(VERDICTS)[diagnosis(results).values[: len(checks)]]


def settings_of(activation: str, hidden_sizes: tuple[int, ...] = DEEP) -> Hparams:
    return Hparams(hidden_sizes=hidden_sizes, activation=activation)


def drawn(settings: Hparams, init: str, variance: float, key: int = 0, features: int = FEATURES) -> Any:
    drawing = replace(settings, init=init, init_variance=variance)
    return MODEL.init(jax.random.key(key), drawing, (features,), CLASSES)


@functools.partial(jax.jit, static_argnames="settings")
def train(params: Any, settings: Hparams, rate: float, inputs: jax.Array, labels: jax.Array, steps: jax.Array) -> Any:
    """Gradient descent on batches of 100 examples."""

    def loss(params: Any, rows: jax.Array) -> jax.Array:
        return jnp.mean(cross_entropy(MODEL.forward(params, settings, inputs[rows])[0], labels[rows]))

    def step(params: Any, number: jax.Array) -> tuple[Any, None]:
        rows = jax.random.randint(jax.random.key(number), (100,), 0, len(labels))
        return jax.tree.map(lambda p, g: p - rate * g, params, jax.grad(loss)(params, rows)), None

    return jax.lax.scan(step, params, steps)[0]


def trained(
    params: Any, settings: Hparams, rate: float, inputs: Any, labels: Any, checks: int = CHECKS, every: int = 20
) -> list[Any]:
    """The parameters at each check."""
    found = [params]
    for check in range(1, checks):
        found.append(train(found[-1], settings, rate, inputs, labels, (check - 1) * every + jnp.arange(every)))
    return found


def test_a_deep_sigmoid_stack_of_small_variance_vanishes_where_theory_says() -> None:
    settings = settings_of("sigmoid")
    widths, variance = (FEATURES, *DEEP, CLASSES), 0.015
    back = predict(1.0, widths, [variance] * 6, "sigmoid").backpropagated
    assert (back < 1e-6 / 4).tolist() == [True, True, *[False] * 4]  # 1e-3 of a root mean square is the threshold
    assert (back > 1e-6 * 4).tolist() == [False, False, *[True] * 4]
    found = verdicts([drawn(settings, "normal", variance, key) for key in range(CHECKS)], settings)
    np.testing.assert_array_equal(found[0], np.where(back < 1e-6, "vanishing", "healthy"))
    assert (found == found[:1]).all()


def test_a_relu_stack_of_variance_far_above_he_explodes_in_every_layer() -> None:
    settings = settings_of("relu")
    networks = [drawn(settings, "he", 200.0, key) for key in range(CHECKS)]
    assert (verdicts(networks, settings) == "exploding").all()


def test_numbers_beyond_float32_explode() -> None:
    settings = settings_of("relu")
    assert (verdicts([drawn(settings, "he", 1e16)], settings) == "exploding").all()


def test_relu_units_with_negative_biases_are_dead() -> None:
    settings = settings_of("relu")
    params = [layer | {"bias": layer["bias"] + 0.1} for layer in drawn(settings, "he", 1.0)]
    params[1] |= {"bias": params[1]["bias"] - 100}
    found = verdicts([tuple(params)], settings)[0].tolist()
    assert found == ["vanishing", "dead", *["healthy"] * 4]  # nothing comes back through the dead layer
    params = [layer | {"bias": layer["bias"] - 100} for layer in params]
    assert verdicts([tuple(params)], settings)[0].tolist() == [*["dead"] * 5, "healthy"]


def pictures(examples: int = EXAMPLES) -> np.ndarray:
    """Like MNIST: 784 features, most of them 0, a margin of 4 pixels in no example anything else."""
    rng = np.random.default_rng(0)
    grey = rng.random((examples, 28, 28)) * (rng.random((examples, 28, 28)) < 0.3)
    grey[:, :4], grey[:, -4:], grey[:, :, :4], grey[:, :, -4:] = 0, 0, 0, 0
    return grey.reshape(examples, 784).astype(np.float32)


def test_a_sigmoid_layer_of_variance_two_on_pictures_is_saturated() -> None:
    settings = settings_of("sigmoid", (16,))
    inputs = pictures()
    start = drawn(settings, "normal", 2.0, features=784)
    checks = trained(start, settings, 0.1, jnp.asarray(inputs), jnp.asarray(LABELS))
    found = verdicts(checks, settings, inputs)
    assert (found[:, 0] == "saturated").all()
    assert (found[:, 1] == "healthy").all()
    small = drawn(settings, "normal", 0.01, features=784)
    assert (verdicts([small] * 3, settings, inputs)[0] == "healthy").all()


def test_weights_blown_up_by_the_rate_are_saturated_too() -> None:
    settings = settings_of("tanh")
    start = drawn(settings, "lecun", 1.0)
    blown_up = jax.tree.map(lambda leaf: 1000 * leaf, start)
    found = verdicts([start, blown_up], settings)
    assert (found[0] == "healthy").all()
    assert set(found[1, :-1].tolist()) <= {"saturated", "exploding"}


def test_weights_that_do_not_move_are_frozen_but_not_before_the_first_step() -> None:
    settings, inputs, labels = settings_of("tanh"), jnp.asarray(INPUTS), jnp.asarray(LABELS)
    start = drawn(settings, "lecun", 1.0)
    still = verdicts(trained(start, settings, 1e-7, inputs, labels), settings)
    assert (still[0] == "healthy").all()
    assert (still[1:] == "frozen").all()
    moving = trained(start, settings, 0.1, inputs, labels)
    assert (verdicts(moving, settings) == "healthy").all()
    held = [(start[0], *params[1:]) for params in moving]
    found = verdicts(held, settings)
    assert (found[1:, 0] == "frozen").all()
    assert (found[:, 1:] == "healthy").all()


@pytest.mark.parametrize(("activation", "init"), [("relu", "he"), ("tanh", "lecun")])
def test_good_initialisations_are_healthy(activation: str, init: str) -> None:
    settings = settings_of(activation)
    for key in range(5):
        checks = [drawn(settings, init, 1.0, key)] * 3
        assert (verdicts(checks, settings)[0] == "healthy").all()


def test_the_network_of_the_learning_rate_sweep_is_healthy_while_it_learns() -> None:
    """One sigmoid layer of 11 units, from a slow rate to one at which its units end up confident."""
    data, settings = load(DataConfig(dataset="digits")).train, settings_of("sigmoid", (11,))
    inputs, labels = np.asarray(data.inputs), np.asarray(data.labels)
    start = drawn(settings, "normal", 0.01, features=64)
    for rate in (0.001, 0.1, 1.0, 3.0):
        checks = trained(start, settings, rate, jnp.asarray(inputs), jnp.asarray(labels), 6, 400)
        assert (verdicts(checks, settings, inputs, labels) == "healthy").all(), rate


def test_softmax_regression_from_zero_is_healthy() -> None:
    settings, inputs = settings_of("sigmoid", ()), pictures()
    start = drawn(settings, "zeros", 1.0, features=784)
    checks = trained(start, settings, 0.1, jnp.asarray(inputs), jnp.asarray(LABELS))
    assert (verdicts(checks, settings, inputs) == "healthy").all()


def healthy(**coordinates: Any) -> xr.Dataset:
    """Made-up statistics of a healthy network: 2 seeds, 3 checks, 3 layers."""
    shape = (2, 3, 3)
    values = {f"{name}_{moment}": 1.0 for name in QUANTITIES for moment in ("mean", "std")}
    values |= {"gradient_norm": 1.0, "update_ratio": 1e-3, "relative_change": 0.5}
    hidden = dict.fromkeys(("saturated_fraction", "dead_fraction", "distinct_units"), 0.1)
    results = xr.Dataset(
        {name: (("seed", "check", "layer"), np.full(shape, value, np.float32)) for name, value in values.items()},
        {"check_step": ("check", [0, 50, 100]), "num_steps": 100, "layer": [1, 2, 3]} | coordinates,
    )
    for name, value in hidden.items():
        results[name] = xr.full_like(results["weights_std"], value).where(results["layer"] < 3)
    results["relative_change"][:, 0] = 0
    return results


def codes(results: xr.Dataset) -> np.ndarray:
    return diagnosis(results).transpose("seed", "check", "layer").values


def test_codes_and_attributes() -> None:
    found = diagnosis(healthy())
    assert found.dtype == np.int8
    assert found.dims == ("seed", "check", "layer")
    assert found.attrs["flag_meanings"].split() == list(VERDICTS)
    np.testing.assert_array_equal(found.attrs["flag_values"], range(6))
    assert found.attrs["flag_values"].dtype == np.int8
    assert (found == 0).all()
    assert {rule.verdict for rule in RULES} == set(VERDICTS) - {"healthy"}
    assert all(rule.condition and rule.source for rule in RULES)


CASES = [
    ("exploding", {"pre_activations_std": 1001.0}, {"pre_activations_std": 999.0}),
    ("exploding", {"backpropagated_mean": 1500.0}, {"backpropagated_mean": 1400.0}),
    ("exploding", {"gradient_norm": np.inf}, {"update_ratio": np.inf}),
    ("exploding", {"activations_mean": np.nan}, {"distinct_units": np.nan}),
    ("dead", {"dead_fraction": 0.51}, {"dead_fraction": 0.5}),
    ("saturated", {"saturated_fraction": 0.51}, {"saturated_fraction": 0.5}),
    (
        "saturated",
        {"saturated_fraction": 0.91, "relative_change": 1.5},
        {"saturated_fraction": 0.89, "relative_change": 1.5},
    ),
    (
        "vanishing",
        {"backpropagated_mean": 0.0, "backpropagated_std": 1.4e-3},
        {"backpropagated_mean": 0.0, "backpropagated_std": 1.5e-3},
    ),
    ("frozen", {"relative_change": 4.9e-4}, {"relative_change": 5.1e-4}),
    ("frozen", {"relative_change": 0.0}, {"relative_change": np.inf}),
]


@pytest.mark.parametrize(("verdict", "sick", "well"), CASES)
def test_a_rule_holds_beyond_its_threshold_only(verdict: str, sick: dict[str, float], well: dict[str, float]) -> None:
    """At the second of three checks, half-way through training."""
    for changes, expected in ((sick, VERDICTS.index(verdict)), (well, 0)):
        results = healthy()
        for name, value in changes.items():
            results[name][1, 1, 0] = value
        found = codes(results)
        assert found[1, 1, 0] == expected
        found[1, 1, 0] = 0
        assert (found == 0).all()


def test_the_most_severe_verdict_is_given() -> None:
    results, found = healthy(), []
    results["relative_change"][:] = 0.0
    found.append(codes(results)[0, 1, 0])
    results["backpropagated_mean"][..., 0] = results["backpropagated_std"][..., 0] = 0.0
    found.append(codes(results)[0, 1, 0])
    for name in ("saturated_fraction", "dead_fraction"):
        results[name][:] = 1.0
        found.append(codes(results)[0, 1, 0])
    results["gradient_norm"][:] = np.inf
    found.append(codes(results)[0, 1, 0])
    assert [VERDICTS[code] for code in found] == ["frozen", "vanishing", "saturated", "dead", "exploding"]


def test_nothing_is_said_of_what_was_not_measured() -> None:
    results = healthy()
    for name in results.data_vars:
        results[name][0, 2] = np.nan  # halted
        results[name][1, :, 2] = np.nan  # a network of two layers
    results["saturated_fraction"][1, :, 1] = np.nan
    found = codes(results)
    assert (found[0, 2] == -1).all()
    assert (found[1, :, 2] == -1).all()
    assert (found == -1).sum() == 6


def test_the_output_layer_is_the_last_that_a_network_has() -> None:
    results = healthy()
    for name in results.data_vars:
        results[name][1, :, 2] = np.nan
    results["backpropagated_std"][:, :, 1] = results["backpropagated_mean"][:, :, 1] = 2e3
    found = codes(results)
    assert (found[0] == [0, VERDICTS.index("exploding"), 0]).all()
    assert (found[1] == [VERDICTS.index("vanishing"), 0, -1]).all()


def test_settings_may_differ_in_length() -> None:
    """Half-way through 100 steps the weights of one setting are too slow; those of the other have 1000 steps left."""
    one = healthy()
    one["relative_change"][:] = 3e-4
    lengths = xr.DataArray([100, 1000], dims="num_steps", name="num_steps")
    both = one.drop_vars("num_steps").expand_dims(num_steps=lengths.values)
    found = diagnosis(both)
    assert found.dims == both["weights_std"].dims
    frozen = VERDICTS.index("frozen")
    assert (found.sel(num_steps=100, check=1) == frozen).all()
    assert (found.sel(num_steps=1000, check=1) == 0).all()
    assert (found.sel(check=0) == 0).all()
