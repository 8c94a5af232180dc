"""Steps that follow from fractions and epochs, against arithmetic with whole numbers and fractions."""

from __future__ import annotations

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxreg.config import Experiment, Hparams
from jaxreg.config.steps import steps_before, steps_of_epochs
from jaxreg.config.sweeps import make_sweep
from jaxreg.nn.penalties import l1


@given(st.integers(0, 10**6), st.integers(0, 6), st.integers(1, 2**31 - 1))
def test_a_fraction_of_training_counts_as_the_decimal_it_is(numerator: int, digits: int, num_steps: int) -> None:
    fraction = Fraction(numerator % (10**digits + 1), 10**digits)
    first = steps_before(float(fraction), num_steps)
    assert first - 1 < fraction * num_steps <= first


@pytest.mark.parametrize(
    ("num_epochs", "num_examples", "batch_size", "steps"),
    [
        (50, 55_000, 32, 85_938),
        (0.07, 100, 1, 7),  # the product of the floats is above 7
        (1.1, 10, 1, 11),
        (0.3, 1000, 100, 3),
        (1.0000001, 100, 10, 11),  # a step is begun
        (1e-9, 1000, 100, 1),
        (4e6, 55_000, 100, 2_200_000_000),
    ],
)
def test_steps_of_epochs(num_epochs: float, num_examples: int, batch_size: int, steps: int) -> None:
    assert steps_of_epochs(num_epochs, num_examples, batch_size) == steps


def test_late_l1_sets_in_at_the_very_step_for_any_fraction_and_number_of_steps() -> None:
    """Of decimals on a step, just before and just behind one, up to 2 million steps, as a compiled program has it."""
    rng = np.random.default_rng(0)
    num_steps = rng.integers(1, 2 * 10**6, 3000)
    num_steps[:1000] = 10 ** rng.integers(1, 7, 1000)
    steps = rng.integers(1, num_steps + 1)
    nudge = rng.choice([0, 0, 1e-9, -1e-9, 1e-7, -1e-7], 3000)
    fractions = [float(f"{x:.9g}") for x in np.clip(steps / num_steps + nudge, 0, 1)]
    fractions[:1000] = [round(x, int(digits)) for x, digits in zip(fractions, rng.integers(1, 5, 1000), strict=False)]
    first = [-(-Fraction(repr(x)) * n // 1) for x, n in zip(fractions, num_steps.tolist(), strict=True)]

    def handed_over(fraction: float, num_steps: int) -> float:
        asked = Experiment(hparams=Hparams(l1_strength=1.0, l1_start=fraction, num_steps=num_steps))
        (group,) = make_sweep(asked, 1000).groups
        return float(np.asarray(group.stacked([0], 1).l1_start)[0])

    starts = np.array([handed_over(x, n) for x, n in zip(fractions, num_steps.tolist(), strict=True)], np.float32)
    params = ({"weights": jnp.ones((1, 1)), "bias": jnp.zeros(1)},)
    acts = jax.jit(jax.vmap(lambda step, start, n: l1(params, step, 1.0, start, n)))
    wholes = (jnp.asarray(starts), jnp.asarray(num_steps, jnp.int32))
    np.testing.assert_array_equal(acts(jnp.asarray(first, jnp.int32), *wholes), 1.0)
    np.testing.assert_array_equal(acts(jnp.asarray(first, jnp.int32) - 1, *wholes), 0.0)
