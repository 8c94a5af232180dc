"""Any number of members on any number of devices, in processes that have as many virtual ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jaxreg import results
from tests.training_run import assert_within_tolerance

ROOT = Path(__file__).parents[2]
RUN = (
    "--dataset=digits",
    "--hidden_sizes=4",
    "--learning_rate=0.1,1",
    "--seeds=8",
    "--num_steps=30",
    "--eval_every=10",
)


def on_devices(count: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": str(count), "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("members", "counts", "used"),
    [
        (7, "3,8", ["3 of 3", "7 of 8"]),
        pytest.param(1, "1,2,3,4,8", ["1 of 1", "1 of 2", "1 of 3", "1 of 4", "1 of 8"], marks=pytest.mark.slow),
        pytest.param(7, "1,2,3,4,8", ["1 of 1", "2 of 2", "3 of 3", "4 of 4", "7 of 8"], marks=pytest.mark.slow),
        pytest.param(64, "1,2,3,4,8", ["1 of 1", "2 of 2", "3 of 3", "4 of 4", "8 of 8"], marks=pytest.mark.slow),
        pytest.param(1000, "1,2,3,4,8", ["1 of 1", "2 of 2", "3 of 3", "4 of 4", "8 of 8"], marks=pytest.mark.slow),
    ],
)
def test_members_on_any_devices_have_the_results_of_one(members: int, counts: str, used: list[str]) -> None:
    done = on_devices(8, "tests.many_devices", str(members), counts)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{members} members on {devices}" for devices in used]


@pytest.mark.slow
def test_a_run_moves_from_eight_devices_to_one_to_two(tmp_path: Path) -> None:
    run = tmp_path / "run"
    flags = ("experiments.lr_sweep", *RUN, "--report=false", "--tensorboard=false", f"--workdir={run}")
    assert on_devices(8, *flags, "--max_minutes=1e-9").returncode == 75
    assert on_devices(1, *flags, "--max_minutes=1e-9", "--resume").returncode == 1
    assert on_devices(1, *flags, "--max_minutes=1e-9", "--resume", "--fewer_devices").returncode == 75
    assert on_devices(2, *flags, "--max_minutes=0", "--resume").returncode == 0
    changes = json.loads((run / "meta.json").read_text())["device_changes"]
    assert [(change["before"], change["devices"]) for change in changes] == [(8, 1)]
    whole = ("experiments.lr_sweep", *RUN, "--report=false", "--tensorboard=false", f"--workdir={tmp_path / 'whole'}")
    assert on_devices(1, *whole).returncode == 0
    assert_within_tolerance(results.load(run), results.load(tmp_path / "whole"))
