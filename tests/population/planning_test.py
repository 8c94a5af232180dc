from __future__ import annotations

from typing import Any

import pytest

from jaxreg.errors import ConfigError
from tests.training_run import experiment, plan


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"eval_every": 1}, "--eval_every=1: 2147483648 records of each of 1 members would take 88.0 GiB, at most"),
        ({"record_every": 1}, "--record_every=1: 2147483647 records of each of 1 members would take 16.0 GiB, at most"),
        ({"record_every": 10, "seeds": 1000}, "--record_every=10: 214748365 records of each of 1000 members"),
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
