"""What penalties and the methods made of them do to a loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxreg.config import suppressed_by


def effective_setting(setting: Mapping[str, Any]) -> dict[str, Any]:
    """A setting without the strengths that its method leaves out: method and l2_strength of a setting of method=l2."""
    if setting.get("method", "all") == "all":
        return dict(setting)
    suppressed = suppressed_by(str(setting["method"]))
    return {name: value for name, value in setting.items() if name not in suppressed}
