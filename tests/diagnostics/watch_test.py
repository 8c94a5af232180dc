from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import jaxreg
from jaxreg.config.experiment import RunConfig
from jaxreg.diagnostics.moments import ADAM_MOMENTS
from jaxreg.diagnostics.watch import Variable, View, Watch, variables_of
from jaxreg.errors import ConfigError, Stopped
from jaxreg.nn.trees import weights_of
from jaxreg.runs.interruption import Interruption
from tests.training_run import assert_same_bits, experiment, plan, training_program

RATES = {"learning_rate": [0.1, 1.0]}


def largest_weights(view: View) -> dict[str, jax.Array]:
    """Of each layer, [layer], and how many of all weights are positive, []."""
    weights = weights_of(view.state.params)
    return {
        "largest_weight": jnp.stack([jnp.max(jnp.abs(layer)) for layer in weights]),
        "positive_weights": jnp.int32(sum(jnp.sum(layer > 0) for layer in weights)),
    }


LARGEST = Watch(
    "largest_weights",
    {
        "largest_weight": Variable("1", "largest |w| of a layer", ("check", "layer")),
        "positive_weights": Variable("weights", "number of positive weights", ("check",)),
    },
    largest_weights,
)
DISTANCE = Watch(
    "distance",
    {"distance": Variable("1", "distance of the weights of the first layer from the start", ("step",))},
    lambda view: {"distance": jnp.linalg.norm(first(view.state.params) - first(view.initial_params()))},
    at="steps",
)
MEAN_INPUT = Watch(
    "mean_logit",
    {"mean_logit": Variable("1", "mean logit of the watched examples", ("check", "class"))},
    lambda view: {
        "mean_logit": jnp.mean(view.problem.model.forward(view.state.params, view.hparams, view.data)[0], axis=0)
    },
    lambda data: data.validation.inputs[:20],
    first_seed_only=True,
    complete=lambda results, data: results.assign_coords({"class": list(data.class_names)}),
)


def first(params: Any) -> Any:
    return params[0]["weights"]


@pytest.fixture(scope="module")
def results() -> xr.Dataset:
    """Two rates, two seeds, with a watch of every kind."""
    return jaxreg.run(
        experiment(RATES, seeds=2, eval_every=30, record_every=3), watches=[LARGEST, DISTANCE, MEAN_INPUT]
    )


def test_a_watch_of_ones_own_is_measured_of_every_member_at_checks(results: xr.Dataset) -> None:
    assert results["largest_weight"].dims == ("learning_rate", "seed", "check", "layer")
    assert results["largest_weight"].attrs == {"units": "1", "description": "largest |w| of a layer"}
    start = jaxreg.mlp().init  # the first check is before the first step: what was drawn
    assert start is not None
    at_start = results["largest_weight"].isel(check=0)
    np.testing.assert_array_equal(at_start.sel(learning_rate=0.1), at_start.sel(learning_rate=1.0))
    assert (results["largest_weight"].isel(check=-1) > at_start).any()
    assert results["positive_weights"].dtype.kind == "i"
    assert ((results["positive_weights"] > 0) & (results["positive_weights"] < 64 * 8 + 8 * 10)).all()


def test_a_watch_of_steps_sees_the_state_after_each_recorded_step(results: xr.Dataset) -> None:
    assert results["distance"].dims == ("learning_rate", "seed", "step")
    assert results["step"].values.tolist() == list(range(0, 60, 3))
    assert (results["distance"] > 0).all()
    slow, fast = results["distance"].isel(step=0)
    np.testing.assert_allclose(fast, 10 * slow, rtol=1e-4)  # plain SGD: the first step is rate times gradient


def test_what_a_watch_prepares_is_at_hand_and_one_seed_is_enough_if_asked_for(results: xr.Dataset) -> None:
    assert results["mean_logit"].dims == ("learning_rate", "check", "class")
    assert results["mean_logit"].attrs["seed"] == 0
    assert results["class"].values.tolist() == [str(digit) for digit in range(10)]
    assert results["mean_logit"].notnull().all()


def test_halted_members_are_not_measured() -> None:
    results = jaxreg.run(experiment({"learning_rate": [0.1, 1e8]}), watches=[LARGEST, DISTANCE])
    diverged = results.sel(learning_rate=1e8)
    assert (diverged["diverged_step"] >= 0).all()
    assert diverged["largest_weight"].isel(check=-1).isnull().all()
    assert (diverged["positive_weights"].isel(check=-1) == 0).all()
    assert diverged["distance"].isel(step=-1).isnull().all()
    assert results.sel(learning_rate=0.1)["distance"].notnull().all()


def test_watches_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watches = [LARGEST, DISTANCE, MEAN_INPUT]
    uninterrupted = jaxreg.run(experiment(RATES, seeds=2, eval_every=10), watches=watches)

    def asked(**run: Any) -> Any:
        kept = RunConfig(str(tmp_path / "run"), report=False, tensorboard=False, checkpoint_every=10, **run)
        return experiment(RATES, seeds=2, eval_every=10, run=kept)

    def stop_at_30(_: Interruption, position: Any) -> Stopped | None:
        return Stopped("stopped", 130) if position.step == 30 else None

    with monkeypatch.context() as patch:
        patch.setattr(Interruption, "at", stop_at_30)
        with pytest.raises(Stopped):
            jaxreg.run(asked(), watches=watches)
    assert_same_bits(jaxreg.run(asked(resume=True), watches=watches), uninterrupted)


def test_watches_of_checks_leave_the_training_program_as_it_is() -> None:
    texts = [training_program(plan(experiment(RATES), watches=watches)) for watches in ((), (LARGEST,))]
    assert texts[0] == texts[1]
    assert texts[0] != training_program(plan(experiment(RATES), watches=(DISTANCE,)))


def test_two_watches_cannot_measure_under_one_name() -> None:
    with pytest.raises(ConfigError, match="largest_weight is measured by another watch too"):
        variables_of([LARGEST, LARGEST])


def test_variables_are_along_what_a_watch_measures_at() -> None:
    with pytest.raises(ValueError, match="the first is step"):
        Watch("wrong", {"x": Variable("1", "", ("check",))}, lambda _: {}, at="steps")
    with pytest.raises(ValueError, match="all seeds"):
        Watch("wrong", {"x": Variable("1", "", ("step",))}, lambda _: {}, at="steps", first_seed_only=True)


def test_adams_moments_are_those_of_a_hand_written_adam() -> None:
    asked = experiment({"optimizer": ["adam", "sgd"]}, learning_rate=0.01, num_steps=5, beta2=0.9)
    results = jaxreg.run(asked, watches=[ADAM_MOMENTS])
    adam: xr.Dataset = results.sel(optimizer="adam", seed=0)
    moment = 0.0
    for step in range(5):  # means of linear recursions follow the same recursion
        moment = 0.9 * moment + 0.1 * float(adam["squared_gradient"].isel(step=step))
        np.testing.assert_allclose(adam["second_moment"].isel(step=step), moment, rtol=1e-4)
    assert results.sel(optimizer="sgd")["second_moment"].isnull().all()
