"""Without what only Unix has: nothing here runs on Windows, so this is as near as it gets."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from jaxreg import results

PROGRAM = """
import os, signal, sys
import contextlib
import psutil  # whose part for Linux wants one of them
with contextlib.suppress(ImportError):
    import filelock  # of JAX's compilation cache, which knows what to do on Windows
for name in ("fcntl", "resource", "array_record"):
    sys.modules[name] = None  # importing it fails
import jax, optax, orbax.checkpoint  # which find out for themselves where they are
for module, names in [
    (os, ["O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_DIRECTORY", "pwrite", "pipe2", "set_blocking", "geteuid"]),
    (signal, ["SIGHUP", "SIGUSR1"]),
]:
    for name in names:
        delattr(module, name)
from experiments import cli, lr_sweep
sys.exit(cli.main(lr_sweep.STUDY, sys.argv))
"""


def run(*flags: str) -> subprocess.CompletedProcess[str]:
    small = ("--hidden_sizes=4", "--num_steps=20", "--seeds=2", "--learning_rate=0.1,1")
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *small, *flags], capture_output=True, text=True, check=False, timeout=200
    )


def test_a_run_is_kept_stopped_and_resumed_without_what_only_unix_has(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    stopped = run("--dataset=digits", f"--workdir={folder}", "--max_minutes=1e-9")
    assert stopped.returncode == 75, stopped.stderr
    resumed = run(f"--workdir={folder}", "--resume", "--max_minutes=0")
    assert resumed.returncode == 0, resumed.stderr
    assert "no file locks here; .lock.held stands in for one" in resumed.stderr
    assert (folder / "report.html").exists()
    assert json.loads((folder / "meta.json").read_text())["status"] == "done"
    assert results.load(folder)["final_test_loss"].sizes == {"learning_rate": 2, "seed": 2}
    assert not (folder / ".lock.held").exists()


def test_a_set_of_images_is_refused_in_one_line_where_its_reader_is_missing(tmp_path: Path) -> None:
    for name in ("mnist", "kmnist"):
        (tmp_path / name / "3.0.1").mkdir(parents=True)
        (tmp_path / name / "3.0.1" / "dataset_info.json").write_text("{}")
    refused = run("--dataset=kmnist", f"--data_dir={tmp_path}")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1), refused.stderr
    assert "--dataset=kmnist: is read by the package array-record, which is not installed" in refused.stderr
