"""What a sweep promises, each promise a property of real runs; of runs that stop, in halting_test.py."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import xarray as xr

from jaxreg.errors import Stopped
from jaxreg.population.compilation import COMPILER_OPTIONS
from jaxreg.population.placement import Placements, place_block
from jaxreg.population.stepping import TESTED_TOGETHER
from jaxreg.runs.block_training import Hooks
from jaxreg.runs.checkpoints.store import Checkpoints
from jaxreg.runs.interruption import Interruption
from jaxreg.runs.runner import Runner
from jaxreg.training.batches import Cursor, cursor_at
from jaxreg.training.problem import Problem
from tests.compiling import quick_compilation
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
from tests.trajectory import first_rows

RATES = [0.03, 0.1, 0.3]
MORE = pytest.mark.slow  # further variants of what is tested in any case


@pytest.fixture(scope="module")
def reference() -> xr.Dataset:
    """Three rates, two seeds, one device, one chunk per check."""
    return train(experiment({"learning_rate": RATES}, seeds=2))


# 1. Solo = swept


@pytest.mark.usefixtures("compiled_quickly")
def test_a_member_draws_the_same_numbers_alone_and_in_a_sweep() -> None:
    swept = initial_state(runner(experiment({"learning_rate": RATES, "init_variance": [0.01, 0.3]}, seeds=3)))
    alone = initial_state(runner(experiment(learning_rate=0.1, init_variance=0.3, first_seed=2)))
    for in_sweep, solo in zip(jax.tree.leaves(swept.params), jax.tree.leaves(alone.params), strict=True):
        np.testing.assert_array_equal(in_sweep[2, 3], solo[0, 0])  # configs: the rate is the slower of the two axes


def test_a_member_alone_follows_its_curve_in_the_sweep(reference: xr.Dataset) -> None:
    alone = train(experiment(learning_rate=0.1, first_seed=1))
    assert_within_tolerance(alone.isel(seed=0), reference.sel(learning_rate=0.1, seed=1))


def test_neighbours_do_not_change_a_bit_at_the_same_width(reference: xr.Dataset) -> None:
    among_others = train(experiment({"learning_rate": [2.0, 0.1, 1e30]}, seeds=2))
    assert (among_others["diverged_step"].sel(learning_rate=1e30) >= 0).all()
    assert_same_bits(among_others.sel(learning_rate=0.1), reference.sel(learning_rate=0.1))


# 2. Paired


def test_members_of_a_seed_start_from_one_draw_and_see_one_batch(reference: xr.Dataset) -> None:
    first = reference["train_loss"].isel(step=0).values
    assert (first == first[:1]).all()
    assert first[0, 0] != first[0, 1]


@pytest.mark.usefixtures("compiled_quickly")
def test_a_larger_variance_scales_the_same_draw() -> None:
    state = initial_state(runner(experiment({"init_variance": [0.01, 0.04, 0.0]})))
    weights = state.params[0]["weights"][0]
    np.testing.assert_allclose(weights[1], 2 * weights[0], rtol=1e-6)
    assert (weights[2] == 0).all()


def test_all_batch_sizes_of_a_seed_read_one_stream() -> None:
    small, large = first_rows(3, 12, 5, 23), first_rows(3, 4, 15, 23)
    np.testing.assert_array_equal(small.ravel(), large.ravel())


# 4. Chunked or sharded = whole


@pytest.mark.parametrize("chunk_steps", [1, 2, 60])
def test_steps_cut_into_chunks_give_the_same_bits(reference: xr.Dataset, chunk_steps: int) -> None:
    assert_same_bits(train(experiment({"learning_rate": RATES}, seeds=2), chunk_steps=chunk_steps), reference)


# Decay makes weights |1 - 20 rate| times as large at each step.
DIVERGING: dict[str, Any] = {"learning_rate": [0.01, 0.15, 0.2, 0.5, 100.0]}
DECAY: dict[str, Any] = {"weight_decay": 20.0, "activation": "relu", "eval_every": 60}


@pytest.fixture(scope="module")
def diverging() -> xr.Dataset:
    """Five rates, all but one of which diverge, each at a step of its own."""
    with quick_compilation():
        results = train(experiment(DIVERGING, seeds=2, **DECAY))
    steps = results["diverged_step"].values
    assert (steps[0] == -1).all()
    assert len(set(steps[1:, 0])) == 4
    assert (steps[1] % TESTED_TOGETHER > 1).all()  # in the midst of steps that are tested together
    return results


@pytest.mark.usefixtures("compiled_quickly")
@pytest.mark.parametrize("chunk_steps", [1, 7])
def test_where_members_diverge_is_the_same_to_the_bit_whatever_the_chunks(
    diverging: xr.Dataset, chunk_steps: int
) -> None:
    assert_same_bits(train(experiment(DIVERGING, seeds=2, **DECAY), chunk_steps=chunk_steps), diverging)


@pytest.mark.usefixtures("compiled_quickly")
def test_a_member_diverges_at_the_step_at_which_a_test_of_each_step_finds_it(diverging: xr.Dataset) -> None:
    """A projection of the user's own, though it does nothing, has every step tested by itself."""
    problem = Problem(constraints=(lambda params, _: params,))
    each = train(experiment(DIVERGING, seeds=2, **DECAY), problem=problem)
    assert_within_tolerance(each, diverging)
    at = xr.DataArray(np.arange(diverging.sizes["step"]), dims="step")
    for results in (each, diverging):
        halted = results["diverged_step"]
        np.testing.assert_array_equal(results["train_loss"].isnull(), (halted >= 0) & (at > halted))


TILES = [
    ((1, 1), 1),
    ((1, 2), 2),
    *(pytest.param(*more, marks=MORE) for more in [((2, 3), 1), ((1, 6), 2), ((2, 1), 2)]),
]


@pytest.mark.usefixtures("compiled_quickly")
@pytest.mark.parametrize(("tile", "devices"), TILES, ids=str)
def test_members_cut_into_tiles_agree(six_rates: xr.Dataset, tile: tuple[int, int], devices: int) -> None:
    made = runner(experiment(SIX, seeds=4), devices=devices, tile_seeds=tile[0], tile_configs=tile[1])
    layout = made.record.layouts[0]
    assert (layout.tile_seeds, layout.tile_configs, layout.devices) == (*tile, devices)
    made.run()
    assert_within_tolerance(dataset_of(made), six_rates)


@pytest.mark.parametrize("tile_configs", [2, pytest.param(6, marks=MORE)])
def test_a_member_has_the_same_bits_at_every_place(tile_configs: int) -> None:
    forth, back = (
        train(experiment({"learning_rate": rates}), tile_configs=tile_configs)
        for rates in (SIX["learning_rate"], SIX["learning_rate"][::-1])
    )
    assert_same_bits(back.sel(learning_rate=SIX["learning_rate"]), forth)


SIX: dict[str, Any] = {"learning_rate": [0.01, 0.03, 0.1, 0.2, 0.3, 1.0]}


@pytest.fixture(scope="module")
def six_rates() -> xr.Dataset:
    with quick_compilation():
        return train(experiment(SIX, seeds=4), tile_seeds=1, tile_configs=6)


@pytest.mark.usefixtures("compiled_quickly")
@pytest.mark.parametrize(
    "members", [pytest.param(1, marks=MORE), 2, pytest.param(4, marks=MORE)], ids=lambda members: f"{members} at once"
)
def test_members_cut_into_blocks_agree(reference: xr.Dataset, members: int) -> None:
    assert_within_tolerance(
        train(experiment({"learning_rate": RATES}, seeds=2, members_per_program=members)), reference
    )


BY_SEED, BY_SETTING = {"split": "seeds", "configs": 3, "seeds": 2}, {"split": "configs", "configs": 4, "seeds": 2}


def test_two_devices_agree_with_one(reference: xr.Dataset) -> None:
    asked = experiment({"learning_rate": RATES}, seeds=2)
    assert_within_tolerance(train(asked, devices=2, tile_seeds=1, **BY_SEED), reference)


@pytest.mark.usefixtures("compiled_quickly")
@pytest.mark.parametrize(("tile_seeds", "layout"), [pytest.param(1, BY_SETTING, marks=MORE), (2, BY_SETTING)], ids=str)
def test_two_devices_in_other_layouts_agree_with_one(
    reference: xr.Dataset, tile_seeds: int, layout: dict[str, Any]
) -> None:
    asked = experiment({"learning_rate": RATES}, seeds=2)
    assert_within_tolerance(train(asked, devices=2, tile_seeds=tile_seeds, **layout), reference)


# 5. One training program per group and width


@pytest.mark.usefixtures("compiled_quickly")
def test_one_program_per_group_whatever_the_chunks(compilations: list[str]) -> None:
    def compiled(**asked: Any) -> tuple[int, int]:
        made = runner(experiment({"learning_rate": RATES, "batch_size": [10, 20]}, **asked), chunk_steps=7)
        compilations.clear()
        made.run()
        return made.placements.compilations, len(compilations)

    few = compiled(num_steps=8, eval_every=8)
    many = compiled(num_steps=57, eval_every=10, first_seed=5)
    assert few[0] == many[0] == 2
    assert few[1] == many[1] > 0


@pytest.fixture
def compilations() -> Any:
    """A list that grows by one for each compilation."""
    events: list[str] = []

    def listen(event: str, duration_secs: float, **_: str | int) -> None:  # noqa: ARG001 - names are JAX's
        if event == "/jax/core/compile/backend_compile_duration":
            events.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield events
    jax.monitoring.unregister_event_duration_listener(listen)


# 7. The same command twice


def test_the_same_experiment_twice_gives_the_same_bits(reference: xr.Dataset) -> None:
    assert_same_bits(train(experiment({"learning_rate": RATES}, seeds=2)), reference)


def test_the_cursor_counts_beyond_32_bits() -> None:
    assert cursor_at(100_000, 55_000, 60_000) == Cursor(91_666, 40_000)


def initial_state(made: Runner) -> Any:
    """The states before the first step, of which the program that makes them alone is compiled."""
    block, plan = made.record.blocks(0)[0], made.plan
    programs = made.placements.programs(made.record.layouts[0])
    population, *_ = place_block(programs, plan, block)
    return jax.device_get(programs.init.lower(population).compile(COMPILER_OPTIONS)(population))


# Regularisers

STRENGTHS: dict[str, Any] = {"l1_strength": 1e-3, "l1_start": 0.5, "kl_strength": 0.05, "max_norm": 0.5}
STRENGTHS |= {"dropout_rate": 0.5, "learning_rate": 0.5, "init_variance": 0.1}
OFF: dict[str, Any] = {"l1_strength": 0.0, "kl_strength": 0.0, "max_norm": np.inf, "dropout_rate": 0.0}
METHODS = ["none", "l2", "late_l1", "kl", "max_norm", "l2+dropout", "all"]
METHOD_AXES: dict[str, Any] = {"method": METHODS, "l2_strength": [1e-3, 1e-2]}


def of_method(data: xr.Dataset, method: str, **where: Any) -> xr.Dataset:
    """The part of the results that one method has; `sel` has a keyword `method` of its own."""
    return data.sel({"method": method} | where)


@pytest.fixture(scope="module")
def regularised() -> tuple[Runner, xr.Dataset]:
    """Seven methods, two strengths of L2, two seeds."""
    asked = experiment(METHOD_AXES, seeds=2, **STRENGTHS)
    made = runner(asked)
    made.run()
    return made, dataset_of(made)


def test_all_methods_and_strengths_are_one_program(regularised: tuple[Runner, xr.Dataset]) -> None:
    made, _ = regularised
    assert made.placements.compilations == 1
    assert [layout.terms for layout in made.record.layouts] == ["l1+l2+kl+max_norm+dropout"]


def test_strengths_act_where_their_method_names_them_and_nowhere_else(regularised: tuple[Runner, xr.Dataset]) -> None:
    loss = regularised[1]["train_loss"]
    weak, strong = (loss.sel(l2_strength=strength) for strength in METHOD_AXES["l2_strength"])
    for method in METHODS:
        same = bool((weak.sel({"method": method}) == strong.sel({"method": method})).all())
        assert same == (method not in ("l2", "l2+dropout", "all")), method
    for number, method in enumerate(METHODS):
        for other in METHODS[:number]:
            assert (weak.sel({"method": method}) != weak.sel({"method": other})).any(), (method, other)
    objective, half = regularised[1]["train_objective"], loss.sizes["step"] // 2
    assert (objective.sel({"method": "none"}) == loss.sel({"method": "none"})).all()
    assert (objective.sel({"method": "l2"}) > loss.sel({"method": "l2"})).all()
    late = (objective - loss).sel({"method": "late_l1"})
    assert (late.isel(step=slice(half)) == 0).all()
    assert (late.isel(step=slice(half, None)) > 0).all()


def test_members_of_a_seed_start_from_one_draw_whatever_regularises_them(
    regularised: tuple[Runner, xr.Dataset],
) -> None:
    with_terms = initial_state(runner(experiment(METHOD_AXES, seeds=2, **STRENGTHS)))
    without = initial_state(runner(experiment({"l2_strength": [0.0]}, seeds=2, **(STRENGTHS | OFF))))
    for one, other in zip(jax.tree.leaves(with_terms.params), jax.tree.leaves(without.params), strict=True):
        np.testing.assert_array_equal(one, np.broadcast_to(other, one.shape))
    first = regularised[1]["train_loss"].isel(step=0)
    kept = first.sel({"method": ["none", "l2", "late_l1", "kl", "max_norm"]}).values
    np.testing.assert_array_equal(kept, np.broadcast_to(kept[:1, :1], kept.shape))


@pytest.mark.usefixtures("compiled_quickly")
def test_terms_that_are_off_agree_with_a_program_without_them(regularised: tuple[Runner, xr.Dataset]) -> None:
    none = of_method(regularised[1], "none", l2_strength=1e-3)
    plain = train(experiment(seeds=2, **(STRENGTHS | OFF)))
    assert_within_tolerance(none, plain)


def test_a_regularised_member_alone_agrees_and_at_the_recorded_width_has_the_same_bits(
    regularised: tuple[Runner, xr.Dataset],
) -> None:
    made, results = regularised
    swept = of_method(results, "l2+dropout", l2_strength=1e-2, seed=[1])
    asked: dict[str, Any] = STRENGTHS | {"method": "l2+dropout", "l2_strength": 1e-2, "first_seed": 1}
    alone = runner(experiment(**asked))
    assert alone.record.layouts[0].terms == "l2+dropout"
    alone.run()
    results = dataset_of(alone)
    assert_within_tolerance(results, swept)
    width = str(dataclasses.replace(made.record.layouts[0], seeds=1))
    assert_same_bits(train(experiment(layout=width, **asked)), swept)


@pytest.mark.usefixtures("compiled_quickly")
def test_regularised_members_in_blocks_on_two_devices_agree(regularised: tuple[Runner, xr.Dataset]) -> None:
    asked = experiment(METHOD_AXES, seeds=2, members_per_program=14, **STRENGTHS)
    in_blocks = runner(asked, devices=2, tile_seeds=2)
    assert [(layout.devices, layout.width) for layout in in_blocks.record.layouts] == [(2, 14)]
    in_blocks.run()
    results = dataset_of(in_blocks)
    assert_within_tolerance(results, regularised[1])


def test_a_resumed_run_draws_the_masks_of_one_that_never_stopped(
    regularised: tuple[Runner, xr.Dataset], tmp_path: Path
) -> None:
    asked = experiment(METHOD_AXES, seeds=2, **STRENGTHS)
    stopped = runner(asked, chunk_steps=2)  # in the middle of a check
    hooks = Hooks(Checkpoints(tmp_path, "same"), Interruption("run", StopAfter(8)))
    with pytest.raises(Stopped):
        stopped.run(hooks)
    resumed = restored(runner(asked, chunk_steps=2), tmp_path)
    resumed.run()
    assert 0 < resumed.record.member_steps == resumed.record.total_member_steps
    assert_same_bits(dataset_of(resumed), regularised[1])


# Diagnostics


@pytest.mark.usefixtures("compiled_quickly")
def test_switched_off_diagnostics_leave_the_training_program_as_it_is() -> None:
    texts = {}
    for name in ("off", "diagnostics", "histograms"):
        made = plan(experiment({"learning_rate": RATES}, **({} if name == "off" else {name: True})))
        texts[name] = training_program(made)
        if name == "off":
            assert not Placements(made).get(0, made.layouts[0]).compiled.watch
    assert texts["off"] == texts["diagnostics"] == texts["histograms"]
