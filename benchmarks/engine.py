"""The step loop against the machine's own matrix products, in one run: `python -m benchmarks.engine`.

Work unit: member-steps per second. Limit: the float32 rate of the two large products of a step, [batch, in] x [in,
members * hidden] and its transpose for the gradient, at the very shapes of the workload, in the fastest of three ways.
A step's useful operations are 4 B in H + 6 B H out per member. Loop and products are timed in turn, several times, and
compared pair by pair, because a shared machine drifts.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from absl import flags
from rich.console import Console
from rich.table import Table

from benchmarks.workloads import FEATURES, WORKLOADS, Workload, made_up_arrays
from jaxreg.config.experiment import Experiment
from jaxreg.config.hparams import Hparams
from jaxreg.data import Data, from_arrays
from jaxreg.hardware import use_all_cores
from jaxreg.population.blocks import make_blocks
from jaxreg.population.placement import Members, Placement, Placements
from jaxreg.population.planning import Plan, make_plan


def main(argv: list[str]) -> int:
    """Prints a row per workload; returns 0."""
    values = flags.FlagValues()
    flags.DEFINE_integer("repeats", 7, "Timed repeats of loop and product, in turn.", 1, flag_values=values)
    flags.DEFINE_string("only", "", "Only workloads whose name begins so.", flag_values=values)
    values(argv)
    use_all_cores()
    data = made_up_data(1000, 1000)
    table = Table(title=f"{jax.local_device_count()} x {jax.devices()[0].device_kind}")
    for heading in ("workload", "member-steps/s", "GFLOP/s", "product GFLOP/s", "of the limit", "lowest to highest"):
        table.add_column(heading, justify="left" if heading == "workload" else "right")
    for workload in WORKLOADS:
        if workload.name.startswith(str(values["only"].value)):
            table.add_row(str(workload), *measure(data, workload, int(values["repeats"].value or 0)))
    Console(width=140).print(table)
    return 0


def measure(data: Data, workload: Workload, repeats: int) -> list[str]:
    """One workload as cells of the table."""
    axes = {"learning_rate": workload.learning_rates}
    shared = Hparams(hidden_sizes=(workload.hidden,), batch_size=workload.batch, num_steps=100_000)
    experiment = Experiment(hparams=shared, axes=axes, seeds=workload.seeds, eval_every=100_000)
    placement, members = first_block(make_plan(experiment, data))
    layout = placement.layout
    state, step = placement.init(members), 0

    def loop() -> None:
        nonlocal state, step
        stop = step + layout.chunk_steps
        state, metrics = placement.train(state, members, step, stop)
        jax.block_until_ready(metrics)
        step = stop

    products, product_operations = matrix_products(workload.batch, workload.rates * workload.hidden)
    operations = workload.members * workload.operations * layout.chunk_steps
    times = interleaved([loop, *products], repeats)
    fastest = 1 + np.median(times[:, 1:], axis=0).argmin()
    achieved = operations / times[:, 0] / 1e9
    limit = product_operations / times[:, fastest] / 1e9
    ratios = achieved / limit
    speed = workload.members * layout.chunk_steps / np.median(times[:, 0])
    return [
        f"{speed:,.0f}",
        f"{np.median(achieved):.1f}",
        f"{np.median(limit):.1f}",
        f"{np.median(ratios):.2f}",
        f"{ratios.min():.2f} to {ratios.max():.2f}",
    ]


def first_block(plan: Plan) -> tuple[Placement, Members]:
    """The first group of a plan, compiled, and the members of its first block."""
    placement = Placements(plan).get(0, plan.layouts[0])
    sizes = len(plan.sweep.groups[0].configs), len(plan.sweep.seeds)
    return placement, placement.members(make_blocks(0, placement.layout, *sizes)[0])


def matrix_products(batch: int, width: int, about: float = 2e10) -> tuple[list[Callable[[], None]], float]:
    """Functions that run the two large products of a step until they make `about` so many operations, and their number.

    Three ways, of which the fastest counts: JAX on one device with its threads, JAX with the members divided among all
    devices, and NumPy's BLAS.
    """
    rng = np.random.default_rng(1)
    width = -(-width // jax.local_device_count()) * jax.local_device_count()
    host = [rng.random(shape, np.float32) for shape in ((batch, FEATURES), (FEATURES, width), (batch, width))]
    operations = 4 * batch * FEATURES * width
    count = max(3, int(about / operations))
    mesh = jax.make_mesh((jax.local_device_count(),), ("members",), axis_types=(jax.sharding.AxisType.Auto,))
    everywhere, columns = (jax.sharding.NamedSharding(mesh, jax.P(*spec)) for spec in ((), (None, "members")))
    divided = [jax.device_put(a, s) for a, s in zip(host, (everywhere, columns, columns), strict=True)]
    single = [jax.device_put(a, jax.devices()[0]) for a in host]
    both = jax.jit(lambda x, w, d: (x @ w, x.T @ d))

    def in_jax(arrays: list[Any]) -> Callable[[], None]:
        def products() -> None:
            for _ in range(count):
                jax.block_until_ready(both(*arrays))

        return products

    def in_numpy() -> None:
        x, w, d = host
        for _ in range(count):
            _ = x @ w, x.T @ d

    return [in_jax(single), in_jax(divided), in_numpy], operations * count


def interleaved(functions: list[Callable[[], None]], repeats: int) -> np.ndarray[Any, Any]:
    """Seconds [repeats, functions], after one warm-up of each."""
    for function in functions:
        function()
    times = np.empty((repeats, len(functions)))
    for repeat in range(repeats):
        for number, function in enumerate(functions):
            start = time.perf_counter()
            function()
            times[repeat, number] = time.perf_counter() - start
    return times


def made_up_data(num_validation: int, num_test: int) -> Data:
    """Noise of the shape of MNIST."""
    inputs, labels = made_up_arrays()
    train, validation, test = ((inputs[:n], labels[:n]) for n in (len(labels), num_validation, num_test))
    return from_arrays(train, validation, test)


def print_ratios(groups: Sequence[Mapping[str, Callable[[], None]]], repeats: int, timed: str) -> None:
    """A table of variants, each group timed in turn: seconds, and the ratio to the first variant of its group."""
    table = Table(title=f"{jax.local_device_count()} x {jax.devices()[0].device_kind}")
    for heading in ("variant", f"s per {timed}", "of the first", "lowest to highest"):
        table.add_column(heading, justify="left" if heading == "variant" else "right")
    for variants in groups:
        times = interleaved(list(variants.values()), repeats)
        ratios = times / times[:, :1]
        for number, name in enumerate(variants):
            middle, low, high = np.median(ratios[:, number]), ratios[:, number].min(), ratios[:, number].max()
            table.add_row(name, f"{np.median(times[:, number]):.2f}", f"{middle:.2f}", f"{low:.2f} to {high:.2f}")
        table.add_section()
    Console(width=100).print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
