"""Which training examples each seed draws, from the key of the seed alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jaxreg.training import threefry
from jaxreg.training.threefry import Words


def draw_examples(keys: Words, size: int, num_examples: int) -> npt.NDArray[np.int32]:
    """The rows of the training set that each seed draws without replacement, int32 [seeds, size].

    Each example gets a random number, and those with the smallest are drawn, in the order of their numbers: so every
    subset is equally likely (but for numbers that two examples share, of 32 bits), and a smaller one is the head of a
    larger one.

    Args:
      keys: the key of this draw of each seed, uint32 [seeds, 2].
      size: how many, at most `num_examples`.
      num_examples: in the training set.
    """
    drawn = [np.argsort(threefry.bits(key, num_examples), kind="stable")[:size] for key in keys]
    return np.stack(drawn).astype(np.int32)
