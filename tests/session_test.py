"""Runs whose files were damaged, on full disks, and on fewer devices: through the real flags."""

from __future__ import annotations

import contextlib
import errno
import json
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest
import xarray as xr

from experiments import cli, lr_sweep
from jaxreg import extract, in_progress, report, results
from jaxreg.errors import RunFolderError
from jaxreg.results import members
from jaxreg.runs import folder as runfolder
from tests.training_run import assert_same_bits, assert_within_tolerance

FLAGS = (
    *("--num_steps=20", "--eval_every=10", "--checkpoint_every=10", "--batch_size=40", "--hidden_sizes=5"),
    *("--learning_rate=0.1,0.5", "--seeds=2", "--report=false", "--tensorboard=false", "--progress=false"),
)


def train(folder: Path, *flags: str) -> int:
    return cli.main(lr_sweep.STUDY, ["lr_sweep", *FLAGS, f"--workdir={folder}", *flags])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "run"
    assert train(folder) == 0
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of a finished run of two devices."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines on standard error."""
    return capsys.readouterr().err.splitlines()


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@contextlib.contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """No file may be larger: what a full disk is like."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("damage", ["missing", "flipped"])
def test_results_are_made_again_from_the_checkpoint(
    finished: Path, run: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if damage == "flipped":
        flip(run / "results.nc")
        for others in ([], [str(finished)]):
            assert report.main(["report", str(run), *others]) == 1
            (line,) = said(capsys)
            assert "results.nc: is damaged" in line
            assert "--resume makes it again" in line
    else:
        (run / "results.nc").unlink()
    (run / "flags.cfg").write_text("--learning_rate=0.1\n")
    assert train(run, "--resume") == 0
    assert_same_bits(results.load(run), results.load(finished))
    assert (run / "flags.cfg").read_text() == (finished / "flags.cfg").read_text()
    assert json.loads((run / "meta.json").read_text())["status"] == "done"


def test_a_half_flags_file_is_not_extracted(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    half = (run / "flags.cfg").read_text().splitlines()[:3]
    (run / "flags.cfg").write_text("\n".join(half) + "\n")
    for command, *flags in ((extract.main, f"--out={tmp_path / 'member'}"), (report.main,)):
        assert command(["command", str(run), *flags]) == 1
        (line,) = said(capsys)
        assert "flags.cfg: cannot be used (it differs from what the run wrote)" in line
    assert train(run, "--resume") == 0  # which writes it anew
    assert members.load_member(run, {"learning_rate": 0.1, "seed": 0}).exact


def test_a_damaged_last_checkpoint_is_one_line_and_can_be_trained_again(
    finished: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "checkpoints" / "000000000020" / "manifest.json").unlink()
    select = "--select=learning_rate=0.1,seed=1"
    assert extract.main(["extract", str(run), select, f"--out={tmp_path / 'member'}"]) == 1
    (line,) = said(capsys)
    assert "is older than the end of this member (newer ones are damaged: step 20" in line
    assert "--resume" in line
    assert not (tmp_path / "member").exists()
    (run / "results.nc").unlink()
    assert train(run, "--resume") == 0
    assert_same_bits(results.load(run), results.load(finished))
    assert extract.main(["extract", str(run), select, f"--out={tmp_path / 'member'}"]) == 0


@pytest.mark.parametrize("size", [0, 4000])
def test_a_full_disk_is_one_line_and_nothing_is_lost(
    finished: Path, tmp_path: Path, size: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with files_up_to(size):
        assert train(tmp_path / "full") == 1
    lines = [line for line in said(capsys) if not line.startswith("group 1 of 1")]
    assert len(lines) == 1, lines
    assert "file too large" in lines[0].lower()
    assert str(tmp_path / "full") in lines[0]
    assert "free some space" in lines[0].lower()
    there = (tmp_path / "full" / "meta.json").exists()
    assert train(tmp_path / "full", *(["--resume"] if there else [])) == 0
    assert_same_bits(results.load(tmp_path / "full"), results.load(finished))


@pytest.mark.parametrize("exists", [False, True])
def test_extract_leaves_no_half_folder(
    run: Path, tmp_path: Path, exists: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "made" / "member"
    if exists:
        out.mkdir(parents=True)
    command = ["extract", str(run), "--select=learning_rate=0.1,seed=0", f"--out={out}"]
    for size in (500, 5000):
        with files_up_to(size):
            assert extract.main(command) == 1
        (line,) = said(capsys)
        assert f"--out={out}: cannot be written (file too large)" in line
        assert list((tmp_path / "made").rglob("*")) == ([out] if exists else [])
    assert extract.main(command) == 0
    assert sorted(path.name for path in out.iterdir()) == ["curve.csv", "curve.nc", "flags.cfg", "params", "params.npz"]


def test_while_it_trains_the_results_so_far_can_be_read_and_at_its_end_they_are_gone(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_progress, "SECONDS_BETWEEN_LOOKS", -1.0)
    assert train(tmp_path / "run") == 0
    assert not list((tmp_path / "run").glob("*so_far*"))
    assert_same_bits(results.load(tmp_path / "run"), results.load(finished))
    monkeypatch.setattr(runfolder, "SO_FAR_FILES", ())  # so that they stay
    assert train(tmp_path / "kept", "--eval_every=2", "--patience=0") == 0
    so_far = results.load(tmp_path / "kept" / runfolder.SO_FAR)
    assert 0 < int(so_far["checks_done"].max()) <= so_far.sizes["check"]
    assert so_far["train_accuracy"].isnull().all()  # measured after the last step
    measured = so_far["test_loss"].notnull()
    ended = results.load(tmp_path / "kept")["test_loss"]
    assert (so_far["test_loss"].where(measured) == ended.where(measured)).where(measured, True).all()


def test_where_the_results_so_far_cannot_be_written_it_trains_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_progress, "SECONDS_BETWEEN_LOOKS", -1.0)
    save = results.save

    def full(dataset: xr.Dataset, path: Path) -> None:
        if path.name == runfolder.SO_FAR:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(dataset, path)

    monkeypatch.setattr(results, "save", full)
    assert train(tmp_path / "run", "--eval_every=2") == 0
    assert "results so far could not be written (No space left on device): none from here on" in capsys.readouterr().err


def test_a_run_of_two_devices_goes_on_with_one_if_it_is_asked_to(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    assert train(run, "--max_minutes=1e-9") == 75
    before = json.loads((run / "meta.json").read_text())
    assert before["layout"][0]["devices"] == 2
    capsys.readouterr()
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    assert train(run, "--resume") == 1
    assert "begun on 2 devices, here it could use 1: --fewer_devices goes on" in said(capsys)[-1]
    assert train(run, "--resume", "--fewer_devices") == 0
    meta = json.loads((run / "meta.json").read_text())
    assert meta["layout"][0]["devices"] == 1
    changed = {"first_seed": 0, "group": 0, "block": 0, "step": 10, "before": 2, "devices": 1}
    assert meta["device_changes"] == [changed]
    assert_within_tolerance(results.load(run), results.load(finished))
    assert "fewer devices" in members.load_member(run, {"learning_rate": 0.1, "seed": 0}).changes
    assert "fewer_devices" not in (run / "flags.cfg").read_text()


def test_a_finished_run_is_read_on_fewer_devices_without_a_word(
    finished: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    (run / "results.nc").unlink()
    assert train(run, "--resume") == 0
    assert_same_bits(results.load(run), results.load(finished))
    assert members.load_member(run, {"learning_rate": 0.1, "seed": 0}).exact


def test_files_that_do_not_fit_together_are_one_line(run: Path) -> None:
    other = results.load(run).drop_attrs()
    other.attrs = {"experiment": "lr_sweep"}  # without what a run notes
    results.save(other, run / "results.nc")
    with pytest.raises(RunFolderError, match="do not fit together") as refused:
        members.load_member(run, {"learning_rate": 0.1, "seed": 0})
    assert "\n" not in str(refused.value)
