"""The short form of `python -m benchmarks.faults`: a few kills, damages, full disks and a rival, and a join."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_runs_under_faults_end_with_the_same_bits_or_one_line() -> None:
    trials = {"kills": 2, "joins": 1, "damages": 1, "disks": 1, "pairs": 1}
    counts = [f"--{name}={number}" for name, number in trials.items()]
    command = [sys.executable, "-m", "benchmarks.faults", *counts, "--seed=1", "--processes=1"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    said = ended.stdout + ended.stderr
    assert ended.returncode == 0, said
    total = next(line.split() for line in ended.stdout.splitlines() if line.startswith("all "))
    assert int(total[1]) == sum(trials.values()), said
    assert int(total[2]) + int(total[3]) == sum(trials.values()), said
