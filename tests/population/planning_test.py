from __future__ import annotations

from typing import Any

import pytest

from jaxreg.errors import ConfigError
from tests.training_run import experiment, plan


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"eval_every": 1}, "--eval_every=1: 2147483648 checks of 1 member(s) would take 168.0 GiB, at most 3.2"),
        (
            {"record_every": 1},
            "--record_every=1: the losses of 2147483647 steps of 1 member(s) would take 16.0 GiB, at",
        ),
        ({"record_every": 10, "seeds": 1000}, "--record_every=10: the losses of 214748365 steps of 1000 member(s)"),
    ],
)
def test_records_that_no_memory_holds_are_refused(
    asked: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"total": 16 * 2**30}))
    with pytest.raises(ConfigError) as refusal:
        plan(experiment(num_steps=2**31 - 1, batch_size=1, **asked))
    assert str(refusal.value).startswith(words)
    assert "\n" not in str(refusal.value)
