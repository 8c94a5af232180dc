"""The tables of named parts, restored after a test that adds to them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from jaxreg.config import FIELDS
from jaxreg.nn.activations import ACTIVATIONS
from jaxreg.nn.initializers import INITIAL_SCHEMES
from jaxreg.nn.losses import LOSSES
from jaxreg.nn.optimizers import OPTIMIZERS, SCHEDULES
from jaxreg.nn.regularisers import REGULARISERS

TABLES: tuple[dict[str, Any], ...] = (
    ACTIVATIONS,
    INITIAL_SCHEMES,
    LOSSES,
    OPTIMIZERS,
    SCHEDULES,
    REGULARISERS,
    FIELDS,
)


@contextlib.contextmanager
def restored_tables() -> Iterator[None]:
    """Whatever is added within, the tables are as before afterwards."""
    before = [dict(table) for table in TABLES]
    try:
        yield
    finally:
        for table, entries in zip(TABLES, before, strict=True):
            table.clear()
            table.update(entries)
