from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxreg.config import Hparams
from jaxreg.diagnostics import probe as diagnostics
from jaxreg.diagnostics.histograms import NUM_BINS, bin_edges, count_values
from jaxreg.diagnostics.layers import count_distinct, dead_fraction, effective_rank, saturated_fraction
from jaxreg.diagnostics.probe import diagnose
from jaxreg.diagnostics.variables import QUANTITIES, VARIABLES
from jaxreg.errors import ConfigError
from jaxreg.nn.losses import cross_entropy
from jaxreg.training.models import mlp
from jaxreg.training.optimizers import make_optimizer
from jaxreg.training.problem import Problem

FEATURES, CLASSES, EXAMPLES = 5, 3, 40
RNG = np.random.default_rng(0)
INPUTS: Any = jnp.asarray(RNG.normal(size=(EXAMPLES, FEATURES)), jnp.float32)
LABELS: Any = jnp.asarray(RNG.integers(CLASSES, size=EXAMPLES))
HPARAMS = Hparams(hidden_sizes=(4, 6), activation="tanh", init="normal", init_variance=0.5, learning_rate=0.3)
MOMENTUM = replace(HPARAMS, optimizer="momentum", momentum=0.5, weight_decay=0.1)


def shrinking(params: Any, _activations: Any, _hparams: Any, step: Any) -> jax.Array:
    """A penalty that depends on the step: (step / 10) sum of squared weights."""
    return jnp.asarray(step / 10 * sum(jnp.sum(layer["weights"] ** 2) for layer in params))


def drawn(hparams: Hparams = HPARAMS, key: int = 0) -> Any:
    """Parameters with biases that are not zero."""
    params = mlp().init(jax.random.key(key), hparams, (FEATURES,), CLASSES)
    rng = np.random.default_rng(key)
    return tuple(layer | {"bias": jnp.asarray(rng.normal(size=layer["bias"].shape), jnp.float32)} for layer in params)


DIAGNOSE = jax.jit(diagnose, static_argnames=("problem", "histograms"))  # one compilation for all tests of a network
PLAIN, PENALISED = Problem(), Problem(penalties=(shrinking,))


def measure(
    params: Any = None, initial: Any = None, hparams: Hparams = HPARAMS, problem: Problem = PLAIN, step: int = 0
) -> dict[str, np.ndarray]:
    params = drawn(hparams) if params is None else params
    opt_state = make_optimizer(hparams).init(params)
    initial = params if initial is None else initial
    values = DIAGNOSE(params, opt_state, initial, hparams, problem, INPUTS, LABELS, step, histograms=True)
    return {name: np.asarray(value) for name, value in values.items()}


def mean_loss(params: Any, hparams: Hparams = HPARAMS) -> jax.Array:
    return jnp.mean(cross_entropy(mlp().forward(params, hparams, INPUTS)[0], LABELS))


@pytest.mark.parametrize("hidden_sizes", [(), (4, 6)], ids=len)
@pytest.mark.parametrize("histograms", [False, True])
def test_what_is_returned_is_what_is_announced(hidden_sizes: tuple[int, ...], histograms: bool) -> None:
    hparams = replace(HPARAMS, hidden_sizes=hidden_sizes)
    params = drawn(hparams)
    state = make_optimizer(hparams).init(params)
    values = jax.eval_shape(
        lambda: diagnose(params, state, params, hparams, PLAIN, INPUTS, LABELS, 0, histograms=histograms)
    )
    names = diagnostics.measured(histograms=histograms)
    assert set(values) == set(names)
    lengths = {"check": 1, "layer": len(hidden_sizes) + 1, "bin": NUM_BINS}
    for name, value in values.items():
        dims = VARIABLES[name].dims
        assert dims[0] == "check"
        assert value.shape == tuple(lengths[dim] for dim in dims[1:]), name
        assert value.dtype == (np.uint32 if "bin" in dims else np.float32), name


def test_every_variable_says_what_it_is() -> None:
    assert {"diagnosis", *diagnostics.measured(histograms=True)} == set(VARIABLES)
    assert all(variable.units and variable.description for variable in VARIABLES.values())
    assert len({variable.description for variable in VARIABLES.values()}) == len(VARIABLES)


def test_gradients_are_those_of_the_objective_and_updates_those_of_the_optimizer() -> None:
    params, step = drawn(), 7
    values = measure(params, hparams=MOMENTUM, problem=PENALISED, step=step)

    gradients = jax.grad(lambda p: mean_loss(p) + shrinking(p, None, None, step))(params)
    for number, (layer, gradient) in enumerate(zip(params, gradients, strict=True)):
        g, w = gradient["weights"], layer["weights"]
        update = -0.3 * (g + 0.1 * w)  # the first step of momentum, with decoupled decay
        for name, array in (("gradients", g), ("updates", update), ("weights", w), ("bias", layer["bias"])):
            np.testing.assert_allclose(values[f"{name}_mean"][number], np.mean(array), rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(values[f"{name}_std"][number], np.std(array), rtol=1e-4)
        np.testing.assert_allclose(values["gradient_norm"][number], np.linalg.norm(g), rtol=1e-4)
        ratio = np.linalg.norm(update) / np.linalg.norm(w)
        np.testing.assert_allclose(values["update_ratio"][number], ratio, rtol=1e-4)
    norms = values["gradient_norm"]
    np.testing.assert_allclose(values["gradient_ratio"], norms[0] / norms[-1], rtol=1e-5)


def test_backpropagated_signals_agree_with_finite_differences() -> None:
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), drawn())
    values = measure()

    def losses(nudged: int, unit: int, by: float) -> np.ndarray:
        """The loss of each example with one unit's pre-activation nudged, in float64."""
        a = np.asarray(INPUTS, np.float64)
        for number, layer in enumerate(params):
            z = a @ layer["weights"] + layer["bias"]
            if number == nudged:
                z[:, unit] += by
            a = np.tanh(z) if number < len(params) - 1 else z
        return np.log(np.sum(np.exp(a), 1)) - a[np.arange(EXAMPLES), LABELS]

    for number, layer in enumerate(params):
        units = range(len(layer["bias"]))
        signal = np.array([(losses(number, u, 1e-5) - losses(number, u, -1e-5)) / 2e-5 for u in units])
        np.testing.assert_allclose(values["backpropagated_mean"][number], signal.mean(), rtol=1e-3, atol=1e-6)
        np.testing.assert_allclose(values["backpropagated_std"][number], signal.std(), rtol=1e-4)


def test_signals_are_those_of_the_network() -> None:
    values, a = measure(), np.asarray(INPUTS)
    params = drawn()
    for number, layer in enumerate(params):
        z = a @ layer["weights"] + layer["bias"][None]
        a = np.tanh(z) if number < len(params) - 1 else z
        for name, array in (("pre_activations", z), ("activations", a)):
            np.testing.assert_allclose(values[f"{name}_mean"][number], array.mean(), rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(values[f"{name}_std"][number], array.std(), rtol=1e-4)


def test_noise_estimates_are_unbiased_over_examples() -> None:
    """tr Sigma is the trace of the sample covariance; |G|^2 the mean of G_i . G_j over pairs of different examples."""
    params, values = drawn(), measure()

    def of_one(x: jax.Array, y: jax.Array) -> Any:
        return jax.grad(lambda p: cross_entropy(mlp().forward(p, HPARAMS, x[None])[0], y[None])[0])(params)

    trees = jax.tree.leaves(jax.vmap(of_one)(INPUTS, LABELS))
    each = np.concatenate([np.asarray(leaf, np.float64).reshape(EXAMPLES, -1) for leaf in trees], axis=1)
    products = each @ each.T
    pairs = (products.sum() - np.trace(products)) / (EXAMPLES * (EXAMPLES - 1))
    np.testing.assert_allclose(values["gradient_variance"], each.var(axis=0, ddof=1).sum(), rtol=1e-4)
    np.testing.assert_allclose(values["gradient_square"], pairs, rtol=1e-3)


def test_noise_is_that_of_the_loss_without_penalties() -> None:
    plain, penalised = measure(), measure(hparams=MOMENTUM, problem=PENALISED, step=10)
    for name in ("gradient_square", "gradient_variance", "backpropagated_std"):
        np.testing.assert_allclose(plain[name], penalised[name], rtol=1e-5)
    assert (plain["gradient_norm"] != penalised["gradient_norm"]).all()


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_bins_are_ascending_symmetric_and_as_documented(quantity: str) -> None:
    edges = bin_edges(quantity)
    assert edges.shape == (NUM_BINS + 1,)
    assert (np.diff(edges) > 0).all()
    np.testing.assert_array_equal(edges, -edges[::-1])
    assert np.isinf(edges[[0, -1]]).all()
    assert np.isfinite(edges[1:-1]).all()
    positive = edges[(edges > 0) & np.isfinite(edges)]
    if quantity == "activations":
        np.testing.assert_allclose(positive[:41], np.arange(0.0125, 1.02, 0.025), rtol=1e-6)
        np.testing.assert_allclose(positive[40:], 1.0125 * (1e3 / 1.0125) ** (np.arange(20) / 20), rtol=1e-6)
    else:
        np.testing.assert_allclose(positive, 10 ** (np.arange(60) / 6 - 7), rtol=1e-6)


@pytest.mark.parametrize("quantity", ["weights", "activations"])
def test_counts_equal_those_of_numpy(quantity: str) -> None:
    edges = bin_edges(quantity)
    inner = edges[1:-1].astype(np.float32)
    beside = [np.nextafter(inner, np.float32(sign * np.inf)) for sign in (-1, 1)]
    rng = np.random.default_rng(0)
    wide = (rng.normal(size=5000) * 10.0 ** rng.uniform(-9, 5, 5000)).astype(np.float32)
    extremes = np.array([0.0, -0.0, 1e-44, -1e-44, 3e38, -3e38], np.float32)
    layers = [np.concatenate([inner, *beside, extremes]), wide.reshape(50, 100), np.zeros((2, 3), np.float32)]
    counts = np.asarray(count_values([jnp.asarray(layer) for layer in layers], edges))
    for layer, count in zip(layers, counts, strict=True):
        np.testing.assert_array_equal(count, np.histogram(layer.astype(np.float64), edges)[0])
        assert count.sum() == layer.size


def test_values_that_are_not_finite_count_nowhere() -> None:
    values = jnp.array([np.nan, np.inf, -np.inf, -np.nan, 1.0])
    assert count_values([values], bin_edges("weights")).sum() == 1


def test_histograms_count_all_values_of_each_layer() -> None:
    values, params = measure(), drawn()
    units = np.array([4, 6, CLASSES])
    fan_in = np.array([FEATURES, 4, 6])
    sizes = dict.fromkeys(("pre_activations", "activations", "backpropagated"), units * EXAMPLES)
    sizes |= dict.fromkeys(("weights", "gradients", "updates"), units * fan_in) | {"bias": units}
    for name in QUANTITIES:
        np.testing.assert_array_equal(values[f"{name}_histogram"].sum(axis=1), sizes[name])
    for number, layer in enumerate(params):
        for name in ("weights", "bias"):
            expected = np.histogram(np.asarray(layer[name], np.float64), bin_edges(name))[0]
            np.testing.assert_array_equal(values[f"{name}_histogram"][number], expected)


def test_units_are_told_apart_by_weights_and_bias() -> None:
    rng = np.random.default_rng(0)
    weights, bias = rng.normal(size=(7, 5)), rng.normal(size=5)
    assert count_distinct(jnp.asarray(weights), jnp.asarray(bias)) == 5
    weights[:, 3], weights[:, 4] = weights[:, 0], weights[:, 0] * (1 + 1e-6)
    assert count_distinct(jnp.asarray(weights), jnp.asarray(bias)) == 5
    assert count_distinct(jnp.asarray(weights), jnp.zeros(5)) == 3
    assert count_distinct(jnp.zeros((7, 5)), jnp.zeros(5)) == 1


def test_zero_weights_make_one_unit_that_stays_one() -> None:
    hparams = replace(HPARAMS, activation="sigmoid")
    params = jax.tree.map(jnp.zeros_like, drawn())
    gradient = jax.jit(jax.grad(mean_loss))
    for _ in range(20):
        params = jax.tree.map(lambda p, g: p - 0.5 * g, params, gradient(params, hparams))
    assert [int(count_distinct(**layer)) for layer in params[:-1]] == [1, 1]
    assert all(layer["weights"].any() for layer in params)


def test_ratios_to_nothing_are_zero_or_infinite() -> None:
    zeros = jax.tree.map(jnp.zeros_like, drawn())
    unmoved, moved = measure(zeros), measure(initial=zeros)
    np.testing.assert_array_equal(unmoved["relative_change"], [0, 0, 0])
    np.testing.assert_array_equal(moved["relative_change"], [np.inf] * 3)
    np.testing.assert_array_equal(unmoved["update_ratio"], [0, 0, 0])
    np.testing.assert_array_equal(unmoved["gradient_norm"], [0, 0, 0])
    assert unmoved["gradient_ratio"] == 0
    np.testing.assert_array_equal(unmoved["distinct_units"], [1, 1, np.nan])
    np.testing.assert_array_equal(moved["distinct_units"], [4, 6, np.nan])


def test_relative_change_is_that_since_the_start() -> None:
    start = drawn()
    moved = tuple(
        layer | {"weights": factor * layer["weights"]} for layer, factor in zip(start, (1.0, 1.5, -1.0), strict=True)
    )
    np.testing.assert_allclose(measure(moved, start)["relative_change"], [0, 0.5, 2], rtol=1e-5)


def test_saturation_means_the_same_of_sigmoid_and_tanh() -> None:
    z = jnp.linspace(-8, 8, 1000).reshape(20, 50)
    sigmoid, tanh = jax.nn.sigmoid(z), jnp.tanh(z / 2)
    flat = np.asarray(sigmoid * (1 - sigmoid)) <= 0.05 * 0.95
    assert 0.1 < flat.mean() < 0.9
    for activations, name in ((sigmoid, "sigmoid"), (tanh, "tanh")):
        np.testing.assert_allclose(saturated_fraction(activations, name), flat.mean(), rtol=1e-6)
    assert saturated_fraction(jnp.tanh(z), "tanh") > flat.mean()
    assert saturated_fraction(sigmoid, "relu") == 0


def test_a_unit_is_dead_where_no_example_makes_it_fire() -> None:
    activations = jnp.zeros((9, 4)).at[3, 1].set(1e-6).at[:, 2].set(2.0)
    assert dead_fraction(activations, "relu") == 0.5
    assert dead_fraction(activations, "sigmoid") == 0
    params = tuple(layer | {"bias": layer["bias"] - 1e3} for layer in drawn())
    values = measure(params)  # tanh, at -1 throughout
    np.testing.assert_array_equal(values["dead_fraction"], [0, 0, np.nan])
    np.testing.assert_array_equal(values["saturated_fraction"], [1, 1, np.nan])


@pytest.mark.parametrize("factor", [1e-25, 1e25])
def test_moments_and_norms_do_not_leave_float32_by_squaring(factor: float) -> None:
    params = jax.tree.map(lambda leaf: factor * leaf, drawn())
    values, scaled = measure(params), measure()
    for name in ("weights_std", "weights_mean", "bias_std"):
        np.testing.assert_allclose(values[name] / factor, scaled[name], rtol=1e-4)
    change = measure(params, jax.tree.map(lambda leaf: leaf / 2, params))["relative_change"]
    np.testing.assert_allclose(change, 1, rtol=1e-5)


def test_vmap_is_a_loop() -> None:
    members = [drawn(key=key) for key in (0, 1)]
    opt_state = make_optimizer(HPARAMS).init(members[0])

    def one(params: Any) -> dict[str, Any]:
        return diagnose(params, opt_state, params, HPARAMS, PLAIN, INPUTS, LABELS, 0, histograms=True)

    mapped = jax.jit(jax.vmap(one))(jax.tree.map(lambda *leaves: jnp.stack(leaves), *members))
    for number, params in enumerate(members):
        for name, value in measure(params).items():
            moved = np.abs(np.asarray(mapped[name][number], np.float64) - value)
            if "histogram" in name:
                assert moved.sum() <= 4, name  # a value next to an edge may round to the other side
            else:
                np.testing.assert_allclose(mapped[name][number], value, rtol=1e-3, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("num_examples", [1, 7, 1000, 1001, 55_000])
def test_the_probe_is_evenly_spaced(num_examples: int) -> None:
    rows = diagnostics.probe_rows(num_examples)
    assert len(rows) == min(num_examples, diagnostics.PROBE_SIZE)
    assert rows[0] == 0
    assert rows[-1] < num_examples
    if num_examples > 1:
        gaps = np.diff(rows)
        assert {math.floor(num_examples / len(rows)), math.ceil(num_examples / len(rows))} >= set(gaps.tolist())
        assert (gaps > 0).all()


def test_models_that_cannot_be_watched_are_refused() -> None:
    diagnostics.require_trace(Problem())
    diagnostics.require_trace(Problem(), jax.eval_shape(drawn))
    wrong: list[Any] = [{"params": {}}, [{"weights": 1, "bias": 1}], ({"weights": 1},)]
    untraced = Problem(model=mlp()._replace(trace=None))
    for problem, params in [(untraced, ()), *((Problem(), params) for params in wrong)]:
        with pytest.raises(ConfigError, match="--diagnostics=true: needs a model that can be watched"):
            diagnostics.require_trace(problem, params)


@pytest.mark.parametrize("shape", [(6, 3), (3, 6), (4, 4)])
def test_the_effective_rank_is_that_of_the_singular_values(shape: tuple[int, int]) -> None:
    weights = RNG.normal(size=shape)
    singular = np.linalg.svd(weights, compute_uv=False)
    expected = (singular**2).sum() ** 2 / (singular**4).sum()
    np.testing.assert_allclose(effective_rank(jnp.asarray(weights, jnp.float32)), expected, rtol=1e-4)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_the_effective_rank_of_known_matrices(scale: float) -> None:
    column = np.arange(1.0, 6.0)[:, None]
    for weights, rank in (
        (np.eye(5, 3), 3.0),  # three equal singular values
        (column * np.ones((1, 4)), 1.0),  # one direction
        (np.diag([3.0, 1.0, 0.0]), 100 / 82),
        (np.zeros((3, 2)), 0.0),
    ):
        np.testing.assert_allclose(effective_rank(jnp.asarray(scale * weights, jnp.float32)), rank, rtol=1e-5)


def test_sparsity_norms_and_units_at_the_bound_are_counted() -> None:
    hidden = jnp.asarray([[3.0, 0.0, 1e-4], [4.0, 0.0, -0.5]])  # norms 5, 0 and 0.5
    output = jnp.asarray([[0.6], [0.8], [0.0]])
    layers = tuple({"weights": w, "bias": jnp.zeros(w.shape[1])} for w in (hidden, output))
    inputs = jnp.asarray([[1.0, 0.0], [0.0, 2.0]])  # the third unit gives 1e-4 and is off: silent twice
    hparams = Hparams(hidden_sizes=(3,), activation="relu", max_norm=5.0)
    state = make_optimizer(hparams).init(layers)
    labels = jnp.zeros(2, int)
    values = DIAGNOSE(layers, state, layers, hparams, PLAIN, inputs, labels, 0, histograms=False)
    np.testing.assert_allclose(values["small_weights_fraction"], [3 / 6, 1 / 3])
    np.testing.assert_allclose(values["silent_fraction"], [4 / 6, np.nan])
    np.testing.assert_allclose(values["weight_norm"], [math.sqrt(25.25), 1.0], rtol=1e-6)
    np.testing.assert_allclose(values["at_bound_fraction"], [1 / 3, 0])
    without = replace(hparams, max_norm=math.inf)
    unbounded = DIAGNOSE(layers, state, layers, without, PLAIN, inputs, labels, 0, histograms=False)
    assert not unbounded["at_bound_fraction"].any()
