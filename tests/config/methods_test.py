"""Which regularisers act on whom: methods, what they leave out, the terms of a program, remarks and refusals."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import flax.linen as nn
import pytest

import jaxreg
from experiments import cli, lr_sweep
from jaxreg.config import FIELDS, Experiment, Hparams, effective_hparams, validate
from jaxreg.config.remarks import remarks
from jaxreg.config.sweeps import make_sweep
from jaxreg.errors import ConfigError
from jaxreg.nn.regularisers import REGULARISERS, compiled_terms
from jaxreg.training.flax_models import from_linen
from jaxreg.training.problem import Problem
from tests.training_run import experiment, runner

# Every strength on, each with a value of its own.
GIVEN: dict[str, Any] = {
    "l1_strength": 0.1,
    "l1_start": 0.8,
    "l2_strength": 0.2,
    "kl_strength": 0.3,
    "max_norm": 4.0,
    "dropout_rate": 0.5,
    "weight_decay": 0.6,
    "patience": 7,
}
OFF: dict[str, Any] = {r.strength: r.off for r in REGULARISERS.values()} | {"l1_start": 0.0}


def strengths(hparams: Hparams) -> dict[str, Any]:
    return {name: getattr(hparams, name) for name in GIVEN}


# What acts


@pytest.mark.parametrize(
    ("method", "acts"),
    [
        ("all", set(GIVEN)),
        ("none", set()),
        ("l1", {"l1_strength"}),  # from the start
        ("late_l1", {"l1_strength", "l1_start"}),
        ("l2", {"l2_strength"}),
        ("kl", {"kl_strength"}),
        ("max_norm", {"max_norm"}),
        ("dropout", {"dropout_rate"}),
        ("weight_decay", {"weight_decay"}),
        ("early_stopping", {"patience"}),
        ("l2+late_l1", {"l2_strength", "l1_strength", "l1_start"}),
        ("dropout+max_norm", {"dropout_rate", "max_norm"}),
        ("max_norm+dropout", {"dropout_rate", "max_norm"}),
    ],
)
def test_a_method_leaves_on_what_it_names(method: str, acts: set[str]) -> None:
    left = strengths(effective_hparams(Hparams(method=method, **GIVEN)))
    on = {name for name, value in left.items() if value != OFF[name]}
    assert on == acts
    assert all(left[name] == GIVEN[name] for name in on)


def test_a_method_touches_no_other_hyperparameter() -> None:
    given = Hparams(method="l2", learning_rate=0.7, kl_target=0.3, hidden_sizes=(5,), **GIVEN)
    spelled = effective_hparams(given)
    for name in set(FIELDS) - {*GIVEN, "method"}:
        assert getattr(spelled, name) == getattr(given, name)
    assert spelled.method == "all"
    assert effective_hparams(spelled) == spelled


def test_the_defaults_leave_everything_off() -> None:
    assert {name: FIELDS[name].default for name in OFF} == OFF
    assert effective_hparams(Hparams(method="none", **GIVEN)) == Hparams()


def test_settings_hold_what_was_given_and_configs_what_acts() -> None:
    hparams = Hparams(**(GIVEN | {"max_norm": math.inf}))
    made = make_sweep(Experiment(hparams=hparams, axes={"method": ["none", "l2", "all"]}), 1000)
    (group,) = made.groups  # labels do not split a sweep
    assert [one.method for one in made.settings] == ["none", "l2", "all"]
    assert {one.l2_strength for one in made.settings} == {0.2}
    assert [config.l2_strength for config in group.configs] == [0.0, 0.2, 0.2]
    assert [config.dropout_rate for config in group.configs] == [0.0, 0.0, 0.5]
    assert list(group.stacked([0, 1, 2], 3).l2_strength) == pytest.approx([0.0, 0.2, 0.2])  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("axes", "terms"),
    [
        ({}, "none"),
        ({"l2_strength": [0.0, 0.1]}, "l2"),
        ({"method": ["none", "l2"], "l2_strength": [0.1, 0.2], "dropout_rate": [0.1, 0.5]}, "l2"),
        ({"method": ["dropout", "late_l1", "max_norm"], **{name: [value] for name, value in GIVEN.items()}}, None),
        ({"weight_decay": [0.1], "patience": [3]}, "none"),  # neither needs a term
        ({"l1_start": [0.5], "kl_target": [0.5]}, "none"),
    ],
    ids=str,
)
def test_a_program_holds_the_terms_that_any_member_needs(axes: dict[str, Any], terms: str | None) -> None:
    (group,) = make_sweep(Experiment(axes=axes), 1000).groups
    assert group.terms == (terms or "l1+max_norm+dropout")
    assert set(group.terms.split("+")) <= {*compiled_terms(), "none"}


def test_each_group_has_its_own_terms() -> None:
    axes = {"batch_size": (10, 20), "l2_strength": (0.0, 0.1), "dropout_rate": (0.5, 0.0)}
    made = make_sweep(Experiment(axes=axes, zip=(tuple(axes),)), 1000)
    assert [group.terms for group in made.groups] == ["dropout", "l2"]
    assert [layout.terms for layout in runner(experiment(axes, zip=(tuple(axes),))).plan.layouts] == ["dropout", "l2"]


# Zipped strengths


def test_methods_and_their_strengths_advance_together_and_strengths_may_repeat() -> None:
    axes = {"method": ("none", "l2", "l2+dropout"), "l2_strength": (0.0, 0.1, 0.1), "dropout_rate": (0.0, 0.0, 0.5)}
    asked = Experiment(axes=axes, zip=(tuple(axes),))
    validate(asked)
    made = make_sweep(asked, 1000)
    assert made.shape == (3,)
    assert [(c.l2_strength, c.dropout_rate) for c in made.groups[0].configs] == [(0.0, 0.0), (0.1, 0.0), (0.1, 0.5)]


def test_the_first_of_a_zip_and_an_axis_of_its_own_may_not_repeat() -> None:
    axes = {"method": ("none", "l2"), "l2_strength": (0.1, 0.1)}
    for zipped in ((), (("l2_strength", "method"),)):
        with pytest.raises(ConfigError, match=r"^--l2_strength=0.1,0.1: 0.1 is in the list twice$"):
            validate(Experiment(axes=axes, zip=zipped))


# Remarks


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"method": "l2"}, ["--method=l2: l2 does nothing with --l2_strength=0"]),
        ({"method": "max_norm"}, ["--method=max_norm: max_norm does nothing with --max_norm=inf"]),
        ({"method": "early_stopping"}, ["early_stopping does nothing with --patience=0"]),
        ({"method": "l1+dropout", "l1_strength": 0.1}, ["dropout does nothing with --dropout_rate=0"]),
        ({"method": "none", "l1_strength": 0.1}, ["--l1_strength has no effect with --method=none"]),
        ({"method": "none", "patience": 3}, ["--patience has no effect with --method=none"]),
        ({"l1_start": 0.5}, ["--l1_start has no effect with --l1_strength=0"]),
        ({"kl_target": 0.1}, ["--kl_target has no effect with --kl_strength=0"]),
        ({"method": "l1", "l1_strength": 0.1}, []),
        ({"method": "late_l1", "l1_strength": 0.1, "l1_start": 0.5}, []),
        ({"method": "late_l1", "l1_strength": 0.1}, ["late_l1 is l1 with --l1_start=0"]),
        ({"method": "l1", "l1_strength": 0.1, "l1_start": 0.5}, ["--l1_start has no effect with --method=l1"]),
        ({"l1_strength": 0.1, "l1_start": 0.5}, []),
        ({"method": "weight_decay", "weight_decay": 0.1}, []),
        (GIVEN, []),
    ],
    ids=str,
)
def test_strengths_and_methods_without_effect_are_said(fields: dict[str, Any], words: list[str]) -> None:
    lines = remarks(Experiment(hparams=Hparams(**fields)))
    assert len(lines) == len(words)
    for line, part in zip(lines, words, strict=True):
        assert part in line
        assert "\n" not in line


def test_what_any_member_uses_is_not_remarked_upon() -> None:
    axes = {"method": ("none", "l2", "early_stopping"), "l2_strength": (0.0, 0.1)}
    assert remarks(Experiment(hparams=Hparams(patience=3), axes=axes)) == []


# Refusals

METHODS = "must be one of all, none, l1, late_l1, l2, kl, max_norm, dropout, input_dropout, label_smoothing, "
METHODS += "weight_decay, early_stopping"
REFUSED = [
    ("l1_strength", "-0.1", ">= 0"),
    ("l1_strength", "nan", "finite"),
    ("l1_start", "1.5", "<= 1"),
    ("l1_start", "-0.5", ">= 0"),
    ("l2_strength", "inf", "finite"),
    ("l2_strength", "0.1,0.1", "twice"),
    ("kl_strength", "-1", ">= 0"),
    ("kl_target", "0", "> 0"),
    ("kl_target", "1", "< 1"),
    ("kl_target", "0.99999999999", "< 1"),  # one as float32
    ("max_norm", "0", "> 0, or inf"),
    ("max_norm", "-inf", "> 0, or inf"),
    ("max_norm", "nan", "> 0, or inf"),
    ("dropout_rate", "1", "< 1"),
    ("dropout_rate", "-0.1", ">= 0"),
    ("dropout_rate", "50%", "not a value"),
    ("patience", "-1", "from 0"),
    ("method", "dropuot", "did you mean dropout?"),
    ("method", "l2+maxnorm", "did you mean max_norm?"),
    ("method", "none,l2,ridge", METHODS),
    ("method", "l2+l2", "each once"),
    ("method", "l1+late_l1", "l1 not beside late_l1"),
    ("method", "all+l2", "all and none alone"),
    ("method", "none+l2", "all and none alone"),
    ("method", "l2+", METHODS),
    ("method", "l2,l2", "twice"),
    ("method", "", "empty"),
]


def refused(capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    """The line in which the command line refuses these flags, nothing being written."""
    assert cli.main(lr_sweep.STUDY, ["lr_sweep", "--hidden_sizes=4", "--num_steps=20", *flags]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert not list(Path.cwd().iterdir())
    return err


@pytest.mark.parametrize(("flag", "value", "words"), REFUSED, ids=[f"{flag}={value}" for flag, value, _ in REFUSED])
def test_bad_values_are_refused_in_one_line(
    flag: str, value: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(capsys, f"--{flag}={value}")
    assert line.startswith(f"--{flag}=")
    assert words in line


@pytest.mark.parametrize("value", [3, None, ("l2",)], ids=str)
def test_a_method_that_is_no_text_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="--method="):
        validate(Experiment(hparams=Hparams(method=value)))


LAYOUT = "seeds:1,configs:1,devices:1,split:seeds,tile_seeds:1,tile_configs:1,chunk_steps:1,"
LAYOUT += "eval_seeds:1,eval_block:64,terms:"


def test_regularisers_without_anything_to_act_on_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    no_range = "kl acts on --activation=sigmoid, tanh, softsign, relu, softplus, not on gelu"
    assert no_range in refused(capsys, "--kl_strength=0,0.1", "--activation=gelu")
    assert "no hidden activations" in refused(capsys, "--kl_strength=0.1", "--hidden_sizes=none")
    assert "--kl_strength=0.1" in refused(capsys, "--kl_strength=0.1", "--activation=relu,gelu")
    # A term that only the pinned layout asks for is refused as well, though no member needs it.
    assert f"--layout={LAYOUT}kl: {no_range}" in refused(capsys, f"--layout={LAYOUT}kl", "--activation=gelu")


def test_a_pinned_layout_that_lacks_a_term_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ("--l2_strength=0.1", "--dropout_rate=0.5", "--max_norm=1")
    assert "leaves out dropout, max_norm, which a member needs" in refused(capsys, *flags, f"--layout={LAYOUT}l2")
    assert "terms:none or l1+l2" in refused(capsys, *flags, f"--layout={LAYOUT}ridge")


def test_a_model_without_dropout_or_activations_refuses_what_needs_them() -> None:
    model = from_linen(nn.Sequential([nn.Dense(4), nn.relu, nn.Dense(10)]))
    cases: list[tuple[dict[str, Any], str]] = [
        ({"dropout_rate": 0.25}, r"^--dropout_rate=0.25: this model has no dropout_forward; do without dropout$"),
        ({"kl_strength": 0.5}, r"^--kl_strength=0.5: this model shows no hidden activations for kl"),
    ]
    for fields, words in cases:
        with pytest.raises(ConfigError, match=words):
            jaxreg.run(experiment(num_steps=2, **fields), model=model)
    with pytest.raises(ConfigError, match=r"^--layout=.*terms:dropout: this model has no dropout_forward"):
        runner(experiment(layout=LAYOUT + "dropout"), problem=Problem(model=model))
    runner(experiment(l1_strength=0.1, l2_strength=0.1, max_norm=1.0), problem=Problem(model=model))
