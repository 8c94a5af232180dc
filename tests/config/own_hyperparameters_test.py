"""Hyperparameters that a user declares: given, read, replaced, stacked and refused like the fields of Hparams."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import pytest

import jaxreg
from experiments.flags import help_text, make_flags
from jaxreg.config import FIELDS, STATIC, TRACED, Experiment, Hparams, number, one_of, validate, whole_number
from jaxreg.config.flagfile import experiment_from_flags, flag_lines
from jaxreg.config.sweeps import hyperparameter_table, make_sweep
from jaxreg.errors import ConfigError

OLD: Any = Hparams()  # made before anything is declared
CONSTRUCT: Any = Hparams


@pytest.fixture(autouse=True)
def _declared() -> Iterator[None]:
    shipped = dict(FIELDS)
    jaxreg.add_hyperparameter("l4_strength", 0.0, number(0), "Factor on the fourth powers.", subject="regularisation")
    jaxreg.add_hyperparameter("width_rule", "wide", one_of(["wide", "deep"]), "How layers grow.", static=True)
    yield
    FIELDS.clear()
    FIELDS.update(shipped)


def test_values_are_given_read_and_replaced() -> None:
    made = CONSTRUCT(l4_strength=0.5, learning_rate=0.2)
    assert (made.l4_strength, made.width_rule, made.learning_rate) == (0.5, "wide", 0.2)
    other = dataclasses.replace(made, l4_strength=1.5, width_rule="deep", momentum=0.9)
    assert (other.l4_strength, other.width_rule, other.momentum, other.learning_rate) == (1.5, "deep", 0.9, 0.2)
    assert (made.l4_strength, made.width_rule) == (0.5, "wide")
    assert made != other
    assert made == CONSTRUCT(l4_strength=0.5, learning_rate=0.2)
    assert hash(made) == hash(CONSTRUCT(l4_strength=0.5, learning_rate=0.2))
    assert (OLD.l4_strength, OLD.width_rule) == (0.0, "wide")
    for same in (copy.deepcopy(other), pickle.loads(pickle.dumps(other))):
        assert same == other
    with pytest.raises(TypeError, match="l5_strength"):
        CONSTRUCT(l5_strength=1.0)
    with pytest.raises(AttributeError, match="no hyperparameter is named l5_strength"):
        _ = made.l5_strength


def test_traced_values_are_leaves_and_static_ones_the_structure() -> None:
    assert (TRACED[-1], STATIC[-1]) == ("l4_strength", "width_rule")
    made = CONSTRUCT(l4_strength=0.5, init_variance=1.0, bias_variance=0.0)
    assert jax.tree.leaves(made) == [getattr(made, name) for name in TRACED]
    structure: Any = jax.tree.structure
    assert structure(dataclasses.replace(made, l4_strength=2.0)) == structure(made)
    assert structure(dataclasses.replace(made, width_rule="deep")) != structure(made)
    doubled = jax.jit(lambda hparams: jax.tree.map(lambda x: 2 * x, hparams))(made)
    assert (doubled.l4_strength, doubled.width_rule) == (1.0, "wide")


def test_without_own_ones_the_tree_is_that_of_the_fields() -> None:
    FIELDS.pop("l4_strength")
    FIELDS.pop("width_rule")
    paths = [str(path[0].name) for path, _ in jax.tree.leaves_with_path(Hparams(init_variance=1.0, bias_variance=0.0))]
    assert paths == [field.name for field in dataclasses.fields(Hparams) if field.name in TRACED]


def test_axes_make_dimensions_groups_and_columns() -> None:
    axes: dict[str, Any] = {"l4_strength": [0, 0.5], "width_rule": ["wide", "deep"], "learning_rate": [0.1, 0.2]}
    asked = Experiment(axes=axes)
    validate(asked)
    made = make_sweep(asked, 1000)
    assert [dimension.name for dimension in made.dimensions] == ["learning_rate", "l4_strength", "width_rule"]
    assert len(made.groups) == 2
    stacked: Any = made.groups[0].stacked([0, 1, 2, 3], 4)
    np.testing.assert_array_equal(stacked.l4_strength, np.array([0, 0.5, 0, 0.5], np.float32))
    table = hyperparameter_table(made)
    assert table["width_rule"].tolist() == [[["wide", "deep"]] * 2] * 2
    zipped = Experiment(
        axes={"l4_strength": [0.0, 0.5], "learning_rate": [0.1, 0.2]}, zip=(("l4_strength", "learning_rate"),)
    )
    validate(zipped)
    assert make_sweep(zipped, 1000).shape == (2,)


def test_flags_spell_them() -> None:
    assert "--l4_strength: Factor on the fourth powers. A finite number >= 0. [0]" in " ".join(
        help_text(make_flags()).split()
    )
    asked = experiment_from_flags("--l4_strength=log:1e-3:1:4\n--width_rule=deep")
    assert asked.axes == {"l4_strength": (0.001, 0.01, 0.1, 1.0)}
    hparams: Any = asked.hparams
    assert hparams.width_rule == "deep"
    lines = flag_lines(asked)
    assert "--l4_strength=0.001,0.01,0.1,1" in lines
    assert experiment_from_flags("\n".join(lines)) == asked


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"l4_strength": -1.0}, r"^--l4_strength=-1: must be a finite number >= 0$"),
        ({"width_rule": "depe"}, "did you mean deep"),
    ],
)
def test_their_rules_hold(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        validate(Experiment(hparams=CONSTRUCT(**fields)))


@pytest.mark.parametrize(
    "name", ["l4_strength", "learning_rate", "seed", "seeds", "dataset", "workdir", "zip", "replace", "no name", "help"]
)
def test_a_name_that_is_taken_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be declared"):
        jaxreg.add_hyperparameter(name, 0.0, number(0), "Again.")


def test_the_same_declaration_may_be_made_again() -> None:
    text = "Factor on the fourth powers."
    jaxreg.add_hyperparameter("l4_strength", 0.0, number(0), text, subject="regularisation")
    for default, rule in ((1.0, number(0)), (0.0, number(0, 1))):
        with pytest.raises(ConfigError, match="cannot be declared"):
            jaxreg.add_hyperparameter("l4_strength", default, rule, text)


def test_a_default_must_be_a_value() -> None:
    with pytest.raises(ConfigError, match="from 1"):
        jaxreg.add_hyperparameter("repeats", 0, whole_number(1), "Repeats.")
    with pytest.raises(ConfigError, match="static"):
        jaxreg.add_hyperparameter("kind_of_rule", "wide", one_of(["wide"]), "Text cannot be traced.")
