from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxreg.config import FIELDS
from jaxreg.nn.losses import LOSSES, correct, loss_named, sigmoid_cross_entropy, squared_error

COMPILED = {name: jax.jit(loss_named(name).function) for name in LOSSES}
LOGITS: Any = np.random.default_rng(0).normal(0, 3, (6, 4)).astype(np.float32)
LABELS: Any = np.array([0, 1, 2, 3, 0, 2], np.int32)

every_loss = pytest.mark.parametrize("name", LOSSES)
softmax = pytest.mark.parametrize("name", ["cross_entropy", "cross_entropy_on_probabilities"])


def test_the_table_has_the_names_that_flags_take() -> None:
    assert FIELDS["loss"].metadata["rule"].allowed == f"must be one of {', '.join(LOSSES)}"


def test_hand_worked_cross_entropy() -> None:
    # Logits log 1, log 2, log 5 have the probabilities 1/8, 2/8, 5/8.
    logits = np.log([[1, 2, 5]] * 3).astype(np.float32)
    np.testing.assert_allclose(COMPILED["cross_entropy"](logits, np.arange(3)), np.log([8, 4, 8 / 5]), rtol=1e-6)


def test_hand_worked_cross_entropy_on_probabilities() -> None:
    logits = np.log([[1, 2, 5]] * 3).astype(np.float32)
    log_sum = math.log(math.exp(1 / 8) + math.exp(2 / 8) + math.exp(5 / 8))
    expected = [log_sum - 1 / 8, log_sum - 2 / 8, log_sum - 5 / 8]
    np.testing.assert_allclose(COMPILED["cross_entropy_on_probabilities"](logits, np.arange(3)), expected, rtol=1e-6)


def test_hand_worked_squared_error() -> None:
    outputs = np.array([[0.5, 0.0, 2.0], [1.0, 0.0, 0.0]], np.float32)
    np.testing.assert_allclose(COMPILED["squared_error"](outputs, np.array([2, 0])), [1.25, 0], rtol=1e-6)
    numbers = np.array([[0.5, 1.0, 2.0], [0.0, 0.0, -2.0]], np.float32)
    np.testing.assert_allclose(COMPILED["squared_error"](outputs, numbers), [1, 5], rtol=1e-6)


def test_hand_worked_sigmoid_cross_entropy() -> None:
    # Logits of 0, log 3 and -log 4 have the sigmoids 1/2, 3/4 and 1/5.
    logits = np.log([[1, 3, 1 / 4]] * 2).astype(np.float32)
    expected = [np.log(2 * 4 * 5), np.log(2 * (4 / 3) * (5 / 4))]
    np.testing.assert_allclose(COMPILED["sigmoid_cross_entropy"](logits, np.array([2, 1])), expected, rtol=1e-6)
    yes_and_no = np.array([[0, 1, 0], [1, 1, 0]], np.float32)
    np.testing.assert_allclose(COMPILED["sigmoid_cross_entropy"](logits, yes_and_no), [expected[1]] * 2, rtol=1e-6)


@pytest.mark.parametrize("loss", [sigmoid_cross_entropy, squared_error])
def test_labels_as_numbers_are_their_classes_one_hot(loss: Any) -> None:
    one_hot = np.eye(4, dtype=np.float32)[LABELS]
    np.testing.assert_array_equal(loss(jnp.asarray(LOGITS), jnp.asarray(one_hot)), loss(jnp.asarray(LOGITS), LABELS))


@softmax
@pytest.mark.parametrize("classes", [2, 10])
def test_equal_logits_cost_log_classes(name: str, classes: int) -> None:
    logits, labels = np.full((3, classes), 2.5, np.float32), np.array([0, 1, classes - 1])
    np.testing.assert_allclose(COMPILED[name](logits, labels), np.full(3, math.log(classes)), rtol=1e-6)


def test_taking_the_softmax_twice_has_a_floor_and_a_ceiling() -> None:
    floor, ceiling = math.log(math.e + 9) - 1, math.log(math.e + 9)
    logits = np.random.default_rng(1).normal(0, 5, (200, 10)).astype(np.float32)
    labels = np.zeros(200, np.int32)
    logits[:2] = 1000 * np.eye(10)[:2]  # certain, and right; certain, and wrong
    losses = COMPILED["cross_entropy_on_probabilities"](logits, labels)
    np.testing.assert_allclose(losses[:2], [floor, ceiling], rtol=1e-6)
    assert (losses >= floor - 1e-6).all()
    assert (losses <= ceiling + 1e-6).all()
    assert round(floor, 3) == 1.461


@softmax
def test_a_shift_of_all_logits_changes_nothing(name: str) -> None:
    shifted, plain = (COMPILED[name](logits, LABELS) for logits in (LOGITS + np.float32(12), LOGITS))
    np.testing.assert_allclose(shifted, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in LOSSES if loss_named(name).units == "nats"])
def test_extreme_logits_have_finite_losses_and_gradients(name: str) -> None:
    rows = [[1e30, -1e30, 0], [-1e30, 1e30, 0], [1e30, 1e30, 1e30], [-1e30, -1e30, -1e30]]
    logits, labels = np.array(rows, np.float32), np.zeros(4, np.int32)
    losses = COMPILED[name](logits, labels)
    assert np.isfinite(losses).all()
    assert (losses >= 0).all()
    assert np.isfinite(jax.grad(lambda z: COMPILED[name](z, labels).sum())(logits)).all()


def test_gradient_is_probabilities_minus_one_hot() -> None:
    gradient = jax.grad(lambda z: COMPILED["cross_entropy"](z, LABELS).sum())(LOGITS)
    exponentials = np.exp(LOGITS.astype(np.float64))
    expected = exponentials / exponentials.sum(1, keepdims=True) - np.eye(4)[LABELS]
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)


@every_loss
def test_gradient_agrees_with_finite_differences(name: str) -> None:
    check_grads(lambda z: COMPILED[name](z, LABELS), (LOGITS,), order=1, modes=["rev"], rtol=0.01)


@every_loss
def test_jit_is_eager_and_vmap_is_a_loop(name: str) -> None:
    np.testing.assert_allclose(
        COMPILED[name](LOGITS, LABELS), loss_named(name).function(jnp.asarray(LOGITS), LABELS), rtol=1e-5
    )
    stacked = np.stack([LOGITS, -LOGITS])
    looped = np.stack([COMPILED[name](logits, LABELS) for logits in stacked])
    np.testing.assert_allclose(jax.vmap(COMPILED[name], (0, None))(stacked, LABELS), looped, rtol=1e-5)


@every_loss
def test_an_example_has_its_own_loss(name: str) -> None:
    losses, order = COMPILED[name](LOGITS, LABELS), np.array([3, 1, 5, 0, 2, 4])
    assert losses.shape == LABELS.shape
    np.testing.assert_array_equal(COMPILED[name](LOGITS[order], LABELS[order]), losses[order])


@every_loss
@pytest.mark.parametrize(
    "labels",
    [LABELS[:5], LABELS.astype(np.float32), np.eye(5, dtype=np.float32)[LABELS]],
    ids=["too few", "not whole", "of other outputs"],
)
def test_labels_that_do_not_fit_raise(name: str, labels: np.ndarray) -> None:
    with pytest.raises((AssertionError, TypeError, ValueError)):
        loss_named(name).function(jnp.asarray(LOGITS), jnp.asarray(labels))


def test_correct_is_the_largest_logit_the_first_of_equal_ones() -> None:
    logits = jnp.array([[0, 2, 1], [0, 2, 1], [3, 3, 0], [3, 3, 0], [-1, -5, -0.5]], jnp.float32)
    np.testing.assert_array_equal(correct(logits, jnp.array([1, 2, 0, 1, 2])), [True, False, True, False, True])


def test_of_yes_and_no_every_output_must_be_right() -> None:
    outputs = jnp.array([[0.6, 0.4], [0.6, 0.6], [0.5, 0.5]], jnp.float32)
    labels = jnp.array([[1, 0], [1, 0], [0, 0]], jnp.float32)
    np.testing.assert_array_equal(correct(outputs, labels), [True, False, True])
    np.testing.assert_array_equal(correct(outputs, labels, threshold=0.55), [True, False, True])
    np.testing.assert_array_equal(correct(outputs, labels, threshold=0.0), [False, False, False])
