from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import jax
import numpy as np
import pytest

from jaxreg.config import FIELDS, STATIC, TRACED, Experiment, Hparams
from jaxreg.config.remarks import remarks, remarks_on_steps
from jaxreg.config.sweeps import Sweep, hyperparameter_table, make_sweep, resolve
from jaxreg.errors import ConfigError

NUM_EXAMPLES = 1000


def sweep(axes: dict[str, Any] | None = None, num_examples: int = NUM_EXAMPLES, **other: Any) -> Sweep:
    hparams = Hparams(**{name: other.pop(name) for name in list(other) if name in Hparams.__dataclass_fields__})
    return make_sweep(Experiment(hparams=hparams, axes=axes or {}, **other), num_examples)


def test_a_stop_that_cannot_come_is_said() -> None:
    going_on = Experiment(hparams=Hparams(after_stop="continue"))
    (line,) = remarks(going_on)
    assert line.startswith("--after_stop has no effect with --patience=0")
    assert remarks(Experiment(hparams=Hparams(after_stop="continue", patience=3))) == []


def test_a_single_setting_has_no_dimensions() -> None:
    made = sweep(learning_rate=0.5, seeds=3, first_seed=7)
    assert (made.shape, len(made.settings), made.num_members, made.seeds) == ((), 1, 3, (7, 8, 9))
    assert made.settings[0].learning_rate == 0.5


def test_the_grid_is_the_product_in_the_order_of_the_fields_last_fastest() -> None:
    rates, variances, sizes = (0.1, 0.2, 0.3), (0.0, 1.0), (10, 20)
    made = sweep({"batch_size": sizes, "learning_rate": rates, "init_variance": variances}, seeds=2)
    assert [dimension.name for dimension in made.dimensions] == ["init_variance", "learning_rate", "batch_size"]
    assert (made.shape, made.num_members) == ((2, 3, 2), 24)
    points = [(one.init_variance, one.learning_rate, one.batch_size) for one in made.settings]
    assert points == list(itertools.product(variances, rates, sizes))


def test_zipped_axes_advance_together_along_the_place_of_the_first() -> None:
    axes = {"learning_rate": (0.1, 0.2), "momentum": (0.0, 0.9), "batch_size": (10, 20)}
    made = sweep(axes, zip=(("batch_size", "learning_rate"),))
    assert [dimension.name for dimension in made.dimensions] == ["momentum", "batch_size"]
    assert dict(made.dimensions[1].values) == {"batch_size": (10, 20), "learning_rate": (0.1, 0.2)}
    points = [(one.momentum, one.batch_size, one.learning_rate) for one in made.settings]
    assert points == [(0.0, 10, 0.1), (0.0, 20, 0.2), (0.9, 10, 0.1), (0.9, 20, 0.2)]


def test_an_axis_of_one_value_is_shared() -> None:
    made = sweep({"learning_rate": (0.7,), "momentum": (0.1, 0.2)}, learning_rate=0.1)
    assert made.shape == (2,)
    assert {one.learning_rate for one in made.settings} == {0.7}


def test_groups_partition_the_grid_by_static_fields() -> None:
    made = sweep(
        {
            "learning_rate": (0.1, 0.2, 0.3),
            "batch_size": (10, 20),
            "activation": ("relu", "tanh"),
            "num_steps": (5, 9),
        }
    )
    assert len(made.groups) == 8
    assert sorted(number for group in made.groups for number in group.settings) == list(range(24))
    for group in made.groups:
        assert len(group.settings) == 3
        assert group.configs == tuple(made.settings[number] for number in group.settings)
        assert len({tuple(getattr(config, name) for name in STATIC) for config in group.configs}) == 1
        assert group.num_steps == group.shared.num_steps


def test_numbers_do_not_split_a_sweep() -> None:
    assert len(sweep({"learning_rate": (0.1, 0.2), "init_variance": (0.1, 1.0), "beta1": (0.5, 0.9)}).groups) == 1


def test_stacked_configs_are_float32_columns_filled_up_with_the_last() -> None:
    (group,) = sweep({"learning_rate": (0.1, 0.2, 0.3)}).groups
    stacked = group.stacked([1, 2], 4)
    assert stacked.bias_variance is None  # no biases are drawn
    assert stacked.learning_rate.dtype == np.float32  # type: ignore[attr-defined]
    np.testing.assert_array_equal(stacked.learning_rate, np.array([0.2, 0.3, 0.3, 0.3], np.float32))
    assert {leaf.shape for leaf in jax.tree.leaves(stacked)} == {(4,)}
    assert len(jax.tree.leaves(stacked)) == len(TRACED) - 1
    assert stacked.batch_size == 100


def test_stacked_configs_are_those_of_each_field() -> None:
    axes = {"l1_start": (0.075, 0.3, 0.5), "l1_strength": (0.1,), "learning_rate": (0.1, 0.2)}
    (group,) = sweep(axes, num_steps=100).groups
    starts = {0.075: 0.08, 0.3: 0.3, 0.5: 0.5}  # of the step that it sets in at
    rows = [dataclasses.replace(config, l1_start=starts[config.l1_start]) for config in group.configs]
    expected = jax.tree.map(lambda *leaves: np.array(leaves, np.float32), *rows)
    stacked = group.stacked(range(6), 6)
    jax.tree.map(np.testing.assert_array_equal, stacked, expected)


# Steps, checks and recorded losses


@pytest.mark.parametrize(
    ("fields", "num_examples", "num_steps"),
    [
        ({}, 1000, 1000),
        ({"num_steps": 7}, 1000, 7),
        ({"num_epochs": 50, "batch_size": 32}, 55_000, 85_938),
        ({"num_epochs": 2, "batch_size": 100}, 1000, 20),
        ({"num_epochs": 0.5, "batch_size": 100}, 1000, 5),
        ({"num_epochs": 0.001, "batch_size": 100}, 1000, 1),
        ({"num_epochs": 50, "num_steps": 7}, 1000, 7),
        ({"num_epochs": 3, "batch_size": 1000}, 1000, 3),
    ],
)
def test_steps_are_counted_from_epochs_unless_given(fields: dict[str, Any], num_examples: int, num_steps: int) -> None:
    assert resolve(Hparams(**fields), num_examples).num_steps == num_steps


def test_epochs_of_several_batch_sizes_have_their_own_steps() -> None:
    made = sweep({"batch_size": (10, 30)}, num_epochs=1)
    assert [group.num_steps for group in made.groups] == [100, 34]


@pytest.mark.parametrize(
    ("num_steps", "eval_every", "every", "last_checks"),
    [
        (1000, 0, 50, (950, 1000)),
        (1010, 0, 51, (969, 1010)),
        (7, 0, 1, (6, 7)),
        (1, 0, 1, (0, 1)),
        (100, 30, 30, (90, 100)),
        (100, 50, 50, (50, 100)),
        (100, 1000, 100, (0, 100)),
    ],
)
def test_checks_are_evenly_spaced_and_end_with_the_last_step(
    num_steps: int, eval_every: int, every: int, last_checks: tuple[int, int]
) -> None:
    (group,) = sweep(num_steps=num_steps, eval_every=eval_every).groups
    checks = group.check_steps
    assert group.eval_every == every
    assert checks[0] == 0
    assert checks[-2:] == last_checks
    assert set(np.diff(checks)[:-1]) <= {every}
    assert 0 < checks[-1] - checks[-2] <= every
    assert len(checks) <= 21 or eval_every


@pytest.mark.parametrize(("num_steps", "eval_every"), [(1, 1), (7, 1), (7, 3), (9, 3), (100, 30), (10, 10), (10, 99)])
def test_what_is_asked_about_one_check_agrees_with_the_list_of_all(num_steps: int, eval_every: int) -> None:
    (group,) = sweep(num_steps=num_steps, eval_every=eval_every).groups
    checks = group.check_steps
    assert group.num_checks == len(checks)
    assert [step for step in range(num_steps + 1) if group.is_checked(step)] == list(checks)
    assert [group.check_number(step) for step in checks] == list(range(len(checks)))
    towards = [next(i for i, check in enumerate(checks) if check >= step) for step in range(num_steps + 1)]
    assert [group.check_number(step) for step in range(num_steps + 1)] == towards


@pytest.mark.parametrize(
    ("num_steps", "members", "record_every"),
    [(1000, 1, 1), (32_000, 1000, 1), (32_001, 1000, 2), (1_000_000, 320, 10), (2**31 - 1, 1, 68)],
)
def test_recorded_losses_stay_under_256_megabytes(num_steps: int, members: int, record_every: int) -> None:
    made = sweep(num_steps=num_steps, seeds=members)
    assert made.record_every == record_every
    assert 2 * 4 * members * num_steps / made.record_every <= 256e6


def test_record_every_is_taken_as_it_is_given() -> None:
    assert sweep(num_steps=100, record_every=7).record_every == 7


# Defaults and refusals


@pytest.mark.parametrize(
    ("init", "variance"),
    [("normal", 0.01), ("uniform", 0.01)] + [(name, 1.0) for name in ("lecun", "glorot", "he", "orthogonal", "torch")],
)
def test_the_default_variance_is_that_of_the_scheme(init: str, variance: float) -> None:
    assert resolve(Hparams(init=init), NUM_EXAMPLES).init_variance == variance
    assert resolve(Hparams(init=init, init_variance=0.0), NUM_EXAMPLES).init_variance == 0.0


def test_each_setting_of_an_axis_of_schemes_has_its_own_default() -> None:
    assert [one.init_variance for one in sweep({"init": ("normal", "he")}).settings] == [0.01, 1.0]


def test_a_batch_may_be_the_whole_training_set_but_no_more() -> None:
    assert resolve(Hparams(batch_size=1000), 1000).batch_size == 1000
    with pytest.raises(ConfigError, match=r"^--batch_size=1001: the training set has 1000 examples$"):
        sweep({"batch_size": (10, 1001)})


def test_more_steps_than_int32_counts_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^--num_epochs=10000000000: .*; at most 2147483647$"):
        resolve(Hparams(num_epochs=1e10), NUM_EXAMPLES)


def test_the_table_holds_every_hyperparameter_on_the_grid() -> None:
    made = sweep({"hidden_sizes": ((), (8, 4)), "learning_rate": (0.1, 0.2, 0.3)}, num_steps=5)
    table = hyperparameter_table(made)
    assert set(table) == set(FIELDS)
    assert {values.shape for values in table.values()} == {(2, 3)}
    assert table["hidden_sizes"].tolist() == [["none"] * 3, ["8x4"] * 3]
    assert table["learning_rate"].tolist() == [[0.1, 0.2, 0.3]] * 2
    assert (table["num_steps"] == 5).all()


@pytest.mark.parametrize(
    ("experiment", "words"),
    [
        (Experiment(hparams=Hparams(momentum=0.9)), ["--momentum has no effect with --optimizer=sgd"]),
        (
            Experiment(hparams=Hparams(beta1=0.5)),
            ["--beta1 has no effect with --optimizer=sgd; it acts with adam, adamw"],
        ),
        (Experiment(hparams=Hparams(decay_steps=5.0)), ["--decay_steps has no effect with --schedule=constant"]),
        (
            Experiment(hparams=Hparams(init="zeros", init_variance=1.0)),
            ["--init_variance has no effect with --init=zeros"],
        ),
        (Experiment(hparams=Hparams(optimizer="momentum")), ["--momentum=0 is plain sgd"]),
        (Experiment(hparams=Hparams(num_steps=10, num_epochs=2.0)), ["--num_steps=10 wins over --num_epochs"]),
        (Experiment(axes={"momentum": (0.0, 0.9), "optimizer": ("sgd", "momentum")}), []),
        (Experiment(axes={"beta2": (0.9, 0.99)}), ["--beta2 has no effect"]),
        (Experiment(hparams=Hparams(num_epochs=2.0)), []),
        (Experiment(), []),
    ],
    ids=str,
)
def test_what_has_no_effect_is_said_in_a_line_each(experiment: Experiment, words: list[str]) -> None:
    lines = remarks(experiment)
    assert len(lines) == len(words)
    for line, part in zip(lines, words, strict=True):
        assert part in line
        assert "\n" not in line


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (sweep(num_steps=100, warmup_steps=100.0, patience=20, l1_strength=0.1, l1_start=0.99), []),
        (sweep(num_steps=100, warmup_steps=101.0), ["--warmup_steps=101 is longer than training, 100 steps"]),
        (sweep({"num_steps": (50, 100)}, warmup_steps=60.0), ["50 steps: .* (so at 1 of 2 settings)"]),
        (
            sweep(num_steps=100, l1_strength=0.1, l1_start=0.999),
            ["--l1_start=0.999: L1 never sets in within 100 steps"],
        ),
        (sweep(num_steps=100, l1_start=1.0), []),  # said elsewhere: there is no L1
        (sweep(num_steps=100, patience=21), ["--patience=21 never runs out: there are 20 checks after the first"]),
    ],
    ids=str,
)
def test_what_training_is_too_short_for_is_said(made: Sweep, words: list[str]) -> None:
    lines = remarks_on_steps(made)
    assert len(lines) == len(words)
    for line, part in zip(lines, words, strict=True):
        assert all(piece in line for piece in part.split(".*"))


@pytest.mark.parametrize("name", ["dropout_rate", "kl_strength"])
def test_what_acts_on_hidden_layers_has_no_effect_without_them(name: str) -> None:
    fields: dict[str, Any] = {"hidden_sizes": (), name: 0.5}
    (line,) = remarks(Experiment(hparams=Hparams(**fields)))
    assert line == f"--{name} has no effect with --hidden_sizes=none; it acts on hidden layers"
    assert remarks(Experiment(hparams=Hparams(**fields), axes={"hidden_sizes": ((), (8,))})) == []
