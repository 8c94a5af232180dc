"""When a member stops, and what it keeps: patience, best parameters, divergence. One member, as masks.

The rules; `jaxreg.training.member` applies them, divergence in `update` and patience in `after_check`.

A halted member stays in its program and costs as much as before, but does not change; where `--compaction` is
on, the program is recompiled at half its width once the members still training fit it.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxreg.config import Hparams

DIVERGED_LOSS = 1e4  # nats: a training loss above it counts as diverged


def diverges(loss: Array, objective: Array, params: Any) -> Array:
    """Whether a step diverges: a loss, objective or parameter that is not finite, or a loss above 1e4 nats.

    Args:
      loss: [] mean over the batch before the step, in nats.
      objective: [] the same with penalties.
      params: those after the step.

    Returns:
      [] bool.
    """
    return ~(jnp.isfinite(objective) & (loss <= DIVERGED_LOSS) & _all_finite(params))


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


def _all_finite(params: Any) -> Array:
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(params)]))
