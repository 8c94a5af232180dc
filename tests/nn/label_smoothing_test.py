"""Label smoothing: the targets, and what it changes of a step."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from jaxreg.config import Hparams
from jaxreg.errors import ConfigError
from jaxreg.nn.losses import LOSSES, Loss, loss_named, smoothed, targets_of
from jaxreg.training.member import loss_of, smoothed_loss
from tests.training_run import experiment, train

OUTPUTS = jnp.asarray(np.random.default_rng(0).normal(size=(5, 4)), jnp.float32)
LABELS = jnp.array([0, 3, 1, 1, 2])


def test_targets_of_a_class_keep_their_sum() -> None:
    targets = smoothed(targets_of(OUTPUTS, LABELS), 0.2)
    np.testing.assert_allclose(targets[0], [0.85, 0.05, 0.05, 0.05], rtol=1e-6)
    np.testing.assert_allclose(targets.sum(1), 1, rtol=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_share_of_none_is_the_loss_itself(loss: str) -> None:
    hparams = Hparams(loss=loss)
    plain = loss_of(hparams)(OUTPUTS, LABELS).mean()
    np.testing.assert_allclose(smoothed_loss(hparams, OUTPUTS, LABELS), plain, rtol=1e-6)


def test_of_the_cross_entropy_it_is_a_mixture_of_the_losses_of_all_classes() -> None:
    """(1 - s) CE(label) + s mean over classes of CE(class)."""
    hparams = Hparams(label_smoothing=0.3)
    log_p = OUTPUTS - jnp.log(jnp.sum(jnp.exp(OUTPUTS), axis=1, keepdims=True))
    expected = 0.7 * -log_p[jnp.arange(5), LABELS] + 0.3 * -log_p.mean(axis=1)
    np.testing.assert_allclose(smoothed_loss(hparams, OUTPUTS, LABELS), expected.mean(), rtol=1e-5)


def test_the_training_loss_is_that_of_the_labels_as_they_are() -> None:
    results = train(experiment({"label_smoothing": [0.0, 0.4]}, num_steps=4, eval_every=4))
    loss, objective = (results[name].isel(seed=0) for name in ("train_loss", "train_objective"))
    assert (loss.isel(step=0) == loss.isel(step=0)[0]).all()
    np.testing.assert_allclose(loss.sel(label_smoothing=0.0), objective.sel(label_smoothing=0.0), rtol=1e-6)
    assert (loss.sel(label_smoothing=0.4) != objective.sel(label_smoothing=0.4)).all()


def test_a_loss_that_takes_no_targets_is_refused_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    own = dataclasses.replace(loss_named("cross_entropy"), of_targets=None)
    assert isinstance(own, Loss)
    monkeypatch.setitem(LOSSES, "mine", own)
    known = r"cross_entropy, .*squared_error; do without it"
    with pytest.raises(ConfigError, match=rf"^--label_smoothing=0.1: smooths classes, under --loss={known}"):
        train(experiment(loss="mine", label_smoothing=0.1))
