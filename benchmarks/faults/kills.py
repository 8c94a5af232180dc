"""Kills in every phase of a run. What is left is gone on with, and must end with the bits of the undisturbed run."""

from __future__ import annotations

import functools
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.faults.outcomes import Outcome, refusal_fault
from benchmarks.faults.processes import LIMIT, Ended, Kill
from benchmarks.faults.runs import COMMON, RUNS, Bench
from jaxreg import results
from jaxreg.population.placement import Placement, Placements
from jaxreg.reporting import assemble
from jaxreg.runs import folder
from jaxreg.runs.checkpoints import Checkpoints
from jaxreg.runs.folder import RunFolder

SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


class Phase(NamedTuple):
    """Where a kill falls.

    Attributes:
      owner, name: the function that begins it; None for the start of the command.
      calls: how many calls of it there are at least; the kill falls into any of them.
      seconds: how long it takes, about.
      run: which of `RUNS` is killed.
      begun: the undisturbed run that is there before.
      flags: besides those of the run.
      reference: the undisturbed run with which the end is compared.
    """

    owner: Any
    name: str
    calls: int
    seconds: float
    run: str = "plain"
    begun: str = ""
    flags: tuple[str, ...] = ()
    reference: str = "plain"


ADDING = ("--seeds=3", "--resume")
PHASES: dict[str, Phase] = {
    "saving": Phase(Checkpoints, "save", 2, 0.2),
    "resuming": Phase(Checkpoints, "latest", 1, 0.3, begun="interrupted", flags=("--resume",)),
    "training": Phase(Placement, "train", 2, 0.1),
    "compile": Phase(Placements, "get", 1, 0.5),
    "writing results": Phase(results, "save", 1, 0.05),
    "first writes": Phase(RunFolder, "start", 1, 0.02),
    "locking": Phase(folder, "open_run_folder", 1, 0.02),
    "drawing": Phase(assemble, "write_report", 1, 2.5, flags=("--report=true",)),
    "overwriting": Phase(RunFolder, "start", 1, 0.05, begun="plain", flags=("--overwrite",)),
    "adding seeds": Phase(Placement, "train", 2, 0.2, begun="plain", flags=ADDING, reference="added"),
    "saving added seeds": Phase(Checkpoints, "save", 2, 0.2, begun="plain", flags=ADDING, reference="added"),
    "several blocks": Phase(Placement, "train", 4, 0.1, "blocks", reference="blocks"),
    "saving several blocks": Phase(Checkpoints, "save", 3, 0.2, "blocks", reference="blocks"),
    "compaction": Phase(Placement, "train", 6, 0.1, "compaction", reference="compaction"),
    "start-up": Phase(None, "", 0, 4.0),
}


def kill_once(bench: Bench, rng: random.Random, kind: str) -> Outcome:
    """Kills a run in a phase, now and then its resumption too, and goes on to the end."""
    phase = PHASES[kind]
    number = rng.choice(SIGNALS)
    delay = rng.uniform(0, phase.seconds)
    nth = rng.randrange(phase.calls) if phase.calls else 0
    kill = Kill(number, delay, phase.owner, phase.name, nth, number != signal.SIGKILL and rng.random() < 0.3)
    about = f"{signal.Signals(number).name} {delay:.3f} s after call {nth} of {phase.name or 'the start'}"
    run = bench.copy(phase.begun) if phase.begun else bench.fresh()
    if phase.owner is None:
        ended = _started_alone(bench, run, kill)
    else:
        ended = bench.train(phase.run, run, *phase.flags, kill=kill)

    def fault(result: str) -> Outcome:
        return Outcome(f"kill: {kind}", result, f"{about}: exit code {ended.code}\n{ended.said[-1500:]}")

    if ended.fault or (ended.code == 1 and refusal_fault(ended)):
        return fault(ended.fault or "two lines")
    if bench.lost():
        return fault("lost")
    more = tuple(flag for flag in phase.flags if flag not in ("--resume", "--overwrite"))
    for attempt in range(3):
        again = None
        if attempt == 0 and rng.random() < 0.2:
            again = Kill(signal.SIGKILL, rng.uniform(0, 1.5))
            about += ", killed while it was resumed"
        resume = ("--resume",) if (run / "meta.json").exists() else ()
        ended = bench.train(phase.run, run, *more, *resume, kill=again)
        if ended.fault:
            return fault(ended.fault)
        if bench.lost():
            return fault("lost")
        if again is None or ended.code == 0:
            break
    if ended.code != 0:
        return fault(refusal_fault(ended) or "wrong")
    return fault("right" if bench.is_right(run, phase.reference) else "wrong")


def _started_alone(bench: Bench, run: Path, kill: Kill) -> Ended:
    """Kills a command that was not forked while it imports, or soon after."""
    command = [sys.executable, "-m", "experiments.lr_sweep", *COMMON, *RUNS["plain"], f"--workdir={run}"]
    with bench.output.open("wb") as output:
        child = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True, env=os.environ)
        try:
            child.wait(kill.delay)
        except subprocess.TimeoutExpired:
            child.send_signal(kill.number)
        code = child.wait(LIMIT)
    bench.saved.write_text("")
    return Ended(code, bench.output.read_text(encoding="utf-8", errors="replace"))


def phases(number: int) -> list[str]:
    """The phases of so many kills, of every one about equally many."""
    return [list(PHASES)[i % len(PHASES)] for i in range(number)]


def references(number: int) -> set[str]:
    """The undisturbed runs that so many kills begin from or are compared with."""
    return {name for kind in phases(number) for name in (PHASES[kind].begun, PHASES[kind].reference)}


def trials(number: int, rng: random.Random) -> list[Callable[[Bench, random.Random], Outcome]]:
    """So many kills in random order."""
    kinds = phases(number)
    rng.shuffle(kinds)
    return [functools.partial(kill_once, kind=kind) for kind in kinds]
