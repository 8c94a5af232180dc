"""Kills while parts are joined. The same command overwrites what is left, with the bits of an undisturbed join."""

from __future__ import annotations

import functools
import random
import signal
from collections.abc import Callable
from pathlib import Path

from benchmarks.faults.kills import SIGNALS, Phase
from benchmarks.faults.outcomes import Outcome, refusal_fault
from benchmarks.faults.processes import Ended, Kill, forked
from benchmarks.faults.runs import PARTS, Bench
from jaxreg import join, results
from jaxreg.runs.checkpoints import Checkpoints
from jaxreg.runs.folder import RunFolder

PHASES = {
    "reading parts": Phase(Checkpoints, "latest", 2, 0.2),
    "first writes": Phase(RunFolder, "start", 1, 0.05),
    "saving": Phase(Checkpoints, "save", 1, 0.2),
    "writing results": Phase(results, "save", 1, 0.05),
}


def join_parts(bench: Bench, run: Path, *flags: str, kill: Kill | None = None) -> Ended:
    """Joins the undisturbed parts into a folder, in a fork."""
    parts = [str(bench.references / part) for part in PARTS]
    command = ["join", *parts, f"--workdir={run}", "--report=false", "--tensorboard=false", *flags]
    return forked(lambda: join.main(command), bench.output, kill)


def kill_once(bench: Bench, rng: random.Random, kind: str) -> Outcome:
    """Kills a join in a phase, and joins the parts again."""
    phase, number = PHASES[kind], rng.choice(SIGNALS)
    kill = Kill(number, rng.uniform(0, phase.seconds), phase.owner, phase.name, rng.randrange(phase.calls))
    about = f"{signal.Signals(number).name} {kill.delay:.3f} s after {phase.name}"
    run, name = bench.fresh(), f"kill of a join: {kind}"
    ended = join_parts(bench, run, kill=kill)
    if ended.fault or refusal_fault(ended):
        return Outcome(name, ended.fault or "two lines", f"{about}: exit code {ended.code}\n{ended.said[-1500:]}")
    ended = join_parts(bench, run, *(("--overwrite",) if (run / "meta.json").exists() else ()))
    right = ended.code == 0 and bench.is_right(run, "joined")
    result = ended.fault or ("right" if right else "wrong")
    return Outcome(name, result, f"{about}: exit code {ended.code}\n{ended.said[-1500:]}")


def make_references(bench: Bench) -> None:
    """Trains the parts, and joins them undisturbed.

    Raises:
      RuntimeError: one of them failed.
    """
    for number, part in enumerate(PARTS, 1):
        ended = bench.train("plain", bench.references / part, f"--part={number}/{len(PARTS)}")
        if ended.code:
            raise RuntimeError(f"{part} ended with {ended.code}:\n{ended.said}")
    ended = join_parts(bench, bench.references / "joined")
    if ended.code:
        raise RuntimeError(f"the undisturbed join ended with {ended.code}:\n{ended.said}")


def trials(number: int) -> list[Callable[[Bench, random.Random], Outcome]]:
    """So many kills, of every phase about equally many."""
    kinds = list(PHASES)
    return [functools.partial(kill_once, kind=kinds[i % len(kinds)]) for i in range(number)]
