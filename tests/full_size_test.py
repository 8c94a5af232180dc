"""Experiments at full size on real data: `python -m pytest -m slow`."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import pytest
import xarray as xr

from experiments import cli, early_stopping, lr_sweep
from jaxreg.claims import compare, judge
from jaxreg.measures import final_test_error
from jaxreg.results.storage import load
from jaxreg.study import Study

FLAGFILES = Path(__file__).parents[1] / "experiments" / "flagfiles"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def at_full_size(experiment: str, flagfile: str, folder: Path) -> tuple[Study, xr.Dataset]:
    """The study and the results of a flagfile on real MNIST."""
    data_dir = Path(os.environ.get("TFDS_DATA_DIR", ""))
    if not list(data_dir.glob("mnist/*/dataset_info.json")):
        pytest.skip("TFDS_DATA_DIR names no folder with a prepared mnist")
    study: Study = importlib.import_module(f"experiments.{experiment}").STUDY
    argv = [experiment, f"--flagfile={FLAGFILES / flagfile}.cfg", f"--workdir={folder / 'run'}"]
    assert cli.main(study, argv) == 0
    return study, load(folder / "run")


def test_lr_sweep_meets_the_numbers_it_was_fitted_to(tmp_path: Path) -> None:
    _, results = at_full_size("lr_sweep", "lr_sweep", tmp_path)
    assert dict(results["final_test_accuracy"].sizes) == {"learning_rate": 7, "seed": 10}
    comparison = compare(results, lr_sweep.REPORTED)
    assert len(comparison) == 9
    assert comparison["inside"].all()


def test_early_stopping_meets_the_numbers_it_was_fitted_to(tmp_path: Path) -> None:
    _, results = at_full_size("early_stopping", "early_stopping", tmp_path)
    comparison = compare(results, early_stopping.REPORTED).set_index("id")["inside"]
    assert comparison.to_dict() == {"A6-test": True, "A6-train": True, "A6-val": True, "A6-stop": False}
    assert (results["stopped_check"] >= 0).all()


@pytest.mark.parametrize("flagfile", ["batch_size_seeds", "batch_size"])
def test_batch_size_meets_the_numbers_it_was_fitted_to(flagfile: str, tmp_path: Path) -> None:
    study, results = at_full_size("batch_size", flagfile, tmp_path)
    assert compare(results, study.reported)["inside"].all()


def test_zero_weights_stay_one_unit_and_the_saturated_share_rises(tmp_path: Path) -> None:
    study, results = at_full_size("signal_flow", "signal_flow", tmp_path)
    assert (results["distinct_units"].sel(init_variance=0, layer=1) == 1).all()
    verdicts = {judgement.statement: judgement.verdict for judgement in judge(study.claims, results)}
    rising = [verdict for statement, verdict in verdicts.items() if "rises with the variance" in statement]
    assert rising == ["supported", "supported"]


def test_regularizers_meet_the_curves_they_were_fitted_to(tmp_path: Path) -> None:
    study, results = at_full_size("regularizers", "regularizers", tmp_path)
    assert int(results["num_steps"]) == 85_938
    assert dict(results["final_test_accuracy"].sizes) == {"method": 7, "seed": 10}
    comparison = compare(results, study.reported).set_index("id")
    assert comparison.loc[["B3-l2", "B3-l2-l1-peak"], "inside"].all()
    max_norm = final_test_error(results).sel({"method": "max_norm"})
    assert 0.04 < float(max_norm.median()) < 0.055  # some seeds leave out a class
    assert 1.5 < comparison["mean"].to_dict()["B3-l2-loss"] < 1.6
    verdicts = {judgement.statement: judgement.verdict for judgement in judge(study.claims, results)}
    assert verdicts["The validation loss jumps when L1 sets in."] == "supported"
    assert verdicts["L2 with late L1 is worst in test error."] == "supported"


def test_one_term_too_many_is_contradicted_by_the_simulation(tmp_path: Path) -> None:
    study, results = at_full_size("adam_bias", "adam_bias", tmp_path)
    printed = [judgement.verdict for judgement in judge(study.claims, results) if "ᵗ⁺¹" in judgement.statement]
    assert printed == ["contradicted"] * 3


def test_a_small_variance_trains_best(tmp_path: Path) -> None:
    study, results = at_full_size("init_variance", "init_variance", tmp_path)
    assert {judgement.verdict for judgement in judge(study.claims, results)} == {"supported"}
