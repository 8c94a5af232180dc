"""Run folders that an earlier version left are resumed, extended, reported and extracted as it would have done."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
import xarray as xr

from experiments import cli, lr_sweep, regularizers
from jaxreg import extract, report, results
from jaxreg.study import Study
from tests.training_run import assert_same_bits, assert_within_tolerance

ARCHIVE = Path(__file__).parent / "data" / "1d1b551.tar.xz"  # the README beside it tells how it was made
CPU = Path("/proc/cpuinfo")


def assert_as_expected(measured: xr.Dataset, expected: xr.Dataset) -> None:
    """Bit for bit on processors like the one that made the archive, which had AVX-512; rounding differs on others."""
    same_processor = CPU.exists() and "avx512f" in CPU.read_text(encoding="utf-8")
    (assert_same_bits if same_processor else assert_within_tolerance)(measured, expected)


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """The folder with the earlier version's runs `finished`, `interrupted` and the results `expected` of them."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


def go_on(study: Study, run: Path, *flags: str) -> int:
    return cli.main(study, [study.name, f"--flagfile={run / 'flags.cfg'}", f"--workdir={run}", "--resume", *flags])


def test_an_interrupted_run_is_resumed_bit_for_bit(earlier: Path) -> None:
    run = earlier / "interrupted"
    assert go_on(regularizers.STUDY, run, "--max_minutes=0") == 0
    assert "going on from the checkpoint at step 10" in (run / "log.txt").read_text(encoding="utf-8")
    resumed, expected = results.load(run), results.load(earlier / "expected" / "interrupted.nc")
    assert_as_expected(resumed, expected)
    assert set(resumed.coords) == set(expected.coords)
    assert set(resumed.dims) == set(expected.dims)


def test_a_finished_run_is_extended_bit_for_bit_then_reported_and_extracted(
    earlier: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = earlier / "finished"
    assert go_on(lr_sweep.STUDY, run) == 0  # nothing is left to do
    assert go_on(lr_sweep.STUDY, run, "--seeds=3") == 0
    assert_as_expected(results.load(run), results.load(earlier / "expected" / "extended.nc"))

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
        assert_same_bits(alone, results.load(out / "curve.nc"))
