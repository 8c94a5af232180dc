"""Does it help to look away from what is learned already? A loss of one's own, with a hyperparameter of its own.

Command:  jaxreg run focal_loss.py --dataset=digits --focus=0,1,3 --learning_rate=0.1,0.3 --seeds=5
"""

import sys

import jax
import jax.numpy as jnp

import jaxreg
from experiments import cli
from jaxreg.claims import Trend
from jaxreg.config import number
from jaxreg.nn.losses import LOSSES, Loss, cross_entropy

jaxreg.add_hyperparameter(
    "focus", 0.0, number(0), "How much less an example counts that is certain.", subject="training"
)


def focal(logits: jax.Array, labels: jax.Array, focus: jax.Array) -> jax.Array:
    """-(1 - p)^focus log p of the class of each example (Lin et al. 2017)."""
    loss = cross_entropy(logits, labels)
    return jnp.maximum(1 - jnp.exp(-loss), 1e-6) ** focus * loss


LOSSES["focal"] = Loss(focal, "nats", takes_numbers=False, probabilities=jax.nn.softmax)
STUDY = jaxreg.Study(
    name="focal_loss",
    title="Focal loss",
    question="Does it help to look away from what is learned already?",
    claims=(Trend("More focus ends with a higher accuracy.", "final_test_accuracy", "focus", "rises"),),
)

if __name__ == "__main__":
    sys.exit(cli.main(STUDY))
