"""scikit-learn: `MLPClassifier.partial_fit` in a loop, a batch a call, which makes one step of plain SGD."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from benchmarks.peers.loops import Loop, num_cores
from benchmarks.workloads import CLASSES, Arrays, Workload


def one_by_one(workload: Workload, arrays: Arrays) -> Mapping[str, Loop]:
    """Each member by itself: a call trains one of them, the next call the next; its BLAS on one thread or all."""
    inputs, labels = arrays
    rng, steps, turn = np.random.default_rng(0), 20, 0
    plain_sgd = {"solver": "sgd", "momentum": 0.0, "nesterovs_momentum": False, "alpha": 0.0, "shuffle": False}
    models = [
        MLPClassifier((workload.hidden,), "logistic", learning_rate_init=rate, batch_size=workload.batch, **plain_sgd)
        for rate in workload.learning_rates * workload.seeds
    ]

    def train() -> None:
        nonlocal turn
        model = models[turn % workload.members]
        for _ in range(steps):
            rows = rng.integers(0, len(inputs), workload.batch)
            model.partial_fit(inputs[rows], labels[rows], classes=np.arange(CLASSES))
        turn += 1

    def on(threads: int) -> Loop:
        def run() -> None:
            with threadpool_limits(threads):
                train()

        return Loop(run, steps)

    return {f"{threads} thread(s)": on(threads) for threads in sorted({1, num_cores()})}
