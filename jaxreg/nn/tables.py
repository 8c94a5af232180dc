"""The tables of named parts, and which of their entries came with the package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxreg.nn.activations import ACTIVATIONS
from jaxreg.nn.initializers import INITIAL_SCHEMES
from jaxreg.nn.losses import LOSSES
from jaxreg.nn.optimizers import OPTIMIZERS, SCHEDULES
from jaxreg.nn.regularisers import REGULARISERS

TABLES: Mapping[str, Mapping[str, Any]] = {
    "activation": ACTIVATIONS,
    "output_activation": ACTIVATIONS,
    "init": INITIAL_SCHEMES,
    "loss": LOSSES,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "regulariser": REGULARISERS,
}
"""By the hyperparameter that chooses an entry; regularisers are chosen by their strengths."""

_SHIPPED = {kind: dict(table) for kind, table in TABLES.items()}  # importing jaxreg comes before any own entry


def is_own(kind: str, name: str) -> bool:
    """Whether the entry of a table was made or replaced by the user."""
    table = TABLES[kind]
    return name in table and table[name] is not _SHIPPED[kind].get(name)
