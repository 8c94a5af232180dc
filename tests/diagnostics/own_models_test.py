"""What is watched inside a model of the user's own: a Linen module has the statistics of the same network as an MLP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxreg
from jaxreg.config import Hparams
from jaxreg.diagnostics import VERDICTS
from jaxreg.diagnostics.probe import diagnose
from jaxreg.errors import ConfigError
from jaxreg.measures import layer_labels
from jaxreg.training.flax_models import from_linen, from_nnx
from jaxreg.training.models import Model, layers_of, mlp
from jaxreg.training.optimizers import make_optimizer
from jaxreg.training.problem import Problem, with_terms
from tests.flax_modules import BatchNormed, Convolutional, NnxBatchNormed
from tests.training_run import experiment, train

RNG = np.random.default_rng(0)
INPUTS, LABELS = jnp.asarray(RNG.normal(size=(30, 6)), jnp.float32), jnp.asarray(RNG.integers(0, 3, 30))
HPARAMS = Hparams(hidden_sizes=(5, 4), activation="relu", init_variance=1.0, learning_rate=0.1, l2_strength=0.1)


class Dense(nn.Module):
    """The network of HPARAMS."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for size in (5, 4):
            x = nn.relu(nn.Dense(size)(x))
        return nn.Dense(3, name="logits")(x)


def watched(problem: Problem, params: Any, start: Any, **options: Any) -> dict[str, Any]:
    opt_state = make_optimizer(HPARAMS).init(params)
    problem = with_terms(problem, "l2")
    return jax.jit(
        lambda: diagnose(params, opt_state, start, HPARAMS, problem, INPUTS, LABELS, 0, histograms=True, **options)
    )()


def as_linen(params: Any) -> Any:
    names = ("Dense_0", "Dense_1", "logits")
    return {
        "params": {name: {"kernel": p["weights"], "bias": p["bias"]} for name, p in zip(names, params, strict=True)}
    }


def test_a_linen_mlp_has_the_statistics_of_the_same_mlp() -> None:
    dense, module = Problem(), Problem(model=from_linen(Dense()))
    start = mlp().init(jax.random.key(0), HPARAMS, (6,), 3)
    # A unit that fires for no example, and biases that are not 0.
    params = jax.tree.map(lambda leaf: leaf + 0.1, start)
    params = (params[0] | {"bias": params[0]["bias"].at[2].set(-100.0)}, *params[1:])
    expected = watched(dense, params, start)
    found = watched(module, as_linen(params), as_linen(start))
    assert set(found) == set(expected)
    assert expected["dead_fraction"][0] == pytest.approx(0.2)
    not_shown = {name for name in found if name.startswith("activations_")} | {"saturated_fraction", "silent_fraction"}
    for name, values in found.items():
        if name in not_shown:
            assert not np.nan_to_num(values).any(), name
        elif name.endswith("_histogram"):
            assert np.abs(values.astype(int) - expected[name].astype(int)).sum() <= 4, name
        else:
            np.testing.assert_allclose(values, expected[name], rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (from_linen(BatchNormed()), ["Dense_0", "Dense_1"]),
        (from_linen(Convolutional(), flat=False), ["Conv_0", "Dense_0"]),
        (from_nnx(NnxBatchNormed), ["first", "last"]),
    ],
    ids=["batch norm in Linen", "convolution", "batch norm in NNX"],
)
def test_layers_are_named_by_their_paths_and_judged(model: Model, names: list[str]) -> None:
    asked = experiment({"learning_rate": [0.1, 1e4]}, diagnostics=True, num_steps=8, eval_every=4)
    results = train(asked, problem=Problem(model=model))
    assert layer_labels(results) == names
    well = results.sel(learning_rate=0.1, seed=0)
    for name in ("weights_std", "pre_activations_std", "backpropagated_std", "gradient_norm", "effective_rank"):
        assert np.isfinite(well[name]).all(), name
    assert (well["diagnosis"] == VERDICTS.index("healthy")).all()
    assert well["saturated_fraction"].isnull().all()
    assert "does not show its activations" in well["saturated_fraction"].attrs["description"]
    assert well["gradient_variance"].notnull().all()


def test_an_nnx_module_has_the_statistics_of_the_same_linen_module() -> None:
    class Pair(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.stack = nnx.Sequential(nnx.Linear(6, 5, rngs=rngs), nnx.relu, nnx.Linear(5, 3, rngs=rngs))

        def __call__(self, x: jax.Array) -> jax.Array:
            logits: jax.Array = self.stack(x)
            return logits

    model = from_nnx(Pair)
    params = model.init(jax.random.key(0), HPARAMS, (6,), 3)
    found = watched(Problem(model=model), params, params)
    same = from_linen(nn.Sequential([nn.Dense(5), nn.relu, nn.Dense(3)]))
    layers = params["params"]["stack"]["layers"]
    as_sequence = {"params": {"layers_0": layers[0], "layers_2": layers[2]}}
    expected = watched(Problem(model=same), as_sequence, as_sequence)
    for name, values in expected.items():
        if not name.endswith("_histogram"):
            np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-6, err_msg=name)
    names = [layer.name for layer in layers_of(model, params, HPARAMS, INPUTS)(params)]
    assert names == ["stack/layers/0", "stack/layers/2"]


def test_a_member_that_explodes_is_told_from_one_whose_activations_are_not_shown() -> None:
    """The only member of a run, so that what it does not show and what is not finite are NaN everywhere."""
    huge = nn.initializers.constant(1e30)

    class Exploding(nn.Module):
        @nn.compact
        def __call__(self, x: jax.Array) -> jax.Array:
            return nn.Dense(10, kernel_init=huge)(nn.Dense(5, kernel_init=huge)(x))

    asked = experiment(diagnostics=True, num_steps=2, eval_every=2)
    results = train(asked, problem=Problem(model=from_linen(Exploding())))
    assert (results["diagnosis"].isel(check=0) == VERDICTS.index("exploding")).all()


def test_what_cannot_be_watched_says_so() -> None:
    class Tied(nn.Module):
        @nn.compact
        def __call__(self, x: jax.Array) -> jax.Array:
            layer = nn.Dense(6)
            return nn.Dense(3)(layer(layer(x)))

    class Kernelless(nn.Module):
        @nn.compact
        def __call__(self, x: jax.Array) -> jax.Array:
            return x @ self.param("w", nn.initializers.ones, (6, 3))

    for module, words in ((Tied(), "cannot watch Dense_0, which is called twice"), (Kernelless(), "no module with a")):
        model = from_linen(module)
        params = model.init(jax.random.key(0), HPARAMS, (6,), 3)
        with pytest.raises(ConfigError, match=f"^--diagnostics=true: .*{words}"):
            layers_of(model, params, HPARAMS, INPUTS)


def test_report_and_tensorboard_show_the_names(tmp_path: Path) -> None:
    run = jaxreg.RunConfig(workdir=str(tmp_path / "run"), progress="false")
    asked = experiment(histograms=True, num_steps=4, eval_every=2, seeds=2, run=run)
    jaxreg.run(asked, model=from_linen(Convolutional(), flat=False))
    events = b"".join(path.read_bytes() for path in (tmp_path / "run" / "tensorboard").rglob("events*"))
    assert b"Conv_0/gradient_norm" in events
    assert b"layer_1/" not in events
    assert jaxreg.load_results(tmp_path / "run")["layer_name"].values.tolist() == ["Conv_0", "Dense_0"]
