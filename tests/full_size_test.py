"""Experiments at full size on real data: `python -m pytest -m slow`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from experiments import cli, lr_sweep
from jaxreg.replication import compare
from jaxreg.results import load

FLAGFILES = Path(__file__).parents[1] / "experiments" / "flagfiles"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_lr_sweep_meets_the_numbers_it_was_fitted_to(tmp_path: Path) -> None:
    data_dir = Path(os.environ.get("TFDS_DATA_DIR", ""))
    if not list(data_dir.glob("mnist/*/dataset_info.json")):
        pytest.skip("TFDS_DATA_DIR names no folder with a prepared mnist")
    flagfile = f"--flagfile={FLAGFILES / 'lr_sweep.cfg'}"
    assert cli.main(lr_sweep.STUDY, ["lr_sweep", flagfile, f"--workdir={tmp_path / 'run'}"]) == 0
    results = load(tmp_path / "run" / "results.nc")
    assert dict(results["final_test_accuracy"].sizes) == {"learning_rate": 7, "seed": 10}
    comparison = compare(results, lr_sweep.REPORTED)
    assert len(comparison) == 9
    assert comparison["inside"].all()
