"""The loop over the chunks of a block."""

from __future__ import annotations

import pytest

from jaxreg.config.sweeps import Group
from jaxreg.runs.runner import Runner
from tests.training_run import experiment, plan


def test_training_never_lists_all_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list is as long as training: made at every chunk, it made the time grow with the square of the checks."""
    made = plan(experiment(num_steps=6, eval_every=1))

    def listed(_: Group) -> tuple[int, ...]:
        raise AssertionError("the steps of all checks were listed")

    monkeypatch.setattr(Group, "check_steps", property(listed))
    runner = Runner(made)
    runner.run()
    assert runner.record.histories[0].arrays["checks_done"].tolist() == [[7]]
