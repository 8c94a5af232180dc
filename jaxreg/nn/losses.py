"""Losses of one batch: outputs [batch, outputs] and labels -> [batch]. Reductions are named where they are taken.

Labels are classes, int32 [batch], or numbers, float32 [batch, outputs]: values to come close to, or yes and no as 1
and 0.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.typing import ArrayLike

Function = Callable[..., Array]  # (outputs, labels, hyperparameters) -> [batch]


@dataclasses.dataclass(frozen=True)
class Loss:
    """A loss.

    Attributes:
      function: (outputs [batch, outputs], labels) -> [batch]; further parameters are hyperparameters by name.
      units: of what it returns: "nats", or "1" where it is none of the units that results name.
      takes_numbers: whether labels may be numbers, and not classes only.
      of_targets: (outputs, targets) -> [batch], the same loss for a target of each output, [batch, outputs], which for
        a class are 1 and 0; hyperparameters as in `function`. What smoothed labels go to; None where there is no such.
      threshold: the output above which a yes is said, for labels that are yes and no.
      probabilities: outputs -> the probability of each class, [batch, outputs]; None where they have no such meaning.
    """

    function: Function
    units: str = "1"
    takes_numbers: bool = True
    threshold: float = 0.5
    probabilities: Callable[[Array], Array] | None = None
    of_targets: Function | None = None


def cross_entropy(logits: Array, labels: Array) -> Array:
    """-log softmax(logits)[label] per example: >= 0, log(classes) for equal logits."""
    return optax.losses.softmax_cross_entropy_with_integer_labels(logits, labels)


def cross_entropy_on_probabilities(logits: Array, labels: Array) -> Array:
    """Cross-entropy that takes the softmax twice: -log softmax(softmax(logits))[label] per example.

    Its lowest value is log(e + classes - 1) - 1, about 1.461 for ten classes: a network cannot get under it.
    """
    return cross_entropy(jax.nn.softmax(logits), labels)


def sigmoid_cross_entropy(logits: Array, labels: Array) -> Array:
    """-sum_k [y_k log s_k + (1 - y_k) log(1 - s_k)] per example, s = sigmoid(logits): outputs x log 2 for logits of 0.

    y is 1 for the class of the example and 0 for the others, or the labels themselves, each in [0, 1].

    References: Nielsen (2015), Neural Networks and Deep Learning, equation 63.
    """
    return jnp.sum(optax.losses.sigmoid_binary_cross_entropy(logits, targets_of(logits, labels)), axis=-1)


def squared_error(outputs: Array, labels: Array) -> Array:
    """sum_k (output_k - y_k)^2 per example; y is 1 for the class and 0 for the others, or the labels themselves."""
    return jnp.sum(jnp.square(outputs - targets_of(outputs, labels)), axis=-1)


def targets_of(outputs: Array, labels: Array) -> Array:
    """What each output should be, [batch, outputs]: one-hot classes, or numbers as they are.

    Raises:
      ValueError: the labels are neither whole numbers [batch] nor numbers of the shape of the outputs.
    """
    if labels.ndim == 1 and jnp.issubdtype(labels.dtype, jnp.integer):
        labels = jax.nn.one_hot(labels, outputs.shape[-1], dtype=outputs.dtype)
    if labels.shape != outputs.shape:
        raise ValueError(f"labels: {labels.dtype}{list(labels.shape)} does not fit outputs {list(outputs.shape)}")
    return labels


def smoothed(targets: Array, label_smoothing: ArrayLike) -> Array:
    """(1 - s) y + s / outputs: a share s of each target y, [batch, outputs], spread evenly over the outputs.

    References: Szegedy et al. (2016), Rethinking the Inception architecture for computer vision, section 7.
    """
    share = jnp.asarray(label_smoothing)
    return (1 - share) * targets + share / targets.shape[-1]


def correct(outputs: Array, labels: Array, threshold: float = 0.5) -> Array:
    """Whether an example is right, [batch] bool.

    Of classes: whether the largest output is that of the label; the first of equal ones counts as the largest. Of
    numbers, which are then yes and no: whether each output lies above the threshold where its label is 1, and not
    above where it is 0.
    """
    if labels.ndim == 2:
        return jnp.all((outputs > threshold) == (labels > 0.5), axis=-1)
    return jnp.argmax(outputs, axis=-1) == labels


LOSSES: dict[str, Loss | Function] = {
    "cross_entropy": Loss(
        cross_entropy,
        "nats",
        takes_numbers=False,
        probabilities=jax.nn.softmax,
        of_targets=lambda logits, targets: optax.losses.softmax_cross_entropy(logits, targets),
    ),
    "cross_entropy_on_probabilities": Loss(
        cross_entropy_on_probabilities,
        "nats",
        takes_numbers=False,
        probabilities=jax.nn.softmax,
        of_targets=lambda logits, targets: optax.losses.softmax_cross_entropy(jax.nn.softmax(logits), targets),
    ),
    "sigmoid_cross_entropy": Loss(
        sigmoid_cross_entropy,
        "nats",
        threshold=0.0,
        probabilities=jax.nn.sigmoid,
        of_targets=sigmoid_cross_entropy,
    ),
    "squared_error": Loss(squared_error, of_targets=squared_error),
}
"""By name; a plain function may stand for a `Loss` of which nothing else is known."""


def loss_named(name: str) -> Loss:
    """The loss of a name."""
    entry = LOSSES[name]
    return entry if isinstance(entry, Loss) else Loss(entry)
