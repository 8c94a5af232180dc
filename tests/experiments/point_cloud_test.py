from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

from experiments import cli, point_cloud
from jaxreg.claims import Judgement, judge
from jaxreg.config import DataConfig, Experiment, effective_hparams
from jaxreg.config.flagfile import experiment_from_flags
from jaxreg.data import Data
from jaxreg.data import load as load_data
from jaxreg.results.storage import load
from tests.experiments.methods import METHODS, made
from tests.synthetic import make_results

FLAGFILES = Path(point_cloud.__file__).parent / "flagfiles"
MOONS = DataConfig(dataset="moons")


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
        assert effective_hparams(timed["l2"].hparams).l2_strength == 0.01
        assert effective_hparams(timed["none"].hparams).l2_strength == 0.0
        assert not timed["l2"].axes


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
