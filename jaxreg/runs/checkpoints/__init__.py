"""Checkpoints that are verified before they are trusted; `Checkpoints` is imported when it is first asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxreg.runs.checkpoints.store import Checkpoints, Found

__all__ = ["Checkpoints", "Found"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from jaxreg.runs.checkpoints import store  # imports Orbax, which is slow

        return getattr(store, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
