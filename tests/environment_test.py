"""A run has the same bits wherever it is started: no home, another encoding, settings of JAX, more devices, signals.

Surroundings that do not disturb one another share a process. Each in a process of its own: `-m slow`.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import xarray as xr

from experiments import cli, lr_sweep
from jaxreg import results
from tests.training_run import assert_same_bits, assert_within_tolerance

ROOT = Path(__file__).parents[1]
FLAGS = (
    *(
        "--learning_rate=0.1,1",
        "--seeds=2",
        "--hidden_sizes=4",
        "--num_steps=12",
        "--eval_every=5",
        "--dropout_rate=0.5",
    ),
    *("--tensorboard=false", "--workdir=run"),
)
UNREADABLE_HOME = "/dev/null/home"  # that nobody can write, root included
NO_HOME = {"HOME": UNREADABLE_HOME}
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
NOTEBOOK = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
ELSEWHERE = {"TZ": "Asia/Kathmandu", "COLUMNS": "20"}
X64 = {"JAX_ENABLE_X64": "1"}
RBG = {"JAX_DEFAULT_PRNG_IMPL": "rbg"}
STRICT = {"JAX_NUMPY_DTYPE_PROMOTION": "strict", "JAX_TRANSFER_GUARD": "disallow", "JAX_DISABLE_JIT": "1"}
OTHER_SETTINGS = {**X64, **RBG, **STRICT}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    """The run in this process."""
    with contextlib.chdir(tmp_path_factory.mktemp("undisturbed")):
        assert cli.main(lr_sweep.STUDY, ["lr_sweep", *FLAGS, "--report=false"]) == 0
        return results.load("run/results.nc")


def start(variables: Mapping[str, str], options: Sequence[str] = (), *flags: str) -> subprocess.Popen[bytes]:
    """The run in a process of its own, here."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_NUM_CPU_DEVICES": "2"} | dict(variables)
    if "HOME" in variables:  # where the cache would be that is used unless another is named
        del environment["JAX_COMPILATION_CACHE_DIR"]
    command = [sys.executable, *options, "-m", "experiments.lr_sweep", *FLAGS, *flags]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finished(process: subprocess.Popen[bytes]) -> tuple[str, str]:
    """What a process that ends with 0 has printed, which is ASCII."""
    out, err = process.communicate(timeout=250)
    assert process.returncode == 0, err.decode()
    assert b"Traceback" not in err
    return out.decode("ascii", "replace"), err.decode("ascii", "replace")


def test_no_home_ascii_a_notebook_s_backend_warnings_as_errors_and_signals_from_start_to_end(
    undisturbed: xr.Dataset, tmp_path: Path
) -> None:
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nfont.size: 30\n", encoding="utf-8")
    process = start({**NO_HOME, **ASCII, **NOTEBOOK, **ELSEWHERE}, ("-W", "error"))
    asked = ask_for_checkpoints(process)
    out, err = finished(process)
    assert asked > 10
    assert_same_bits(results.load(tmp_path / "run"), undisturbed)
    assert (tmp_path / "run" / "report.html").exists()
    assert "\ufffd" not in out + err
    assert err.count("\n") < 5 + err.count("saved")  # caches that cannot be kept are not lamented


def ask_for_checkpoints(process: subprocess.Popen[bytes]) -> int:
    """Sends SIGUSR1 again and again, from the first moment that the process takes it until its end; how often."""
    status, count, deadline = Path(f"/proc/{process.pid}/status"), 0, time.monotonic() + 60
    if not status.exists():
        pytest.skip("there is no /proc, which tells when a process begins to ignore a signal")
    while not ignores(status, signal.SIGUSR1) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    while process.poll() is None:
        process.send_signal(signal.SIGUSR1)
        count += 1
        time.sleep(0.05)
    return count


def ignores(status: Path, number: signal.Signals) -> bool:
    found = re.search(r"SigIgn:\s*([0-9a-f]+)", status.read_text(encoding="ascii"))
    return found is not None and bool(int(found[1], 16) >> (number - 1) & 1)


def test_other_settings_of_jax_and_no_docstrings(undisturbed: xr.Dataset, tmp_path: Path) -> None:
    _, err = finished(start(OTHER_SETTINGS, ("-OO",), "--report=false"))
    assert_same_bits(results.load(tmp_path / "run"), undisturbed)
    (line,) = [line for line in err.splitlines() if "set aside" in line]
    assert "jax_enable_x64=True" in line
    assert "jax_default_prng_impl=rbg" in line


def test_on_more_devices_it_agrees_within_rounding_and_says_on_how_many(
    undisturbed: xr.Dataset, tmp_path: Path
) -> None:
    _, err = finished(start({"JAX_NUM_CPU_DEVICES": "16"}, (), "--report=false"))
    assert_within_tolerance(results.load(tmp_path / "run"), undisturbed)
    assert re.search(r"members at once on \d+ x cpu", err)


ALONE: Mapping[str, tuple[Mapping[str, str], tuple[str, ...]]] = {
    "home that cannot be written": (NO_HOME, ()),
    "ascii": (ASCII, ()),
    "backend of a notebook": (NOTEBOOK, ()),
    "time zone": ({"TZ": "Asia/Kathmandu"}, ()),
    "20 columns": ({"COLUMNS": "20"}, ()),
    "x64": (X64, ()),
    "rbg": (RBG, ()),
    "strict promotion": ({"JAX_NUMPY_DTYPE_PROMOTION": "strict"}, ()),
    "transfer guard": ({"JAX_TRANSFER_GUARD": "disallow"}, ()),
    "no jit": ({"JAX_DISABLE_JIT": "1"}, ()),
    "-OO": ({}, ("-OO",)),
    "-W error": ({}, ("-W", "error")),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(ALONE))
def test_each_surrounding_alone_changes_no_bit(name: str, undisturbed: xr.Dataset, tmp_path: Path) -> None:
    variables, options = ALONE[name]
    finished(start(variables, options))
    assert_same_bits(results.load(tmp_path / "run"), undisturbed)
    assert (tmp_path / "run" / "report.html").exists()


@pytest.mark.slow
@pytest.mark.parametrize("devices", ["1", "3", "16"])
def test_each_number_of_devices_agrees_within_rounding(devices: str, undisturbed: xr.Dataset, tmp_path: Path) -> None:
    finished(start({"JAX_NUM_CPU_DEVICES": devices}))
    assert_within_tolerance(results.load(tmp_path / "run"), undisturbed)


def test_a_platform_that_is_not_there_and_a_variable_that_jax_cannot_read_are_one_line(tmp_path: Path) -> None:
    for variables, line in [
        ({"JAX_PLATFORMS": "cuda"}, "JAX_PLATFORMS=cuda: no device can be used"),
        ({"JAX_ENABLE_X64": "maybe"}, "JAX cannot read its environment variables (invalid truth value 'maybe'"),
    ]:
        process = start(variables)
        out, err = process.communicate(timeout=100)
        assert (process.returncode, out, err.count(b"\n")) == (1, b"", 1), err.decode()
        assert line in err.decode()
    assert not list(tmp_path.iterdir())


def test_a_reader_that_closes_the_pipe_has_seen_enough() -> None:
    with start({}, (), "--help") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
