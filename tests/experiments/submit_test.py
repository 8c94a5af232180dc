"""Parts as an array of jobs: submitit's local executor, and the script for sbatch without SLURM around it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments import cli, lr_sweep
from jaxreg import join, results
from tests.training_run import assert_within_tolerance

ROOT = Path(__file__).parents[2]
FLAGS = (
    "--dataset=digits",
    "--hidden_sizes=4",
    "--learning_rate=0.1,1",
    "--seeds=2",
    "--eval_every=20",
    "--report=false",
)
SUBMIT = ("--submit=sbatch", "--parts=2")


def lr(*flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "experiments.lr_sweep", *FLAGS, *flags]
    return subprocess.run(command, capture_output=True, text=True, env=environment())


def environment(**more: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)} | more


def test_parts_submitted_to_this_machine_are_joined_to_the_whole(tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = lr("--num_steps=20", "--submit=local", "--parts=2", f"--workdir={run}")
    assert done.returncode == 0, done.stderr
    joining = done.stdout.splitlines()[-1].removeprefix("when all are done: ")
    assert joining == f"python -m jaxreg.join {run}.parts/[0-9]* --workdir={run}"
    parts = sorted(map(str, Path(f"{run}.parts").glob("[0-9]*")))
    assert join.main(["join", *parts, f"--workdir={run}", "--report=false"]) == 0
    assert cli.main(lr_sweep.STUDY, ["lr", *FLAGS, "--num_steps=20", "--quiet", f"--workdir={tmp_path / 'whole'}"]) == 0
    assert_within_tolerance(results.load(run), results.load(tmp_path / "whole"))


def test_the_script_for_sbatch_is_sound_and_a_job_that_is_stopped_is_queued_again(tmp_path: Path) -> None:
    run = tmp_path / "a run"
    flags = (*SUBMIT, f"--workdir={run}", "--submit_options=partition=gpu,time=120")
    printed = lr("--num_steps=800", "--checkpoint_every=20", *flags)
    assert printed.returncode == 0, printed.stderr
    script = tmp_path / "job.sh"
    script.write_text(printed.stdout)
    assert {"#SBATCH --array=1-2", "#SBATCH --partition=gpu", "#SBATCH --time=120"} <= set(printed.stdout.splitlines())
    subprocess.run(["bash", "-n", str(script)], check=True)
    if shellcheck := shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}"):
        assert subprocess.run([shellcheck, str(script)], capture_output=True, text=True).stdout == ""

    (tmp_path / "scontrol").write_text(f'#!/bin/bash\necho "$@" > {tmp_path}/requeued\n')
    (tmp_path / "scontrol").chmod(0o755)
    slurm = {"SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_JOB_ID": "7", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    job = subprocess.Popen(["bash", str(script)], env=environment(**slurm), stderr=subprocess.DEVNULL)
    part = Path(f"{run}.parts") / "2"
    deadline = time.monotonic() + 120
    while not any(part.glob("checkpoints/[0-9]*/manifest.json")):
        assert job.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    job.terminate()
    assert job.wait(60) == 143
    assert (tmp_path / "requeued").read_text() == "requeue 7_2\n"
    again = subprocess.run(["bash", str(script)], env=environment(**slurm), capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert "going on from the checkpoint" in again.stderr


@pytest.mark.parametrize(
    ("flags", "refusal"),
    [
        (["--submit=pbs", "--parts=2", "--workdir=r"], "--submit=pbs: must be one of slurm, local, sbatch"),
        (["--submit=sbatch", "--workdir=r"], "--parts=: must be a whole number from 1 to 100000"),
        (["--submit=sbatch", "--parts=0", "--workdir=r"], "--parts=0: must be a whole number from 1"),
        (["--submit=sbatch", "--parts=2"], "--submit=sbatch: needs --workdir"),
        ([*SUBMIT, "--workdir=r", "--overwrite"], "--overwrite=true: contradicts --submit"),
        ([*SUBMIT, "--workdir=r", "--part=1/2"], "--part=1/2: is for one part; --submit trains all"),
        ([*SUBMIT, "--workdir=r", "--submit_options=gpu"], "give NAME=VALUE of sbatch"),
        (["--submit=local", "--parts=2", "--workdir=r", "--submit_options=time=1"], "are for sbatch; leave them out"),
        (["--parts=2"], "--parts=2: is for an array of jobs; give --submit too"),
        (["--submit=sbatch", "--parts=5", "--workdir=r"], "--part=1/5: 2 settings x 2 seeds are no 5 rectangles"),
        (["--submit=sbatch", "--parts=2", "--workdir=r", "--batch_size=9999"], "--batch_size=9999: the training set"),
    ],
)
def test_what_cannot_be_submitted_is_refused_before_anything_is_made(
    flags: list[str], refusal: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["lr_sweep", *FLAGS, *flags])
    assert cli.main(lr_sweep.STUDY) == 1
    said = capsys.readouterr()
    assert refusal in said.err
    assert said.out == ""
    assert not list(tmp_path.iterdir())


def test_a_flagfile_cannot_submit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "array.cfg").write_text("\n".join(SUBMIT))
    monkeypatch.setattr(sys, "argv", ["lr_sweep", *FLAGS, "--workdir=r", f"--flagfile={tmp_path}/array.cfg"])
    assert cli.main(lr_sweep.STUDY) == 1
    assert "must be given on the command line, not in a flagfile" in capsys.readouterr().err


def test_without_submitit_a_script_is_offered(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    monkeypatch.setattr(sys, "argv", ["lr_sweep", *FLAGS, "--submit=slurm", "--parts=2", "--workdir=r"])
    assert cli.main(lr_sweep.STUDY) == 1
    assert "needs submitit (pip install 'jaxreg[submit]'); --submit=sbatch prints" in capsys.readouterr().err
