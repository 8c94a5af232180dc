"""Member-steps per second as figures: of every contestant on each workload, and of jaxreg along each direction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.peers.contestants import LIMIT, OURS, PEERS
from benchmarks.peers.costs import BASE, Cost
from benchmarks.peers.results import Results
from benchmarks.peers.rounds import spread
from benchmarks.peers.tables import about, three_digits, value_of
from benchmarks.peers.versus import Versus
from jaxreg.reporting.figures.style import GREY, INK, OKABE_ITO, Figure, set_title, styled


@styled
def speeds(results: Results) -> Figure:
    """A panel per workload, a row per contestant; points are medians over the rounds, bars lowest to highest."""
    names = _names(results.workloads)
    count = len(results.workloads)
    columns = min(2, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(2.4 + 3.2 * columns, 1.1 + rows * (0.75 + 0.24 * len(names))), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes, versus in zip(grid.flat, results.workloads, strict=False):
        for at, name in enumerate(names):
            if name not in versus.peers:
                continue
            median, low, high = spread(versus.peers[name].rates())
            look = {"fmt": "o", "color": OKABE_ITO[0]} if name == OURS else {"fmt": "s", "color": OKABE_ITO[1]}
            around = [[median - low], [high - median]]
            axes.errorbar([median], [at], xerr=around, elinewidth=1.4, capsize=2.5, markersize=5, **look)
            behind = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
            place = {"xytext": (0, 5), "textcoords": "offset points", "ha": "center", "fontsize": 7, "bbox": behind}
            axes.annotate(three_digits(median), (median, at), **place)
        if LIMIT in versus.peers:
            axes.axvline(spread(versus.peers[LIMIT].rates()).median, color=GREY, linestyle="--", linewidth=1)
        axes.set_xscale("log")
        axes.margins(x=0.15)
        axes.set_yticks(range(len(names)), [PEERS[name].about for name in names])
        axes.set_ylim(len(names) - 0.4, -0.8)
        axes.set_title(str(versus.workload), loc="left", color=INK)
        axes.set_xlabel("member-steps per second")
    for axes in list(grid.flat)[count:]:
        axes.remove()
    dashed = "dashed: if a step were only its two large matrix products"
    set_title(figure, "jaxreg and its peers on one machine", [_rounds(results), dashed, about(results)])
    return figure


@styled
def costs(results: Results) -> Figure:
    """A panel per direction: points are medians over the rounds, bars lowest to highest."""
    by_direction: dict[str, list[Cost]] = {}
    for cost in results.costs:
        by_direction.setdefault(cost.direction, []).append(cost)
    figure = Figure(figsize=(1.0 + 2.5 * len(by_direction), 3.4), layout="constrained")
    grid = figure.subplots(1, len(by_direction), sharey=True, squeeze=False)
    rates = np.concatenate([cost.readings.rates() for cost in results.costs])
    grid[0, 0].set(yscale="log", ylim=(rates.min() / 1.5, rates.max() * 1.5))
    for axes, (direction, points) in zip(grid[0], by_direction.items(), strict=True):
        median, low, high = np.transpose([spread(point.readings.rates()) for point in points])
        places, around = range(len(points)), [median - low, high - median]
        axes.errorbar(places, median, yerr=around, fmt="o-", color=OKABE_ITO[0], capsize=2.5, markersize=5)
        axes.set_xticks(places, [value_of(point) for point in points])
        axes.set_xlabel(direction)
    grid[0, 0].set_ylabel("member-steps per second")
    base = f"where not on the axis: {BASE.rates} members, hidden {BASE.hidden}, batch {BASE.batch}, no checks"
    set_title(figure, "What jaxreg does in a second", [_rounds(results), base, about(results)])
    return figure


def _rounds(results: Results) -> str:
    return f"points: medians of {results.about['rounds']} round(s), bars: lowest to highest"


def _names(workloads: Sequence[Versus]) -> list[str]:
    """The contestants that were timed, in the order of `PEERS`."""
    return [name for name in PEERS if name != LIMIT and any(name in versus.peers for versus in workloads)]
