"""Several real processes on this machine that train one run: the bits of one, and what happens when one goes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from experiments import cli, lr_sweep
from jaxreg import results
from tests.lowered import lowered
from tests.training_run import assert_same_bits

ROOT = Path(__file__).parents[1]
FLAGS = ("--dataset=digits", "--hidden_sizes=8", "--learning_rate=0.1,1", "--seeds=3", "--report=false")
SHORT = (*FLAGS, "--num_steps=40", "--eval_every=10", "--tensorboard=false")
LONG = (
    *(*FLAGS, "--tensorboard=false"),
    *("--num_steps=2000", "--eval_every=100", "--record_every=100", "--checkpoint_every=100"),
)
SECONDS_TO_END = 60.0


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextlib.contextmanager
def started(count: int, *flags: str, of_one: Sequence[str] = ()) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes with one device each that train together; the last one with the flags `of_one` besides."""
    coordinator = f"--coordinator=127.0.0.1:{free_port()}"
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "1", "JAX_PLATFORMS": "cpu"}
    processes = []
    for number in range(count):
        command = [sys.executable, "-m", "experiments.lr_sweep", *flags, *(of_one if number == count - 1 else ())]
        command += ["--distributed", coordinator, f"--num_processes={count}", f"--process_id={number}"]
        processes.append(
            subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path.cwd()
            )
        )
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def ended(processes: Sequence[subprocess.Popen[str]], seconds: float = 240.0) -> list[tuple[int, str]]:
    """Exit code and standard error of each process, once all have ended."""
    deadline = time.monotonic() + seconds
    said = [process.communicate(timeout=max(deadline - time.monotonic(), 0.1))[1] for process in processes]
    return [(process.returncode, text) for process, text in zip(processes, said, strict=True)]


def wait_for_checkpoint(run: Path, processes: Sequence[subprocess.Popen[str]], step: int = 1) -> None:
    deadline = time.monotonic() + 120.0
    while not any(int(path.parent.name) >= step for path in run.glob("checkpoints/[0-9]*/manifest.json")):
        assert all(process.poll() is None for process in processes), ended(processes)
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alone(run: Path, *flags: str) -> int:
    """One process, this one, with two devices."""
    return cli.main(lr_sweep.STUDY, ["lr_sweep", f"--workdir={run}", "--quiet", *flags])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    """What one process makes of the long run, undisturbed."""
    run = tmp_path_factory.mktemp("whole") / "run"
    assert alone(run, *LONG) == 0
    return results.load(run)


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


def test_two_processes_have_the_bits_of_one_with_two_devices(tmp_path: Path) -> None:
    assert alone(tmp_path / "one", *SHORT) == 0
    with started(2, f"--workdir={tmp_path / 'two'}", *SHORT, "--report=true", "--tensorboard=true") as processes:
        said = ended(processes)
    assert [code for code, _ in said] == [0, 0], said
    assert (tmp_path / "two" / "report.html").exists()  # with the weights of a member, which process 0 reads by itself
    one, two = (results.load(tmp_path / name) for name in ("one", "two"))
    assert_same_bits(one, two)
    meta = json.loads((tmp_path / "two" / "meta.json").read_text())
    assert meta["device"]["processes"] == 2
    assert meta["layout"][0]["devices"] == 2


@pytest.mark.parametrize("gone", [signal.SIGKILL, signal.SIGTERM])
def test_when_one_goes_all_do_and_the_run_goes_on_to_the_same_bits(
    gone: signal.Signals, whole: xr.Dataset, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with started(2, f"--workdir={run}", *LONG) as processes:
        wait_for_checkpoint(run, processes)
        begun = time.monotonic()
        processes[1].send_signal(gone)
        said = ended(processes, SECONDS_TO_END)
    assert time.monotonic() - begun < SECONDS_TO_END
    if gone == signal.SIGTERM:
        assert [code for code, _ in said] == [143, 143], said
        assert "stopped by a signal at step" in last_line(said[0][1])
        steps = {path.name for path in run.glob("checkpoints/[0-9]*")}
        assert f"{int(last_line(said[0][1]).split('at step ')[1].split()[0]):012d}" in steps
    else:
        assert [code for code, _ in said] == [1, -9], said
        assert "another process of this run is gone" in last_line(said[0][1])
        assert "Traceback" not in said[0][1]
    assert alone(run, "--resume", *LONG) == 0
    assert_same_bits(results.load(run), whole)


def test_other_flags_of_one_process_are_refused_on_all(tmp_path: Path) -> None:
    with started(2, f"--workdir={tmp_path / 'run'}", *SHORT, of_one=["--momentum=0.5"]) as processes:
        said = ended(processes)
    assert [code for code, _ in said] == [1, 1]
    for _, text in said:
        assert "--momentum of process 1 is not that of process 0; give all processes the same" in last_line(text)
    assert not (tmp_path / "run").exists()


def test_other_data_of_one_process_are_refused_on_all(tmp_path: Path) -> None:
    for number in range(2):
        rng = np.random.default_rng(number)
        np.savez(tmp_path / f"{number}.npz", x=rng.normal(size=(60, 4)), y=np.arange(60) % 3)
    one, other = (f"--dataset={tmp_path / f'{number}.npz'}" for number in range(2))
    with started(2, f"--workdir={tmp_path / 'run'}", *SHORT[1:], "--batch_size=10", one, of_one=[other]) as processes:
        said = ended(processes)
    assert [code for code, _ in said] == [1, 1]
    for _, text in said:
        assert "of process 1 is not that of process 0" in last_line(text)


def test_a_refusal_of_one_process_ends_all(tmp_path: Path) -> None:
    with started(2, f"--workdir={tmp_path / 'run'}", *SHORT, of_one=["--dataset=missing.npz"]) as processes:
        said = ended(processes)
    assert [code for code, _ in said] == [1, 1]
    assert last_line(said[0][1]).startswith("process 1: --dataset=")
    assert "missing.npz: no such file" in last_line(said[1][1])


@pytest.mark.parametrize(
    ("flag", "refusal"),
    [
        ("--process_id=0", "give --distributed too"),
        ("--num_processes=0", "must be"),
        ("--coordinator=nowhere", "must be HOST:PORT"),
    ],
)
def test_flags_of_several_processes_are_checked(flag: str, refusal: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(lr_sweep.STUDY, ["lr_sweep", flag]) == 1
    assert refusal in capsys.readouterr().err


def test_the_programs_of_several_processes_are_those_of_one() -> None:
    coordinator = f"127.0.0.1:{free_port()}"
    code = "from tests.lowered import main; main()"
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "1", "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    commands = [[sys.executable, "-c", code, coordinator, "2", str(number)] for number in range(2)]
    processes = [subprocess.Popen(c, env=environment, stdout=subprocess.PIPE, text=True) for c in commands]
    texts = [process.communicate(timeout=240)[0].splitlines()[-1] for process in processes]
    assert texts == [lowered()] * 2


@pytest.mark.slow
def test_four_processes_have_the_bits_of_one_with_four_devices(tmp_path: Path) -> None:
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "4"}
    command = [sys.executable, "-m", "experiments.lr_sweep", f"--workdir={tmp_path / 'one'}", *SHORT]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    with started(4, f"--workdir={tmp_path / 'four'}", *SHORT) as processes:
        said = ended(processes)
    assert [code for code, _ in said] == [0] * 4, said
    assert_same_bits(*(results.load(tmp_path / name) for name in ("one", "four")))
