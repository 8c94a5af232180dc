"""Runs of very many members: what they leave stays small, and what is made of them stays quick.

A hundred thousand members at a time, in three shapes: `python -m pytest -n 0 -m slow tests/many_members_test.py`.
"""

from __future__ import annotations

import io
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

import jaxreg
from jaxreg.reporting.defaults import default_figures
from jaxreg.reporting.interactive import MAX_PAGE_BYTES
from jaxreg.reporting.tables import print_table
from tests.reporting.pages import make_report
from tests.synthetic import make_results

GRID = {"learning_rate": np.geomspace(1e-3, 1, 60).tolist(), "init_variance": np.geomspace(1e-3, 1, 50).tolist()}


@pytest.fixture(scope="module", params=["settings", "seeds"])
def many(request: pytest.FixtureRequest) -> xr.Dataset:
    """3000 settings of 2 seeds, or one setting of 20 000 seeds."""
    if request.param == "settings":
        return make_results(axes=GRID, seeds=2, num_checks=3, diverged=2)
    return make_results(axes={}, seeds=20_000, num_checks=3, diverged=1000)


def test_the_report_of_many_members_is_small(many: xr.Dataset, tmp_path: Path) -> None:
    page = make_report(tmp_path, results=many, figures=default_figures(many), comparison=None, judgements=[])
    assert len(page) < MAX_PAGE_BYTES
    assert page.count("<tr") < 1000


def test_the_table_of_many_members_fits_a_screen(many: xr.Dataset) -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    print_table(many, console)
    assert len(console.export_text().splitlines()) < 40


def test_the_answer_takes_time_in_proportion_to_the_settings() -> None:
    axes = {"learning_rate": np.geomspace(1e-3, 1, 200).tolist(), "init_variance": np.geomspace(1e-3, 1, 100).tolist()}
    results = make_results(axes=axes, seeds=1, num_checks=2)
    start = time.process_time()
    assert len(jaxreg.answer(results).alike) == 200 * 100 - 1  # one seed tells nothing apart
    assert time.process_time() - start < 20  # a minute where it grows with their square


# A hundred thousand members -------------------------------------------------------------------------------------------

SHAPES = {
    "settings x seeds": ("--learning_rate=log:1e-3:1:100", "--init_variance=log:1e-3:1:10", "--seeds=100"),
    "seeds": ("--learning_rate=0.1", "--seeds=100000"),
    "settings": ("--learning_rate=log:1e-3:1:1000", "--init_variance=log:1e-3:1:100", "--seeds=1"),
}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_hundred_thousand_members_fit(shape: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    small = ["--dataset=digits", "--hidden_sizes=10", "--batch_size=32", "--num_steps=20", "--eval_every=10"]
    train = ["-m", "experiments.lr_sweep", *small, *SHAPES[shape], f"--workdir={run}", "--progress=false"]
    as_users = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}  # programs for long runs
    subprocess.run([sys.executable, *train], env=as_users, check=True, capture_output=True)
    assert (run / "report.html").stat().st_size < MAX_PAGE_BYTES
    assert (run / "summary.csv").stat().st_size < 30e6
    assert sum(path.stat().st_size for path in (run / "tensorboard").rglob("*") if path.is_file()) < 30e6

    start = time.monotonic()
    with jaxreg.open_results(run) as opened:
        took = time.monotonic() - start
        assert opened["diverged_step"].size == 100_000
        one = {dim: 0 for dim in opened["test_loss"].dims if dim != "check"}
        assert np.isfinite(opened["test_loss"].isel(one).values).all()
    assert took < 2

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "jaxreg.report", str(run)], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < (30 if shape != "settings" else 60)
    assert after.ru_maxrss < 6 * 2**20  # KiB: the largest of all that ran, training among them
