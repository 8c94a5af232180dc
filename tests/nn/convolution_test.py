"""Convolutions as products of patches, against XLA's."""

from __future__ import annotations

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxreg.nn.convolution import convolve

CASES = [
    ((3, 3), (1, 1), "SAME"),
    ((3, 3), (2, 2), "SAME"),
    ((2, 4), (1, 3), "VALID"),
    ((5,), (2,), "SAME"),
    ((3, 3), (1, 1), ((2, 0), (1, 3))),
]


@pytest.mark.parametrize(("kernel", "strides", "padding"), CASES)
def test_it_is_the_convolution_with_its_gradients(kernel: Any, strides: Any, padding: Any) -> None:
    keys = jax.random.split(jax.random.key(0), 2)
    x = jax.random.normal(keys[0], (2, *(9, 8)[: len(kernel)], 3))
    w = jax.random.normal(keys[1], (*kernel, 3, 4))
    letters = "HW"[: len(kernel)]
    numbers = jax.lax.conv_dimension_numbers(x.shape, w.shape, (f"N{letters}C", f"{letters}IO", f"N{letters}C"))

    def total(function: Any, x: Any, w: Any) -> Any:
        y = function(x, w, strides, padding, dimension_numbers=numbers)
        return jnp.sum(jnp.sin(y)), y

    ours, theirs = (
        jax.value_and_grad(lambda x, w, f=f: total(f, x, w), (0, 1), has_aux=True)(x, w)
        for f in (convolve, jax.lax.conv_general_dilated)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), ours, theirs)


def test_flax_takes_it() -> None:
    x = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
    linen: Any = functools.partial(nn.Conv, 4, (3, 3), strides=2)
    plain, ours = linen(), linen(conv_general_dilated=convolve)
    params = plain.init(jax.random.key(1), x)
    np.testing.assert_allclose(ours.apply(params, x), plain.apply(params, x), rtol=1e-4, atol=1e-5)
    make: Any = functools.partial(nnx.Conv, 3, 4, (3, 3))
    first, second = (make(rngs=nnx.Rngs(0), **how)(x) for how in ({}, {"conv_general_dilated": convolve}))
    np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)


def test_what_it_does_not_do_is_refused() -> None:
    x, w = jnp.ones((1, 5, 5, 2)), jnp.ones((3, 3, 1, 2))
    with pytest.raises(NotImplementedError, match="feature_group_count=2"):
        convolve(x, w, (1, 1), "SAME", feature_group_count=2)
    with pytest.raises(NotImplementedError, match="rhs_dilation"):
        convolve(x, w, (1, 1), "SAME", rhs_dilation=(2, 2))
    with pytest.raises(NotImplementedError, match="out_sharding"):
        convolve(x, w, (1, 1), "SAME", out_sharding="somewhere")


def test_the_type_of_the_result_may_be_asked_for() -> None:
    x, w = jnp.ones((1, 5, 5, 1), jnp.bfloat16), jnp.ones((3, 3, 1, 2), jnp.bfloat16)
    assert convolve(x, w, (1, 1), "SAME").dtype == jnp.bfloat16
    assert convolve(x, w, (1, 1), "SAME", preferred_element_type=jnp.float32).dtype == jnp.float32
