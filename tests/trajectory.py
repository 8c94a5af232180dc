"""One member followed step by step on the digits, for tests that look at every step."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxreg.config import DataConfig, Hparams
from jaxreg.data import load
from jaxreg.training.batches import batch_indices, round_keys
from jaxreg.training.member import update
from jaxreg.training.problem import Problem, with_terms
from jaxreg.training.state import DROPOUT, INIT, TRAIN_ORDER, TrainState, init_state, keys_on_host, member_key

FEATURES, CLASSES = 64, 10


@functools.partial(jax.jit, static_argnames="seed")
def start(hparams: Hparams, seed: int = 0) -> TrainState:
    """The state in which a seed begins."""
    return init_state(member_key(0, seed, INIT), hparams, Problem(), (FEATURES,), CLASSES)


def batches(batch_size: int, num_steps: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """What a seed sees: inputs [step, batch, features] and labels [step, batch]."""
    train = load(DataConfig()).train
    rows = first_rows(seed, num_steps, batch_size, len(train.labels))
    return np.asarray(train.inputs)[rows], np.asarray(train.labels)[rows]


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def first_rows(seed: int, num_steps: int, batch_size: int, num_examples: int) -> jax.Array:
    """The examples of the first steps of a seed, [step, batch]."""
    sizes = num_steps, batch_size, num_examples
    return batch_indices(round_keys(keys_on_host(0, [seed], TRAIN_ORDER)[0], 0, *sizes), 0, *sizes)


def follow(hparams: Hparams, terms: str, num_steps: int, seed: int = 0) -> tuple[Any, np.ndarray]:
    """The parameters after every step, [step, ...], and the training loss of every step, [step]."""
    steps = jnp.arange(num_steps, dtype=jnp.int32)
    params, losses = _scan(terms)(
        start(hparams, seed),
        hparams,
        member_key(0, seed, DROPOUT),
        steps,
        *batches(hparams.batch_size, num_steps, seed),
    )
    return jax.device_get(params), np.asarray(losses)


@functools.cache
def _scan(terms: str) -> Any:
    problem = with_terms(Problem(), terms)

    @jax.jit
    def scan(state: TrainState, hparams: Hparams, noise: jax.Array, steps: jax.Array, *examples: Any) -> Any:
        def one(state: TrainState, x: Any) -> Any:
            step, inputs, labels = x
            state, metrics = update(state, hparams, problem, inputs, labels, step, noise)
            return state, (state.params, metrics.loss)

        return jax.lax.scan(one, state, (steps, *examples))[1]

    return scan
