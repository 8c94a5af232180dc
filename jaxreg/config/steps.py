"""Numbers of steps that follow from fractions of training and from epochs, in exact arithmetic.

0.07 * 100 is above 7 in float64, and 0.3 * 100 above 30 in float32. Here such a number counts as the decimal that it
was given as.
"""

from __future__ import annotations

import math
from fractions import Fraction


def steps_before(fraction: float, num_steps: int) -> int:
    """The steps that lie before a fraction of training: the smallest whole number >= fraction * num_steps."""
    return math.ceil(_decimal(fraction) * num_steps)


def steps_of_epochs(num_epochs: float, num_examples: int, batch_size: int) -> int:
    """The steps that so many passes over the training set take, the last one begun counted: at least 1."""
    return max(1, math.ceil(_decimal(num_epochs) * num_examples / batch_size))


def _decimal(value: float) -> Fraction:
    """The shortest decimal that stands for this float64."""
    return Fraction(repr(float(value)))
