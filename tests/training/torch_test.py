"""The regularisers against PyTorch: the same initial weights, batches and masks, 100 steps on the digits."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxreg.config import Hparams
from jaxreg.nn.dropout import dropout
from jaxreg.training.state import DROPOUT, member_key
from tests.trajectory import batches, follow, start

torch: Any = pytest.importorskip("torch")

STEPS, RATE = 100, 0.3
SHARED = Hparams(hidden_sizes=(16,), activation="relu", batch_size=20, learning_rate=RATE, init="he", init_variance=1.0)


def masks(hparams: Hparams) -> np.ndarray:
    """The factors on the hidden activations that dropout draws for seed 0, [step, batch, units]."""
    noise, ones = member_key(0, 0, DROPOUT), jnp.ones((hparams.batch_size, *hparams.hidden_sizes))

    def one(step: jax.Array) -> jax.Array:
        return dropout(jax.random.fold_in(jax.random.fold_in(noise, step), 0), ones, hparams.dropout_rate)

    return np.asarray(jax.jit(jax.vmap(one))(jnp.arange(STEPS)))


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
        lr=RATE,
    )
    losses, history = [], []
    for inputs, labels, mask in zip(*batches(hparams.batch_size, STEPS), masks(hparams), strict=True):
        hidden = torch.relu(torch.tensor(inputs) @ layers[0]["weights"] + layers[0]["bias"])
        logits = (hidden * torch.tensor(mask)) @ layers[1]["weights"] + layers[1]["bias"]
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(labels, dtype=torch.int64))
        optimizer.zero_grad()
        loss.backward()
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
    ],
    ids=lambda on: "+".join(on) or "none",
)
def test_losses_and_parameters_of_100_steps_are_those_of_torch(on: dict[str, Any]) -> None:
    settings = dataclasses.replace(SHARED, **on)
    ours, losses = follow(settings, "l2+max_norm+dropout", STEPS)
    theirs, torch_losses = follow_in_torch(settings)
    np.testing.assert_allclose(losses, torch_losses, rtol=1e-4, atol=1e-4)
    for a, b in zip(ours, theirs, strict=True):
        for name in a:
            np.testing.assert_allclose(a[name], b[name], rtol=1e-4, atol=1e-4)
    if on:
        assert np.abs(losses - follow(SHARED, "none", STEPS)[1]).max() > 1e-2
