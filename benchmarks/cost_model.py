"""What a sweep costs, from its shapes and the rates of devices: `python -m benchmarks.cost_model` writes the table.

Of a member with one hidden layer, for a batch of B examples of F numbers, H hidden units and K outputs, P parameters:

    operations of a step   4 B F H + 6 B H K
    bytes of a step        12 P + 4 B F / S     parameters read and written, gradients written; S settings share a batch
    time of a step         max(operations / (e R), bytes / (e W))
    memory                 4 (5 P + 3 B (H + K)) parameters, best parameters, gradients, activations

with R operations and W bytes a second, of which e are reached. Devices divide the members, and nothing in a step talks.
Hosts exchange what was measured, 8 bytes per member and recorded step, and agree, a few messages per chunk of steps.
"""

from __future__ import annotations

import dataclasses
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "scale.md"
MARKS = re.compile(r"(?<=<!-- the cost model -->\n).*?(?=<!-- end of the cost model -->)", re.DOTALL)

REACHED = 0.5  # of a device's rates; on 2 cores jaxreg reaches 0.6 to 0.9 of the rate of its products (BUILD.md)
NETWORK = 1e9  # bytes a second between hosts
MESSAGE = 1e-3  # seconds that hosts take to agree
MESSAGES = 5  # per chunk
CHUNK = 2.0  # seconds that the layout aims at
FREE = 0.6  # of the memory of a device, for one program


@dataclasses.dataclass(frozen=True)
class Device:
    """A kind of device: float32 operations and bytes a second, bytes of memory."""

    name: str
    operations: float
    bandwidth: float
    memory: float


CPU = Device("2 cores", 78e9 / REACHED, math.inf, 16e9)  # W2 in BUILD.md; parameters stay in a core's cache
H200 = Device("H200", 67e12, 4.8e12, 141e9)  # NVIDIA H200 data sheet, SXM, float32 without tensor cores


@dataclasses.dataclass(frozen=True)
class Work:
    """What is trained."""

    members: int
    steps: int
    batch: int = 100
    features: int = 784
    hidden: int = 32
    outputs: int = 10
    settings: int = 10
    record_every: int = 10

    @property
    def parameters(self) -> int:
        """Of a member."""
        return (self.features + 1) * self.hidden + (self.hidden + 1) * self.outputs

    @property
    def operations(self) -> float:
        """Of a step of a member."""
        return 4 * self.batch * self.features * self.hidden + 6 * self.batch * self.hidden * self.outputs

    @property
    def bytes(self) -> float:
        """Moved in a step of a member."""
        return 12 * self.parameters + 4 * self.batch * self.features / self.settings

    @property
    def memory(self) -> float:
        """Of a member on its device, in bytes."""
        return 4 * (5 * self.parameters + 3 * self.batch * (self.hidden + self.outputs))


def seconds_of_step(work: Work, device: Device) -> float:
    """Of one member on one device."""
    return max(work.operations / device.operations, work.bytes / device.bandwidth) / REACHED


def seconds(work: Work, device: Device, devices: int = 1, hosts: int = 1) -> float:
    """Of the training of all members on `devices` for each of `hosts`, without compilation and checks."""
    on_fullest = math.ceil(work.members / (devices * hosts))
    training = on_fullest * work.steps * seconds_of_step(work, device)
    if hosts == 1:
        return training
    exchanged = 8 * work.members * work.steps / work.record_every / NETWORK
    return training + exchanged + training / CHUNK * MESSAGES * MESSAGE


def at_once(work: Work, device: Device) -> int:
    """Members that the memory of one device holds at once."""
    return int(FREE * device.memory / work.memory)


def rows() -> list[tuple[str, Work, Device, int, int]]:
    """What the table shows: name, work, device, how many of it on a host, hosts."""
    ten_thousand, million = Work(10_000, 2_750), Work(1_000_000, 2_750)
    return [
        ("10 000 MNIST networks, 5 epochs", ten_thousand, CPU, 1, 1),
        ("10 000 MNIST networks, 5 epochs", ten_thousand, H200, 1, 1),
        ("10 000 MNIST networks, 5 epochs", ten_thousand, H200, 8, 1),
        ("1 000 000 MNIST networks, 5 epochs", million, H200, 1, 1),
        ("1 000 000 MNIST networks, 5 epochs", million, H200, 8, 1),
        ("1 000 000 MNIST networks, 5 epochs", million, H200, 8, 64),
    ]


def table() -> str:
    """The table of docs/scale.md."""
    lines = [
        "| sweep | on | member-steps a second | training | held at once by a device |",
        "|---|---|---:|---:|---:|",
    ]
    for name, work, device, devices, hosts in rows():
        on = device.name if device is CPU else f"{hosts} x {devices} {device.name}"
        taken = seconds(work, device, devices, hosts)
        rate = work.members * work.steps / taken
        lines.append(f"| {name} | {on} | {_short(rate)} | {_time(taken)} | {_short(at_once(work, device))} |")
    return "\n".join(lines) + "\n"


def _short(value: float) -> str:
    """To two digits: 7 900, 3.1 million."""
    if value >= 1e6:
        return f"{float(f'{value / 1e6:.2g}'):,g} million".replace(",", " ")
    return f"{int(float(f'{value:.2g}')):,}".replace(",", " ")


def _time(seconds: float) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{float(f'{seconds / length:.2g}'):g} {unit}"
    return f"{float(f'{seconds:.2g}'):g} s"


def main(argv: Sequence[str]) -> int:
    """Writes the table into the page, or prints it with `--print`; returns 0."""
    if "--print" in argv:
        print(table(), end="")
    else:
        PAGE.write_text(MARKS.sub(table(), PAGE.read_text("utf-8")), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
