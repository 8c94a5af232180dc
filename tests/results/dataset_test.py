from __future__ import annotations

import itertools

import numpy as np
import xarray as xr

from jaxreg.config.experiment import Experiment
from jaxreg.config.hparams import FIELDS, Hparams
from jaxreg.config.sweeps import Sweep
from jaxreg.population.blocks import Block
from jaxreg.population.evaluation import Check, FinalMetrics
from jaxreg.population.planning import make_plan
from jaxreg.results.dataset import make_dataset
from jaxreg.runs.history import CHECK_VARIABLES, History, landmarks
from jaxreg.training.member import Metrics, StepMetrics
from jaxreg.training.state import TrainState
from tests.results.measured import RATES, SIZES, STEPS, filled, measured, small_data


def test_dimensions_are_the_axes_then_seed_then_time(unequal: tuple[Sweep, list[History], xr.Dataset]) -> None:
    _, _, results = unequal
    members = ("learning_rate", "batch_size", "num_steps", "seed")
    classes = ("label", "prediction")
    sizes = zip((*members, "step", "check", *classes), (3, 2, 2, 4, 7, 6, 3, 3), strict=True)
    assert dict(results.sizes) == dict(sizes)
    assert results["train_loss"].dims == results["train_objective"].dims == (*members, "step")
    for name in CHECK_VARIABLES:
        assert results[name].dims == (*members, "check")
        assert results[f"final_{name}"].dims == results[f"best_{name}"].dims == members
    for name in ("train_accuracy", "final_train_loss", "best_check", "stopped_check", "diverged_step", "checks_done"):
        assert results[name].dims == members
    assert results["test_confusion"].dims == (*members, *classes)
    assert results["label"].values.tolist() == results["prediction"].values.tolist() == ["0", "1", "2"]
    assert results["seed"].values.tolist() == [3, 4, 5, 6]
    assert results["step"].values.tolist() == [0, 4, 8, 12, 16, 20, 24]


def test_every_member_is_at_its_place(unequal: tuple[Sweep, list[History], xr.Dataset]) -> None:
    sweep, histories, results = unequal
    for group, history in zip(sweep.groups, histories, strict=True):
        for row, config in enumerate(group.configs):
            at = results.sel(
                learning_rate=config.learning_rate, batch_size=config.batch_size, num_steps=config.num_steps
            )
            for name, values in history.arrays.items():
                if name == "seconds":
                    continue
                ours, expected = at[name].values, values[row]
                np.testing.assert_array_equal(ours[:, : expected.shape[1]] if expected.ndim == 2 else ours, expected)
                if expected.ndim == 2:
                    assert np.isnan(ours[:, expected.shape[1] :]).all()


def test_shorter_runs_are_padded_with_nan(unequal: tuple[Sweep, list[History], xr.Dataset]) -> None:
    _, _, results = unequal
    short, long = (results.sel(num_steps=steps) for steps in STEPS)
    assert short["train_loss"].notnull().sum("step").values.ravel().tolist() == [3] * 24  # steps 0, 4 and 8
    assert short["test_loss"].notnull().sum("check").values.ravel().tolist() == [3] * 24
    assert long["test_loss"].notnull().all()
    np.testing.assert_array_equal(short["check_step"].values, [0, 5, 10, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(long["check_step"].values, [0, 5, 10, 15, 20, 25])


def test_coordinates_have_the_dimensions_along_which_they_change(
    unequal: tuple[Sweep, list[History], xr.Dataset],
) -> None:
    sweep, histories, results = unequal
    assert results["check_step"].dims == ("num_steps", "check")
    assert results["examples_seen"].dims == ("batch_size", "num_steps", "check")
    for size in SIZES:
        at = results.sel(batch_size=size)
        np.testing.assert_array_equal(at["examples_seen"], size * results["check_step"])
    assert results["seconds"].dims == ("batch_size", "num_steps", "check")
    for group, history in zip(sweep.groups, histories, strict=True):
        seconds = results["seconds"].sel(batch_size=group.shared.batch_size, num_steps=group.num_steps)
        np.testing.assert_allclose(seconds[: len(group.check_steps)], np.cumsum(history.arrays["seconds"]))


def test_hyperparameters_are_coordinates_scalar_unless_swept(
    unequal: tuple[Sweep, list[History], xr.Dataset],
) -> None:
    _, _, results = unequal
    for name in FIELDS:
        assert results[name].dims == ((name,) if name in ("learning_rate", "batch_size", "num_steps") else ())
        assert results[name].attrs["description"]
    assert results["learning_rate"].values.tolist() == list(RATES)
    assert results["hidden_sizes"].item() == "8x4"
    assert results["init_variance"].item() == 0.01
    assert (results["dataset"].item(), results["downsample"].item()) == ("threes", 2)
    sizes = {"train_examples": 200, "validation_examples": 9, "test_examples": 12}
    assert results.attrs == {"experiment": "lengths", "input_shape": [2]} | sizes


def test_zipped_hyperparameters_lie_along_one_dimension() -> None:
    _, _, results = measured(
        Experiment(
            hparams=Hparams(optimizer="momentum"),
            axes={"learning_rate": RATES, "momentum": (0.0, 0.5, 0.9)},
            zip=(("learning_rate", "momentum"),),
        )
    )
    assert "momentum" not in results.dims
    assert results["momentum"].dims == ("learning_rate",)
    assert results["momentum"].sel(learning_rate=0.2) == 0.5
    # The variance follows the scheme where the scheme is an axis.
    _, _, results = measured(Experiment(axes={"init": ("normal", "he"), "learning_rate": RATES}))
    assert results["init_variance"].dims == ("init",)
    assert results["init_variance"].values.tolist() == [0.01, 1.0]


def test_runs_of_equal_length_have_whole_checks_along_check_alone() -> None:
    _, _, results = measured(Experiment(axes={"learning_rate": RATES}, hparams=Hparams(num_steps=10, batch_size=7)))
    assert results["check_step"].dims == results["examples_seen"].dims == results["seconds"].dims == ("check",)
    assert results["check_step"].dtype == results["examples_seen"].dtype == np.int64
    assert results["examples_seen"].values.tolist() == [7 * step for step in range(11)]


def test_every_variable_has_units_and_a_description(unequal: tuple[Sweep, list[History], xr.Dataset]) -> None:
    _, _, results = unequal
    measurements = [results[name] for name in (*results.data_vars, "check_step", "examples_seen", "seconds", "step")]
    for variable in measurements:
        assert variable.attrs["units"] in ("nats", "1", "steps", "examples", "s")
        assert variable.attrs["description"]
    assert len({variable.attrs["description"] for variable in measurements}) == len(measurements)
    for name, units in (("test_loss", "nats"), ("best_test_accuracy", "1"), ("diverged_step", "steps")):
        assert results[name].attrs["units"] == units


def test_final_and_best_values_are_read_off_the_curves(unequal: tuple[Sweep, list[History], xr.Dataset]) -> None:
    _, _, results = unequal
    for name, steps in itertools.product(CHECK_VARIABLES, STEPS):
        at = results.sel(num_steps=steps)
        np.testing.assert_array_equal(at[f"final_{name}"], at[name].isel(check=steps // 5))
        np.testing.assert_array_equal(at[f"best_{name}"], at[name].isel(check=at["best_check"]))
    np.testing.assert_array_equal(results["best_validation_loss"], results["validation_loss"].min("check"))


def test_a_member_without_a_best_check_has_no_best_values() -> None:
    plan = make_plan(Experiment(hparams=Hparams(num_steps=3), seeds=2), small_data())
    history = filled(plan, plan.sweep.groups[0], np.random.default_rng(0))
    history.arrays["best_check"][0, 1] = -1
    results = make_dataset(plan, [history])
    for name in CHECK_VARIABLES:
        assert results[f"best_{name}"].isnull().values.tolist() == [False, True]


def test_a_run_that_has_not_begun_has_no_values() -> None:
    plan = make_plan(Experiment(axes={"learning_rate": RATES}), small_data())
    results = make_dataset(plan, [History(plan, group) for group in plan.sweep.groups])
    for name, values in results.data_vars.items():
        empty = {"best_check": -1, "stopped_check": -1, "diverged_step": -1, "checks_done": 0, "test_confusion": 0}.get(
            str(name)
        )
        assert (values.isnull() if empty is None else values == empty).all(), name


def test_measurements_of_blocks_are_recorded_at_their_members_without_padding() -> None:
    asked = Experiment(axes={"learning_rate": RATES}, hparams=Hparams(num_steps=10), seeds=3, record_every=3)
    plan = make_plan(asked, small_data(classes=2))
    history = History(plan, plan.sweep.groups[0])
    block = Block(0, configs=(1, 2), seeds=(0, 1))
    loss = np.arange(4 * 5 * 2, dtype=np.float32).reshape(4, 5, 2)  # [seeds, steps, configs]: two seeds fill up
    history.record_steps(block, 2, 6, StepMetrics(loss, -loss), {})  # type: ignore[arg-type]
    recorded = history.arrays["train_loss"]  # steps 0, 3, 6, 9; of 2 ... 5 only step 3
    assert recorded.shape == (3, 3, 4)
    np.testing.assert_array_equal(recorded[1:, :2, 1], loss[:2, 1].T)
    np.testing.assert_array_equal(history.arrays["train_objective"][1:, :2, 1], -loss[:2, 1].T)
    assert np.isfinite(recorded).sum() == 4

    grid = np.arange(8, dtype=np.float32).reshape(4, 2)  # [seeds, configs]
    validation, test = (Metrics(grid + 10 * i, grid + 100 * i) for i in range(2))  # type: ignore[arg-type]
    check = Check(validation, test, grid + 20, None)  # type: ignore[arg-type]
    state = TrainState(None, None, None, grid, grid.astype(int), grid.astype(int), -grid.astype(int))  # type: ignore[arg-type]
    history.record_seconds(4, 1.5)
    history.record_check(block, 4, check, landmarks(state))
    history.count_checks(block, 5)
    np.testing.assert_array_equal(history.arrays["test_accuracy"][1:, :2, 4], grid[:2].T + 100)
    np.testing.assert_array_equal(history.arrays["test_batch_loss"][1:, :2, 4], grid[:2].T + 20)
    np.testing.assert_array_equal(history.arrays["best_check"], [[-1, -1, -1], [0, 2, -1], [1, 3, -1]])
    np.testing.assert_array_equal(history.arrays["checks_done"], [[0, 0, 0], [5, 5, 0], [5, 5, 0]])
    assert history.arrays["seconds"][4] == 1.5
    confused = np.arange(4 * 2 * 2 * 2).reshape(4, 2, 2, 2)  # [seeds, configs, label, prediction]
    history.record_final(block, FinalMetrics(Metrics(grid, -grid), confused))  # type: ignore[arg-type]
    np.testing.assert_array_equal(history.arrays["train_accuracy"][1:, :2], -grid[:2].T)
    np.testing.assert_array_equal(history.arrays["test_confusion"][1:, :2], confused[:2].swapaxes(0, 1))
    assert np.isfinite(history.arrays["test_loss"]).sum() == 4
