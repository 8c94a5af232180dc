"""Metrics of one's own, against what is measured anyway and against the parameters."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

import jaxreg
from jaxreg.diagnostics.metrics import metric
from jaxreg.errors import ConfigError
from jaxreg.nn.losses import correct, cross_entropy
from tests.training_run import experiment


def test_a_metric_is_the_mean_over_the_held_out_sets_at_every_check() -> None:
    own = [
        metric("right_share", correct, description="share of right predictions"),
        metric("surprise", lambda outputs, labels, l2_strength: l2_strength * cross_entropy(outputs, labels), "nats"),
    ]
    asked = experiment({"learning_rate": [0.1, 1e30]}, seeds=2, num_steps=12, l2_strength=0.5)
    results = jaxreg.run(asked, watches=own)
    for part in ("validation", "test"):
        assert results[f"{part}_right_share"].dims == ("learning_rate", "seed", "check")
        np.testing.assert_allclose(results[f"{part}_right_share"], results[f"{part}_accuracy"], atol=1e-6)
        np.testing.assert_allclose(results[f"{part}_surprise"], 0.5 * results[f"{part}_loss"], rtol=1e-5)
    assert np.isnan(results["test_surprise"].sel(learning_rate=1e30).values[..., -1]).all()
    assert results["test_surprise"].attrs == {"units": "nats", "description": "surprise, mean over the test set"}


@pytest.mark.parametrize("name", ["loss", "accuracy", "top 3", ""])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"^--metric="):
        metric(name, lambda outputs, _: jnp.max(outputs, -1))
