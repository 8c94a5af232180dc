"""Run folders that an earlier version left are resumed, extended, reported and extracted as it would have done."""

from __future__ import annotations

import tarfile
from importlib.metadata import version
from pathlib import Path

import pytest
import xarray as xr

from experiments import cli, lr_sweep, regularizers
from jaxreg import extract, report, results
from jaxreg.config import FIELDS
from jaxreg.study import Study
from tests.training_run import assert_same_bits, assert_within_tolerance

ARCHIVE = Path(__file__).parent / "data" / "1d1b551.tar.xz"  # the README beside it tells how it was made


def assert_goes_on(measured: xr.Dataset, expected: xr.Dataset) -> None:
    """As a run of the earlier version goes on in this one, whose step rounds in its own way: within the tolerance."""
    assert set(measured.data_vars) == set(expected.data_vars)
    assert_within_tolerance(measured, expected)


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """The folder with the earlier version's runs `finished`, `interrupted` and the results `expected` of them."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # since Python 3.11.4
        archive.extractall(tmp_path)
    return tmp_path


def go_on(study: Study, run: Path, *flags: str) -> int:
    return cli.main(study, [study.name, f"--flagfile={run / 'flags.cfg'}", f"--workdir={run}", "--resume", *flags])


def test_an_interrupted_run_is_resumed(earlier: Path) -> None:
    run = earlier / "interrupted"
    assert go_on(regularizers.STUDY, run, "--max_minutes=0") == 0
    said = (run / "log.txt").read_text(encoding="utf-8")
    assert "going on from the checkpoint at step 10" in said
    assert f"jaxreg 0.1.0 there, {version('jaxreg')} here" in said
    resumed, expected = results.load(run), results.load(earlier / "expected" / "interrupted.nc")
    assert_goes_on(resumed, expected)
    before = {"step": slice(10), "check": slice(2)}  # what the earlier version has trained
    names = ["train_loss", "validation_loss", "validation_accuracy"]
    assert_same_bits(resumed[names].isel(before), expected[names].isel(before))
    declared_since = {name: FIELDS[name].default for name in ("output_activation", "input_dropout_rate", "train_draw")}
    declared_since |= {"label_smoothing": 0.0, "bias_variance": 0.0, "train_size": resumed.attrs["train_examples"]}
    assert set(resumed.coords) == set(expected.coords) | set(declared_since)
    assert {name: resumed[name].item() for name in declared_since} == declared_since
    assert set(resumed.dims) == set(expected.dims)


def test_a_finished_run_is_extended_then_reported_and_extracted(
    earlier: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = earlier / "finished"
    assert go_on(lr_sweep.STUDY, run) == 0  # nothing is left to do
    assert go_on(lr_sweep.STUDY, run, "--seeds=3") == 0
    extended, expected = results.load(run), results.load(earlier / "expected" / "extended.nc")
    assert_goes_on(extended, expected)
    assert_same_bits(
        extended.isel(seed=slice(2)), expected.isel(seed=slice(2))
    )  # the earlier version has trained these

    assert report.main(["report", str(run)]) == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert lr_sweep.STUDY.question in page
    assert all(claim.statement in page for claim in lr_sweep.CLAIMS)
    assert (run / "figures" / "fig36_test_loss.svg").exists()

    for seed in (0, 2):  # one that the earlier version trained, one that was added
        out = earlier / f"member_{seed}"
        assert extract.main(["extract", str(run), f"--select=learning_rate=0.1,seed={seed}", f"--out={out}"]) == 0
        capsys.readouterr()
        flags = [f"--flagfile={out / 'flags.cfg'}", f"--workdir={earlier / f'alone_{seed}'}"]
        assert cli.main(lr_sweep.STUDY, ["lr_sweep", *flags]) == 0
        alone = results.load(earlier / f"alone_{seed}").isel(seed=0)
        in_sweep = results.load(out / "curve.nc")
        (assert_goes_on if seed == 0 else assert_same_bits)(alone, in_sweep)
