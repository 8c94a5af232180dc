"""Regularisers, losses and activations against PyTorch: the same initial weights, batches and masks, 100 steps."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxreg.config import Hparams
from jaxreg.nn.dropout import dropout
from jaxreg.nn.regularisers import REGULARISERS, compiled_terms
from jaxreg.training.state import DROPOUT, member_key
from tests.trajectory import CLASSES, FEATURES, batches, follow, start

torch: Any = pytest.importorskip("torch")

STEPS, RATE = 100, 0.3
SHARED = Hparams(hidden_sizes=(16,), activation="relu", batch_size=20, learning_rate=RATE, init="he", init_variance=1.0)


def masks(batch_size: int, units: int, place: int, rate: float) -> np.ndarray:
    """The factors that dropout draws for seed 0, [step, batch, units]; `place` is the number of the layer."""
    noise, ones = member_key(0, 0, DROPOUT), jnp.ones((batch_size, units))

    def one(step: jax.Array) -> jax.Array:
        return dropout(jax.random.fold_in(jax.random.fold_in(noise, step), jnp.uint32(place)), ones, rate)

    return np.asarray(jax.jit(jax.vmap(one))(jnp.arange(STEPS)))


def torch_loss(hparams: Hparams, outputs: Any, labels: Any, smoothing: float = 0.0) -> Any:
    """The mean loss of a batch by PyTorch's own functions."""
    functional = torch.nn.functional
    if hparams.loss == "cross_entropy":
        return functional.cross_entropy(outputs, labels, label_smoothing=smoothing)
    targets = (1 - smoothing) * functional.one_hot(labels, CLASSES) + smoothing / CLASSES
    if hparams.loss == "sigmoid_cross_entropy":
        return functional.binary_cross_entropy_with_logits(outputs, targets, reduction="sum") / len(labels)
    return functional.mse_loss(outputs, targets, reduction="sum") / len(labels)


def follow_in_torch(hparams: Hparams) -> tuple[Any, np.ndarray]:
    """What `follow` gives, by PyTorch: L2 as SGD's weight_decay on the weights, max-norm as renorm of the units."""
    layers = [
        {name: torch.tensor(np.asarray(leaf), requires_grad=True) for name, leaf in layer.items()}
        for layer in start(hparams).params
    ]
    optimizer = torch.optim.SGD(
        [
            {"params": [layer["weights"] for layer in layers], "weight_decay": hparams.l2_strength},
            {"params": [layer["bias"] for layer in layers]},
        ],
        lr=hparams.learning_rate,
    )
    activation = {"relu": torch.relu, "softsign": torch.nn.functional.softsign}[hparams.activation]
    finish = {"identity": lambda x: x, "sigmoid": torch.sigmoid}[hparams.output_activation]
    kept = masks(hparams.batch_size, hparams.hidden_sizes[0], 0, hparams.dropout_rate)
    kept_inputs = masks(hparams.batch_size, FEATURES, 2**32 - 1, hparams.input_dropout_rate)
    losses, history = [], []
    for inputs, labels, of_inputs, mask in zip(*batches(hparams.batch_size, STEPS), kept_inputs, kept, strict=True):
        hidden = activation(torch.tensor(inputs * of_inputs) @ layers[0]["weights"] + layers[0]["bias"])
        outputs = finish((hidden * torch.tensor(mask)) @ layers[1]["weights"] + layers[1]["bias"])
        classes = torch.tensor(labels, dtype=torch.int64)
        loss = torch_loss(hparams, outputs, classes)
        optimizer.zero_grad()
        torch_loss(hparams, outputs, classes, hparams.label_smoothing).backward()
        optimizer.step()
        with torch.no_grad():
            for layer in layers:
                layer["weights"].copy_(torch.renorm(layer["weights"], p=2, dim=1, maxnorm=hparams.max_norm))
        losses.append(loss.item())
        history.append([{name: leaf.detach().numpy().copy() for name, leaf in layer.items()} for layer in layers])
    return jax.tree.map(lambda *leaves: np.stack(leaves), *history), np.array(losses)


@pytest.mark.parametrize(
    "on",
    [
        {},
        {"l2_strength": 0.01},
        {"dropout_rate": 0.5},
        {"max_norm": 1.5},
        {"l2_strength": 0.01, "dropout_rate": 0.5, "max_norm": 1.5},
        {"input_dropout_rate": 0.2},
        {"label_smoothing": 0.2},
        {"bias_variance": 0.5, "activation": "softsign", "init": "glorot_uniform"},
        {"loss": "sigmoid_cross_entropy", "label_smoothing": 0.1, "learning_rate": 0.1},
        {"loss": "squared_error", "output_activation": "sigmoid", "label_smoothing": 0.1},
    ],
    ids=lambda on: "+".join(on) or "none",
)
def test_losses_and_parameters_of_100_steps_are_those_of_torch(on: dict[str, Any]) -> None:
    settings = dataclasses.replace(SHARED, **on)
    acts = {
        name for name in compiled_terms() if getattr(settings, REGULARISERS[name].strength) != REGULARISERS[name].off
    }
    ours, losses = follow(settings, "+".join(name for name in compiled_terms() if name in acts) or "none", STEPS)
    theirs, torch_losses = follow_in_torch(settings)
    np.testing.assert_allclose(losses, torch_losses, rtol=1e-4, atol=1e-4)
    for a, b in zip(ours, theirs, strict=True):
        for name in a:
            np.testing.assert_allclose(a[name], b[name], rtol=1e-4, atol=1e-4)
    if on:
        assert np.abs(losses - follow(SHARED, "none", STEPS)[1]).max() > 1e-2
