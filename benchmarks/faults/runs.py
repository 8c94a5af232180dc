"""The small runs that faults befall, and what an undisturbed one of each gives."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from benchmarks.faults.processes import Ended, Kill, forked
from experiments import cli
from experiments.lr_sweep import STUDY
from jaxreg import extract, report, results
from jaxreg.runs.checkpoints import Checkpoints
from jaxreg.runs.checkpoints.checksums import sha256_of_file
from jaxreg.runs.checkpoints.failures import Damaged
from jaxreg.runs.checkpoints.manifest import read_manifest

COMMON = (
    *("--num_steps=20", "--batch_size=40", "--hidden_sizes=5", "--eval_every=10", "--checkpoint_every=10"),
    *("--progress=false", "--report=false"),
)
RUNS: dict[str, tuple[str, ...]] = {
    "plain": ("--learning_rate=0.1,0.5", "--seeds=2"),
    "blocks": ("--learning_rate=0.1,0.5", "--seeds=2", "--members_per_program=2"),
    "compaction": ("--learning_rate=0.1,20,50", "--seeds=2", "--patience=2", "--eval_every=3"),
}
PARTS = ("part 1", "part 2")
"""Of `plain`, trained by themselves."""
WALL_CLOCK = {"seconds"}  # variables of results.nc that differ from run to run


@dataclasses.dataclass(frozen=True)
class Bench:
    """Where the trials of one process happen.

    Attributes:
      folder: for what they write, its own.
      references: undisturbed runs by name: `plain`, `blocks`, `compaction`, `added` (to `plain`), `interrupted`, and
        `PARTS` with what they are `joined` to.
    """

    folder: Path
    references: Path

    @property
    def output(self) -> Path:
        """What the last command printed."""
        return self.folder / "output"

    @property
    def saved(self) -> Path:
        """Which checkpoints the last command completed, a path a line."""
        return self.folder / "saved"

    def fresh(self, name: str = "run") -> Path:
        """The path of a run folder that is not there."""
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        path.unlink(missing_ok=True)
        return path

    def copy(self, reference: str, name: str = "run") -> Path:
        """A copy of an undisturbed run."""
        return Path(shutil.copytree(self.references / reference, self.fresh(name)))

    def train(self, run: str, folder: Path, *flags: str, kill: Kill | None = None) -> Ended:
        """Trains one of `RUNS` in a folder, in a fork."""
        return forked(lambda: self.training(run, folder, *flags), self.output, kill)

    def training(self, run: str, folder: Path, *flags: str) -> int:
        """Trains one of `RUNS` in this process, which notes every checkpoint that it completes."""
        self.saved.write_text("")
        save = Checkpoints.save

        def noted(checkpoints: Checkpoints, step: int, *arguments: Any) -> None:
            save(checkpoints, step, *arguments)
            with self.saved.open("a") as file:
                file.write(f"{checkpoints.directory / f'{step:012d}'}\n")

        setattr(Checkpoints, "save", noted)  # noqa: B010 - in a fork; mypy allows no plain assignment
        return cli.main(STUDY, [STUDY.name, *COMMON, *RUNS[run], f"--workdir={folder}", *flags])

    def extract(self, folder: Path, out: Path) -> Ended:
        """Extracts a member, in a fork."""
        select = "--select=learning_rate=0.5,seed=1"
        return forked(lambda: extract.main(["extract", str(folder), select, f"--out={out}"]), self.output)

    def report(self, folder: Path) -> Ended:
        """Writes the report of a run, in a fork."""
        return forked(lambda: report.main(["report", str(folder)]), self.output)

    def is_right(self, folder: Path, reference: str) -> bool:
        """Whether the results of a run have the bits of the undisturbed one."""
        try:
            return same_bits(results.load(folder), results.load(self.references / reference))
        except Exception:  # whatever keeps them from being read
            return False

    def lost(self) -> list[Path]:
        """Checkpoints that the last command completed, and of which neither they nor a newer one is intact now."""
        noted = [Path(line) for line in self.saved.read_text().splitlines()] if self.saved.exists() else []
        newest = {path.parent: path for path in noted}  # the last of each folder
        return [path for path in newest.values() if not any(map(is_intact, _from(path)))]


def _from(path: Path) -> list[Path]:
    """A checkpoint and the newer ones beside it."""
    steps = [other for other in path.parent.glob("[0-9]*") if other.name.isdecimal()]
    steps += path.parent.glob("replaced-*")
    return [other for other in steps if other.name.removeprefix("replaced-") >= path.name]


def is_intact(checkpoint: Path) -> bool:
    """Whether a checkpoint has all of its files as they were written."""
    try:
        manifest = read_manifest(checkpoint)
        return all(sha256_of_file(checkpoint / name) == digest for name, digest in manifest["files"].items())
    except (Damaged, OSError):
        return False


def same_bits(one: xr.Dataset, other: xr.Dataset) -> bool:
    """Whether two results have the same variables with the same bits, and the same attributes."""
    if set(one.variables) != set(other.variables) or not _same_attributes(one.attrs, other.attrs):
        return False
    names = [name for name in one.variables if name not in WALL_CLOCK]
    return all(
        one[name].dims == other[name].dims
        and _same_attributes(one[name].attrs, other[name].attrs)
        and _bits(one[name].values) == _bits(other[name].values)
        for name in names
    )


def _same_attributes(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def _bits(values: np.ndarray) -> tuple[str, bytes] | list[str]:
    if values.dtype.kind in "OUST":
        return list(map(str, values.ravel().tolist()))
    return str(values.dtype), values.tobytes()


def make_references(bench: Bench, wanted: AbstractSet[str]) -> None:
    """Trains undisturbed runs: `plain`, and those that are wanted.

    Raises:
      RuntimeError: one of them failed.
    """
    steps: Sequence[tuple[str, str, tuple[str, ...]]] = [
        *((name, name, ()) for name in RUNS),
        ("plain", "added", ("--seeds=3", "--resume")),
        ("plain", "interrupted", ("--max_minutes=1e-9",)),
    ]
    for run, name, flags in [step for step in steps if step[1] in wanted | {"plain"}]:
        folder = bench.references / name
        if name == "added":
            shutil.copytree(bench.references / "plain", folder)
        ended = bench.train(run, folder, *flags)
        if ended.code not in ((75,) if name == "interrupted" else (0,)):
            raise RuntimeError(f"the undisturbed run {name} ended with {ended.code}:\n{ended.said}")
    ended = bench.extract(bench.references / "plain", bench.references / "member")
    if ended.code:
        raise RuntimeError(f"the undisturbed extraction failed:\n{ended.said}")
