"""Blocks: the members of a group that are trained at once, by their positions in the group."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from jaxreg.population.layout import Layout


@dataclasses.dataclass(frozen=True)
class Block:
    """The members of a group that one call of its program trains: positions of its configs and seeds in the group."""

    group: int
    configs: tuple[int, ...]
    seeds: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Members without padding: (configs, seeds)."""
        return len(self.configs), len(self.seeds)

    @property
    def size(self) -> int:
        """Members without padding."""
        return self.shape[0] * self.shape[1]

    @property
    def members(self) -> tuple[Any, ...]:
        """Where they are in an array [configs, seeds, ...] of the group."""
        return np.ix_(self.configs, self.seeds)

    def holds(self, config: int, seed: int) -> bool:
        """Whether a member, by its positions in the group, is one of them."""
        return config in self.configs and seed in self.seeds


def make_blocks(group: int, layout: Layout, num_configs: int, num_seeds: int) -> list[Block]:
    """The blocks of a group in the order in which they are trained."""
    return [
        Block(
            group,
            tuple(range(config, min(config + layout.configs, num_configs))),
            tuple(range(seed, min(seed + layout.seeds, num_seeds))),
        )
        for seed in range(0, num_seeds, layout.seeds)
        for config in range(0, num_configs, layout.configs)
    ]


def block_name(group: int, number: int) -> str:
    """The name of a block in a checkpoint."""
    return f"group_{group}_block_{number}"
