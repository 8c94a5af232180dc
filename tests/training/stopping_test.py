from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxreg.config import Hparams
from jaxreg.training.member import Metrics, after_check
from jaxreg.training.problem import Problem
from jaxreg.training.state import TrainState, init_state
from jaxreg.training.stopping import diverges, improves, is_halted, patience_is_out

MODEL = Hparams(hidden_sizes=(), init="zeros", init_variance=1.0, num_steps=10)
START = init_state(jax.random.key(0), MODEL, Problem(), (2,), 3)


@jax.jit
def check(state: TrainState, patience: Any, loss: Any, number: Any) -> TrainState:
    hparams = MODEL.replace(patience=patience)
    return after_check(state, hparams, Metrics(loss, jnp.float32(0)), number)


def stops(losses: list[float], patience: int) -> tuple[int, int]:
    """(stopped_check, best_check) after these validation losses."""
    state = START
    for number, loss in enumerate(losses):
        state = check(state, jnp.float32(patience), jnp.float32(loss), jnp.int32(number))
    return int(state.stopped_check), int(state.best_check)


@pytest.mark.parametrize(
    ("losses", "patience", "expected"),
    [
        ([3, 2, 1, 1, 1, 1], 2, (4, 2)),  # an equal loss is no improvement
        ([3, 2, 1, 2, 0.5, 2, 2, 0.1], 2, (6, 4)),  # the window begins anew, and what comes after the stop is not seen
        ([3, 2, 1, 2, 0.5, 2, 2, 0.1], 3, (-1, 7)),
        ([1, 2, 3, 4], 0, (-1, 0)),  # off
        ([1, 2], 1, (1, 0)),
        ([np.nan, np.nan, np.nan], 2, (2, -1)),  # waiting begins at check 0
        ([1, np.nan, np.nan, 0.5], 3, (-1, 3)),
    ],
)
def test_patience_by_hand(losses: list[float], patience: int, expected: tuple[int, int]) -> None:
    assert stops(losses, patience) == expected


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.integers(1, 4))
def test_a_member_stops_at_the_first_check_that_is_patience_away_from_the_best(
    losses: list[int], patience: int
) -> None:
    bests = [int(np.argmin(losses[: c + 1])) for c in range(len(losses))]
    expected = next((c for c, best in enumerate(bests) if c - best >= patience), -1)
    stopped, best = stops([float(loss) for loss in losses], patience)
    assert stopped == expected
    assert best == bests[stopped]


def test_under_continue_the_stop_is_recorded_and_the_best_goes_on() -> None:
    going_on = MODEL.replace(after_stop="continue", patience=1)
    state = START
    for number, loss in enumerate([2.0, 3.0, 1.0, 4.0]):
        state = after_check(state, going_on, Metrics(jnp.float32(loss), jnp.float32(0)), jnp.int32(number))
    assert (int(state.stopped_check), int(state.best_check)) == (1, 2)
    assert not is_halted(going_on, state.stopped_check, state.diverged_step)
    assert is_halted(MODEL, state.stopped_check, state.diverged_step)


def test_divergence_halts_under_either_rule() -> None:
    for after_stop in ("halt", "continue"):
        hparams = MODEL.replace(after_stop=after_stop)
        assert is_halted(hparams, jnp.int32(-1), jnp.int32(0))
        assert not is_halted(hparams, jnp.int32(-1), jnp.int32(-1))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_diverges(bad: float) -> None:
    fine: Any = {"weights": jnp.ones(3)}
    assert not diverges(jnp.float32(1), jnp.float32(1), fine)
    assert diverges(jnp.float32(bad), jnp.float32(bad), fine)
    assert diverges(jnp.float32(1), jnp.float32(bad), fine)
    assert diverges(jnp.float32(1), jnp.float32(1), {"weights": jnp.array([1.0, bad])})


def test_nan_never_improves_and_an_array_of_members_is_judged_at_once() -> None:
    assert not improves(jnp.float32(np.nan), jnp.float32(np.inf))
    out = patience_is_out(jnp.array([0.0, 1.0, 3.0]), jnp.int32(3), jnp.array([0, 2, 1]))
    np.testing.assert_array_equal(out, [False, True, False])
