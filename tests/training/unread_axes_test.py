"""What the programs of a sweep read, and axes that none of them does."""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

import jaxreg
from jaxreg.config import FIELDS, Experiment, Hparams, validate
from jaxreg.config.sweeps import make_sweep
from jaxreg.errors import ConfigError
from jaxreg.training.flax_models import from_linen
from jaxreg.training.models import mlp
from jaxreg.training.problem import Problem, with_terms
from jaxreg.training.unread_axes import hyperparameters_read, refuse_unread_axes

LINEN = Problem(from_linen(nn.Sequential([nn.Dense(4), nn.relu, nn.Dense(10)])))
ALWAYS = {"learning_rate", "weight_decay", "warmup_steps", "patience", "after_stop", "loss", "optimizer", "schedule"}
ALWAYS |= {"num_steps"}  # the schedule counts the steps that are left
MLP = {"activation", "output_activation", "init", "init_variance", "hidden_sizes"}


def read(problem: Problem | None = None, terms: str = "none", **fields: Any) -> set[str]:
    hparams: Any = {"init_variance": 1.0, "num_steps": 10, "batch_size": 5} | fields
    return set(hyperparameters_read(Hparams(**hparams), with_terms(problem or Problem(), terms), (2, 3), 4))


def refuse(axes: dict[str, Any], problem: Problem | None = None, zip: tuple[Any, ...] = (), **fields: Any) -> None:
    asked = Experiment(hparams=Hparams(**fields), axes=axes, zip=zip)
    validate(asked)
    refuse_unread_axes(asked, make_sweep(asked, 1000), problem or Problem(), (2, 3), 4)


@pytest.mark.parametrize(
    ("fields", "terms", "reads"),
    [
        ({}, "none", MLP),
        ({"hidden_sizes": ()}, "none", {"output_activation", "init", "init_variance", "hidden_sizes"}),
        ({"init": "zeros"}, "none", {"activation", "output_activation", "init", "hidden_sizes"}),
        (
            {"optimizer": "rmsprop"},
            "none",
            {*MLP, "momentum", "beta2"},
        ),
        (
            {"schedule": "exponential"},
            "none",
            {*MLP, "decay_steps", "decay_rate"},
        ),
        (
            {},
            "l1+kl+max_norm+dropout",
            {*MLP, "l1_strength", "l1_start", "kl_strength", "kl_target", "max_norm", "dropout_rate"},
        ),
    ],
    ids=lambda value: str(sorted(value)) if isinstance(value, set) else str(value),
)
def test_a_program_reads_what_its_parts_name(fields: dict[str, Any], terms: str, reads: set[str]) -> None:
    assert read(terms=terms, **fields) == (ALWAYS | reads)


def test_own_parts_are_looked_into() -> None:
    assert read(LINEN) == ALWAYS
    own = Problem(LINEN.model, penalties=(lambda _p, _a, hparams, _s: hparams.l2_strength * jnp.sum(jnp.ones(3)),))
    assert read(own) == ALWAYS | {"l2_strength"}
    idle = Problem(LINEN.model, penalties=(lambda _p, _a, hparams, _s: jnp.asarray(0.0 * hparams.beta1),))
    assert "beta1" in read(idle)  # the trace does not know that 0 x = 0
    wasted = Problem(LINEN.model, penalties=(lambda _p, _a, hparams, _s: (hparams.beta1, jnp.zeros(()))[1],))
    assert "beta1" not in read(wasted)
    assert "init" not in read(Problem(mlp(lambda _key, shape, variance: jnp.full(shape, variance))))


def test_hyperparameters_may_be_handed_to_jit() -> None:
    model = mlp()

    @jax.jit
    def forward(params: Any, hparams: Hparams, inputs: Any) -> Any:
        return model.forward(params, dataclasses.replace(hparams), inputs)

    inner = jax.jit(lambda params, hparams, inputs: model.forward(params, hparams, inputs))
    assert "activation" in read(Problem(model._replace(forward=inner)))
    assert read(Problem(model._replace(forward=inner))) == read()
    assert set(FIELDS) >= read(Problem(model._replace(forward=forward))) >= read()


REFUSED: list[tuple[dict[str, Any], dict[str, Any], Problem | None, str]] = [
    ({"activation": ["relu", "tanh"]}, {}, LINEN, "no program of this sweep reads it"),
    ({"init": ["he", "normal"]}, {}, LINEN, "no program of this sweep reads it"),
    ({"init_variance": [0.1, 0.2]}, {}, LINEN, "no program of this sweep reads it"),
    ({"hidden_sizes": [(4,), (5,)]}, {}, LINEN, "no program of this sweep reads it"),
    ({"init_variance": [0.1, 0.2]}, {"init": "zeros"}, None, "it acts with --init=normal, uniform"),
    ({"activation": ["relu", "tanh"]}, {"hidden_sizes": ()}, None, "no program of this sweep reads it"),
    ({"momentum": [0.1, 0.2]}, {}, None, "it acts with --optimizer=momentum, nesterov, rmsprop"),
    ({"beta1": [0.1, 0.2]}, {"optimizer": "rmsprop"}, None, "it acts with --optimizer=adam, adamw"),
    ({"decay_rate": [0.1, 0.2]}, {"schedule": "cosine"}, None, "it acts with --schedule=exponential"),
    ({"kl_target": [0.1, 0.2]}, {}, None, "it acts where --kl_strength is not 0"),
    ({"l1_start": [0.1, 0.2]}, {}, None, "it acts where --l1_strength is not 0"),
    ({"l1_start": [0.1, 0.2]}, {"l1_strength": 0.1, "method": "l1"}, None, "--method leaves it out of every member"),
    ({"dropout_rate": [0.1, 0.2]}, {"hidden_sizes": ()}, None, "no program of this sweep reads it"),
    ({"l2_strength": [0.1, 0.2]}, {"method": "none"}, None, "--method leaves it out of every member"),
    ({"patience": [1, 2]}, {"method": "l2", "l2_strength": 0.1}, None, "--method leaves it out of every member"),
    ({"after_stop": ["halt", "continue"]}, {}, None, "--patience is 0 in every member"),
    ({"num_epochs": [1.0, 2.0]}, {"num_steps": 5}, None, "--num_steps wins over it"),
    ({"train_draw": ["shared", "by_seed"]}, {}, None, "every member trains on the whole training set"),
    ({"method": ["none", "l2"]}, {}, None, "all strengths are equal in every member"),
]


@pytest.mark.parametrize(
    ("axes", "fields", "problem", "words"), REFUSED, ids=[f"{axes} {fields}" for axes, fields, *_ in REFUSED]
)
def test_an_axis_without_effect_is_refused_in_one_line(
    axes: dict[str, Any], fields: dict[str, Any], problem: Problem | None, words: str
) -> None:
    with pytest.raises(ConfigError) as refusal:
        refuse(axes, problem, **fields)
    (name,) = axes
    assert str(refusal.value).startswith(f"--{name}=")
    assert "is swept without effect: " in str(refusal.value)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("axes", "fields"),
    [
        ({}, {}),
        ({"momentum": [0.1, 0.2], "optimizer": ["sgd", "momentum"]}, {}),  # one group of two reads it
        ({"weight_decay": [0.0, 0.1]}, {}),
        ({"l2_strength": [0.0, 0.1]}, {}),
        ({"max_norm": [1.0, float("inf")]}, {}),
        ({"after_stop": ["halt", "continue"]}, {"patience": 3}),
        ({"num_epochs": [1.0, 2.0]}, {}),
        ({"batch_size": [5, 10], "num_steps": [5, 10]}, {}),
        ({"method": ["none", "l2"]}, {"l2_strength": 0.1}),
        ({"learning_rate": [0.1]}, {}),  # one value is no axis
        ({"l1_start": [0.0, 0.5], "method": ["l1", "late_l1"]}, {"l1_strength": 0.1}),
    ],
    ids=str,
)
def test_what_any_member_reads_may_be_swept(axes: dict[str, Any], fields: dict[str, Any]) -> None:
    refuse(axes, **fields)


def test_each_partner_of_a_zip_must_act() -> None:
    methods = {"method": ["none", "l2", "dropout"], "l2_strength": [0.0, 0.1, 0.0], "dropout_rate": [0.0, 0.0, 0.0]}
    refuse(methods, zip=(tuple(methods),))
    strengths = {"l1_strength": [0.1, 0.2], "l2_strength": [0.1, 0.2]}
    refuse(strengths, zip=(tuple(strengths),), method="l2")  # the remark on l1_strength is enough
    with pytest.raises(ConfigError, match=r"^--l1_strength=0.1,0.2: is swept without effect"):
        refuse(strengths, method="l2")
    axes = {"learning_rate": [0.1, 0.2], "momentum": [0.5, 0.9]}
    with pytest.raises(ConfigError, match=r"^--momentum=0.5,0.9: is swept without effect"):
        refuse(axes, zip=(tuple(axes),))


def test_a_run_refuses_before_anything_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jaxreg.runs.runner.Runner.run", None)
    asked = Experiment(hparams=Hparams(num_steps=2), axes={"activation": ["relu", "tanh"]})
    with pytest.raises(ConfigError, match=r"^--activation=relu,tanh: is swept without effect"):
        jaxreg.run(asked, model=LINEN.model)
