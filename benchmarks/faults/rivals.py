"""Two processes in one folder: one trains, the other is refused, and the results are right."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from benchmarks.faults.outcomes import Outcome, refusal_fault
from benchmarks.faults.processes import start, wait
from benchmarks.faults.runs import Bench


def compete_once(bench: Bench, rng: random.Random) -> Outcome:
    """Starts a second process a moment after the first, now and then after the lock of the first was deleted."""
    folder = bench.fresh()
    outputs = [bench.folder / f"output of {name}" for name in ("first", "second")]
    first = start(lambda: bench.training("plain", folder), outputs[0])
    delay, deletes = rng.uniform(0, 2.5), rng.random() < 0.5
    time.sleep(delay)
    if deletes:
        (folder / ".lock").unlink(missing_ok=True)
    flags = ("--resume",) if (folder / "meta.json").exists() else ()
    second = start(lambda: bench.training("plain", folder, *flags), outputs[1])
    ended = [wait(child, output) for child, output in zip((first, second), outputs, strict=True)]
    about = f"second after {delay:.2f} s{', lock deleted' if deletes else ''}: exit codes "
    about += f"{ended[0].code}, {ended[1].code}\n{ended[0].said[-700:]}\n{ended[1].said[-700:]}"
    kind = "two processes"
    for one in ended:
        if fault := refusal_fault(one):
            return Outcome(kind, fault, about)
    if all(one.code for one in ended) or not bench.is_right(folder, "plain"):
        return Outcome(kind, "wrong", about)
    return Outcome(kind, "refused" if any(one.code for one in ended) else "right", about)


def trials(number: int) -> list[Callable[[Bench, random.Random], Outcome]]:
    """So many pairs."""
    return [compete_once] * number
