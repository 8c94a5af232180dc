"""The results of a run: made from what its members measured, saved and loaded.

`make_dataset` and `add_seeds` are imported when they are first asked for: they bring the training engine along.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jaxreg.results.storage import load, open_lazily, save

if TYPE_CHECKING:
    from jaxreg.results.dataset import add_seeds, make_dataset

__all__ = ["add_seeds", "load", "make_dataset", "open_lazily", "save"]


def __getattr__(name: str) -> Any:
    if name in ("add_seeds", "make_dataset"):
        from jaxreg.results import dataset

        return getattr(dataset, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
