"""The part of the training set that each seed of a block has drawn for itself, and what watches look at of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.typing import ArrayLike

from jaxreg.data import Data
from jaxreg.diagnostics.watch import Watch
from jaxreg.training.draws import draw_examples
from jaxreg.training.state import TRAIN_DRAW, keys_on_host


class Drawn(NamedTuple):
    """What seeds have drawn; the training set itself is on the devices once, for all of them."""

    rows: ArrayLike  # int32 [seeds, examples], of the training set
    watched: Mapping[str, Any]  # by the name of the watch what it looks at, [seeds, ...] each


def draw(data: Data, watches: Sequence[Watch], size: int, base_seed: int, seeds: Sequence[int]) -> Drawn:
    """What these seeds draw, on the host: a function of (base_seed, seed), and the same for all settings of a seed.

    Args:
      data: of which each seed draws `size` training examples.
      watches: each prepares what it looks at from the examples of the seed.
      size, base_seed, seeds: of the members.
    """
    rows = draw_examples(keys_on_host(base_seed, seeds, TRAIN_DRAW), size, len(data.train.labels))
    prepared = []
    for of_seed in rows if watches else ():
        own = data.training_on_rows(of_seed)
        prepared.append({watch.name: watch.prepare(own) for watch in watches})
    return Drawn(rows, jax.tree.map(lambda *leaves: np.stack(leaves), *prepared) if prepared else {})
