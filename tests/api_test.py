"""`jaxreg.run`: own functions and data, and what a resumption compares."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxreg
from jaxreg.training.problem import Penalty
from tests.training_run import experiment


def scaled(strength: float) -> Penalty:
    def penalty(params: Any, *_: Any) -> jax.Array:
        return jnp.asarray(strength) * sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(params))

    return penalty


def constant(_key: Any, shape: tuple[int, int], _variance: Any) -> jax.Array:
    return jnp.full(shape, 0.1)


def test_own_initializer_penalties_constraints_and_data_are_used() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 5)), rng.integers(0, 3, 60)
    data = jaxreg.from_arrays((x, y), (x[:20], y[:20]), (x[20:], y[20:]))
    asked = experiment(batch_size=10, num_steps=10)
    results = jaxreg.run(asked, data=data, initializer=constant, penalties=[scaled(1.0)])
    assert results.attrs["train_examples"] == 60
    first = results.isel(seed=0, step=0)
    weights = 0.01 * (5 * 8 + 8 * 3)
    np.testing.assert_allclose(first["train_objective"] - first["train_loss"], weights, rtol=1e-5)
    np.testing.assert_allclose(first["train_loss"], np.log(3), rtol=1e-5)  # equal logits


def own_data() -> jaxreg.Data:
    x, y = np.zeros((20, 5)), np.arange(20) % 2
    return jaxreg.from_arrays((x, y), (x, y), (x, y))


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("dataset", "mnist", "mnist"),
        ("data_dir", "somewhere", "somewhere"),
        ("downsample", 4, "4"),
        ("validation_size", 7, "7"),
        ("num_points", 50, "50"),
        ("noise", 0.5, "0.5"),
        ("label", "kind", "kind"),
        ("test_size", 7, "7"),
    ],
)
def test_options_that_own_arrays_do_not_obey_are_refused(name: str, value: Any, shown: str) -> None:
    asked = experiment(num_steps=1, batch_size=5, data=jaxreg.DataConfig(**{name: value}))
    with pytest.raises(jaxreg.ConfigError, match=f"^--{name}={shown}: has no effect on the arrays of your own"):
        jaxreg.run(asked, data=own_data())


def test_every_option_of_the_data_is_among_those() -> None:
    marks = test_options_that_own_arrays_do_not_obey_are_refused.pytestmark
    tested = {case[0] for mark in marks for case in mark.args[1]}
    assert tested == {field.name for field in dataclasses.fields(jaxreg.DataConfig)}


def test_nothing_is_written_without_a_workdir(tmp_path: Path) -> None:
    jaxreg.run(experiment(num_steps=5))
    assert not list(tmp_path.iterdir())


def test_a_run_with_another_penalty_is_not_resumed(tmp_path: Path) -> None:
    def kept(**how: Any) -> jaxreg.Experiment:
        return experiment(num_steps=5, run=jaxreg.RunConfig(workdir=str(tmp_path / "run"), report=False, **how))

    jaxreg.run(kept(), penalties=[scaled(0.0)])
    assert "the user's own" in (tmp_path / "run" / "flags.cfg").read_text()
    with pytest.raises(jaxreg.RunFolderError, match=r"another configuration \(another penalty 0 of your own\)"):
        jaxreg.run(kept(resume=True), penalties=[scaled(5.0)])
    jaxreg.run(kept(resume=True), penalties=[scaled(0.0)])


def test_arguments_that_would_be_ignored_are_refused() -> None:
    for options in ({"dry_run": True}, {"max_minutes": 1.0}, {"profile": True}):
        with pytest.raises(jaxreg.ConfigError):
            jaxreg.run(experiment(run=jaxreg.RunConfig(**options)))
    with pytest.raises(jaxreg.ConfigError):
        jaxreg.run(experiment(), model=jaxreg.mlp(), initializer=constant)


@pytest.mark.parametrize("outputs", [9, 11])
def test_a_model_with_other_outputs_than_classes_is_refused(outputs: int) -> None:
    def init(key: Any, _hparams: Any, input_shape: tuple[int, ...], _num_classes: int) -> Any:
        return jax.random.normal(key, (math.prod(input_shape), outputs))

    model = jaxreg.Model(init, lambda params, _hparams, inputs: (inputs @ params, ()))
    with pytest.raises(jaxreg.ConfigError, match=f"gives {outputs} outputs .* and digits has 10 classes"):
        jaxreg.run(experiment(num_steps=5), model=model)


def test_the_outputs_of_every_group_are_looked_at() -> None:
    """A model of the user's own may take its outputs from a static hyperparameter, which each group has for itself."""

    def init(key: Any, hparams: Any, input_shape: tuple[int, ...], _num_classes: int) -> Any:
        return jax.random.normal(key, (math.prod(input_shape), hparams.hidden_sizes[-1]))

    model = jaxreg.Model(init, lambda params, _hparams, inputs: (inputs @ params, ()))
    with pytest.raises(jaxreg.ConfigError, match=r"gives 9 outputs .* and digits has 10 classes"):
        jaxreg.run(experiment({"hidden_sizes": [(10,), (9,)]}, num_steps=5), model=model)


@pytest.mark.parametrize("name", ["diagnostics", "histograms", "surfaces", "compaction"])
def test_a_switch_that_is_no_bool_is_refused(name: str) -> None:
    for value in ("false", "no", 0, None):
        given: dict[str, Any] = {name: value}
        with pytest.raises(jaxreg.ConfigError, match=f"^--{name}="):
            jaxreg.run(jaxreg.Experiment(**given))


def test_resume_given_as_text_deletes_and_resumes_nothing(tmp_path: Path) -> None:
    for name in ("resume", "overwrite", "report", "tensorboard"):
        given: Any = {name: "false", "workdir": str(tmp_path / "run")}
        with pytest.raises(jaxreg.ConfigError, match=f"--{name}=false: must be true or false, given as a bool"):
            jaxreg.run(jaxreg.Experiment(run=jaxreg.RunConfig(**given)))
    assert not list(tmp_path.iterdir())
