"""What a small convolutional network costs, in one run: `python -m benchmarks.convolutions`.

Workload: 16 rates, batch 32, three convolutions 3x3 of stride 2 and a layer of ten outputs (5270 parameters) on noise
of the shape of MNIST. jaxreg with XLA's convolution and with products of patches (`jaxreg.convolve`), each with members
side by side as its layout has them, and one after another; beside it PyTorch one after another. All are timed in turn
and compared round by round with PyTorch, because a shared machine drifts.
"""

from __future__ import annotations

import dataclasses
import itertools
import sys
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from absl import flags
from rich.console import Console
from rich.table import Table

from benchmarks.engine import first_block, interleaved
from benchmarks.peers.loops import Loop, num_cores
from benchmarks.peers.ours import chunks, experiment_of
from benchmarks.workloads import Workload, made_up_arrays
from jaxreg.data import Data, from_arrays
from jaxreg.hardware import use_all_cores
from jaxreg.nn.convolution import convolve
from jaxreg.population.planning import make_plan
from jaxreg.training.flax_models import from_linen
from jaxreg.training.problem import Problem

CHANNELS = (8, 12, 16)
WORKLOAD = Workload("C1", 16, 1, 32)
STEPS = 32  # of a timed call: XLA's own convolution takes seconds for them


class CNN(nn.Module):
    """Convolutions of stride 2, and a layer on what is left of the image."""

    convolution: Callable[..., jax.Array]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Logits of images [batch, height, width, 1]."""
        for channels in CHANNELS:
            x = nn.relu(nn.Conv(channels, (3, 3), strides=2, conv_general_dilated=self.convolution)(x))
        return nn.Dense(10)(x.reshape(len(x), -1))


def main(argv: list[str]) -> int:
    """Prints a row per way; returns 0."""
    values = flags.FlagValues()
    flags.DEFINE_integer("repeats", 7, "Timed repeats of every way, in turn.", 1, flag_values=values)
    values(argv)
    use_all_cores()
    inputs, labels = made_up_arrays()
    images = inputs.reshape(-1, 28, 28)
    held_out = images[:1000], labels[:1000]
    data = from_arrays((images, labels), held_out, held_out)
    loops = {
        f"{name}, {how}": ours(data, convolution, tile)
        for name, convolution in (
            ("XLA's convolution", jax.lax.conv_general_dilated),
            ("products of patches", convolve),
        )
        for how, tile in (("as laid out", 0), ("one after another", 1), ("side by side", WORKLOAD.members))
    }
    loops |= torch_one_by_one(data)
    times = interleaved([loop.run for loop in loops.values()], int(values["repeats"].value or 0))
    rates = np.array([loop.member_steps for loop in loops.values()]) / times
    reference = rates[:, [i for i, name in enumerate(loops) if "PyTorch" in name]].max(1, keepdims=True)
    table = Table(title=f"{WORKLOAD.members} networks; {jax.local_device_count()} x {jax.devices()[0].device_kind}")
    for heading in ("way", "member-steps/s", "of PyTorch", "lowest to highest"):
        table.add_column(heading, justify="left" if heading == "way" else "right")
    for name, rate, ratio in zip(loops, rates.T, (rates / reference).T, strict=True):
        middle = f"{np.median(ratio):.2f}"
        table.add_row(name, f"{np.median(rate):,.0f}", middle, f"{ratio.min():.2f} to {ratio.max():.2f}")
    Console(width=110).print(table)
    return 0


def ours(data: Data, convolution: Callable[..., Any], tile: int) -> Loop:
    """`STEPS` steps; of `tile` members side by side on a device, 0 for as many as the layout says."""
    plan = make_plan(experiment_of(WORKLOAD, STEPS), data, Problem(from_linen(CNN(convolution), flat=False)))
    if tile:
        configs = min(tile, WORKLOAD.members // plan.layouts[0].devices)
        layout = dataclasses.replace(plan.layouts[0], tile_configs=configs)
        plan = dataclasses.replace(plan, layouts=(layout,))
    return chunks(*first_block(plan), WORKLOAD.members)


def torch_one_by_one(data: Data) -> dict[str, Loop]:
    """Each member by itself, step by step, on one thread and on one per core."""
    try:
        import torch
    except ImportError:
        return {}
    inputs = torch.from_numpy(data.train.inputs.reshape(-1, 1, 28, 28).copy())
    labels = torch.from_numpy(data.train.labels.astype(np.int64))
    sizes = (1, *CHANNELS)
    layers: list[Any] = []
    for given, made in itertools.pairwise(sizes):
        layers += [torch.nn.Conv2d(given, made, 3, stride=2, padding=1), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(16 * CHANNELS[-1], 10))
    optimizer, steps = torch.optim.SGD(model.parameters(), lr=0.01), 50
    loss_fn = torch.nn.CrossEntropyLoss()

    def loop(threads: int) -> Loop:
        def run() -> None:
            torch.set_num_threads(threads)
            for _ in range(steps):
                rows = torch.randint(len(inputs), (WORKLOAD.batch,))
                optimizer.zero_grad()
                loss_fn(model(inputs[rows]), labels[rows]).backward()
                optimizer.step()

        return Loop(run, steps)

    return {f"PyTorch one by one, {count} thread(s)": loop(count) for count in sorted({1, num_cores()})}


if __name__ == "__main__":
    sys.exit(main(sys.argv))
