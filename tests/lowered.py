"""The lowered text of the training program of a small sweep, in this process or in one of several."""

from __future__ import annotations

import hashlib
import sys

from jaxreg import processes
from tests.training_run import experiment, plan, training_program


def lowered() -> str:
    """Its SHA-256, for four members on two devices, with momentum, dropout and L2."""
    asked = experiment(
        {"learning_rate": [0.1, 1.0]}, seeds=2, optimizer="momentum", method="all", dropout_rate=0.1, l2_strength=1e-3
    )
    made = plan(asked, devices=2)
    assert made.layouts[0].devices == 2
    return hashlib.sha256(training_program(made).encode()).hexdigest()


def main() -> None:
    """Prints it, as one of several processes: the coordinator, how many, which."""
    processes.join(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    print(lowered(), flush=True)
