"""TensorBoard: curves with bands over seeds, histograms, graphs and the HParams table, one run per setting."""

from __future__ import annotations

from jaxreg.reporting.tensorboard.writer import ScalarWriter

__all__ = ["ScalarWriter"]
