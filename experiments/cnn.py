"""Does what was found for dense networks hold for a convolutional one? Learning rates and dropout, on 5270 parameters.

Question: do larger rates train faster up to a point, and does dropout hurt a network as small as this, as they do in
lr_sweep and regularizers?
Source:   the claims of experiments/lr_sweep.py and experiments/regularizers.py, asked of another model.
Command:  python -m experiments.cnn --flagfile=experiments/flagfiles/cnn.cfg [--data_dir=...]
          On scikit-learn's digits, in seconds: --flagfile=experiments/flagfiles/cnn_digits.cfg

Notes: three convolutions 3x3 of stride 2, with 8, 12 and 16 channels, then dropout and a layer of ten outputs. The
convolutions are products of patches (jaxreg.convolve): many networks at once make XLA's own slow on a CPU.

Expected (MNIST, three seeds): without dropout 93.0, 96.1, 97.4 and 98.0 % right on test at the rates 0.01, 0.03, 0.1
and 0.3; at 1 two of three seeds end at chance. Half of the units dropped costs 0.4 to 0.7 points at 0.03, 0.1 and 0.3.
Three seeds leave both claims undecided; the five of cnn_digits.cfg support both.
Wall time: about 19 minutes of training and checks for cnn.cfg, one for cnn_digits.cfg, on 2 virtual cores of a shared
cloud machine (Intel Xeon), other work beside.
"""

from __future__ import annotations

import sys

import flax.linen as nn
import jax

from experiments import cli
from jaxreg.claims import Claim, Higher, Measure, Trend
from jaxreg.measures import steps_to_train
from jaxreg.nn.convolution import convolve
from jaxreg.nn.dropout import dropout
from jaxreg.study import Study
from jaxreg.training.flax_models import from_linen

CHANNELS = (8, 12, 16)


class CNN(nn.Module):
    """Convolutions of stride 2, then a layer on what is left of the image, of which units may be dropped."""

    @nn.compact
    def __call__(self, x: jax.Array, dropout_rate: jax.Array, train: bool) -> jax.Array:
        """Logits of images [batch, height, width, channels]."""
        for channels in CHANNELS:
            x = nn.relu(nn.Conv(channels, (3, 3), strides=2, conv_general_dilated=convolve)(x))
        x = x.reshape(len(x), -1)
        if train:  # a rate that is swept is a number of each member; nn.Dropout wants one that is fixed
            x = dropout(self.make_rng("dropout"), x, dropout_rate)
        return nn.Dense(10)(x)


SPEED = Measure("steps to a test accuracy of 0.9", lambda results: steps_to_train(results, 0.9), better="lower")
DENSE = "what holds for dense networks"
CLAIMS: tuple[Claim, ...] = (
    Trend("Larger rates need fewer steps.", SPEED, "learning_rate", "falls", {"dropout_rate": 0}, source=DENSE),
    Higher(
        "Half of the units dropped, the network ends worse than with all of them.",
        "final_test_accuracy",
        {"dropout_rate": 0, "learning_rate": 0.1},
        {"dropout_rate": 0.5, "learning_rate": 0.1},
        source=DENSE,
    ),
)
STUDY = Study(
    name="cnn",
    title="A convolutional network",
    question="Does what was found for dense networks hold for a convolutional one?",
    source="The claims of lr_sweep and regularizers, asked of another model.",
    claims=CLAIMS,
    model=from_linen(CNN(), flat=False),
)

if __name__ == "__main__":
    sys.exit(cli.main(STUDY))
