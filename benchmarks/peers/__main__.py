"""How fast jaxreg is beside other ways to do the same work: `python -m benchmarks.peers`, 10 minutes on two cores.

Parts (`--parts`): `workloads`, jaxreg against PyTorch, torch.func, JAX, scikit-learn and a plain prototype on the
sweeps of `benchmarks.workloads`; `variants`, other steps of jaxreg beside its plain one; `costs`, jaxreg at other
numbers of members, hidden units, examples per batch and steps per check. W5 comes in where JAX has an accelerator.

All train a sigmoid network 784-32-10 by plain SGD on cross-entropy in float32, with the data in memory, and batches
that the members of a seed share where they are trained together. Every contestant runs in a process of its own, which
is told when to run, so that the threads that one sets (PyTorch and BLAS: the faster of one and one per core) are not
those of another; tried on two cores, sharing one process changed nothing that stood out from the noise. In each round
everyone is timed once, each round begins with another one, and ratios are taken round by round, by the clock and by
processor time, which counts only what a process does itself where others use the machine too. The limit is the speed
of the two large matrix products of a step, [batch, in] x [in, rates * hidden] and its transpose for the gradient, in
the fastest of three ways (`benchmarks.engine`), for the operations that a step needs.

`--out` gets everything as JSON, and figures; `--table=FILE.json` writes the tables of such a file into BUILD.md.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from rich.console import Console

from benchmarks.peers import costs, figure, tables, variants, versus
from benchmarks.peers.contestants import PEERS
from benchmarks.peers.processes import FailedError, Remote
from benchmarks.peers.results import Machine, Results, load, save
from benchmarks.workloads import LARGE, WORKLOADS, Workload
from jaxreg import command
from jaxreg.errors import ConfigError, JaxregError
from jaxreg.reporting.figures import style
from jaxreg.runs.provenance import utc_stamp

USUAL_VARIANTS = ("W1", "W2")  # the workloads of the variants, unless --only says others
PARTS = ("workloads", "variants", "costs")
PAGE = Path(__file__).parents[2] / "BUILD.md"


def main(argv: list[str]) -> int:
    """Prints tables, and keeps them where `--out` says; returns 0."""
    return command.run(lambda: _main(argv))


def _main(argv: list[str]) -> int:
    values = flags.FlagValues()
    flags.DEFINE_integer("rounds", 5, "Rounds, in each of which everyone is timed once.", 1, flag_values=values)
    flags.DEFINE_float("seconds", 0.5, "What a timed call takes, about.", 1e-3, flag_values=values)
    flags.DEFINE_list("only", [], "Workloads, such as W1,W2.", flag_values=values)
    flags.DEFINE_list("peers", [], f"Contestants: {', '.join(PEERS)}.", flag_values=values)
    flags.DEFINE_list("parts", list(PARTS), f"What to measure: {', '.join(PARTS)}.", flag_values=values)
    flags.DEFINE_string("out", "runs/peers", "Folder for peers.json and the figure.", flag_values=values)
    flags.DEFINE_string("table", None, "Write the tables of this JSON into BUILD.md, and stop.", flag_values=values)
    command.define_help(values)
    command.words(values, argv)
    of_flags = "\n".join(f"  --{name}: {values[name].help}" for name in ("rounds", "seconds", "only", "peers", "parts"))
    if command.answered(values, lambda: f"{__doc__}\n{of_flags}"):
        return 0
    if values.table:
        tables.rewrite(PAGE, load(Path(values.table)))
        return 0
    for flag, known in (("parts", PARTS), ("peers", PEERS), ("only", [each.name for each in (*WORKLOADS, *LARGE)])):
        _refuse_unknown(flag, values[flag].value or [], known)
    folder = Path(values.out)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for results in measure(values.parts, values.only, values.peers, values.rounds, values.seconds):
            save(results, folder / "peers.json")
    except FailedError as error:
        raise JaxregError(str(error)) from error
    console = Console()
    for table in tables.tables(results):
        console.print(tables.on_terminal(table))
    if results.workloads:
        style.save(figure.speeds(results), folder, "peers")
    if results.costs:
        style.save(figure.costs(results), folder, "costs")
    console.print(f"kept in {folder}")
    return 0


def measure(
    parts: Sequence[str], only: Sequence[str], names: Sequence[str], rounds: int, seconds: float
) -> Iterator[Results]:
    """What the flags ask for, as far as it is measured, with each new piece."""
    before = os.getloadavg()[0]
    machine = Remote(Machine)
    about = machine.ask("describe") | {"started": utc_stamp(), "rounds": rounds, "seconds": seconds}
    machine.close()
    workloads = _chosen_workloads(about["device"]["platform"], only)
    of_variants = [workload for workload in workloads if only or workload.name in USUAL_VARIANTS]
    found: dict[str, Callable[[], Iterator[Any]]] = {
        "workloads": lambda: versus.measure(workloads, _installed(names), rounds, seconds),
        "variants": lambda: variants.measure(of_variants, variants.VARIANTS, rounds, seconds / 2),
        "costs": lambda: costs.measure(costs.GRID, costs.BASE, rounds, seconds / 2),
    }
    about["load_average"] = [before, before]
    yield (results := Results(about))
    for part in filter(parts.__contains__, PARTS):
        for each in found[part]():
            measured: dict[str, Any] = {part: [*getattr(results, part), each]}
            results = dataclasses.replace(results, **measured)
            about["load_average"] = [before, os.getloadavg()[0]]
            yield results


def _chosen_workloads(platform: str, only: Sequence[str]) -> list[Workload]:
    """The workloads that are asked for, or all; the large ones only on an accelerator.

    Raises:
      ConfigError: a large one is asked for where there is none.
    """
    known = WORKLOADS if platform == "cpu" else (*WORKLOADS, *LARGE)
    _refuse_unknown("only", only, [workload.name for workload in known])
    return [workload for workload in known if not only or workload.name in only]


def _installed(names: Sequence[str]) -> list[str]:
    """Of the contestants that are asked for, or of all, those that can be timed here; of the others a line each."""
    asked = [name for name in PEERS if not names or name in names]
    for name in asked:
        if not PEERS[name].installed:
            print(f"{PEERS[name].about}: left out, {PEERS[name].package} is not installed (pip install -e '.[bench]')")
    return [name for name in asked if PEERS[name].installed]


def _refuse_unknown(flag: str, asked: Sequence[str], known: Collection[str]) -> None:
    """Refuses what is not known.

    Raises:
      ConfigError: naming it.
    """
    for name in asked:
        if name not in known:
            raise ConfigError(flag, name, f"must be of {', '.join(known)}")


if __name__ == "__main__":
    sys.exit(main(sys.argv))
