"""What speed is measured on: sweeps of a sigmoid network 784-32-10 by plain SGD, on noise of the shape of MNIST.

Noise, because what is in the pixels changes nothing in speed. The unit of work is a member-step: a step of a member.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

FEATURES, CLASSES, EXAMPLES = 784, 10, 55_000


@dataclasses.dataclass(frozen=True)
class Workload:
    """A sweep over learning rates, each with so many seeds; the members of one seed share their batches."""

    name: str
    rates: int
    seeds: int
    batch: int
    hidden: int = 32
    features: int = FEATURES
    examples: int = EXAMPLES

    @property
    def members(self) -> int:
        """How many networks are trained."""
        return self.rates * self.seeds

    @property
    def learning_rates(self) -> list[float]:
        """From 0.001 to 1, evenly on a logarithmic scale."""
        return np.geomspace(1e-3, 1, self.rates).tolist()

    @property
    def operations(self) -> int:
        """Useful floating-point operations of a member-step: 4 B in H + 6 B H out."""
        return self.batch * self.hidden * (4 * self.features + 6 * CLASSES)

    def __str__(self) -> str:
        """As tables name it."""
        sweep = f"{self.rates} rates" + (f" x {self.seeds} seeds" if self.seeds > 1 else "")
        return f"{self.name}: {sweep}, batch {self.batch}, hidden {self.hidden}"


WORKLOADS = (
    Workload("W1", 7, 1, 1000),
    Workload("W2", 64, 1, 32),
    Workload("W3", 64, 1, 1),
    Workload("W4", 7, 10, 1000),
)
LARGE = (Workload("W5a", 1024, 1, 1000), Workload("W5b", 1024, 1, 32))
"""For accelerators."""

Arrays = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]  # inputs [examples, features], labels [examples]


def made_up_arrays(examples: int = EXAMPLES, features: int = FEATURES) -> Arrays:
    """Uniform noise and labels that mean nothing."""
    rng = np.random.default_rng(0)
    return rng.random((examples, features), np.float32), rng.integers(0, CLASSES, examples)
