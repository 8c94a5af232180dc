"""Does dropout help a small convolutional network? A model of one's own, with a rate that is swept.

Command:  jaxreg run cnn.py --dataset=digits --dropout_rate=0,0.2,0.5 --num_epochs=20 --learning_rate=0.1 --seeds=5
"""

import sys

import flax.linen as nn
import jax

import jaxreg
from experiments import cli
from jaxreg.claims import Best
from jaxreg.nn.dropout import dropout


class CNN(nn.Module):
    """Two convolutions of stride 2, then a layer on what is left of the image."""

    @nn.compact
    def __call__(self, x: jax.Array, dropout_rate: jax.Array, train: bool) -> jax.Array:
        """Logits of images [batch, height, width, channels]."""
        for channels in (8, 16):
            x = nn.relu(nn.Conv(channels, (3, 3), strides=2)(x))
        x = x.reshape(len(x), -1)
        if train:  # a rate that is swept is a number of each member; nn.Dropout wants one that is fixed
            x = dropout(self.make_rng("dropout"), x, dropout_rate)
        return nn.Dense(10)(x)


STUDY = jaxreg.Study(
    name="cnn",
    title="Dropout in a convolutional network",
    question="Does dropout help a small convolutional network?",
    claims=(Best("No dropout is best.", "final_test_accuracy", {"dropout_rate": 0}, "dropout_rate", "higher"),),
    model=jaxreg.from_linen(CNN(), flat=False),
)

if __name__ == "__main__":
    sys.exit(cli.main(STUDY))
