"""What penalties and the methods made of them do to a loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxreg.config.hparams import REGULARISERS, strengths_of


def effective_setting(setting: Mapping[str, Any]) -> dict[str, Any]:
    """A setting without the strengths that its method leaves out: method and l2_strength of a setting of method=l2."""
    if setting.get("method", "all") == "all":
        return dict(setting)
    method = str(setting["method"])
    effective = {*strengths_of(method), *(["l1_start"] if "late_l1" in method.split("+") else [])}
    strengths = {field for field, _ in REGULARISERS.values()} | {"l1_start"}
    return {name: value for name, value in setting.items() if name in effective or name not in strengths}
