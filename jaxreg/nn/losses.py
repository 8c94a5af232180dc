"""Losses of one batch, [batch, classes] and [batch] -> [batch], in nats. Reductions are named where they are taken."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax import Array

Loss = Callable[..., Array]  # (logits, labels, hyperparameters) -> nats per example


def cross_entropy(logits: Array, labels: Array) -> Array:
    """-log softmax(logits)[label] per example: >= 0, log(classes) for equal logits."""
    return optax.losses.softmax_cross_entropy_with_integer_labels(logits, labels)


def cross_entropy_on_probabilities(logits: Array, labels: Array) -> Array:
    """Cross-entropy that takes the softmax twice: -log softmax(softmax(logits))[label] per example.

    Its lowest value is log(e + classes - 1) - 1, about 1.461 for ten classes: a network cannot get under it.
    """
    return cross_entropy(jax.nn.softmax(logits), labels)


def correct(logits: Array, labels: Array) -> Array:
    """Whether the largest logit is that of the label, per example; the first of equal ones counts as the largest."""
    return jnp.argmax(logits, axis=-1) == labels


LOSSES: dict[str, Loss] = {
    "cross_entropy": cross_entropy,
    "cross_entropy_on_probabilities": cross_entropy_on_probabilities,
}
"""By name; parameters after (logits, labels) are hyperparameters by name."""
