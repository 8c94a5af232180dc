"""How programs are compiled, and when they are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from experiments import cli, lr_sweep
from jaxreg.nn.initializers import INITIAL_SCHEMES
from jaxreg.population import placement
from jaxreg.population.blocks import Block
from jaxreg.population.compilation import Compilation, options_of_a_program_that_runs_once
from jaxreg.population.placement import place_block
from jaxreg.population.programs import Programs
from tests.compiling import AS_USERS_HAVE_IT, compilation_as_users_have_it
from tests.training_run import experiment, plan

LEVEL = "xla_backend_optimization_level"
OTHERS = tuple(name for name in INITIAL_SCHEMES if name not in ("normal", "zeros"))


@pytest.mark.parametrize("init", ["normal", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_at_the_first_level_of_optimisation_initial_states_have_the_same_bits(init: str) -> None:
    made = plan(experiment({"learning_rate": [0.1, 0.3]}, seeds=3, init=init, hidden_sizes=(32, 17), bias_variance=0.1))
    (layout,) = made.layouts
    data = made.data
    programs = Programs(made.problem, layout, data.input_shape, data.num_outputs, data.num_classes)
    population = place_block(programs, made, Block(0, (0, 1), (0, 1, 2))).population
    lowered = programs.init.lower(population)
    fully, at_first = (
        jax.device_get(lowered.compile(AS_USERS_HAVE_IT | options)(population)) for options in ({}, {LEVEL: 1})
    )
    jax.tree.map(np.testing.assert_array_equal, at_first, fully)


@pytest.mark.parametrize(("flags", "level"), [("", 1), (f"--{LEVEL}=3 --{LEVEL}=0", 0), (f"--{LEVEL}=2", 1)])
def test_what_runs_once_is_compiled_at_the_first_level_or_below(
    monkeypatch: pytest.MonkeyPatch, flags: str, level: int
) -> None:
    monkeypatch.setenv("XLA_FLAGS", flags)
    assert options_of_a_program_that_runs_once() == {LEVEL: level}
    with compilation_as_users_have_it():
        assert options_of_a_program_that_runs_once() == {LEVEL: 1}


def test_options_of_a_program_reach_the_compiler() -> None:
    compilation = Compilation(lambda: jax.jit(lambda x: x + 1).lower(1.0), {"no_such_option": 1})
    with pytest.raises(Exception, match="no_such_option"):
        _ = compilation.program


def test_a_command_that_differs_in_numbers_alone_compiles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Compilation] = []

    def making(*arguments: Any) -> Compilation:
        made.append(Compilation(*arguments))
        return made[-1]

    monkeypatch.setattr(placement, "Compilation", making)
    quiet = ("--report=false", "--tensorboard=false", "--quiet")
    small = ("--hidden_sizes=3", "--num_steps=6", "--eval_every=3", "--batch_size=19", *quiet)
    counts = []
    for number, rates in enumerate(("0.1,0.2", "0.3,0.4")):
        flags = ("lr_sweep", *small, f"--learning_rate={rates}", f"--workdir={tmp_path / str(number)}")
        assert cli.main(lr_sweep.STUDY, [*flags]) == 0
        counts.append(len(made))
    assert counts[0] == counts[1] > 0
