"""Full disks: a small file system where one can be mounted, and a limit on the size of files everywhere."""

from __future__ import annotations

import contextlib
import functools
import os
import random
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.faults.outcomes import Outcome, refusal_fault
from benchmarks.faults.processes import Ended, forked
from benchmarks.faults.runs import Bench

MOST_KB = 400  # a little more than a run takes


@contextlib.contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[bool]:
    """A file system of so many kB at `folder`, or False where none can be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    mounted = _mount("-t", "tmpfs", "-o", f"size={max(4, kilobytes)}k", "tmpfs", str(folder))
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=False, capture_output=True)


def _mount(*arguments: str) -> bool:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    return subprocess.run(["mount", *arguments], check=False, capture_output=True).returncode == 0


def fill_once(bench: Bench, rng: random.Random, act: str) -> Outcome:
    """Trains, or extracts a member, on a disk that becomes full; makes room and goes on."""
    kilobytes = rng.randrange(MOST_KB if act == "train" else 150)
    with small_disk(bench.folder / "disk", kilobytes) as mounted:
        if not mounted:
            return limit_once(bench, rng, act)
        target = bench.folder / "disk" / "run"

        def again() -> Ended:
            _mount("-o", "remount,size=64m", str(bench.folder / "disk"))
            return _act(bench, act, target)

        return _judged(bench, f"full disk: {act}", f"{kilobytes} kB", act, target, _act(bench, act, target), again)


def limit_once(bench: Bench, rng: random.Random, act: str) -> Outcome:
    """The same with a limit on the size of each file."""
    limit = int(2 ** rng.uniform(0, 17))
    target = bench.fresh("limited")

    def limited() -> int:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        return _in_process(bench, act, target)

    ended = forked(limited, _output_elsewhere(bench))
    return _judged(
        bench, f"file size limit: {act}", f"{limit} bytes", act, target, ended, lambda: _act(bench, act, target)
    )


def _output_elsewhere(bench: Bench) -> Path:
    """What is printed goes into a pipe's stead that no limit holds: a terminal is no file."""
    return bench.output


def _act(bench: Bench, act: str, target: Path) -> Ended:
    return forked(lambda: _in_process(bench, act, target), bench.output)


def _in_process(bench: Bench, act: str, target: Path) -> int:
    if act == "train":
        resume = ("--resume",) if (target / "meta.json").exists() else ()
        return bench.training("plain", target, *resume)
    from jaxreg import extract

    select = "--select=learning_rate=0.5,seed=1"
    return extract.main(["extract", str(bench.references / "plain"), select, f"--out={target}"])


def _judged(
    bench: Bench, kind: str, about: str, act: str, target: Path, ended: Ended, again: Callable[[], Ended]
) -> Outcome:
    def outcome(result: str) -> Outcome:
        return Outcome(kind, result, f"{about}: exit code {ended.code}\n{ended.said[-1500:]}")

    if fault := refusal_fault(ended):
        return outcome(fault)
    if act == "train" and bench.lost():
        return outcome("lost")
    if act == "extract" and ended.code and (target.exists() or list(target.parent.glob(f".{target.name}*"))):
        return outcome("wrong")
    refused = ended.code != 0
    if refused:
        ended = again()
        if ended.code != 0:
            return outcome(ended.fault or "wrong")
    right = bench.is_right(target, "plain") if act == "train" else (target / "curve.nc").exists()
    return outcome("wrong" if not right else "refused" if refused else "right")


def trials(number: int) -> list[Callable[[Bench, random.Random], Outcome]]:
    """So many full disks and limits, a third of them while a member is extracted."""
    return [
        functools.partial(fill_once if i % 2 else limit_once, act="extract" if i % 3 == 2 else "train")
        for i in range(number)
    ]
