"""Convolutions as products of patches, which many members at once compute faster on a CPU.

Under `vmap` over members a convolution becomes one with a group for each of them, and its gradient another, for which
XLA has no fast code on a CPU. Patches times kernels are products of matrices instead, for which it has.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

_OF_PRODUCTS = ("precision", "preferred_element_type")  # arguments that are those of a product, too


def convolve(
    lhs: Array, rhs: Array, window_strides: Sequence[int], padding: str | Sequence[tuple[int, int]], **options: Any
) -> Array:
    """What `jax.lax.conv_general_dilated` computes, as a product of patches of the inputs with the kernel.

    y[b, i, j, o] = sum over k, l and c of x[b, s i + k, s' j + l, c] w[k, l, c, o], x padded. For Flax:
    `nn.Conv(..., conv_general_dilated=jaxreg.convolve)`, in Linen and in NNX.

    Args:
      lhs: the inputs, [batch, height, width, channels], or any number of spatial axes in place of the two.
      rhs: the kernel, [kernel height, kernel width, channels, features].
      window_strides: along each spatial axis.
      padding: "SAME", "VALID", or what to add before and behind along each spatial axis.
      options: the other arguments of `conv_general_dilated`, at their defaults but for the layout above, for
        `precision` and for `preferred_element_type`.

    Returns:
      [batch, height, width, features].

    Raises:
      NotImplementedError: dilation, groups, another layout, or anything else; `jax.lax.conv_general_dilated` has them.
    """
    spatial = lhs.ndim - 2
    layout = jax.lax.ConvDimensionNumbers(
        *((axes := (0, spatial + 1, *range(1, spatial + 1))), (spatial + 1, spatial, *range(spatial)), axes)
    )
    usual: dict[str, Any] = {"feature_group_count": 1, "batch_group_count": 1, "dimension_numbers": layout}
    usual |= {"lhs_dilation": (1,) * spatial, "rhs_dilation": (1,) * spatial}
    for name, value in options.items():
        given = tuple(value) if name.endswith("dilation") and value is not None else value
        if name not in _OF_PRODUCTS and given not in (usual.get(name), None):
            raise NotImplementedError(f"{name}={value}: convolve has none; take jax.lax.conv_general_dilated")

    kernel, strides = rhs.shape[:spatial], tuple(window_strides)
    if isinstance(padding, str):
        padding = jax.lax.padtype_to_pads(lhs.shape[1:-1], kernel, strides, padding)
    padded = jnp.pad(lhs, ((0, 0), *padding, (0, 0)))
    sizes = [(n - k) // s + 1 for n, k, s in zip(padded.shape[1:-1], kernel, strides, strict=True)]

    def shifted(offsets: tuple[int, ...]) -> Array:
        """The input that entry `offsets` of the kernel sees at each place of the output."""
        ends = [first + (n - 1) * s + 1 for first, n, s in zip(offsets, sizes, strides, strict=True)]
        start, stop = (0, *offsets, 0), (padded.shape[0], *ends, padded.shape[-1])
        return jax.lax.slice(padded, start, stop, (1, *strides, 1))

    patches = jnp.concatenate([shifted(offsets) for offsets in itertools.product(*map(range, kernel))], axis=-1)
    of_products = {name: options.get(name) for name in _OF_PRODUCTS}
    return jnp.matmul(patches, rhs.reshape(-1, rhs.shape[-1]), **of_products)
