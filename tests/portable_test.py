"""Without what only Unix has: nothing here runs on Windows, so this is as near as it gets."""

from __future__ import annotations

import json
import re
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
small = ["--hidden_sizes=4", "--num_steps=20", "--seeds=2", "--learning_rate=0.1,1", "--report=false"]
folder = sys.argv[1]
for flags in (
    [*small, f"--workdir={folder}/run", "--max_minutes=1e-9"],
    [f"--workdir={folder}/run", "--resume", "--max_minutes=0"],
    ["--dataset=kmnist", f"--data_dir={folder}"],
):
    print("exit code", cli.main(lr_sweep.STUDY, ["lr_sweep", *flags]), file=sys.stderr)
"""


def test_all_but_sets_of_images_works_without_what_only_unix_has(tmp_path: Path) -> None:
    (tmp_path / "kmnist" / "3.0.1").mkdir(parents=True)
    (tmp_path / "kmnist" / "3.0.1" / "dataset_info.json").write_text("{}")
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    stopped, resumed, refused, _ = re.split(r"exit code (?:75|0|1)\n", done.stderr)
    assert "go on with" in stopped
    assert "no file locks here; .lock.held stands in for one" in resumed
    assert "--dataset=kmnist: is read by the package array-record, which is not installed" in refused
    assert refused.count("\n") == 1
    folder = tmp_path / "run"
    assert json.loads((folder / "meta.json").read_text())["status"] == "done"
    assert results.load(folder)["final_test_loss"].sizes == {"learning_rate": 2, "seed": 2}
    assert not (folder / ".lock.held").exists()
