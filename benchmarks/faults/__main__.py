"""What becomes of runs under faults: `python -m benchmarks.faults --kills=200 --damages=300 --disks=40 --pairs=20`.

Kills in every phase of a run, and while parts are joined (`--joins=40`), damage to every file of its folder, full
disks, two processes in one folder. Every trial ends with the bits of the undisturbed run, or with one line and, once
the cause is taken away, with those bits; counts are printed by kind, and whatever else came in full. About 20 minutes
on two cores.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import flags

from benchmarks.faults import damages, disks, joins, kills, outcomes, rivals
from benchmarks.faults.outcomes import Outcome
from benchmarks.faults.processes import prepare
from benchmarks.faults.runs import Bench, make_references

Trial = Callable[[Bench, random.Random], Outcome]


def main(argv: list[str]) -> int:
    """Prints counts by kind; returns 1 where a trial ended otherwise than it must, else 0."""
    values = flags.FlagValues()
    defaults = {"kills": 200, "joins": 40, "damages": 300, "disks": 40, "pairs": 20}
    for name, default in defaults.items():
        flags.DEFINE_integer(name, default, f"Number of {name}.", 0, flag_values=values)
    flags.DEFINE_integer("seed", 0, "Another seed draws other trials.", flag_values=values)
    flags.DEFINE_integer("processes", 2, "Processes that try at once.", 1, flag_values=values)
    values(argv)
    chosen = {name: int(values[name].value or 0) for name in (*defaults, "seed", "processes")}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell ignores in what runs in the background
    rng = random.Random(chosen["seed"])
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        folder = Path(name)
        prepare(folder / "compilations")
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder / "compilations")
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        begun_from = kills.references(chosen["kills"]) | ({"interrupted"} if chosen["damages"] else set())
        make_references(_bench(folder, "references"), begun_from)
        if chosen["joins"]:
            joins.make_references(_bench(folder, "references"))
        trials: list[Trial] = [
            *joins.trials(chosen["joins"]),
            *kills.trials(chosen["kills"], rng),
            *damages.trials(chosen["damages"], rng),
            *disks.trials(chosen["disks"]),
            *rivals.trials(chosen["pairs"]),
        ]
        found = _all(trials, folder, chosen["seed"], chosen["processes"])
    bad = [outcome for outcome in found if not outcome.good]
    for outcome in bad:
        print(f"{outcome.kind}: {outcome.result.upper()}: {outcome.about}\n")
    print(outcomes.table(found))
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    of_cores = sum(usage.ru_utime + usage.ru_stime for usage in spent)
    print(f"seed {chosen['seed']}, {time.monotonic() - begun:.0f} s, {of_cores:.0f} s of one core")
    return 1 if bad or len(found) < len(trials) else 0


def _all(trials: Sequence[Trial], folder: Path, seed: int, processes: int) -> list[Outcome]:
    """The outcomes of all trials, tried by so many processes at once, each with a share of them."""
    children = []
    for share in range(processes):
        child = os.fork()
        if not child:
            code = 1
            try:
                code = _try(trials, folder, seed, share, processes)
            finally:
                sys.stdout.flush()
                os._exit(code)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    return outcomes.read(folder / f"outcomes-{share}" for share in range(processes))


def _try(trials: Sequence[Trial], folder: Path, seed: int, share: int, processes: int) -> int:
    bench = _bench(folder, f"bench-{share}")
    for i in range(share, len(trials), processes):
        outcome = trials[i](bench, random.Random(f"{seed} {i}"))
        if not outcome.good:
            print(f"trial {i}: {outcome.kind}: {outcome.result}", file=sys.stderr, flush=True)
        outcomes.write([outcome], folder / f"outcomes-{share}")
    return 0


def _bench(folder: Path, name: str) -> Bench:
    (folder / name).mkdir(exist_ok=True)
    return Bench(folder / name, folder / "references")


if __name__ == "__main__":
    sys.exit(main(sys.argv))
