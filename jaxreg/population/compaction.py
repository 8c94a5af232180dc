"""Taking halted members out of a program: the others train on at a narrower width.

A choice of speed over equal bits, since another width rounds differently. Widths are halved, so that a block compiles
no more than log2(width) programs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxreg.population.blocks import Block
from jaxreg.population.layout import Layout


def remaining_members(block: Block, training: np.ndarray[Any, Any]) -> Block:
    """The configs and the seeds of a block at which some member trains, as `training` [configs, seeds] says."""
    return Block(block.group, _where(block.configs, training.any(1)), _where(block.seeds, training.any(0)))


def narrowed(layout: Layout, remaining: Block) -> Layout:
    """The layout with its seeds and its configs halved, to what the devices divide, as often as the remaining fit."""
    divided = {layout.split: layout.devices}
    configs = _halved(layout.configs, len(remaining.configs), divided.get("configs", 1))
    seeds = _halved(layout.seeds, len(remaining.seeds), divided.get("seeds", 1))
    return layout.resized(configs=configs, seeds=seeds)


def take(states: Any, block: Block, remaining: Block, layout: Layout) -> Any:
    """States of the remaining members, [layout.seeds, layout.configs, ...], out of the block's; the last fills up."""
    seeds, configs = _places(block, remaining)
    at = np.ix_(_filled(seeds, layout.seeds), _filled(configs, layout.configs))
    return jax.tree.map(lambda leaf: leaf[at], states)


def put_back(all_states: Any, states: Any, block: Block, remaining: Block) -> Any:
    """The states of the block with those of the remaining members in their places.

    Args:
      all_states: of the block, on the host, [seeds, configs, ...].
      states: of the remaining members, on the host, [seeds, configs, ...] at the narrower width.
      block, remaining: which members these are.
    """
    seeds, configs = _places(block, remaining)

    def updated(old: np.ndarray[Any, Any], new: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        old = old.copy()
        old[np.ix_(seeds, configs)] = new[: len(seeds), : len(configs)]
        return old

    return jax.tree.map(updated, all_states, states)


def _places(block: Block, remaining: Block) -> tuple[list[int], list[int]]:
    """Where the remaining members stand in the block: (seeds, configs)."""
    return [block.seeds.index(seed) for seed in remaining.seeds], [
        block.configs.index(config) for config in remaining.configs
    ]


def _where(positions: Sequence[int], kept: Any) -> tuple[int, ...]:
    return tuple(position for position, keep in zip(positions, kept.tolist(), strict=True) if keep)


def _halved(width: int, needed: int, multiple: int) -> int:
    while (half := -(-width // (2 * multiple)) * multiple) >= needed and half < width:
        width = half
    return width


def _filled(places: list[int], width: int) -> list[int]:
    return [*places, *[places[-1]] * (width - len(places))]
