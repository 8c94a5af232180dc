"""The state of one member, its beginning, and the keys of its random numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxreg.config import Hparams
from jaxreg.jax_settings import random_key
from jaxreg.nn.trees import Params
from jaxreg.training import threefry
from jaxreg.training.models import parted
from jaxreg.training.optimizers import make_optimizer
from jaxreg.training.problem import Problem
from jaxreg.training.threefry import Words

# Random numbers of one member are drawn from keys that depend on (base_seed, seed, purpose) only.
INIT, TRAIN_ORDER, TEST_ORDER, DROPOUT, TRAIN_DRAW = range(5)


class TrainState(NamedTuple):
    """What changes while a member trains. There is no key in it: (seed, step) gives every random number."""

    params: Params
    opt_state: Any
    best_params: Params  # of the check with the lowest validation loss
    best_loss: Array  # [] float32, nats; inf before the first check
    best_check: Array  # [] int32, -1 before the first check
    stopped_check: Array  # [] int32, at which patience ran out; -1 while it has not
    diverged_step: Array  # [] int32, -1 while the member is well


def member_key(base_seed: Array | int, seed: Array | int, purpose: int) -> Array:
    """The key of one seed for one purpose (INIT, TRAIN_ORDER, ...); nothing else in a sweep touches it."""
    return jax.random.fold_in(jax.random.fold_in(random_key(base_seed), seed), purpose)


def keys_on_host(base_seed: int, seeds: Sequence[int], purpose: int) -> Words:
    """The data of `member_key` for each seed, uint32 [seeds, 2], without a program to compute it."""
    of_seeds = threefry.fold_in(threefry.key_of(base_seed), np.asarray(seeds, np.uint32))
    return threefry.fold_in(of_seeds, purpose)


def init_state(
    key: Array, hparams: Hparams, problem: Problem, input_shape: tuple[int, ...], num_classes: int
) -> TrainState:
    """The state before the first step.

    Args:
      key: of this seed, for the initial weights.
      hparams: those of the member, scalars.
      problem: its model is what is drawn.
      input_shape: of one example, before it is flattened.
      num_classes: logits per example.

    Returns:
      The initial parameters, also as the best ones, the optimizer's first state, and no check, stop or divergence.
    """
    params = jax.tree.map(without_weak_type, problem.model.init(key, hparams, input_shape, num_classes))
    opt_state = jax.tree.map(without_weak_type, make_optimizer(hparams).init(parted(params, problem.model)[0]))
    never = jnp.int32(-1)
    return TrainState(params, opt_state, params, jnp.float32(jnp.inf), never, never, never)


def without_weak_type(leaf: Array) -> Array:
    """The array without JAX's weak type, which a checkpoint does not keep and which would cost a compilation."""
    return jax.lax.convert_element_type(leaf, jnp.asarray(leaf).dtype)
