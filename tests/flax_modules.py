"""Small Flax modules for 8x8 digits, for tests of models of one's own."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
from flax import nnx
from jax import Array

from jaxreg.nn.dropout import dropout


class Dense(nn.Module):
    """Two layers, with Flax's dropout between them."""

    @nn.compact
    def __call__(self, x: Array, *, deterministic: bool) -> Array:
        x = nn.relu(nn.Dense(12)(x))
        return nn.Dense(10)(nn.Dropout(0.2)(x, deterministic=deterministic))


class Convolutional(nn.Module):
    """A convolution of images, then dropout at a rate that is swept."""

    channels: int = 3

    @nn.compact
    def __call__(self, x: Array, dropout_rate: Array, *, train: bool) -> Array:
        x = nn.relu(nn.Conv(self.channels, (3, 3), strides=2)(x))
        x = x.reshape(len(x), -1)
        if train:
            x = dropout(self.make_rng("dropout"), x, dropout_rate)
        return nn.Dense(10)(x)


class BatchNormed(nn.Module):
    """Batch norm between two layers."""

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(nn.Dense(12)(x))
        return nn.Dense(10)(nn.relu(x))


class Residual(nn.Module):
    """Two convolutions with batch norm, around which the image passes."""

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        x = nn.Conv(4, (3, 3), strides=2)(x)
        y = nn.relu(nn.BatchNorm(use_running_average=not train)(x))
        y = nn.Conv(4, (3, 3))(y)
        return nn.Dense(10)(nn.relu(x + y).mean((1, 2)))


class NnxDense(nnx.Module):
    """Two layers in NNX, with its dropout between them."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.first, self.last = nnx.Linear(64, 12, rngs=rngs), nnx.Linear(12, 10, rngs=rngs)
        self.dropout = nnx.Dropout(0.2, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        logits: Array = self.last(self.dropout(nnx.relu(self.first(x))))
        return logits


class NnxBatchNormed(nnx.Module):
    """Batch norm between two layers, in NNX."""

    def __init__(self, rngs: nnx.Rngs, width: int = 12) -> None:
        self.first, self.last = nnx.Linear(64, width, rngs=rngs), nnx.Linear(width, 10, rngs=rngs)
        self.norm = nnx.BatchNorm(width, rngs=rngs, momentum=0.9)

    def __call__(self, x: Array) -> Any:
        return self.last(nnx.relu(self.norm(self.first(x))))
