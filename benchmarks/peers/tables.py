"""The results as tables: on the terminal, and in BUILD.md between two marks."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import rich.table

from benchmarks.peers.contestants import LIMIT, OURS, PEERS
from benchmarks.peers.costs import Cost
from benchmarks.peers.results import Results
from benchmarks.peers.rounds import Clock, Spread, ratio, spread
from benchmarks.peers.variants import CHOSEN, PLAIN, Variant
from benchmarks.peers.versus import Versus
from benchmarks.workloads import Workload
from jaxreg.errors import ConfigError
from jaxreg.files import write_bytes_atomically

BEGIN, END = "<!-- the peers: by python -m benchmarks.peers --table=FILE.json -->", "<!-- end of the peers -->"

NAMED = {"python": "Python", "jax": "JAX", "numpy": "NumPy", "torch": "PyTorch", "scikit-learn": "scikit-learn"}


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
      title: what it shows.
      headings: one per column; the first column is of words, the others of numbers.
      rows: cells.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tables(results: Results) -> list[Table]:
    """Speed and ratios of the workloads, ratios of the variants, costs in each direction: what was measured of them."""
    made: list[Table] = []
    if results.workloads:
        clocks: list[tuple[Clock, str]] = [("wall", "by the clock")]
        if results.about["device"]["platform"] == "cpu":  # what another device does is not the processor's time
            clocks.append(("cpu", "by processor time, all threads together"))
        made.append(_speeds(results.workloads))
        made += [_ratios(results.workloads, *clock) for clock in clocks]
    if results.variants:
        made += _variants(results.variants)
    directions = list(dict.fromkeys(cost.direction for cost in results.costs))
    return [*made, *(_costs(name, [cost for cost in results.costs if cost.direction == name]) for name in directions)]


def about(results: Results) -> str:
    """On what it was measured, and when: one line."""
    found, versions = results.about, results.about["versions"]
    cache = f", {found['l2_bytes_per_core'] / 2**20:g} MiB L2 per core" if found["l2_bytes_per_core"] else ""
    device, git = found["device"], found["git"] or {"commit": "unknown", "dirty": False}
    on = "" if device["platform"] == "cpu" else f", {device['count']} x {device['kind']}"
    named = [f"{name} {versions[package]}" for package, name in NAMED.items() if package in versions]
    return (
        f"{found['started'][:10]}, {found['cores']} cores of {found['processor']}{cache}{on}; "
        f"commit {git['commit'][:12]}{' with changes' if git['dirty'] else ''}; {', '.join(named)}"
    )


def _speeds(workloads: Sequence[Versus]) -> Table:
    names = list(dict.fromkeys(name for versus in workloads for name in versus.peers if name != LIMIT))
    rows = [
        (PEERS[name].about, *(_rate(spread(v.peers[name].rates())) if name in v.peers else "" for v in workloads))
        for name in names
    ]
    headings = ("member-steps/s", *(str(versus.workload) for versus in workloads))
    return Table("Speed of each contestant", headings, tuple(rows))


def _ratios(workloads: Sequence[Versus], clock: Clock, words: str) -> Table:
    names = list(dict.fromkeys(name for versus in workloads for name in versus.peers if name not in (OURS, LIMIT)))
    names += [LIMIT] if any(LIMIT in versus.peers for versus in workloads) else []
    rows = [(PEERS[name].about, *(_against(versus, name, clock) for versus in workloads)) for name in names]
    headings = ("jaxreg is so many times as fast as", *(versus.workload.name for versus in workloads))
    return Table(f"jaxreg against each, round by round, {words}", headings, tuple(rows))


def _against(versus: Versus, name: str, clock: Clock) -> str:
    if OURS not in versus.peers or name not in versus.peers:
        return ""
    return _times(ratio(versus.peers[OURS], versus.peers[name], clock))


def _variants(variants: Sequence[Variant]) -> list[Table]:
    """Each step beside the plain one; then, for each further layout, the chosen one beside it."""
    workloads = list(dict.fromkeys(variant.workload for variant in variants))
    names = list(dict.fromkeys(variant.name for variant in variants))
    found = {(variant.workload, variant.name): variant.layouts for variant in variants}
    headings = tuple(workload.name for workload in workloads)

    def beside_plain(workload: Workload, name: str) -> str:
        ours, plain = found.get((workload, name)), found.get((workload, PLAIN))
        return _times(ratio(plain[CHOSEN], ours[CHOSEN])) if ours and plain else ""

    def beside_layout(workload: Workload, name: str, layout: str) -> str:
        layouts = found.get((workload, name), {})
        return _times(ratio(layouts[CHOSEN], layouts[layout])) if layout in layouts else ""

    rows = [(name, *(beside_plain(workload, name) for workload in workloads)) for name in names if name != PLAIN]
    made = [Table("Time of other steps of jaxreg, the plain one being 1", ("step", *headings), tuple(rows))]
    for layout in dict.fromkeys(layout for layouts in found.values() for layout in layouts if layout != CHOSEN):
        rows = [(name, *(beside_layout(workload, name, layout) for workload in workloads)) for name in names]
        title = f"The layout that is chosen is so many times as fast as {layout}"
        made.append(Table(title, ("step", *headings), tuple(rows)))
    return made


def _costs(direction: str, costs: Sequence[Cost]) -> Table:
    seconds, memory = ("compilation, s", "to the first step, s"), ("peak memory, MiB", "planned on devices, MiB")
    rows = tuple(
        (
            value_of(cost),
            _rate(spread(cost.readings.rates())),
            f"{cost.start.compile_seconds:.1f}",
            f"{cost.start.first_step_seconds:.1f}",
            f"{cost.peak_bytes / 2**20:.0f}",
            f"{cost.start.planned_bytes / 2**20:.0f}",
        )
        for cost in costs
    )
    return Table(f"Cost along {direction}", (direction, "member-steps/s", *seconds, *memory), rows)


def value_of(cost: Cost) -> str:
    """Where a point is along its direction."""
    return "none" if cost.direction == "eval_every" and cost.value == 0 else str(cost.value)


def _rate(rates: Spread) -> str:
    """`1 790 (1 650 to 1 800)`."""
    median, low, high = map(three_digits, rates)
    return f"{median} ({low} to {high})"


def three_digits(value: float) -> str:
    """`1 790`, `20.9`."""
    digits = max(0, 2 - math.floor(math.log10(value))) if value > 0 else 0
    return f"{float(f'{value:.3g}'):,.{digits}f}".replace(",", " ")


def _times(ratios: Spread) -> str:
    """`3.42 (3.10 to 3.50)`."""
    digits = 2 if ratios.median < 9.95 else 1 if ratios.median < 99.5 else 0
    median, low, high = (f"{each:.{digits}f}" for each in ratios)
    return f"{median} ({low} to {high})"


def on_terminal(table: Table) -> rich.table.Table:
    """The table as rich prints it."""
    printed = rich.table.Table(title=table.title)
    for number, heading in enumerate(table.headings):
        printed.add_column(heading, justify="right" if number else "left")
    for row in table.rows:
        printed.add_row(*row)
    return printed


def in_markdown(results: Results) -> str:
    """All tables, each under its title, below a sentence on where they come from."""
    found = results.about
    load = " and ".join(f"{load:.1f}" for load in found["load_average"])
    how = f"Medians of {found['rounds']} round(s), lowest to highest in brackets; the machine's load before and after:"
    parts = [f"{about(results)}. {how} {load}."]
    for table in tables(results):
        lines = [table.headings, ("---", *["---:"] * (len(table.headings) - 1)), *table.rows]
        parts.append(f"{table.title}:\n\n" + "\n".join(f"| {' | '.join(cells)} |" for cells in lines))
    return "\n\n".join(parts)


def rewrite(page: Path, results: Results) -> None:
    """Puts the tables between the two marks of a page.

    Raises:
      ConfigError: the page lacks a mark.
    """
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ConfigError("table", page.name, f"needs the lines {BEGIN} and {END} around the tables")
    write_bytes_atomically(page, f"{before}{begin}\n\n{in_markdown(results)}\n\n{end}{after}".encode())
