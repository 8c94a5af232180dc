"""What a run has measured so far, on the host: arrays [configs, seeds, ...] of each group, NaN where nothing is yet."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxreg.config.sweeps import Group
from jaxreg.diagnostics.watch import Watch
from jaxreg.population.blocks import Block
from jaxreg.population.evaluation import MAX_CONFUSED, Check, FinalMetrics
from jaxreg.population.planning import Plan
from jaxreg.training.member import StepMetrics
from jaxreg.training.state import TrainState

CHECK_VARIABLES = (
    "validation_loss",
    "validation_accuracy",
    "test_loss",
    "test_accuracy",
    "test_batch_loss",
)
TRAIN_CHECK_VARIABLES = ("train_set_loss", "train_set_accuracy")  # with --check_train
_LANDMARKS = ("best_check", "stopped_check", "diverged_step")


def landmarks(state: TrainState) -> dict[str, Any]:
    """The checks and the step of a state that the history keeps, [seeds, configs] each."""
    return {name: getattr(state, name) for name in _LANDMARKS}


class History:
    """The measurements of one group.

    `arrays` is what a checkpoint keeps. Curves are [configs, seeds, recorded steps], checks [configs, seeds, checks],
    everything else [configs, seeds]; `seconds` [checks] is the training time of the whole group up to each check. What
    watches measure is [configs, seeds, checks or recorded steps, ...], without the seeds where it is measured of the
    first one only.
    """

    def __init__(self, plan: Plan, group: Group) -> None:
        """Room for a group."""
        members = (len(group.configs), len(plan.sweep.seeds))
        checks = group.num_checks
        self.record_every = plan.sweep.record_every
        recorded = math.ceil(group.num_steps / self.record_every)
        self._trains_on = group.shared.after_stop == "continue"
        self.arrays: dict[str, np.ndarray[Any, Any]] = {
            name: np.full((*members, recorded), np.nan, np.float32) for name in ("train_loss", "train_objective")
        }
        checked = CHECK_VARIABLES + (TRAIN_CHECK_VARIABLES if plan.experiment.check_train else ())
        self.arrays |= {name: np.full((*members, checks), np.nan, np.float32) for name in checked}
        self.arrays |= {name: np.full(members, np.nan, np.float32) for name in ("final_train_loss", "train_accuracy")}
        self.arrays |= {name: np.full(members, -1, np.int32) for name in _LANDMARKS}
        self.arrays["checks_done"] = np.zeros(members, np.int32)
        if 0 < plan.data.num_classes <= MAX_CONFUSED:
            self.arrays["test_confusion"] = np.zeros((*members, plan.data.num_classes, plan.data.num_classes), np.int32)
        shapes = plan.watched_shapes(group)
        for watch in plan.watches:
            of = members[:1] if watch.first_seed_only else members
            times = checks if watch.at == "checks" else recorded
            for name in watch.variables:
                self.arrays[name] = _nothing((*of, times, *shapes[name].shape), np.dtype(shapes[name].dtype))
        self.arrays["seconds"] = np.zeros(checks, np.float64)

    def record_steps(
        self, block: Block, first: int, last: int, metrics: StepMetrics, watched: Mapping[str, Any]
    ) -> None:
        """The batch losses of steps first ... last - 1 and what was watched, given as [seeds, steps, configs, ...]."""
        every = self.record_every
        start, stop = math.ceil(first / every), math.ceil(last / every)
        at = np.ix_(block.configs, block.seeds, range(start, stop))
        curves = {"train_loss": metrics.loss, "train_objective": metrics.objective, **watched}
        for name, values in curves.items():
            recorded = np.asarray(values)[:, start * every - first : last - first : every]
            members = np.moveaxis(recorded, (0, 1, 2), (1, 2, 0))[: block.shape[0], : block.shape[1]]
            self.arrays[name][at] = members

    def record_seconds(self, number: int, seconds: float) -> None:
        """Time spent on training towards the check `number`."""
        self.arrays["seconds"][number] += seconds

    def record_check(self, block: Block, number: int, check: Check, landmarks: Mapping[str, Any]) -> None:
        """The check `number` of a block, and the landmarks of its members so far, given as [seeds, configs]."""
        values = dict(zip(CHECK_VARIABLES, (*check.validation, *check.test, check.test_batch_loss), strict=True))
        if check.train is not None:
            values |= dict(zip(TRAIN_CHECK_VARIABLES, check.train, strict=True))
        for name, value in values.items():
            self.arrays[name][*block.members, number] = self._members(block, value)
        for name, value in landmarks.items():
            self.arrays[name][block.members] = self._members(block, value)

    def record_watch(self, watch: Watch, block: Block, number: int, values: Mapping[str, Any]) -> None:
        """What a watch measured at the check `number` of a block, given as [seeds, configs, ...]."""
        for name, value in values.items():
            if watch.first_seed_only:
                self.arrays[name][list(block.configs), number] = np.asarray(value)[0, : len(block.configs)]
            else:
                self.arrays[name][*block.members, number] = self._members(block, value)

    def count_checks(self, block: Block, checks: int) -> None:
        """So many checks of a block are behind it, measured or, where members have halted, passed over."""
        self.arrays["checks_done"][block.members] = checks

    def record_final(self, block: Block, final: FinalMetrics) -> None:
        """What was measured after the last step of a block, given as [seeds, configs, ...]."""
        values = {"final_train_loss": final.train.loss, "train_accuracy": final.train.accuracy}
        if final.test_confusion is not None:
            values["test_confusion"] = final.test_confusion
        for name, value in values.items():
            self.arrays[name][block.members] = self._members(block, value)

    def training(self, block: Block) -> np.ndarray[Any, Any]:
        """Which members of a block have not halted, as far as its checks tell: bool [configs, seeds]."""
        stopped_check, diverged_step = (self.arrays[name][block.members] for name in ("stopped_check", "diverged_step"))
        return (diverged_step < 0) & ((stopped_check < 0) | self._trains_on)

    @staticmethod
    def _members(block: Block, values: Any) -> np.ndarray[Any, Any]:
        return np.swapaxes(np.asarray(values), 0, 1)[: block.shape[0], : block.shape[1]]


def _nothing(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """NaN, or 0 for integers: what stands where nothing is measured yet."""
    return np.full(shape, np.nan if dtype.kind == "f" else 0, dtype)
