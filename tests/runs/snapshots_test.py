"""When snapshots are kept, and that a run goes on from each."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from jaxreg.config.experiment import RunConfig
from jaxreg.errors import CheckpointError
from jaxreg.runs import snapshots
from jaxreg.runs.block_training import Hooks
from jaxreg.runs.checkpoints.store import Checkpoints
from tests.training_run import assert_same_bits, dataset_of, experiment, restored, runner, train

# Two groups of two blocks, which are checked before the first step and after the last one only.
IN_BLOCKS: dict[str, Any] = {"seeds": 2, "members_per_program": 2, "num_steps": 6, "eval_every": 6}
AXES = {"learning_rate": [0.1, 0.3], "batch_size": [10, 20]}


class KilledAt(Checkpoints):
    """Checkpoints that remember where they were saved, and are killed after so many."""

    def __init__(self, folder: Path, saves: int) -> None:
        super().__init__(folder, "same")
        self.saves, self.positions = saves, list[tuple[int, int, int]]()

    def save(self, step: int, state: Any, about: Any) -> None:
        if len(self.positions) == self.saves:
            raise CheckpointError("killed")
        super().save(step, state, about)
        self.positions.append(tuple(about["position"].values()))


def test_a_block_that_has_ended_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "SECONDS_BETWEEN_CHECKPOINTS", -1.0)
    asked = experiment(AXES, **IN_BLOCKS)
    kept = KilledAt(tmp_path, saves=3)
    with pytest.raises(CheckpointError, match="killed"):
        runner(asked).run(Hooks(kept))
    assert kept.positions == [(0, 1, 0), (1, 0, 0), (1, 1, 0)]

    resumed = restored(runner(asked), tmp_path)
    resumed.run()
    assert_same_bits(dataset_of(resumed), train(experiment(AXES, **IN_BLOCKS)))


def test_without_haste_only_the_end_is_kept_unless_steps_between_are_asked_for(tmp_path: Path) -> None:
    asked = experiment(AXES, **IN_BLOCKS)
    kept = KilledAt(tmp_path / "end", saves=9)
    runner(asked).run(Hooks(kept))
    assert kept.positions == [(2, 0, 0)]
    often = dataclasses.replace(asked, run=RunConfig(checkpoint_every=100))
    kept = KilledAt(tmp_path / "often", saves=1)
    with pytest.raises(CheckpointError, match="killed"):
        runner(often).run(Hooks(kept))
    assert kept.positions == [(0, 1, 0)]
