from __future__ import annotations

import pytest

from jaxreg.measures import (
    effective_setting,
)


@pytest.mark.parametrize(
    ("method", "acting"),
    [
        ("all", {"l1_strength", "l1_start", "l2_strength", "patience"}),
        ("none", set()),
        ("l1", {"l1_strength"}),
        ("late_l1+l2", {"l1_strength", "l1_start", "l2_strength"}),
        ("early_stopping", {"patience"}),
    ],
)
def test_of_a_setting_those_strengths_act_that_its_method_names(method: str, acting: set[str]) -> None:
    setting = {"method": method, "l1_strength": 0.1, "l1_start": 0.5, "l2_strength": 0.2, "patience": 5, "seed": 3}
    kept = effective_setting(setting)
    assert set(kept) == {"method", "seed"} | acting
    assert kept.items() <= setting.items()
