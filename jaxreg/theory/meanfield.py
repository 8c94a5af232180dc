"""How far signals carry in a random network: the mean-field prediction of their size in each layer.

In a wide network with independent normal weights and without biases the pre-activations of a layer are normal. Their
second moment is all there is to know about them, and it follows from that of the layer before (Poole et al. 2016;
Schoenholz et al. 2017).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from jaxreg.nn.activations import activation_named

Values = np.ndarray[Any, Any]

# Midpoint rule for averages over a standard normal. Gauss-Hermite nodes are too sparse for a sigmoid of large inputs,
# which is a step: at a pre-activation variance of 200 a hundred of them find less than half of E[phi'^2].
_STEP = 0.01
_NODES = np.arange(-9 + _STEP / 2, 9, _STEP)
_DENSITY = np.exp(-(_NODES**2) / 2) / np.sqrt(2 * np.pi) * _STEP


class Prediction(NamedTuple):
    """Second moments in each layer, first layer first, the output layer last; its activations are the logits."""

    pre_activations: Values  # [layers] E[z_l^2]
    activations: Values  # [layers] E[a_l^2]
    backpropagated: Values  # [layers] E[(d loss / d z_l)^2]


def predict(
    second_moment_input: ArrayLike,
    widths: Sequence[int],
    variances: Sequence[float],
    activation: str,
    output_backpropagated: ArrayLike = 1.0,
) -> Prediction:
    """Second moments of the signals at initialisation, over weights, units and examples.

    With N_l units in layer l = 0 (the input) ... L (the output), weights of variance v_l and biases 0,

      E[z_l^2] = N_(l-1) v_l E[a_(l-1)^2],   E[a_l^2] = E[phi(z_l)^2],   E[a_L^2] = E[z_L^2]
      E[d_l^2] = N_(l+1) v_(l+1) E[phi'(z_l)^2] E[d_(l+1)^2]

    for d_l = d loss / d z_l and normal z_l (Poole et al. 2016, equation 3; Schoenholz et al. 2017, equation 12). That
    signals and weights are independent on the way back is an assumption.

    Args:
      second_moment_input: mean square of the features, >= 0: of all examples, or [examples], one for each, which is
        more exact where examples differ in size. The prediction is the mean over examples.
      widths: N_0 ... N_L.
      variances: v_1 ... v_L, of one weight.
      activation: of the hidden layers, a name of `jaxreg.nn.activations.ACTIVATIONS`.
      output_backpropagated: E[d_L^2], one number or [examples].

    Returns:
      Float64, in the units of the squared features and of `output_backpropagated`.

    Raises:
      ValueError: there are not as many variances as layers.
    """
    if len(variances) != len(widths) - 1 or not variances:
        raise ValueError(f"variances: {len(widths)} widths make {len(widths) - 1} layers, not {len(variances)}")
    moment = np.asarray(second_moment_input, np.float64).reshape(-1)
    gains = [width * variance for width, variance in zip(widths, variances, strict=False)]
    back_gains = [width * variance for width, variance in zip(widths[1:], variances, strict=True)]
    pre_activations, activations, slopes = [], [], []
    for gain in gains:
        pre_activations.append(gain * moment)
        moment, slope = _second_moments(activation, pre_activations[-1])
        activations.append(moment)
        slopes.append(slope)
    activations[-1] = pre_activations[-1]

    factors = [gain * slope for gain, slope in zip(back_gains[1:], slopes, strict=False)]
    output = np.asarray(output_backpropagated, np.float64) * np.ones_like(moment)
    backpropagated = list(itertools.accumulate(reversed(factors), np.multiply, initial=output))[::-1]
    return Prediction(*(np.mean(layers, axis=1) for layers in (pre_activations, activations, backpropagated)))


def _second_moments(activation: str, variances: Values) -> tuple[Values, Values]:
    """E[phi(z)^2] and E[phi'(z)^2] for normal z of each variance and mean 0."""

    with jax.enable_x64(True):
        z = jnp.asarray(np.sqrt(variances)[:, None] * _NODES)
        value, slope = jax.jvp(activation_named(activation).function, (z,), (jnp.ones_like(z),))
        return np.asarray(value) ** 2 @ _DENSITY, np.asarray(slope) ** 2 @ _DENSITY
