"""Member-steps per second of every contestant on each workload, as a figure."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from benchmarks.peers.contestants import LIMIT, OURS, PEERS
from benchmarks.peers.results import Results
from benchmarks.peers.rounds import spread
from benchmarks.peers.tables import about, three_digits
from benchmarks.peers.versus import Versus
from jaxreg.reporting.figures.style import GREY, INK, OKABE_ITO, set_title, styled


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
    rounds = f"points: medians of {results.about['rounds']} round(s), bars: lowest to highest"
    notes = [rounds, "dashed: if a step were only its two large matrix products"]
    set_title(figure, "jaxreg and its peers on one machine", [*notes, about(results)])
    return figure


def _names(workloads: Sequence[Versus]) -> list[str]:
    """The contestants that were timed, in the order of `PEERS`."""
    return [name for name in PEERS if name != LIMIT and any(name in versus.peers for versus in workloads)]
