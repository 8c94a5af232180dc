"""Checkpoints that are verified before they are trusted."""

from jaxreg.runs.checkpoints.store import Checkpoints, Found

__all__ = ["Checkpoints", "Found"]
