"""The lowered text of the training program of a small sweep, in this process or in one of several."""

from __future__ import annotations

import hashlib
import sys

from jaxreg import processes
from jaxreg.config.experiment import Experiment
from jaxreg.config.hparams import Hparams
from jaxreg.data import load
from jaxreg.population.blocks import make_blocks
from jaxreg.population.placement import Placements, place_block, put_data, train_arguments
from jaxreg.population.planning import make_plan


def lowered() -> str:
    """Its SHA-256, for two members on two devices, with dropout and L2 and momentum."""
    hparams = Hparams(hidden_sizes=(8,), num_steps=20, optimizer="momentum", dropout_rate=0.1, l2_strength=1e-3)
    experiment = Experiment(hparams=hparams, axes={"learning_rate": (0.1, 1.0)}, seeds=2)
    plan = make_plan(experiment, load(experiment.data))
    group, layout = plan.sweep.groups[0], plan.layouts[0]
    assert layout.devices == 2
    programs = Placements(plan).programs(layout)
    block = make_blocks(0, layout, 2, 2)[0]
    members = place_block(programs, group, block, plan.sweep.seeds, 0)
    data = put_data(plan.data, (), layout.devices)
    states = programs.state_shapes(members.population)
    text = programs.train.lower(states, *train_arguments(programs, group, members, data, 0, 10)).as_text()
    return hashlib.sha256(text.encode()).hexdigest()


def main() -> None:
    """Prints it, as one of several processes: the coordinator, how many, which."""
    processes.join(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    print(lowered(), flush=True)
