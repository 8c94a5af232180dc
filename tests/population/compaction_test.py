from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import xarray as xr

from jaxreg.errors import Stopped
from jaxreg.population.blocks import Block
from jaxreg.population.compaction import narrowed, put_back, remaining_members, take
from jaxreg.population.layout import Layout
from jaxreg.runs.block_training import Hooks
from jaxreg.runs.checkpoints.store import Checkpoints
from jaxreg.runs.interruption import Interruption
from tests.training_run import (
    StopAfter,
    assert_same_bits,
    assert_within_tolerance,
    dataset_of,
    experiment,
    restored,
    runner,
    train,
)

RATES = [0.1, 0.3, 3.0, 10.0]  # the last two stop early on
STOPPING: dict[str, Any] = {"patience": 3, "num_steps": 200, "eval_every": 5}


def layout(**of: Any) -> Layout:
    chosen: dict[str, Any] = {"seeds": 10, "configs": 7, "devices": 2, "split": "seeds"}
    return Layout(
        **(chosen | {"tile_seeds": 1, "tile_configs": 7, "chunk_steps": 1, "eval_seeds": 1, "eval_block": 1} | of)
    )


# Which members remain, and how wide their program is


def test_a_config_and_a_seed_remain_as_long_as_a_member_trains_there() -> None:
    block = Block(0, configs=(4, 5, 6), seeds=(2, 3))
    training = np.array([[True, False], [False, False], [True, False]])
    assert remaining_members(block, training) == Block(0, configs=(4, 6), seeds=(2,))


@pytest.mark.parametrize(
    ("left", "of", "expected"),
    [
        ((7, 10), {}, (7, 10)),
        ((4, 10), {}, (4, 10)),
        ((3, 5), {}, (4, 6)),  # five seeds on two devices take six places
        ((2, 4), {}, (2, 4)),
        ((1, 1), {}, (1, 2)),
        ((1, 1), {"split": "configs", "configs": 8}, (2, 1)),
    ],
)
def test_widths_are_halved_to_what_the_devices_divide(
    left: tuple[int, int], of: dict[str, Any], expected: tuple[int, int]
) -> None:
    narrow = narrowed(layout(**of), Block(0, tuple(range(left[0])), tuple(range(left[1]))))
    assert (narrow.configs, narrow.seeds) == expected


def test_what_is_taken_out_and_put_back_is_where_it_was() -> None:
    states = {"params": np.arange(4.0 * 6 * 2).reshape(4, 6, 2)}  # four seeds, six configs
    block, remaining = Block(1, tuple(range(6)), tuple(range(4))), Block(1, (1, 4), (0, 2, 3))
    part = take(states, block, remaining, layout(seeds=4, configs=3))
    assert part["params"].shape == (4, 3, 2)
    np.testing.assert_array_equal(part["params"][1, 1], states["params"][2, 4])
    np.testing.assert_array_equal(put_back(states, part, block, remaining)["params"], states["params"])
    changed = put_back(states, {"params": -part["params"]}, block, remaining)["params"]
    assert (changed[2, 4] == -states["params"][2, 4]).all()
    assert (changed < 0).sum() == 3 * 2 * 2 - 0
    assert (states["params"] >= 0).all()


# Runs


@pytest.fixture(scope="module")
def masked() -> xr.Dataset:
    return train(experiment({"learning_rate": RATES}, seeds=2, compaction=False, **STOPPING))


def test_a_run_with_compaction_agrees_with_one_without(masked: xr.Dataset) -> None:
    asked = experiment({"learning_rate": RATES}, seeds=2, **STOPPING)
    made = runner(asked, devices=2)
    made.run()
    assert made.record.compactions
    assert made.placements.compilations == 1 + len({(c["seeds"], c["configs"]) for c in made.record.compactions})
    stopped = masked["stopped_check"] >= 0
    assert 0 < stopped.sum() < stopped.size
    assert_within_tolerance(dataset_of(made), masked)
    assert made.record.member_steps < made.record.total_member_steps


def test_blocks_are_narrowed_one_by_one(masked: xr.Dataset) -> None:
    asked = experiment({"learning_rate": RATES}, seeds=2, members_per_program=4, **STOPPING)
    made = runner(asked, devices=1, tile_seeds=2)
    made.run()
    assert {(c["group"], c["block"]) for c in made.record.compactions} == {(0, 0), (0, 1)}
    assert_within_tolerance(dataset_of(made), masked)


@pytest.mark.parametrize("looks", [4, 14], ids=lambda looks: f"stopped at look {looks}")
def test_a_narrowed_run_resumes_to_the_bits_of_one_that_never_stopped(looks: int, tmp_path: Path) -> None:
    asked = experiment({"learning_rate": RATES}, seeds=2, **STOPPING)
    uninterrupted = runner(asked)
    uninterrupted.run()

    stopped = runner(asked)
    hooks = Hooks(Checkpoints(tmp_path, "same"), Interruption("run", StopAfter(looks)))
    with pytest.raises(Stopped):
        stopped.run(hooks)
    resumed = restored(runner(asked), tmp_path)
    resumed.run()
    assert resumed.record.compactions == uninterrupted.record.compactions
    assert resumed.record.member_steps == uninterrupted.record.member_steps
    assert_same_bits(dataset_of(resumed), dataset_of(uninterrupted))
    for ours, theirs in zip(
        jax.tree.leaves(resumed.record.params), jax.tree.leaves(uninterrupted.record.params), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_a_run_of_which_nobody_is_left_ends_there() -> None:
    made = runner(experiment({"learning_rate": [10.0, 20.0]}, compaction=False, **STOPPING))
    made.run()
    results = dataset_of(made)
    last = int(results["stopped_check"].max())
    assert 0 < last < results.sizes["check"] - 1
    assert made.record.member_steps <= 2 * results["check_step"].values[last]
    assert (results["checks_done"] == results.sizes["check"]).all()
    assert results["final_test_loss"].notnull().all()
    assert results["train_accuracy"].notnull().all()


def test_without_patience_and_under_continue_nobody_is_taken_out() -> None:
    for asked in (
        experiment({"learning_rate": [0.1, 1e30]}, num_steps=40),
        experiment({"learning_rate": RATES}, after_stop="continue", **STOPPING),
    ):
        made = runner(asked)
        made.run()
        assert made.record.compactions == []
        assert made.placements.compilations == 1


def test_padding_is_nobody_who_halted() -> None:
    made = runner(experiment({"learning_rate": [0.1, 0.2, 0.3]}, **(STOPPING | {"patience": 40})), configs=8)
    made.run()
    assert made.record.compactions == []
    assert made.placements.compilations == 1


def test_a_pinned_width_stays() -> None:
    pinned = str(runner(experiment({"learning_rate": RATES}, **STOPPING)).plan.layouts[0])
    made = runner(experiment({"learning_rate": RATES}, layout=pinned, **STOPPING))
    made.run()
    assert made.record.compactions == []
    assert (dataset_of(made)["stopped_check"] >= 0).any()
