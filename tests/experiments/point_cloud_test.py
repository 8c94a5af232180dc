from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from experiments import cli, point_cloud
from jaxreg.claims.judgement import Best, Judgement, judge
from jaxreg.config.flagfile import experiment_from_flags
from jaxreg.config.hparams import DataConfig, Experiment
from jaxreg.config.sweeps import acting
from jaxreg.data import Data
from jaxreg.data import load as load_data
from jaxreg.results import load
from tests.synthetic import add_surfaces, make_results

FLAGFILES = Path(point_cloud.__file__).parent / "flagfiles"
METHODS = ["none", "l1", "l2", "early_stopping"]
MOONS = DataConfig(dataset="moons")


def made(seeds: int = 6) -> xr.Dataset:
    """What the source found: 21 checks of 50 steps, 100 examples; early stopping ends at check 8 or 9 and keeps 3."""
    results = make_results(
        axes={"method": METHODS, "l1_strength": [0.001, 0.002, 0.003]},
        zipped={"l2_strength": ("l1_strength", [0.003, 0.01, 0.03])},
        seeds=seeds,
    )
    results = add_surfaces(results).assign_coords(after_stop="halt", patience=5)
    rng = np.random.default_rng(0)
    noise = xr.DataArray(rng.normal(0, 0.001, results["validation_loss"].shape), dims=results["validation_loss"].dims)
    level = xr.DataArray([0.4, 0.3, 0.2, 0.35], dims="method")
    results["validation_loss"] = (level + noise).transpose(*results["validation_loss"].dims)
    results["train_objective"] = results["train_loss"] + xr.DataArray([0.0, 0.5, 2.0, 0.0], dims="method")
    results["stopped_check"][3], results["best_check"][3] = 8 + np.arange(seeds) % 2, 3
    for seed in range(seeds):
        results["validation_loss"][3, :, seed, 9 + seed % 2 :] = np.nan
        results["train_objective"][3, :, seed, (8 + seed % 2) * 50 :] = np.nan
    results["best_validation_loss"][3] = results["validation_loss"][3, ..., 3]
    time = np.array([0.5, 0.6, 0.6, 0.2])[:, None] + rng.normal(0, 0.01, (4, 8))
    return results.assign(training_time_alone=(("method", "repeat"), time, {"units": "s"})).assign_attrs(
        train_examples=100
    )


def verdicts(results: xr.Dataset) -> list[Judgement]:
    return judge(point_cloud.CLAIMS, results)


def test_claims_find_what_was_put_in() -> None:
    found = verdicts(made())
    assert [judgement.verdict for judgement in found] == [
        "supported",
        "supported",
        "supported",
        "supported",
        "contradicted",  # early stopping takes less
        "supported",
    ]
    assert [judgement.n for judgement in found] == [6, 6, 6, 6, 8, 8]


def test_claims_about_time_are_open_where_none_was_taken() -> None:
    found = verdicts(made().drop_vars("training_time_alone"))
    assert [judgement.verdict for judgement in found[4:]] == ["undecided", "undecided"]


def test_members_that_stopped_count_as_they_are_kept() -> None:
    results = made()
    late = point_cloud.late_validation_loss(results)
    np.testing.assert_allclose(late[:3], results["validation_loss"][:3, ..., -2:].mean("check"))
    np.testing.assert_array_equal(late[3], results["best_validation_loss"][3])
    steps = point_cloud.steps_taken(results)
    assert (steps[:3] == 1000).all()
    assert (steps[3] == [400, 450] * 3).all()
    objective = point_cloud.last_objective(results)
    last = results["train_objective"][3, :, 0, 350:400].mean("step")
    np.testing.assert_allclose(objective[3, :, 0], last, rtol=1e-6)
    kept = point_cloud.as_kept(results, results["validation_loss"])
    np.testing.assert_array_equal(kept[..., :9], results["validation_loss"][..., :9])
    np.testing.assert_array_equal(kept[3, ..., 15], results["validation_loss"][3, ..., 3])
    error = point_cloud.kept_test_error(results)
    np.testing.assert_array_equal(error[3], 1 - results["best_test_accuracy"][3])
    np.testing.assert_array_equal(error[0], 1 - results["final_test_accuracy"][0])


def test_each_method_is_shown_at_its_own_best_strength() -> None:
    results = made()
    accuracy = xr.zeros_like(results["final_validation_accuracy"])
    for method, strength in enumerate((0, 2, 1, 0)):
        accuracy[method, strength] = 0.9
    chosen = point_cloud.best_of_each(results.assign(final_validation_accuracy=accuracy))
    assert chosen["diverged_step"].dims == ("method", "seed")
    assert chosen["l1_strength"].values.tolist() == [0.001, 0.003, 0.002, 0.001]
    np.testing.assert_array_equal(chosen["validation_loss"][1], results["validation_loss"][1, 2])
    np.testing.assert_array_equal(chosen["example_x1"], results["example_x1"])


def test_curves_are_per_epoch() -> None:
    curves = point_cloud.per_epoch(made())
    np.testing.assert_array_equal(curves["examples_seen"], np.arange(21) * 50)  # batches of 100 of 100 examples
    assert curves["examples_seen"].attrs["long_name"] == "training (epochs)"
    np.testing.assert_allclose(
        curves["training_loss"].isel(check=4), made()["train_loss"].isel(step=slice(150, 200)).mean("step"), rtol=1e-6
    )


def test_the_answer_tells_error_and_time_of_each_method() -> None:
    told = point_cloud.answer(made())
    for part in ("none ", "l1 at l1_strength=", "l2 at l2_strength=", "early_stopping "):
        assert part in told
    assert "Training time alone in ms: none 50" in told
    assert "Training time" not in point_cloud.answer(made().drop_vars("training_time_alone"))
    assert point_cloud.answer(make_results())


def test_figures_are_those_that_the_results_allow() -> None:
    usual = {"fig1_training_loss_with_penalty", "fig1_training_loss", "fig2_validation_loss", "fig2_validation_error"}
    results = made(seeds=2).drop_vars(["training_time_alone", "surface"])
    assert {figure.name for figure in point_cloud.draw(results)} == usual | {"error_against_strength"}
    assert {figure.name for figure in point_cloud.draw(results.isel(l1_strength=0))} == usual
    assert point_cloud.draw(make_results(seeds=2))


@pytest.mark.parametrize("flagfile", ["point_cloud", "point_cloud_spirals"])
def test_flagfiles_check_after_every_epoch_and_hold_what_the_claims_name(flagfile: str) -> None:
    asked = experiment_from_flags((FLAGFILES / f"{flagfile}.cfg").read_text(encoding="utf-8"))
    assert asked.eval_every * asked.hparams.batch_size == len(load_data(asked.data).train.labels)
    assert asked.axes["method"] == tuple(METHODS)
    assert (asked.hparams.patience, asked.seeds >= 10, asked.surfaces) == (5, True, True)


def test_without_methods_no_time_is_taken() -> None:
    asked = Experiment()
    assert not point_cloud.measure(asked, load_data(asked.data), xr.Dataset()).data_vars
    zipped = Experiment(
        axes={"l2_strength": [0.1, 0.0], "method": ["l2", "none"]}, zip=(("l2_strength", "method"),), data=MOONS
    )
    of_run = make_results(axes={"l2_strength": [0.1, 0.0]}, zipped={"method": ("l2_strength", ["l2", "none"])}, seeds=2)
    assert not point_cloud.measure(zipped, load_data(MOONS), of_run).data_vars


def test_the_time_of_a_method_is_taken_where_its_strength_acts(monkeypatch: pytest.MonkeyPatch) -> None:
    timed: dict[str, Experiment] = {}

    def record(members: dict[str, Experiment], _data: Data, _repeats: int) -> xr.DataArray:
        timed.update(members)
        return xr.DataArray(0.0, name="training_time_alone")

    monkeypatch.setattr(point_cloud, "training_time_alone", record)
    results = make_results(axes={"method": ["none", "l2"], "l2_strength": [0.0, 0.01]}, seeds=2)
    axes: dict[str, list[Any]] = {"method": ["none", "l2"], "l2_strength": [0.0, 0.01]}
    zips: tuple[tuple[tuple[str, ...], ...], ...] = ((), (("method", "l2_strength"),))
    for names in zips:
        point_cloud.measure(Experiment(axes=axes, zip=names, data=MOONS), load_data(MOONS), results)
        assert acting(timed["l2"].hparams).l2_strength == 0.01
        assert acting(timed["none"].hparams).l2_strength == 0.0
        assert not timed["l2"].axes


def test_claims_are_judged_at_what_is_best_on_validation() -> None:
    results = make_results(axes={"method": METHODS, "l2_strength": [0.001, 0.1]}, seeds=4)
    results["final_validation_accuracy"][:, 0], results["final_validation_accuracy"][:, 1] = 0.9, 0.8
    claim = Best("L2 is best.", "final_test_loss", {"method": "l2"}, "method", "lower")
    found, there = point_cloud.AtBest(claim).judge(results), claim.judge(results.isel(l2_strength=0))
    assert (found.verdict, found.n) == (there.verdict, there.n)
    np.testing.assert_allclose([e.difference for e in found.evidence], [e.difference for e in there.evidence])


def test_methods_that_are_checked_at_other_steps_are_shown_as_any_run() -> None:
    results = make_results(axes={"method": METHODS}, seeds=2)
    apart = results["check_step"].expand_dims(method=len(METHODS))
    assert point_cloud.draw(results.assign_coords(check_step=apart))


def test_a_small_run_measures_and_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(point_cloud, "REPEATS", 5)
    folder = tmp_path / "run"
    small = ["--num_epochs=4", "--seeds=2", "--validation_size=50", "--hidden_sizes=8", "--tensorboard=false"]
    small += ["--l1_strength=0.001,0.003", "--l2_strength=0.01,0.03", "--method=l2,early_stopping"]
    flags = [f"--flagfile={FLAGFILES / 'point_cloud.cfg'}", f"--workdir={folder}", *small]
    assert cli.main(point_cloud.STUDY, ["point_cloud", *flags]) == 0
    results = load(folder)
    assert json.loads((folder / "meta.json").read_text(encoding="utf-8"))["train_compilations"] == 1
    assert dict(results["training_time_alone"].sizes) == {"method": 2, "repeat": 5}
    assert (results["training_time_alone"] > 0).all()
    assert results["surface"].dims == ("method", "l1_strength", "check", "x2", "x1")
    drawn = {path.name: path for path in (folder / "figures").glob("*")}
    moving = drawn["decision_surfaces_during_training.gif"]
    assert moving.stat().st_size < 3_000_000
    assert {"decision_surfaces.png", "fig3_training_time.png", "fig2_validation_error.svg"} <= set(drawn)
    assert "data:image/gif" in (folder / "report.html").read_text(encoding="utf-8")
