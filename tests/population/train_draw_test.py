"""Training examples that each seed draws for itself: the promises of a sweep, with parts of the training set."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from experiments import cli, lr_sweep
from jaxreg import results
from jaxreg.config import DataConfig, Experiment
from jaxreg.config.remarks import remarks
from jaxreg.data import load
from jaxreg.diagnostics.watch import Variable, View, Watch
from jaxreg.errors import ConfigError, Stopped
from jaxreg.results import members
from jaxreg.runs.block_training import Hooks
from jaxreg.runs.checkpoints.store import Checkpoints
from jaxreg.runs.interruption import Interruption
from jaxreg.training.draws import draw_examples
from jaxreg.training.state import TRAIN_DRAW, keys_on_host
from tests.training_run import (
    StopAfter,
    assert_same_bits,
    assert_within_tolerance,
    dataset_of,
    experiment,
    plan,
    restored,
    runner,
    train,
    training_program,
)

DIGITS = load(DataConfig())
RATES = [0.03, 0.3]
SIZE = 100
BY_SEED: dict[str, Any] = {"train_draw": "by_seed", "train_size": SIZE, "num_steps": 24, "eval_every": 8}
BY_SEED |= {"check_train": True}


def asked(seeds: int = 3, **other: Any) -> Experiment:
    return experiment({"learning_rate": RATES}, seeds=seeds, **(BY_SEED | other))


def own_data(seed: int) -> Any:
    """The digits that a seed trains on."""
    return DIGITS.training_on_rows(draw_examples(keys_on_host(0, [seed], TRAIN_DRAW), SIZE, 1197)[0])


def first_inputs(view: View) -> dict[str, jax.Array]:
    return {"first_inputs": jnp.sum(view.data * jnp.arange(view.data.size))}


def watch_of(at: Any) -> Watch:
    """Sums up the first example that a member trains on."""
    variable = Variable("1", "weighted sum of the first example", (at.removesuffix("s"),))
    return Watch("inputs", {"first_inputs": variable}, first_inputs, lambda data: data.train.inputs[0], at=at)


@pytest.fixture(scope="module")
def reference() -> xr.Dataset:
    """Two rates, three seeds, one device, one chunk per check."""
    return train(asked())


def test_each_seed_trains_on_and_is_measured_on_its_own_examples(reference: xr.Dataset) -> None:
    for seed in (0, 2):
        told = {name: value for name, value in BY_SEED.items() if not name.startswith("train_")}
        expected = train(experiment({"learning_rate": RATES}, seeds=3, **told), data=own_data(seed))
        assert_same_bits(reference.sel(seed=[seed]), expected.sel(seed=[seed]))


@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.usefixtures("compiled_quickly")
def test_so_it_is_where_each_batch_is_the_whole_part_of_a_seed(devices: int) -> None:
    told: dict[str, Any] = {"batch_size": SIZE, "diagnostics": True}
    measured = train(asked(seeds=2, **told), devices=devices)
    told |= {name: value for name, value in BY_SEED.items() if not name.startswith("train_")}
    for seed in (0, 1):
        expected = train(experiment({"learning_rate": RATES}, first_seed=seed, **told), data=own_data(seed))
        at = measured.sel(seed=[seed])
        for name in ("train_loss", "train_set_loss", "final_train_loss", "gradient_norm", "backpropagated_std"):
            np.testing.assert_allclose(at[name], expected[name], rtol=2e-3, err_msg=name)


@pytest.mark.parametrize("at", ["checks", "steps"])
@pytest.mark.usefixtures("compiled_quickly")
def test_a_watch_of_ones_own_looks_at_the_examples_of_the_seed(at: str) -> None:
    measured = train(asked(), watches=[watch_of(at)], devices=2)["first_inputs"]
    expected = [np.sum(own_data(seed).train.inputs[0] * np.arange(64)) for seed in range(3)]
    assert len(set(expected)) == 3
    for seed in range(3):
        np.testing.assert_allclose(measured.sel(seed=seed), expected[seed], rtol=1e-5)
    of_first = train(asked(), watches=[dataclasses.replace(watch_of("checks"), first_seed_only=True)], devices=2)
    np.testing.assert_allclose(of_first["first_inputs"], expected[0], rtol=1e-5)


def test_members_of_a_seed_are_paired(reference: xr.Dataset) -> None:
    first = reference["train_loss"].isel(step=0).values  # one start and one batch for all rates
    assert (first == first[:1]).all()
    assert len(set(first[0])) == 3
    start = reference["train_set_loss"].isel(check=0).values
    assert (start == start[:1]).all()
    assert len(set(start[0])) == 3


@pytest.mark.parametrize("chunk_steps", [1, 5])
def test_steps_cut_into_chunks_give_the_same_bits(reference: xr.Dataset, chunk_steps: int) -> None:
    assert_same_bits(train(asked(), chunk_steps=chunk_steps), reference)


def test_neighbours_do_not_change_a_bit_at_the_same_width(reference: xr.Dataset) -> None:
    others = train(experiment({"learning_rate": [1e30, 0.3]}, seeds=3, **BY_SEED))
    assert_same_bits(others.sel(learning_rate=0.3), reference.sel(learning_rate=0.3))


@pytest.mark.parametrize(
    ("how", "layout"),
    [
        ({}, {"tile_seeds": 3, "tile_configs": 2}),
        ({}, {"tile_seeds": 1, "tile_configs": 1}),
        ({"members_per_program": 2}, {}),
        ({}, {"devices": 2, "split": "seeds", "seeds": 4}),  # the last seed twice
        ({}, {"devices": 2, "split": "configs", "seeds": 3, "configs": 2}),
    ],
    ids=str,
)
@pytest.mark.usefixtures("compiled_quickly")
def test_tiles_blocks_and_devices_agree(reference: xr.Dataset, how: dict[str, Any], layout: dict[str, Any]) -> None:
    assert_within_tolerance(train(asked(**how), **layout), reference)


def test_added_seeds_are_what_they_would_have_been(reference: xr.Dataset) -> None:
    assert_within_tolerance(train(asked(seeds=1, first_seed=2)), reference.sel(seed=[2]))


@pytest.mark.usefixtures("compiled_quickly")
def test_a_resumed_run_ends_with_the_bits_of_one_that_never_stopped(tmp_path: Path) -> None:
    uninterrupted = train(asked(members_per_program=2), chunk_steps=2)
    stopped = runner(asked(members_per_program=2), chunk_steps=2)
    with pytest.raises(Stopped):
        stopped.run(Hooks(Checkpoints(tmp_path, "same"), Interruption("run", StopAfter(14))))
    resumed = restored(runner(asked(members_per_program=2), chunk_steps=2), tmp_path)
    resumed.run()
    assert_same_bits(dataset_of(resumed), uninterrupted)


def test_a_member_alone_has_the_bits_that_it_had_in_its_sweep(tmp_path: Path) -> None:
    flags = ["--learning_rate=0.03,0.3", "--train_size=50,100", "--train_draw=by_seed", "--num_epochs=2", "--seeds=3"]
    flags += ["--hidden_sizes=5", "--batch_size=10", "--report=false", "--tensorboard=false", "--progress=false"]
    assert cli.main(lr_sweep.STUDY, ["lr_sweep", *flags, f"--workdir={tmp_path / 'run'}"]) == 0
    member = members.load_member(tmp_path / "run", {"learning_rate": 0.3, "train_size": 50, "seed": 1})
    assert member.exact
    *_, flagfile = members.save_member(member, tmp_path / "member")
    assert cli.main(lr_sweep.STUDY, ["lr_sweep", f"--flagfile={flagfile}", f"--workdir={tmp_path / 'alone'}"]) == 0
    alone = results.load(tmp_path / "alone").isel(seed=0)
    assert_same_bits(alone, member.curve)
    assert alone["train_draw"] == "by_seed"
    swept = results.load(tmp_path / "run")  # of a seed the smaller set is a part of the larger one
    assert swept["train_size"].values.tolist() == [50, 100]


@pytest.mark.usefixtures("compiled_quickly")
def test_of_the_whole_training_set_there_is_nothing_to_draw() -> None:
    shared, by_seed = (experiment(seeds=2, train_size=1197, train_draw=draw) for draw in ("shared", "by_seed"))
    assert training_program(plan(by_seed)) == training_program(plan(shared))
    assert_same_bits(train(by_seed), train(shared))
    with pytest.raises(ConfigError, match=r"^--train_draw=shared,by_seed: is swept without effect: every member"):
        plan(experiment({"train_draw": ["shared", "by_seed"]}))


@pytest.mark.usefixtures("compiled_quickly")
def test_both_draws_beside_each_other_and_in_parts_of_several_sizes() -> None:
    axes: dict[str, Any] = {"train_draw": ["shared", "by_seed"], "train_size": [60, 1197]}
    swept = train(experiment(axes, seeds=2, num_steps=8, eval_every=8))
    loss = swept["final_train_loss"]
    assert (loss.sel(train_size=60, train_draw="shared") != loss.sel(train_size=60, train_draw="by_seed")).all()
    whole = loss.sel(train_size=1197)
    np.testing.assert_array_equal(whole.sel(train_draw="shared"), whole.sel(train_draw="by_seed"))


def test_a_draw_of_the_whole_set_is_said_to_have_no_effect() -> None:
    for draw in ("by_seed", "first"):
        (line,) = remarks(experiment(train_draw=draw))
        assert line == f"--train_draw={draw} has no effect on the whole training set; give --train_size"
    assert remarks(experiment(train_draw="by_seed", train_size=50)) == []


def test_examples_that_no_memory_holds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jaxreg.processes.host_memory_bytes", lambda: 2**20)
    with pytest.raises(ConfigError) as refusal:
        plan(experiment(seeds=9, train_draw="by_seed", train_size=900, num_steps=2, diagnostics=True))
    words = str(refusal.value)
    assert words.startswith("--train_draw=by_seed: the examples of 9 seeds at once would take 0.0 GiB, at most 0.0")
    assert words.endswith("take fewer members at once (--members_per_program), or --train_draw=shared")
    assert "\n" not in words
