"""Damage to every file of a run folder: what reads it gives the right values or one line, and putting it back heals."""

from __future__ import annotations

import functools
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.faults.outcomes import Outcome, refusal_fault
from benchmarks.faults.processes import Ended, forked
from benchmarks.faults.runs import Bench, same_bits
from jaxreg import results
from jaxreg.errors import JaxregError

HOWS = ("deleted", "truncated", "flipped", "garbage", "empty", "a folder", "a link", "a pipe", "an endless device")
READERS = ("load", "extract", "resume", "resume", "report", "load", "extract", "resume")


def damage(path: Path, how: str, rng: random.Random, elsewhere: Path) -> None:
    """Damages a file, or puts something else in its place; links lead to a copy of it elsewhere."""
    content = path.read_bytes()
    path.unlink()
    match how:
        case "truncated":
            path.write_bytes(content[: rng.randrange(max(1, len(content)))])
        case "flipped":
            flipped = bytearray(content or b"\0")
            bit = rng.randrange(8 * len(flipped))
            flipped[bit // 8] ^= 1 << bit % 8
            path.write_bytes(flipped)
        case "garbage":
            path.write_bytes(rng.randbytes(max(1, len(content))))
        case "empty":
            path.touch()
        case "a folder":
            path.mkdir()
        case "a link":
            elsewhere.write_bytes(content)
            path.symlink_to(elsewhere)
        case "a pipe":
            os.mkfifo(path)
        case "an endless device":
            path.symlink_to("/dev/zero")


def damage_once(bench: Bench, rng: random.Random, how: str, reader: str) -> Outcome:
    """Damages one file of a finished or an interrupted run, lets a command read it, puts it back and goes on."""
    reference = rng.choice(("plain", "interrupted")) if reader == "resume" else "plain"
    folder = bench.copy(reference)
    path = _chosen(folder, rng)
    name = path.relative_to(folder)
    outside = bench.fresh("elsewhere")
    outside.mkdir()
    damage(path, how, rng, outside / path.name)
    kept = _contents(outside)
    out = bench.fresh("member")
    ended = _read(bench, reader, folder, out)

    def outcome(result: str) -> Outcome:
        said = ended.said[-1500:]
        kind = f"damage: {how}"
        return Outcome(kind, result, f"{name} of the run {reference}, {reader}: exit code {ended.code}\n{said}")

    if fault := refusal_fault(ended):
        return outcome(fault)
    if _contents(outside) != kept:
        return outcome("escaped")
    if ended.code == 0:
        return outcome("right" if _is_right(bench, reader, folder, out) else "wrong")
    if reader == "extract" and out.exists():
        return outcome("wrong")
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(bench.references / reference / name, path)
    healed = bench.train("plain", folder, "--resume")
    if healed.code == 0 and bench.is_right(folder, "plain"):
        return outcome("refused")
    ended = Ended(healed.code, f"{ended.said}\nafter the file was put back: {healed.said}")
    return outcome(healed.fault or "wrong")


def _chosen(folder: Path, rng: random.Random) -> Path:
    """A file of a run; one of the many inside checkpoints and tensorboard/ is chosen as often as one outside."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    inside = [path for path in files if path.parent != folder]
    outside = [path for path in files if path.parent == folder]
    return rng.choice(rng.choice((inside, outside, outside)))


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _read(bench: Bench, reader: str, folder: Path, out: Path) -> Ended:
    match reader:
        case "load":
            return forked(lambda: _load(bench, folder), bench.output)
        case "extract":
            return bench.extract(folder, out)
        case "report":
            return bench.report(folder)
    return bench.train("plain", folder, "--resume")


def _load(bench: Bench, folder: Path) -> int:
    """As a user's script would load it: 0 right, 1 refused in one line; other values are a traceback."""
    try:
        loaded = results.load(folder)
    except JaxregError as error:
        print(error)
        return 1
    if not same_bits(loaded, results.load(bench.references / "plain")):
        raise AssertionError("other values were loaded")
    return 0


def _is_right(bench: Bench, reader: str, folder: Path, out: Path) -> bool:
    """Whether what a command wrote, or left, is right."""
    if reader == "extract":
        expected = bench.references / "member"
        with np.load(out / "params.npz") as ours, np.load(expected / "params.npz") as theirs:
            same = set(ours) == set(theirs) and all(ours[name].tobytes() == theirs[name].tobytes() for name in theirs)
        flags = (out / "flags.cfg").read_bytes() == (expected / "flags.cfg").read_bytes()
        return same and flags and same_bits(results.load(out / "curve.nc"), results.load(expected / "curve.nc"))
    if reader == "report":
        return (folder / "report.html").stat().st_size > 10_000
    return bench.is_right(folder, "plain")


def trials(number: int, rng: random.Random) -> list[Callable[[Bench, random.Random], Outcome]]:
    """So many damages, of every kind about equally many."""
    chosen = [(HOWS[i % len(HOWS)], READERS[i // len(HOWS) % len(READERS)]) for i in range(number)]
    rng.shuffle(chosen)
    return [functools.partial(damage_once, how=how, reader=reader) for how, reader in chosen]
