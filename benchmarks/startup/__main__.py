"""`python -m benchmarks.startup [--against=CHECKOUT]`: seconds from process start to first step, cold and warm.

The quick start, and `lr_sweep.cfg` with MNIST prepared and decoded (TFDS_DATA_DIR). Cold is with an empty compilation
cache, warm with one that an earlier run has filled. Each command is run as users run it, up to its first check after
the first step, which ends it; `sitecustomize.py` notes when phases end. With --against=PATH another checkout runs the
same in turn, cold and warm runs of both after one another, because a shared machine drifts. Medians of the clock, and
of processor time, which another load on the machine disturbs less.

The first step is the start of the first chunk of steps, and its time divided by its steps. A phase "programs" is
tracing, lowering and compiling, or reading what was compiled before; how long each took in sum, in all threads, is
listed below it, and how many programs were compiled anew.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from absl import flags
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parents[2]
FLAGFILES = {"quickstart": "quickstart.cfg", "lr_sweep": "lr_sweep.cfg"}

Seen = Mapping[str, Any]  # of one start: `phases`, each with wall and processor time at its end; `programs`


def main(argv: list[str]) -> int:
    """Prints a table for each workload, cold and warm; returns 0."""
    values = flags.FlagValues()
    flags.DEFINE_integer("repeats", 5, "Timed starts of each.", 1, flag_values=values)
    flags.DEFINE_string("against", None, "Another checkout, which is timed in turn with this one.", flag_values=values)
    flags.DEFINE_list("workloads", list(FLAGFILES), "Which flagfiles.", flag_values=values)
    flags.DEFINE_list("caches", ["cold", "warm"], "With which compilation caches.", flag_values=values)
    values(argv)
    checkouts = {"here": HERE} | ({"against": Path(values["against"].value)} if values["against"].value else {})
    repeats, caches = int(values["repeats"].value or 1), values["caches"].value or []
    for workload in values["workloads"].value or ():
        with tempfile.TemporaryDirectory() as name:
            seen = _seen(workload, checkouts, repeats, caches, Path(name))
        for cache, of_checkouts in seen.items():
            Console().print(_table(f"{workload}, {cache}", of_checkouts))
    return 0


def _seen(
    workload: str, checkouts: Mapping[str, Path], repeats: int, caches: Sequence[str], folder: Path
) -> dict[str, dict[str, list[Seen]]]:
    """What was seen of each start, by cache and checkout."""
    if "warm" in caches:
        for name, checkout in checkouts.items():
            _start(workload, checkout, folder / f"warm-{name}", folder)
    seen: dict[str, dict[str, list[Seen]]] = {cache: {name: [] for name in checkouts} for cache in caches}
    for number in range(repeats):
        for cache in caches:
            for name, checkout in checkouts.items():
                kept = folder / (f"warm-{name}" if cache == "warm" else f"cold-{name}-{number}")
                seen[cache][name].append(_start(workload, checkout, kept, folder))
    return seen


def _start(workload: str, checkout: Path, cache: Path, folder: Path) -> Seen:
    """One command of a checkout up to its first check, with the compilation cache below `cache`."""
    seen, run = folder / "seen.json", Path(tempfile.mkdtemp(dir=folder)) / "run"
    seen.unlink(missing_ok=True)
    command = ["-m", "experiments.lr_sweep", f"--flagfile=experiments/flagfiles/{FLAGFILES[workload]}"]
    environment = {
        "PYTHONPATH": f"{Path(__file__).parent}:{checkout}",
        "XDG_CACHE_HOME": str(cache),
        "JAXREG_CACHE_DIR": os.environ.get("JAXREG_CACHE_DIR") or platformdirs.user_cache_dir("jaxreg"),
        "STARTUP_SEEN": str(seen),
        "STARTUP_BEGAN": str(time.time()),
    }
    subprocess.run(
        [sys.executable, *command, f"--workdir={run}"],
        cwd=checkout,
        env=os.environ | environment,
        check=True,
        stderr=subprocess.DEVNULL,
    )
    found: Seen = json.loads(seen.read_text(encoding="utf-8"))
    return found


def _table(title: str, seen: Mapping[str, Sequence[Seen]]) -> Table:
    """Medians over the starts of each checkout: what each phase took, and what the first step was reached in."""
    table = Table(title=f"{title}: seconds, median of {len(next(iter(seen.values())))} starts")
    table.add_column("phase")
    for name in seen:
        table.add_column(name, justify="right")
        table.add_column("processor", justify="right")
    phases = [phase for phase, _, _ in next(iter(seen.values()))[0]["phases"]]
    ends = {name: np.array([[entry[1:] for entry in one["phases"]] for one in starts]) for name, starts in seen.items()}
    took = {name: np.median(np.diff(at, axis=1, prepend=0.0), axis=0) for name, at in ends.items()}
    for number, phase in enumerate(phases):
        table.add_row(phase, *(f"{seconds:.2f}" for name in seen for seconds in took[name][number]))
        if phase == "programs":
            for part in next(iter(seen.values()))[0]["programs"]:
                medians = [np.median([one["programs"][part] for one in starts]) for starts in seen.values()]
                table.add_row(f"  {part}", *(cell for median in medians for cell in (f"{median:.2f}", "")))
        if phase == "first step":
            reached = {name: np.median(at[:, number], axis=0) for name, at in ends.items()}
            table.add_row("to the first step", *(f"{at:.2f}" for name in seen for at in reached[name]), style="bold")
    return table


if __name__ == "__main__":
    sys.exit(main(sys.argv))
