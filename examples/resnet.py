"""Does batch normalisation let larger steps train? A ResNet of eight layers in Flax Linen, with and without it.

Command:  jaxreg run resnet.py --dataset=digits --norm=none,batch --learning_rate=0.03,0.3,1 --num_steps=100 --seeds=3
"""

import sys

import flax.linen as nn
import jax

import jaxreg
from experiments import cli
from jaxreg.claims import Higher
from jaxreg.config import one_of

NORMS = ("batch", "none")
jaxreg.add_hyperparameter("norm", "batch", one_of(NORMS), "What normalises after each convolution.", static=True)


class Block(nn.Module):
    """x + f(x), f two convolutions 3x3, and x brought to the shape of f(x) where that differs (He et al. 2016)."""

    channels: int
    stride: int
    norm: str

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Of images [batch, height, width, channels]."""

        def convolved(x: jax.Array, size: int, stride: int) -> jax.Array:
            bias = self.norm == "none"
            convolution = nn.Conv(
                self.channels, (size, size), stride, use_bias=bias, conv_general_dilated=jaxreg.convolve
            )
            x = convolution(x)
            return x if bias else nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)

        y = convolved(nn.relu(convolved(x, 3, self.stride)), 3, 1)
        if y.shape != x.shape:
            x = convolved(x, 1, self.stride)
        return nn.relu(x + y)


class ResNet(nn.Module):
    """A convolution, three blocks, each but the first on half the image, and a layer on the mean over what is left."""

    norm: str
    channels: int = 8

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Logits of images [batch, height, width, channels]."""
        x = nn.relu(nn.Conv(self.channels, (3, 3), conv_general_dilated=jaxreg.convolve)(x))
        for number in range(3):
            x = Block(2**number * self.channels, 1 if number == 0 else 2, self.norm)(x, train)
        return nn.Dense(10)(x.mean((1, 2)))


def resnet(norm: str) -> ResNet:
    """The network for a value of the hyperparameter."""
    return ResNet(norm)


STUDY = jaxreg.Study(
    name="resnet",
    title="Batch normalisation",
    question="Does batch normalisation let larger steps train?",
    claims=(
        Higher(
            "At a large step it ends with a higher accuracy.",
            "final_test_accuracy",
            {"norm": "batch", "learning_rate": 1.0},
            {"norm": "none", "learning_rate": 1.0},
        ),
    ),
    model=jaxreg.from_linen(resnet, flat=False),
)

if __name__ == "__main__":
    sys.exit(cli.main(STUDY))
