"""Shares: which quantities lie between 0 and 1, so that the interval of their mean does too."""

from __future__ import annotations

import numpy as np

from jaxreg.statistics import ANY, SHARE

_WORDS = ("accuracy", "error", "fraction", "share")
_COMPARED = ("as a share", "difference", "ratio")


def range_of(name: str, values: np.ndarray, units: str = "1") -> tuple[float, float]:
    """Where the mean of a quantity can lie, as `mean_interval` takes it: in [0, 1] if it is a share, else anywhere.

    A share has no units, is called accuracy, error, fraction or share, and has all its finite values in [0, 1]. What is
    measured as a share of something else, as a fluctuation of the loss, may be larger than that, and a difference or a
    ratio of shares is none.

    Args:
      name: of a variable, or in words.
      values: of members, any shape.
      units: "1" for none.
    """
    words = name.replace("_", " ")
    named = units == "1" and any(word in words for word in _WORDS) and not any(word in words for word in _COMPARED)
    finite = values[np.isfinite(values)]
    return SHARE if named and bool(((finite >= 0) & (finite <= 1)).all()) else ANY
