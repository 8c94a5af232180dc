"""Tiles: the members that a device trains side by side, one tile after another.

Each tile takes all steps of a chunk before the next one takes any, so that its parameters stay in a core's cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxreg.config.hparams import Hparams
from jaxreg.population.layout import Layout
from jaxreg.training.state import TrainState

TileOfMembers = Callable[[TrainState, Hparams, Any], tuple[TrainState, Any]]
"""(states [seeds, configs, ...], hyperparameters [configs], what seeds have, a tree of arrays [seeds, ...])
-> states, [seeds, steps, configs, ...]"""


def over_tiles(
    fn: TileOfMembers, layout: Layout, states: TrainState, hparams: Hparams, of_seeds: Any
) -> tuple[TrainState, Any]:
    """What `fn` makes of the members of one device, tile by tile. Changes states in place: they are there once."""
    num_seeds, num_configs = layout.of_device
    size = layout.tile_seeds, layout.tile_configs
    if size == (num_seeds, num_configs):
        return fn(states, hparams, of_seeds)
    columns = num_configs // size[1]
    fn = jax.jit(fn, inline=True)  # traced once for the shapes of its curves and for the loop

    def train(states: TrainState, at: tuple[ArrayLike, ArrayLike]) -> tuple[TrainState, Any]:
        return fn(_part(states, at, size), _part(hparams, at[1:], size[1:]), _part(of_seeds, at[:1], size[:1]))

    def one_tile(number: Array, carry: tuple[TrainState, Any]) -> tuple[TrainState, Any]:
        states, curves = carry
        at = number // columns * size[0], number % columns * size[1]
        trained, measured = train(states, at)
        return _put(states, trained, at), _put(curves, measured, (at[0], 0, at[1]))

    shapes = jax.eval_shape(train, states, (0, 0))[1]
    curves = jax.tree.map(
        lambda leaf: jnp.zeros((num_seeds, leaf.shape[1], num_configs, *leaf.shape[3:]), leaf.dtype), shapes
    )
    return jax.lax.fori_loop(0, num_seeds // size[0] * columns, one_tile, (states, curves))


def _part(tree: Any, at: tuple[ArrayLike, ...], size: tuple[int, ...]) -> Any:
    """The part of each leaf that begins at `at`, and is of `size`, along its leading axes."""

    def part(leaf: Array) -> Array:
        rest = leaf.shape[len(size) :]
        return jax.lax.dynamic_slice(leaf, (*at, *[0] * len(rest)), (*size, *rest))

    return jax.tree.map(part, tree)


def _put(tree: Any, part: Any, at: tuple[ArrayLike, ...]) -> Any:
    """Each leaf with a part of it replaced."""

    def put(leaf: Array, new: Array) -> Array:
        return jax.lax.dynamic_update_slice(leaf, new, (*at, *[0] * (leaf.ndim - len(at))))

    return jax.tree.map(put, tree, part)
