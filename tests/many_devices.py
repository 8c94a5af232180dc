"""Sweeps on several numbers of devices against one: `python -m tests.many_devices 7 1,3,8`, where there are eight."""

from __future__ import annotations

import sys

import numpy as np

from tests.training_run import assert_within_tolerance, dataset_of, experiment, runner, train

FACTORS = {1: (1, 1), 7: (7, 1), 64: (8, 8), 1000: (10, 100)}  # settings and seeds of as many members


def compare(members: int, counts: list[int]) -> None:
    """Trains a sweep of so many members on each number of devices, and requires the results of one."""
    settings, seeds = FACTORS[members]
    axes = {"learning_rate": np.geomspace(0.05, 1, settings).tolist()} if settings > 1 else {}
    asked = experiment(axes, seeds=seeds, hidden_sizes=(4,), num_steps=12, eval_every=6)
    one = train(asked, devices=1)
    for count in counts:
        made = runner(asked, devices=count)
        made.run()
        assert_within_tolerance(dataset_of(made), one)
        print(f"{members} members on {made.record.layouts[0].devices} of {count}", flush=True)


if __name__ == "__main__":
    compare(int(sys.argv[1]), [int(count) for count in sys.argv[2].split(",")])
