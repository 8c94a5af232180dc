"""What a run has measured so far, on the host: arrays [configs, seeds, ...] of each group, NaN where nothing is yet."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxreg.config.sweeps import Group
from jaxreg.diagnostics import probe as diagnostics
from jaxreg.diagnostics.surfaces import SIZE
from jaxreg.population.layout import Layout
from jaxreg.population.programs import MAX_CONFUSED, Check, Ending
from jaxreg.training.member import StepMetrics
from jaxreg.training.state import TrainState

CHECK_VARIABLES = (
    "validation_loss",
    "validation_accuracy",
    "test_loss",
    "test_accuracy",
    "test_batch_loss",
)
_LANDMARKS = ("best_check", "stopped_check", "diverged_step")


@dataclasses.dataclass(frozen=True)
class Block:
    """The members of a group that one call of its program trains: positions of its configs and seeds in the group."""

    group: int
    configs: tuple[int, ...]
    seeds: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Members without padding: (configs, seeds)."""
        return len(self.configs), len(self.seeds)

    @property
    def size(self) -> int:
        """Members without padding."""
        return self.shape[0] * self.shape[1]

    @property
    def members(self) -> tuple[Any, ...]:
        """Where they are in an array [configs, seeds, ...] of the group."""
        return np.ix_(self.configs, self.seeds)

    def holds(self, config: int, seed: int) -> bool:
        """Whether a member, by its positions in the group, is one of them."""
        return config in self.configs and seed in self.seeds


def make_blocks(group: int, layout: Layout, num_configs: int, num_seeds: int) -> list[Block]:
    """The blocks of a group in the order in which they are trained."""
    return [
        Block(
            group,
            tuple(range(config, min(config + layout.configs, num_configs))),
            tuple(range(seed, min(seed + layout.seeds, num_seeds))),
        )
        for seed in range(0, num_seeds, layout.seeds)
        for config in range(0, num_configs, layout.configs)
    ]


def block_name(group: int, number: int) -> str:
    """The name of a block in a checkpoint."""
    return f"group_{group}_block_{number}"


class History:
    """The measurements of one group.

    `arrays` is what a checkpoint keeps. Curves are [configs, seeds, recorded steps], checks [configs, seeds, checks],
    everything else [configs, seeds]; `seconds` [checks] is the training time of the whole group up to each check, and
    `surface`, if there is one, [configs, checks, x2, x1] of the first seed.
    """

    def __init__(
        self,
        group: Group,
        num_seeds: int,
        record_every: int,
        num_classes: int,
        diagnosed: Sequence[str] = (),
        *,
        draws: bool = False,
    ) -> None:
        """Room for a group; `diagnosed` names its variables of `jaxreg.diagnostics`, `draws` is for surfaces."""
        members = (len(group.configs), num_seeds)
        checks = len(group.check_steps)
        recorded = -(-group.num_steps // record_every)
        self.record_every = record_every
        self._trains_on = group.shared.after_stop == "continue"
        self.arrays: dict[str, np.ndarray[Any, Any]] = {
            name: np.full((*members, recorded), np.nan, np.float32) for name in ("train_loss", "train_objective")
        }
        self.arrays |= {name: np.full((*members, checks), np.nan, np.float32) for name in CHECK_VARIABLES}
        self.arrays |= {name: np.full(members, np.nan, np.float32) for name in ("final_train_loss", "train_accuracy")}
        self.arrays |= {name: np.full(members, -1, np.int32) for name in _LANDMARKS}
        self.arrays["checks_done"] = np.zeros(members, np.int32)
        if num_classes <= MAX_CONFUSED:
            self.arrays["test_confusion"] = np.zeros((*members, num_classes, num_classes), np.int32)
        lengths = {"check": checks, "layer": len(group.shared.hidden_sizes) + 1, "bin": diagnostics.NUM_BINS}
        for name in diagnosed:
            shape = (*members, *(lengths[dim] for dim in diagnostics.VARIABLES[name].dims))
            counts = "bin" in diagnostics.VARIABLES[name].dims
            self.arrays[name] = np.zeros(shape, np.uint32) if counts else np.full(shape, np.nan, np.float32)
        if draws:
            self.arrays["surface"] = np.full((members[0], checks, SIZE, SIZE), np.nan, np.float32)
        self.arrays["seconds"] = np.zeros(checks, np.float64)

    def record_steps(self, block: Block, first: int, last: int, metrics: StepMetrics) -> None:
        """The batch losses of steps first ... last - 1, given as [seeds, steps, configs]."""
        every = self.record_every
        start = -(-first // every)
        stop = -(-last // every)
        for name, values in (("train_loss", metrics.loss), ("train_objective", metrics.objective)):
            recorded = np.asarray(values)[:, start * every - first : last - first : every]
            members = np.moveaxis(recorded, (0, 1, 2), (1, 2, 0))[: block.shape[0], : block.shape[1]]
            self.arrays[name][*np.ix_(block.configs, block.seeds, range(start, stop))] = members

    def record_seconds(self, number: int, seconds: float) -> None:
        """Time spent on training towards the check `number`."""
        self.arrays["seconds"][number] += seconds

    def record_check(self, block: Block, number: int, check: Check, state: TrainState) -> None:
        """The check `number` of a block, given as [seeds, configs]."""
        values = dict(zip(CHECK_VARIABLES, (*check.validation, *check.test, check.test_batch.loss), strict=True))
        for name, value in values.items():
            self.arrays[name][*block.members, number] = self._members(block, value)
        for name in _LANDMARKS:
            self.arrays[name][block.members] = self._members(block, getattr(state, name))

    def record_diagnostics(self, block: Block, number: int, values: Mapping[str, Any]) -> None:
        """What `diagnostics.diagnose` says at the check `number` of a block, given as [seeds, configs, ...]."""
        for name, value in values.items():
            self.arrays[name][*block.members, number] = self._members(block, value)

    def record_surfaces(self, block: Block, number: int, values: Any) -> None:
        """The surfaces at the check `number` of a block that begins with the first seed, given as [1, configs, ...]."""
        self.arrays["surface"][list(block.configs), number] = np.asarray(values)[0, : len(block.configs)]

    def count_checks(self, block: Block, checks: int) -> None:
        """So many checks of a block are behind it, measured or, where members have halted, passed over."""
        self.arrays["checks_done"][block.members] = checks

    def record_end(self, block: Block, ending: Ending) -> None:
        """What was measured after the last step of a block, given as [seeds, configs, ...]."""
        values = {"final_train_loss": ending.train.loss, "train_accuracy": ending.train.accuracy}
        if ending.test_confusion is not None:
            values["test_confusion"] = ending.test_confusion
        for name, value in values.items():
            self.arrays[name][block.members] = self._members(block, value)

    def training(self, block: Block) -> np.ndarray[Any, Any]:
        """Which members of a block have not halted, as far as its checks tell: bool [configs, seeds]."""
        stopped_check, diverged_step = (self.arrays[name][block.members] for name in ("stopped_check", "diverged_step"))
        return (diverged_step < 0) & ((stopped_check < 0) | self._trains_on)

    @staticmethod
    def _members(block: Block, values: Any) -> np.ndarray[Any, Any]:
        return np.swapaxes(np.asarray(values), 0, 1)[: block.shape[0], : block.shape[1]]
