"""One record per regulariser: what it must hold, and that the documentation says the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import pytest

from jaxreg.config import FIELDS, Experiment, Hparams, describe, validate
from jaxreg.errors import ConfigError
from jaxreg.nn.activations import ACTIVATIONS
from jaxreg.nn.optimizers import OPTIMIZERS
from jaxreg.nn.regularisers import REGULARISERS, Regulariser, compiled_terms
from jaxreg.training.problem import Problem, with_terms

PAGE = Path(__file__).parents[2] / "docs" / "regularisation.md"


def row(name: str, record: Regulariser) -> str:
    """The row of a regulariser in the table of the documentation."""
    flags = ", ".join(f"`--{flag}` ({describe(FIELDS[flag].default)})" for flag in (record.strength, *record.owns))
    cells = (f"`{name}`", flags, record.equation.replace("|", r"\|"), record.acts_on, record.source)
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


def test_the_table_of_the_documentation_is_that_of_the_records() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("| name in `--method`")) + 2
    table = lines[first : lines.index("", first)]
    assert table == [row(name, record) for name, record in REGULARISERS.items()]


def test_the_terms_of_a_program_follow_from_the_records() -> None:
    assert compiled_terms() == ("l1", "l2", "kl", "max_norm", "dropout", "input_dropout", "label_smoothing")
    problem = with_terms(Problem(), "+".join(compiled_terms()))
    assert (len(problem.penalties), len(problem.constraints)) == (3, 1)
    assert (problem.dropout, problem.input_dropout, problem.smooths_labels) == (True, True, True)
    assert with_terms(Problem(), "input_dropout") == Problem(input_dropout=True)
    assert with_terms(Problem(), "label_smoothing") == Problem(smooths_labels=True)


def test_a_shipped_strength_is_off_by_default_and_what_a_record_owns_is_a_hyperparameter() -> None:
    for record in REGULARISERS.values():
        assert FIELDS[record.strength].default == record.off
        assert set(record.hyperparameters) <= set(FIELDS)
        assert record.equation
        assert record.acts_on


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        ({}, "give one of"),
        ({"drops": "hidden", "read_by": "the optimizer"}, "give one of"),
        ({"penalty": lambda params: jnp.zeros(())}, "no parameter of that name"),  # noqa: ARG005
    ],
    ids=["nothing", "two", "without its strength"],
)
def test_a_record_that_would_do_nothing_raises(kinds: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Regulariser(strength="l2_strength", off=0.0, **kinds)


def test_a_part_that_reads_what_is_no_hyperparameter_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    ridge = Regulariser("ridge_strength", 0.0, penalty=lambda params, ridge_strength: ridge_strength)  # noqa: ARG005
    cases: list[tuple[Any, str, Any, str]] = [
        (REGULARISERS, "method", ridge, "reads ridge_strength, which is no hyperparameter"),
        (OPTIMIZERS, "optimizer", lambda momentun: momentun, "reads momentun, .*did you mean momentum"),
        (ACTIVATIONS, "activation", lambda x, slope: slope * x, "reads slope"),
    ]
    for table, flag, entry, words in cases:
        with monkeypatch.context() as patched:
            patched.setitem(table, "toy", entry)
            with pytest.raises(ConfigError, match=f"^--{flag}=toy: .*{words}"):
                validate(Experiment(hparams=Hparams()))
    with monkeypatch.context() as patched:
        patched.setitem(ACTIVATIONS, "a+b", jnp.tanh)
        with pytest.raises(ConfigError, match="letters, digits and _"):
            validate(Experiment())
