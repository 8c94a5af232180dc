"""When a member stops, and what it keeps: patience, best parameters, divergence. One member, as masks.

The rules; `jaxreg.training.member` applies them, divergence in `settle` and patience in `after_check`.

A halted member stays in its program and does not change; it costs as much as before until all members that are trained
side by side with it have halted. Where `--compaction` is on, the program is recompiled at half its width once the
members still training fit it.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxreg.config import Hparams

DIVERGED_LOSS = 1e4  # nats: a training loss above it counts as diverged


def is_bounded(loss: Array, objective: Array, limit: float = DIVERGED_LOSS) -> Array:
    """Whether a step is well by its losses: both are finite, and the loss is not above a limit.

    Args:
      loss: [] mean over the batch before the step.
      objective: [] the same with penalties.
      limit: static; infinity for none.

    Returns:
      [] bool.
    """
    return jnp.isfinite(objective) & (loss <= limit if math.isfinite(limit) else jnp.isfinite(loss))


def is_finite(params: Any) -> Array:
    """Whether every parameter is finite, [] bool.

    A parameter that is not will not become finite again: an update is added to it, and infinity plus anything is
    infinite or NaN. The max-norm projection scales, and makes NaN of infinity. So this may be asked once for several
    steps.
    """
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(params)]))


def is_halted(hparams: Hparams, stopped_check: Array, diverged_step: Array) -> Array:
    """Whether a member no longer trains: it diverged, or its patience ran out and `after_stop` says halt.

    Args:
      hparams: only `after_stop` is read.
      stopped_check: [] int32, the check at which patience ran out, -1 if it has not.
      diverged_step: [] int32, the step that diverged, -1 for none.

    Returns:
      [] bool.
    """
    diverged = diverged_step >= 0
    return diverged | (stopped_check >= 0) if hparams.after_stop == "halt" else diverged


def improves(validation_loss: Array, best_loss: Array) -> Array:
    """Whether a validation loss, [] in nats, is strictly lower than the best one so far; NaN never is.

    References: Prechelt (1998), Early stopping - but when?
    """
    return validation_loss < best_loss


def patience_is_out(patience: ArrayLike, check: Array, best_check: Array) -> Array:
    """Whether `patience` checks have gone by without improvement: check - best_check >= patience > 0.

    Args:
      patience: [] in checks; 0 is never out.
      check: [] int32, this one.
      best_check: [] int32, the one with the lowest validation loss so far, -1 for none: waiting begins at check 0.

    Returns:
      [] bool.
    """
    waited = check - jnp.maximum(best_check, 0)
    return (jnp.asarray(patience) > 0) & (waited >= patience)


def select(condition: Array, new: Any, old: Any) -> Any:
    """The new tree where the condition holds, the old one elsewhere."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)
