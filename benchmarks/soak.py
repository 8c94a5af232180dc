"""Whether a long run, and many short ones in one process, go on for ever: `python -m benchmarks.soak --minutes=30`.

A sweep with checks, histograms, checkpoints and TensorBoard trains for so many minutes in a process of its own, whose
memory, open files, threads and disk are sampled. Then `jaxreg.run` is called again and again in one process. Printed
are medians and slopes (Theil and Sen's, over what follows the first fifth), and whether each grows: whether its slope
over the whole time leaves its tolerance. Memory that the C library gives back late may fall. TensorBoard's files grow
with every check, and are printed beside.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import psutil
from absl import flags
from scipy.stats import theilslopes

import jaxreg

STUDY = "signal_flow"
SWEEP = (
    *("--dataset=digits", "--hidden_sizes=16", "--init_variance=0.01,0.1,1", "--seeds=2", "--histograms"),
    *("--num_steps=200000000", "--eval_every=50000", "--checkpoint_every=100000", "--record_every=100000"),
    *("--report=false", "--progress=false"),
)
SECONDS_BETWEEN_SAMPLES = 5.0
WARM_UP = 0.2  # of the samples
TOLERANCE = {
    "memory": 0.03,
    "open files": 0.1,
    "threads": 0.1,
    "checkpoints": 0.03,
}  # of the median, over the whole time


class Sample(NamedTuple):
    """A process at one time."""

    hours: float  # since the first sample; of repeated runs, how many there were
    memory: float  # MiB that the process alone holds
    files: int
    threads: int
    checkpoints: float  # MiB on the disk
    tensorboard: float  # MiB on the disk


def main(argv: list[str]) -> int:
    """Prints the slopes; returns 0 where nothing grows."""
    values = flags.FlagValues()
    flags.DEFINE_float("minutes", 30.0, "How long the sweep trains.", 0.5, flag_values=values)
    flags.DEFINE_integer("runs", 30, "How many short runs follow one another in one process.", 5, flag_values=values)
    values(argv)
    with tempfile.TemporaryDirectory() as scratch:
        long = train(Path(scratch) / "run", float(values["minutes"].value or 0))
        flat = print_slopes(f"{STUDY}, {values['minutes'].value} minutes", long, "hour")
        short = repeat(Path(scratch) / "again", int(values["runs"].value or 0))
    return 0 if print_slopes(f"{len(short)} runs in one process", short, "run") and flat else 1


def train(workdir: Path, minutes: float) -> list[Sample]:
    """A sweep that is stopped by its time limit, watched from outside."""
    command = [sys.executable, "-m", f"experiments.{STUDY}", *SWEEP, f"--workdir={workdir}", f"--max_minutes={minutes}"]
    samples: list[Sample] = []
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        process, start = psutil.Process(child.pid), time.monotonic()
        while child.poll() is None:
            if any((workdir / "checkpoints").glob("[0-9]*")):  # it trains
                with contextlib.suppress(psutil.NoSuchProcess):
                    samples.append(sample(process, (time.monotonic() - start) / 3600, workdir))
            time.sleep(SECONDS_BETWEEN_SAMPLES)
    if child.returncode != jaxreg.Stopped("", 75).exit_code:
        raise RuntimeError(f"{' '.join(command)} ended with {child.returncode}, not by its time limit")
    return samples[:-2]  # at the last ones it may have been on its way out


def repeat(workdir: Path, runs: int) -> list[Sample]:
    """Short runs of this process, each with everything that a run writes."""
    kept = jaxreg.RunConfig(workdir=str(workdir), overwrite=True, progress="false")
    shared = jaxreg.Hparams(hidden_sizes=(8,), num_steps=50, batch_size=20)
    asked = jaxreg.Experiment(hparams=shared, axes={"learning_rate": [0.1, 0.2]}, seeds=2, run=kept)
    samples = []
    for number in range(runs):
        jaxreg.run(dataclasses.replace(asked, histograms=True))
        gc.collect()
        samples.append(sample(psutil.Process(), number, workdir))
    return samples


def sample(process: psutil.Process, when: float, workdir: Path) -> Sample:
    """What a process holds now."""
    with process.oneshot():
        memory = process.memory_full_info().uss / 2**20
        return Sample(
            *(when, memory, process.num_fds(), process.num_threads()),
            *(disk(workdir / "checkpoints"), disk(workdir / "tensorboard")),
        )


def disk(folder: Path) -> float:
    """MiB of the files below a folder, some of which may vanish meanwhile."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size
        except FileNotFoundError:
            continue
    return total / 2**20


def print_slopes(title: str, samples: list[Sample], unit: str) -> bool:
    """Prints medians and slopes per hour or run; whether nothing grows that should not."""
    settled = samples[round(WARM_UP * len(samples)) :]
    hours = [each.hours for each in settled]
    print(f"{title}: {len(settled)} samples after the first fifth")
    measured = {
        "memory": ([each.memory for each in settled], "MiB"),
        "open files": ([float(each.files) for each in settled], ""),
        "threads": ([float(each.threads) for each in settled], ""),
        "checkpoints": ([each.checkpoints for each in settled], "MiB"),
        "tensorboard": ([each.tensorboard for each in settled], "MiB"),
    }
    all_flat = True
    for name, (found, size) in measured.items():
        fit, middle = theilslopes(found, hours), sorted(found)[len(found) // 2]
        grown = fit.slope * (hours[-1] - hours[0])
        verdict = "grows with the checks"
        if name in TOLERANCE:
            flat = bool(grown <= max(TOLERANCE[name] * middle, 1.0))
            all_flat = all_flat and flat
            verdict = "does not grow" if flat else "GROWS"
        print(
            f"  {name:<12} median {middle:8.1f} {size:<3}  slope {fit.slope:+9.3f} {size} per {unit} "
            f"[{fit.low_slope:+.3f}, {fit.high_slope:+.3f}]  over all {grown:+7.2f}  {verdict}"
        )
    return all_flat


if __name__ == "__main__":
    sys.exit(main(sys.argv))
