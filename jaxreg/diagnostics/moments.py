"""The moments of Adam, read off Optax's state at every recorded step of training."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jaxreg.diagnostics.watch import Variable, View, Watch
from jaxreg.training.state import TrainState


def adam_moments(view: View) -> dict[str, Array]:
    """Means over the parameters of v_t and of g_t^2 after step t, [] float32 each; NaN without Adam.

    The gradient of the step is recovered from the first moments m, as g_t = (m_t - beta1 m_(t-1)) / (1 - beta1): from
    the first, not the second, since 1 - beta1 amplifies their rounding a hundred times less.

    References: Kingma and Ba (2015), Adam, algorithm 1.
    """
    moments = [_flat(state, name) for state, name in ((view.before, "mu"), (view.state, "mu"), (view.state, "nu"))]
    if not all(leaves.size for leaves in moments):
        return {"second_moment": jnp.float32(jnp.nan), "squared_gradient": jnp.float32(jnp.nan)}
    earlier, first, second = moments
    gradient = (first - view.hparams.beta1 * earlier) / (1 - view.hparams.beta1)
    return {"second_moment": jnp.mean(second), "squared_gradient": jnp.mean(jnp.square(gradient))}


def _flat(state: TrainState, name: str) -> Array:
    """A moment of Adam, all parameters in one vector; empty where the optimizer keeps none."""
    found = optax.tree_utils.tree_get_all_with_path(state.opt_state, name)
    leaves = [jnp.ravel(leaf) for _, moment in found for leaf in jax.tree.leaves(moment)]
    return jnp.concatenate(leaves) if leaves else jnp.zeros(0)


ADAM_MOMENTS = Watch(
    "adam_moments",
    {
        "second_moment": Variable("nats^2", "v_t of Optax's Adam after the step, mean over the parameters", ("step",)),
        "squared_gradient": Variable("nats^2", "g_t^2 of the batch of the step, mean over the parameters", ("step",)),
    },
    adam_moments,
    at="steps",
)
"""Adam's second moment and squared gradient at every recorded step; NaN for members that train without Adam."""
