from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jaxreg.config import (
    FIELDS,
    LABELS,
    STATIC,
    TRACED,
    DataConfig,
    Experiment,
    Hparams,
    RunConfig,
    check_value,
    describe,
    number,
    validate,
    whole_number,
)
from jaxreg.config.parts import readers_of
from jaxreg.errors import ConfigError

RATES = (0.1, 0.2)


def hparams(**fields: Any) -> Experiment:
    return Experiment(hparams=Hparams(**fields))


def axes(**values: Any) -> Experiment:
    return Experiment(axes=values)


def test_the_defaults_are_allowed() -> None:
    validate(Experiment())


@pytest.mark.parametrize(
    ("experiment", "flag", "value", "words"),
    [
        (hparams(learning_rate=-0.1), "learning_rate", "-0.1", "> 0"),
        (hparams(learning_rate=0.0), "learning_rate", "0", "> 0"),
        (hparams(learning_rate=float("nan")), "learning_rate", "nan", "finite"),
        (hparams(learning_rate=float("inf")), "learning_rate", "inf", "finite"),
        (hparams(learning_rate=1e39), "learning_rate", "1e+39", "finite"),  # infinite as float32
        (hparams(learning_rate=1e-50), "learning_rate", "1e-50", "> 0"),  # zero as float32
        (hparams(learning_rate="fast"), "learning_rate", "fast", "number"),
        (axes(learning_rate=[0.1, -1.0]), "learning_rate", "-1", "> 0"),
        (hparams(init_variance=-0.01), "init_variance", "-0.01", ">= 0"),
        (hparams(momentum=1.0), "momentum", "1", "< 1"),
        (hparams(momentum=1 - 1e-9), "momentum", "0.999999999", "< 1"),  # one as float32
        (hparams(momentum=-0.5), "momentum", "-0.5", ">= 0"),
        (hparams(beta1=1.0), "beta1", "1", "< 1"),
        (hparams(beta2=1.5), "beta2", "1.5", "< 1"),
        (hparams(weight_decay=-1.0), "weight_decay", "-1", ">= 0"),
        (hparams(decay_rate=0.0), "decay_rate", "0", "> 0"),
        (hparams(decay_rate=1.5), "decay_rate", "1.5", "<= 1"),
        (hparams(decay_steps=-1.0), "decay_steps", "-1", ">= 0"),
        (hparams(warmup_steps=-1.0), "warmup_steps", "-1", ">= 0"),
        (hparams(batch_size=0), "batch_size", "0", "from 1"),
        (hparams(batch_size=2.5), "batch_size", "2.5", "whole"),
        (hparams(num_steps=0), "num_steps", "0", "from 1"),
        (hparams(num_steps=2**31), "num_steps", str(2**31), str(2**31 - 1)),
        (hparams(num_epochs=-1.0), "num_epochs", "-1", ">= 0"),
        (hparams(hidden_sizes=(32, 0)), "hidden_sizes", "32x0", "layer sizes"),
        (hparams(hidden_sizes=32), "hidden_sizes", "32", "layer sizes"),
        (hparams(activation="sigmod"), "activation", "sigmod", "did you mean sigmoid?"),
        (hparams(init="ortogonal"), "init", "ortogonal", "did you mean orthogonal?"),
        (hparams(optimizer="adm"), "optimizer", "adm", "did you mean adam?"),
        (hparams(loss="crossentropy"), "loss", "crossentropy", "did you mean cross_entropy?"),
        (hparams(schedule="cosin"), "schedule", "cosin", "did you mean cosine?"),
        (hparams(schedule="zzz"), "schedule", "zzz", "constant, inverse_time"),
        (axes(activation=["relu", "rellu"]), "activation", "rellu", "did you mean relu?"),
        (axes(learning_rate=[]), "learning_rate", "", "empty list"),
        (axes(learning_rate=[0.1, 0.2, 0.1]), "learning_rate", "0.1,0.2,0.1", "0.1 is in the list twice"),
        (
            axes(learning_rate=[0.1, 0.5, 0.100000001]),
            "learning_rate",
            "0.1,0.5,0.100000001",
            "0.1 and 0.100000001 are one number in float32",
        ),
        (axes(hidden_sizes=[(8, 4), (8,), (8, 4)]), "hidden_sizes", "8x4,8,8x4", "8x4 is in the list twice"),
        (axes(batch_size=[10, 10.5]), "batch_size", "10.5", "whole"),
        (axes(batch_size=[10, 10.0]), "batch_size", "10,10", "10 is in the list twice"),
        (axes(learning_rates=[0.1]), "learning_rates", "...", "did you mean learning_rate?"),
        (Experiment(seeds=0), "seeds", "0", "from 1"),
        (Experiment(first_seed=-1), "first_seed", "-1", "from 0"),
        (Experiment(first_seed=2**32), "first_seed", str(2**32), str(2**32 - 1)),
        (Experiment(first_seed=2**32 - 2, seeds=3), "seeds", "3", str(2**32)),
        (Experiment(base_seed=2**32), "base_seed", str(2**32), str(2**32 - 1)),
        (Experiment(eval_every=-1), "eval_every", "-1", "from 0"),
        (Experiment(record_every=-1), "record_every", "-1", "from 0"),
        (Experiment(members_per_program=-1), "members_per_program", "-1", "from 0"),
        (Experiment(matmul_precision="hihg"), "matmul_precision", "hihg", "did you mean high?"),
        (Experiment(data=DataConfig(downsample=0)), "downsample", "0", "from 1"),
        (Experiment(data=DataConfig(validation_size=0)), "validation_size", "0", "from 1"),
        (Experiment(run=RunConfig(max_minutes=-1.0)), "max_minutes", "-1", ">= 0"),
        (Experiment(run=RunConfig(max_minutes=float("nan"))), "max_minutes", "nan", "finite"),
        (Experiment(run=RunConfig(checkpoint_every=-1)), "checkpoint_every", "-1", "from 0"),
        (Experiment(run=RunConfig(progress="maybe")), "progress", "maybe", "auto, true, false"),
        (Experiment(run=RunConfig(resume=True)), "resume", "true", "--workdir"),
        (Experiment(run=RunConfig(workdir="w", resume=True, overwrite=True)), "overwrite", "true", "--resume"),
        (Experiment(axes={"learning_rate": RATES}, zip=(("learning_rate",),)), "zip", "learning_rate", "two or more"),
        (
            Experiment(
                axes={"learning_rate": RATES, "momentum": (0.1, 0.5, 0.9)}, zip=(("learning_rate", "momentum"),)
            ),
            "zip",
            "learning_rate,momentum",
            "learning_rate 2, momentum 3",
        ),
        (
            Experiment(axes={"learning_rate": RATES}, zip=(("learning_rate", "learning_rate"),)),
            "zip",
            "learning_rate,learning_rate",
            "zipped twice",
        ),
        (
            Experiment(
                axes={"learning_rate": RATES, "momentum": RATES, "beta1": RATES},
                zip=(("learning_rate", "momentum"), ("beta1", "momentum")),
            ),
            "zip",
            "beta1,momentum",
            "momentum is zipped twice",
        ),
        (
            Experiment(axes={"learning_rate": RATES}, zip=(("learning_rate", "momentun"),)),
            "zip",
            "learning_rate,momentun",
            "did you mean momentum?",
        ),
        (
            Experiment(axes={"learning_rate": RATES}, zip=(("learning_rate", "momentum"),)),
            "zip",
            "learning_rate,momentum",
            "--momentum has one value",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_refusal_names_the_flag_the_value_and_what_is_allowed(
    experiment: Experiment, flag: str, value: str, words: str
) -> None:
    with pytest.raises(ConfigError) as refusal:
        validate(experiment)
    message = str(refusal.value)
    assert message.startswith(f"--{flag}={value}: ")
    assert words in message
    assert "\n" not in message
    assert refusal.value.exit_code == 1


@pytest.mark.parametrize(
    "experiment",
    [
        hparams(learning_rate=1e-45),  # the smallest float32
        hparams(learning_rate=3.4e38, momentum=0.0, beta1=0.0, decay_rate=1.0, init_variance=0.0),
        hparams(hidden_sizes=()),
        hparams(num_steps=2**31 - 1, batch_size=1),
        axes(init=("zeros", "torch"), hidden_sizes=[(), (8,), (8, 8)]),
        axes(learning_rate=[0.1, 0.1 + 1e-8]),
        Experiment(first_seed=2**32 - 3, seeds=3, base_seed=2**32 - 1),
        Experiment(axes={"learning_rate": RATES, "batch_size": (5, 6)}, zip=(("batch_size", "learning_rate"),)),
        Experiment(run=RunConfig(workdir="w", resume=True)),
    ],
    ids=str,
)
def test_values_at_the_edge_of_what_is_allowed_are_accepted(experiment: Experiment) -> None:
    validate(experiment)


def test_values_come_in_the_plain_types_of_their_fields() -> None:
    from_numpy: Any = {"momentum": np.array([0, 0.5]), "num_steps": np.array([10, 20]), "hidden_sizes": [[8], [8, 4]]}
    experiment = Experiment(
        hparams=Hparams(learning_rate=1, batch_size=np.int64(20), hidden_sizes=[8, 4]),  # type: ignore[arg-type]
        axes=from_numpy,
    )
    validate(experiment)
    assert (experiment.hparams.learning_rate, type(experiment.hparams.learning_rate)) == (1.0, float)
    assert (experiment.hparams.batch_size, type(experiment.hparams.batch_size)) == (20, int)
    assert experiment.hparams.hidden_sizes == (8, 4)
    assert experiment.axes == {"momentum": (0.0, 0.5), "num_steps": (10, 20), "hidden_sizes": ((8,), (8, 4))}
    assert {type(value) for value in experiment.axes["momentum"]} == {float}
    assert {type(value) for value in experiment.axes["num_steps"]} == {int}


def test_traced_fields_are_the_leaves_and_static_ones_the_structure() -> None:
    assert sorted([*STATIC, *TRACED, *LABELS]) == sorted(FIELDS)
    paths = [str(path[0].name) for path, _ in jax.tree.leaves_with_path(Hparams(init_variance=1.0, bias_variance=0.0))]
    assert paths == list(TRACED)
    structure: Any = jax.tree.structure
    one, static = (
        Hparams(init_variance=1.0),
        {"activation": "relu", "hidden_sizes": (1,), "batch_size": 1, "num_steps": 7},
    )
    for name, other in static.items():
        changed: Any = {name: other}
        assert structure(dataclasses.replace(one, **changed)) != structure(one)
    assert structure(Hparams(init_variance=2.0, learning_rate=7.0)) == structure(one)


def test_every_hyperparameter_is_documented_and_its_default_allowed() -> None:
    for name, field in FIELDS.items():
        assert field.metadata["help"].endswith((".", ")"))
        if field.default is not None:
            check_value(name, field.default, field.metadata["rule"])
        if field.metadata["read_by_parts"]:
            assert readers_of(name)


def test_options_take_numbers_of_numpy_and_jax_whole_floats_and_paths() -> None:
    shared: dict[str, Any] = {"num_steps": 1e1, "learning_rate": jax.numpy.float32(0.5), "hidden_sizes": [np.int8(4)]}
    axes: dict[str, Any] = {"momentum": jax.numpy.array([0, 0.5])}
    data: dict[str, Any] = {"data_dir": Path("sets"), "noise": np.float64(0.5), "num_points": np.uint8(20)}
    run: dict[str, Any] = {"workdir": Path("w"), "max_minutes": 1, "checkpoint_every": np.float32(2)}
    own: dict[str, Any] = {"seeds": np.int64(2), "first_seed": 1e1, "eval_every": np.array(5), "diagnostics": np.True_}
    asked = Experiment(hparams=Hparams(**shared), axes=axes, data=DataConfig(**data), run=RunConfig(**run), **own)
    validate(asked)
    assert asked == Experiment(
        hparams=Hparams(num_steps=10, learning_rate=0.5, hidden_sizes=(4,)),
        axes={"momentum": (0.0, 0.5)},
        data=DataConfig(data_dir="sets", noise=0.5, num_points=20),
        run=RunConfig(workdir="w", max_minutes=1.0, checkpoint_every=2),
        seeds=2,
        first_seed=10,
        eval_every=5,
        diagnostics=True,
    )
    kept = [asked.seeds, asked.first_seed, asked.eval_every, asked.run.checkpoint_every, asked.hparams.num_steps]
    assert {type(value) for value in kept} == {int}
    assert type(asked.run.max_minutes) is float


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1"),
        (1.0, "1"),
        (1e-45, "1e-45"),
        (1e22, "1e+22"),
        (0.1 + 0.2, "0.30000000000000004"),
        (7, "7"),
        (True, "true"),
        ("relu", "relu"),
        ((), "none"),
        ((64, 32), "64x32"),
    ],
)
def test_describe_spells_a_value_as_a_flag(value: Any, text: str) -> None:
    assert describe(value) == text


def test_rules_say_what_they_hold() -> None:
    assert number(0, 1, above=True, below=True).allowed == "must be a finite number > 0 and < 1"
    assert number().allowed == "must be a finite number"
    rule = number(0, 1, above=True, below=True)
    assert [rule.holds(x) for x in (0.0, 1e-30, 0.5, 1.0, float("nan"))] == [False, True, True, False, False]
    assert [whole_number(1, 3).holds(x) for x in (0, 1, 3, 4, 2.0)] == [False, True, True, False, False]


def test_epochs_which_no_device_sees_may_differ_by_less_than_float32() -> None:
    validate(axes(num_epochs=[1.0, 1.00000001]))


@pytest.mark.parametrize("text", ["false", "true", "", 0, 1, None])
def test_every_switch_refuses_what_is_no_truth_value(text: Any) -> None:
    """ "false" counted as true."""
    for kind, wrap in (
        (Experiment, lambda part: part),
        (DataConfig, lambda part: Experiment(data=part)),
        (RunConfig, lambda part: Experiment(run=part)),
    ):
        switches = [field.name for field in dataclasses.fields(kind) if field.metadata.get("kind") is bool]
        assert switches or kind is DataConfig
        for name in switches:
            with pytest.raises(ConfigError, match=f"^--{name}="):
                validate(wrap(kind(**{name: text})))
