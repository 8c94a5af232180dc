from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from jax.test_util import check_grads

from jaxreg.config import FIELDS, Hparams
from jaxreg.nn.activations import ACTIVATIONS
from jaxreg.nn.initializers import INITIAL_SCHEMES
from jaxreg.nn.trees import weights_mask
from jaxreg.training.flax_models import from_linen
from jaxreg.training.models import mlp

MODEL = mlp()
FORMULAS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "softsign": lambda x: x / (1 + np.abs(x)),
    "relu": lambda x: np.maximum(x, 0),
    "gelu": lambda x: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "identity": lambda x: x,
}
INPUTS: Any = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
N = 4  # features, units and classes where parameters are drawn: layers of one shape share their compiled draws


def hparams(**fields: Any) -> Hparams:
    values: dict[str, Any] = {"hidden_sizes": (N,), "activation": "tanh", "init_variance": 1.0}
    return Hparams(**(values | fields))


def drawn(**fields: Any) -> Any:
    return MODEL.init(jax.random.key(0), hparams(**fields), (N,), N)


def random_params(hidden_sizes: tuple[int, ...] = (4,)) -> Any:
    """Parameters for INPUTS and three classes, with biases that are not zero."""
    rng = np.random.default_rng(1)
    return tuple(
        {"weights": rng.normal(size=shape).astype(np.float32), "bias": rng.normal(size=shape[1]).astype(np.float32)}
        for shape in itertools.pairwise((6, *hidden_sizes, 3))
    )


def test_the_table_has_the_names_that_flags_take() -> None:
    assert tuple(ACTIVATIONS) == tuple(FORMULAS)
    assert FIELDS["activation"].metadata["rule"].allowed == f"must be one of {', '.join(FORMULAS)}"


@pytest.mark.parametrize("hidden_sizes", [(), (4,), (7, 4, 2)], ids=len)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_forward_is_the_formula(activation: str, hidden_sizes: tuple[int, ...]) -> None:
    params = random_params(hidden_sizes)
    logits, activations = MODEL.forward(params, hparams(activation=activation, hidden_sizes=hidden_sizes), INPUTS)

    *hidden, output = params
    a, expected = INPUTS.astype(np.float64), []
    for layer in hidden:
        a = FORMULAS[activation](a @ layer["weights"] + layer["bias"])
        expected.append(a)
    np.testing.assert_allclose(logits, a @ output["weights"] + output["bias"], rtol=1e-4, atol=1e-4)
    assert [one.shape for one in activations] == [(5, size) for size in hidden_sizes]
    for ours, theirs in zip(activations, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("activation", ["sigmoid", "gelu", "elu"])
def test_gradient_agrees_with_finite_differences(activation: str) -> None:
    def logits(params: Any) -> jax.Array:
        return MODEL.forward(params, hparams(activation=activation), INPUTS)[0]

    check_grads(jax.jit(logits), (random_params(),), order=1, modes=["rev"], rtol=0.02)


@pytest.mark.parametrize("hidden_sizes", [(), (4,), (7, 4, 2)], ids=len)
def test_the_trace_shows_what_forward_computes(hidden_sizes: tuple[int, ...]) -> None:
    params, settings = random_params(hidden_sizes), hparams(activation="sigmoid", hidden_sizes=hidden_sizes)
    assert MODEL.trace is not None
    logits, pre_activations, activations = MODEL.trace(params, settings, INPUTS, ())
    expected, hidden = MODEL.forward(params, settings, INPUTS)
    for ours, theirs in zip((logits, *activations), (expected, *hidden, expected), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for z, a in zip(pre_activations[:-1], hidden, strict=True):
        np.testing.assert_allclose(FORMULAS["sigmoid"](np.asarray(z)), a, rtol=1e-5)
    np.testing.assert_array_equal(pre_activations[-1], expected)


@pytest.mark.parametrize("layer", range(3))
def test_a_perturbation_is_added_to_the_pre_activations(layer: int) -> None:
    """The same perturbation for all examples is a change of the bias."""
    params, settings = random_params((4, 2)), hparams(hidden_sizes=(4, 2))
    perturbation = np.random.default_rng(2).normal(size=params[layer]["bias"].shape).astype(np.float32)
    perturbations = tuple(
        np.broadcast_to(perturbation if number == layer else 0, (5, len(other["bias"]))).astype(np.float32)
        for number, other in enumerate(params)
    )
    shifted = tuple(
        other | {"bias": other["bias"] + perturbation} if number == layer else other
        for number, other in enumerate(params)
    )
    assert MODEL.trace is not None
    ours, theirs = (
        MODEL.trace(*args) for args in ((params, settings, INPUTS, perturbations), (shifted, settings, INPUTS, ()))
    )
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_the_program_of_forward_knows_nothing_of_the_trace() -> None:
    def plain(params: Any, inputs: jax.Array) -> Any:
        activations = []
        for layer in params[:-1]:
            inputs = jnp.tanh(inputs @ layer["weights"] + jnp.expand_dims(layer["bias"], 0))
            activations.append(inputs)
        return inputs @ params[-1]["weights"] + jnp.expand_dims(params[-1]["bias"], 0), tuple(activations)

    def forward(params: Any, inputs: jax.Array) -> Any:
        return MODEL.forward(params, hparams(), inputs)

    params = random_params((4, 3))
    assert str(jax.make_jaxpr(forward)(params, INPUTS)) == str(jax.make_jaxpr(plain)(params, INPUTS))


def test_layers_have_their_shapes_and_start_without_biases() -> None:
    params = MODEL.init(jax.random.key(0), hparams(init="zeros", hidden_sizes=(5, 4)), (3, 2), 3)
    assert [layer["weights"].shape for layer in params] == [(6, 5), (5, 4), (4, 3)]
    for layer in params:
        np.testing.assert_array_equal(layer["bias"], np.zeros(layer["weights"].shape[1]))
        assert layer["weights"].dtype == layer["bias"].dtype == np.float32


@pytest.mark.parametrize("init", INITIAL_SCHEMES)
def test_only_torch_draws_biases(init: str) -> None:
    for layer in drawn(init=init):
        assert bool((layer["bias"] != 0).all()) == (init == "torch")
        assert (np.abs(layer["bias"]) <= 1 / math.sqrt(N)).all()
        assert bool((layer["weights"] != 0).all()) == (init != "zeros")


@pytest.mark.parametrize("init", ["normal", "torch"])
def test_a_variance_of_biases_is_added_to_what_the_scheme_draws(init: str) -> None:
    size = 2000
    settings: dict[str, Any] = {"init": init, "hidden_sizes": (size,)}
    before, after, larger = (drawn(**settings, bias_variance=value) for value in (None, 0.3, 1.2))
    added = [np.asarray(b["bias"] - a["bias"]) for a, b in zip(before, after, strict=True)]
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a["weights"], b["weights"])
    assert scipy.stats.kstest(added[0] / math.sqrt(0.3), scipy.stats.norm().cdf).pvalue > 1e-3
    np.testing.assert_allclose(larger[0]["bias"] - before[0]["bias"], 2 * added[0], rtol=1e-3, atol=1e-6)
    assert not np.intersect1d(added[0], added[1]).size


@pytest.mark.parametrize("init", ["normal", "orthogonal", "torch"])
def test_the_draw_of_a_layer_does_not_depend_on_later_layers(init: str) -> None:
    shallow, deep = drawn(init=init), drawn(init=init, hidden_sizes=(N, N, N))
    for alone, followed in zip(shallow, deep[:2], strict=True):
        for name in alone:
            np.testing.assert_array_equal(alone[name], followed[name])
    for one, other in itertools.combinations(deep, 2):
        assert (one["weights"] != other["weights"]).all()


def test_jit_is_eager_and_vmap_is_a_loop() -> None:
    settings, stacked = hparams(), [random_params((4,)), jax.tree.map(np.negative, random_params((4,)))]
    looped = np.stack([MODEL.forward(params, settings, INPUTS)[0] for params in stacked])
    np.testing.assert_allclose(jax.jit(MODEL.forward)(stacked[0], settings, INPUTS)[0], looped[0], rtol=1e-5, atol=1e-6)
    mapped, _ = jax.vmap(MODEL.forward, (0, None, None))(
        jax.tree.map(lambda *leaves: np.stack(leaves), *stacked), settings, INPUTS
    )
    np.testing.assert_allclose(mapped, looped, rtol=1e-5, atol=1e-6)


def test_inputs_of_another_width_or_rank_raise() -> None:
    wrong: Any
    for wrong in (INPUTS[:, :5], INPUTS[0], np.concatenate([INPUTS, INPUTS], 1)):
        with pytest.raises((TypeError, ValueError)):
            MODEL.forward(random_params(), hparams(), jnp.asarray(wrong))


def test_an_own_initializer_takes_the_place_of_the_scheme() -> None:
    own = mlp(lambda _key, shape, variance: jnp.full(shape, variance))
    for layer in own.init(jax.random.key(0), hparams(init="torch", init_variance=0.5), (N,), N):
        np.testing.assert_array_equal(layer["weights"], np.full((N, N), 0.5))
        np.testing.assert_array_equal(layer["bias"], np.zeros(N))


def test_a_linen_module_stands_in() -> None:
    ones = nn.initializers.ones
    model = from_linen(nn.Sequential([nn.Dense(4, kernel_init=ones, bias_init=ones), nn.relu, nn.Dense(3)]))
    params = model.init(jax.random.key(0), hparams(), (3, 2), 3)
    logits, activations = model.forward(params, hparams(), INPUTS)
    hidden = np.maximum(INPUTS.sum(1, keepdims=True) + 1, 0) * np.ones((1, 4))
    np.testing.assert_allclose(logits, hidden @ params["params"]["layers_2"]["kernel"], rtol=1e-5, atol=1e-6)
    assert activations == ()
    assert model.trace is not None  # which shows the layers, and no activations
    assert weights_mask(params)["params"]["layers_2"] == {"kernel": True, "bias": False}


def test_weights_are_told_from_biases() -> None:
    assert weights_mask(random_params()) == ({"weights": True, "bias": False},) * 2
