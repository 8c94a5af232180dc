"""TensorBoard: curves with bands over seeds, margin charts and the HParams table, one run per setting."""

from __future__ import annotations

from jaxreg.reporting.tensorboard.writer import ScalarWriter

__all__ = ["ScalarWriter"]
