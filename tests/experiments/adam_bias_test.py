from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import xarray as xr

import jaxreg
from experiments import adam_bias, cli
from jaxreg.claims import judge
from jaxreg.config.sweeps import make_sweep
from jaxreg.diagnostics.moments import ADAM_MOMENTS
from jaxreg.population.blocks import Block
from jaxreg.population.placement import Placements
from jaxreg.population.planning import make_plan
from jaxreg.results.storage import load
from jaxreg.statistics import log_binned, mean_interval
from jaxreg.theory.adam import PROCESSES
from jaxreg.training.problem import Problem
from jaxreg.training.state import member_key
from tests.synthetic import make_results
from tests.training_run import data_of, experiment
from tests.trajectory import first_rows

FLAGFILES = Path(adam_bias.__file__).parent / "flagfiles"
QUIET = ("--report=false", "--tensorboard=false", "--progress=false")
RATES, STEPS = [1e-7, 1e-3], 40
NAMES = ["simulated_ratio", "index_slip", "trained_ratio", "trained_deviation"]


def made_up(*, extra: int = 0, falls: float = 0.0, axes: dict[str, list[Any]] | None = None) -> xr.Dataset:
    """Results whose ratio is 1 - beta2^(t + extra), nearly, and whose E[g^2] falls as t^-falls above a rate of 1e-7."""
    axes = axes or {"learning_rate": RATES, "beta2": list(adam_bias.DECAYS)}
    results = make_results(axes=axes, seeds=8).assign_coords(t=np.arange(1, STEPS + 1))
    results = results if "beta2" in results.coords else results.assign_coords(beta2=0.999)
    rng = np.random.default_rng(0)
    noise = xr.DataArray(1 + 0.002 * rng.normal(size=8), dims="seed", coords={"seed": results["seed"]})
    ratio = adam_bias.closed_form(results, extra) * noise
    for name in PROCESSES:
        results[f"simulated_ratio_{name}"] = ratio.transpose(..., "seed", "t")
    results["simulated_difference"] = abs(noise - 1) * 1e-5 * xr.ones_like(results["beta2"])
    sizes = results["diverged_step"]
    falling = results["t"] ** (-falls * (results["learning_rate"] > 1e-6))
    results["squared_gradient"] = (xr.ones_like(sizes) * falling * noise).transpose(*sizes.dims, "t")
    moments = adam_bias.predicted(results) * noise
    results["second_moment"] = moments.transpose(*sizes.dims, "t")
    results["trained_difference"] = abs(noise - 1) * 1e-5 * xr.ones_like(sizes)
    return results


@pytest.fixture(autouse=True)
def _own_figures_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of every study are drawn by tests of their own."""
    monkeypatch.setattr(adam_bias, "default_figures", lambda _: [])


def verdicts(results: xr.Dataset) -> list[str]:
    return [judgement.verdict for judgement in judge(adam_bias.CLAIMS, results)]


# Measured


@functools.cache
def measured() -> xr.Dataset:
    """Members on digits, half of them without Adam, and the simulation beside them."""
    axes: dict[str, list[Any]] = {"optimizer": ["sgd", "adam"], "beta2": [0.9, 0.999]}
    return jaxreg.run(experiment(axes, seeds=3, num_steps=STEPS), study=adam_bias.STUDY)


def test_simulation_and_training_are_measured_at_every_step() -> None:
    results = measured()
    for name in PROCESSES:
        assert dict(results[f"simulated_ratio_{name}"].sizes) == {"beta2": 2, "seed": 3, "t": STEPS}
    assert results["second_moment"].dims == ("optimizer", "beta2", "seed", "step")
    assert adam_bias.along_t(results, "second_moment")["t"].equals(results["t"])
    assert results["t"].values.tolist() == list(range(1, STEPS + 1))
    assert results["second_moment"].sel(optimizer="sgd").isnull().all()
    assert results["second_moment"].sel(optimizer="adam").notnull().all()
    for name in ("simulated_difference", "trained_difference"):
        assert results[name].max() < adam_bias.ROUNDING
    assert results["trained_difference"].dims == ("optimizer", "beta2", "seed")


def test_the_simulated_ratio_is_the_closed_form_within_its_noise() -> None:
    interval = mean_interval(measured()["simulated_ratio_normal"], confidence=0.9999)
    expected = adam_bias.closed_form(measured())
    assert bool(((interval["low"] < expected) & (expected < interval["high"])).all())


def test_the_first_gradient_is_that_of_the_first_batch() -> None:
    """And v_1 = (1 - beta2) g_1^2 in Optax's state."""
    results = measured().sel(optimizer="adam", seed=1)
    asked = experiment(num_steps=STEPS)
    data, (group,) = data_of(asked), make_sweep(asked, 1197).groups
    rows = first_rows(1, 1, 20, len(data.train.labels))[0]
    inputs, labels = (jnp.asarray(part)[rows] for part in data.train)
    forward = Problem().model.forward
    params = Problem().model.init(member_key(0, 1, 0), group.shared, data.input_shape, data.num_classes)
    losses = optax.softmax_cross_entropy_with_integer_labels
    gradients = jax.grad(lambda p: losses(forward(p, group.shared, inputs)[0], labels).mean())(params)
    flat = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(gradients)])
    np.testing.assert_allclose(results["squared_gradient"].isel(step=0), np.mean(flat**2), rtol=1e-4)
    moment = (1 - results["beta2"]) * np.mean(flat**2)
    np.testing.assert_allclose(results["second_moment"].isel(step=0), moment, rtol=1e-4)


def test_what_is_watched_last_is_the_state_at_the_end() -> None:
    """Regularisers and all, and the losses are those of a run that is not watched."""
    axes = {"learning_rate": [1e-3, 1e-2]}
    shared: dict[str, Any] = {"optimizer": "adam", "l2_strength": 1e-3, "dropout_rate": 0.2}
    asked = experiment(axes, seeds=2, num_steps=STEPS, **shared)
    plan = make_plan(asked, data_of(asked), watches=[ADAM_MOMENTS], devices=jax.devices()[:1])
    plan = dataclasses.replace(plan, layouts=(dataclasses.replace(plan.layouts[0], chunk_steps=STEPS),))
    placement = Placements(plan).get(0, plan.layouts[0])
    members = placement.members(Block(0, (0, 1), (0, 1)))
    state, (metrics, watched) = placement.train(placement.init(members), members, 0, STEPS)
    leaves = jax.tree.leaves(optax.tree_utils.tree_get(state.opt_state, "nu"))
    engine = np.concatenate([np.reshape(leaf, (2, 2, -1)) for leaf in leaves], -1).mean(-1)
    np.testing.assert_allclose(watched["second_moment"][:, -1], engine, rtol=1e-6)
    unwatched = jaxreg.run(asked)["train_loss"].transpose("seed", "step", "learning_rate")
    np.testing.assert_allclose(metrics.loss, unwatched, rtol=1e-4)


# Read off


def test_a_falling_gradient_leaves_the_closed_form_and_not_linearity() -> None:
    results = made_up(falls=0.5)
    assert abs(adam_bias.trained_deviation(results).sel(learning_rate=1e-7)).max() < 0.01
    off = adam_bias.trained_deviation(results).sel(learning_rate=1e-3).mean("seed")
    assert off.min() > 0.1
    squares = results["squared_gradient"].mean("seed")
    linear = log_binned(adam_bias.predicted(results)) / log_binned(squares)
    np.testing.assert_allclose(adam_bias.trained_ratio(results).mean("seed"), linear, rtol=0.01)


# Claims


def test_claims_find_what_was_put_in() -> None:
    right = verdicts(made_up(falls=0.5))
    assert right == ["supported"] * 7 + ["contradicted"] * 3 + ["supported"] * 3 + ["contradicted"] * 3 + ["supported"]
    slipped = verdicts(made_up(extra=1))
    assert slipped[2:10] == ["contradicted"] * 5 + ["supported"] * 3
    assert slipped[13:16] == ["supported"] * 3  # a distribution that stays the same


def test_a_run_that_lacks_what_they_are_about_leaves_them_undecided() -> None:
    assert set(verdicts(make_results())) == {"undecided"}


# Words and figures


def test_the_answer_tells_the_first_step_and_the_deviation_in_training() -> None:
    told = adam_bias.answer(made_up(falls=0.5))
    assert "at β₂ = 0.999, where 1 - β₂ᵗ is 0.001 and 1 - β₂ᵗ⁺¹ is 0.002" in told
    assert "+0 % at learning_rate=1e-07, beta2=0.9" in told
    assert "nan" not in adam_bias.answer(made_up().isel(seed=[0]))
    none = made_up()
    none["second_moment"][:] = np.nan
    assert adam_bias.answer(none).endswith("No member was trained with Adam.")
    assert [figure.name for figure in adam_bias.draw(none)] == NAMES[:2]


def test_figures_are_drawn_of_any_sweep() -> None:
    drawn = {figure.name: figure for figure in adam_bias.draw(made_up())}
    assert list(drawn) == NAMES
    assert [axes.get_title() for axes in drawn["simulated_ratio"].figure.axes] == [
        "normal gradients",
        "heavy-tailed gradients",
        "dependent gradients",
    ]
    assert [axes.get_title() for axes in drawn["trained_ratio"].figure.axes] == [
        "learning rate = 1e-07",
        "learning rate = 0.001",
    ]
    single = made_up().sel(beta2=0.999, learning_rate=1e-3)
    assert [figure.name for figure in adam_bias.draw(single)] == NAMES
    further = made_up(axes={"learning_rate": RATES, "beta2": [0.9, 0.999], "batch_size": [10, 100]})
    captions = [figure.caption for figure in adam_bias.draw(further)]
    assert "at batch_size=" in captions[2]


def test_members_without_adam_are_left_out_of_what_is_drawn_and_said() -> None:
    assert [figure.name for figure in adam_bias.draw(measured())] == NAMES
    assert "In training" in adam_bias.answer(measured())


def test_the_small_flagfile_runs_and_keeps_what_was_measured(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    flags = [f"--flagfile={FLAGFILES / 'adam_bias_digits.cfg'}", f"--workdir={folder}", *QUIET]
    assert cli.main(adam_bias.STUDY, ["adam_bias", *flags, "--num_steps=30", "--seeds=2"]) == 0
    kept = load(folder)
    assert kept.sizes["t"] == 30
    assert float(kept["trained_difference"].max()) < adam_bias.ROUNDING
    assert verdicts(kept)[7:10] == ["contradicted"] * 3


@pytest.mark.parametrize("flagfile", ["adam_bias", "adam_bias_digits"])
def test_the_flagfiles_hold_the_settings_that_the_claims_name(flagfile: str) -> None:
    text = (FLAGFILES / f"{flagfile}.cfg").read_text(encoding="utf-8")
    assert "--learning_rate=1e-7,1e-3" in text
    assert "--beta2=0.9,0.99,0.999" in text
