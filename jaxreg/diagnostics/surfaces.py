"""What a network says over the plane, for data of two classes of points: the probability of class 1 on a fixed grid.

The grid has SIZE x SIZE points and covers the training points with a margin of MARGIN of their extent on each side. It
is the same for all members and checks, and for all runs on the same training points. Surfaces are kept of the first
seed of a run only: one is enough to look at, and they would be most of its results.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax import Array

from jaxreg.config import Hparams
from jaxreg.data import Data
from jaxreg.diagnostics.watch import Variable, Watch
from jaxreg.errors import ConfigError
from jaxreg.nn.losses import LOSSES, loss_named
from jaxreg.nn.trees import Params
from jaxreg.slow_imports import xr
from jaxreg.training.problem import Problem

SIZE = 41  # grid points along each coordinate
MARGIN = 0.15  # of the extent of the training points

SURFACE = Variable("1", "probability of class 1 over the plane, of the first seed of the run", ("check", "x2", "x1"))


class Plane(NamedTuple):
    """The grid: its two coordinates, ascending, [SIZE] float32 each."""

    x1: npt.NDArray[np.float32]
    x2: npt.NDArray[np.float32]

    @property
    def points(self) -> npt.NDArray[np.float32]:
        """Its points as inputs of a network, [SIZE * SIZE, 2], x1 fastest."""
        x1, x2 = np.meshgrid(self.x1, self.x2)
        return np.stack([x1.ravel(), x2.ravel()], axis=1)


def plane_of(inputs: npt.NDArray[np.float32]) -> Plane:
    """The grid over points [examples, 2]; at least a margin of 1e-3 wide where they all lie on a line."""
    lowest, highest = inputs.min(axis=0).astype(float), inputs.max(axis=0).astype(float)
    margin = np.maximum(MARGIN * (highest - lowest), 1e-3)
    return Plane(*np.linspace(lowest - margin, highest + margin, SIZE).astype(np.float32).T)


def surface(params: Params, hparams: Hparams, problem: Problem, points: Array) -> Array:
    """The probability of class 1 at the points of a plane, as the loss reads the outputs, [x2, x1] float32.

    Args:
      params, hparams, problem: those of the member; the model gives outputs for two classes.
      points: `Plane.points`.

    Raises:
      ConfigError: the loss takes the outputs for no probabilities.
    """
    outputs, _ = problem.model.forward(params, hparams, points)
    probabilities = loss_named(hparams.loss).probabilities
    if probabilities is None:
        named = ", ".join(name for name in LOSSES if loss_named(name).probabilities)
        raise ConfigError("surfaces", "true", f"draws probabilities, which --loss={named} give; leave it out")
    return jnp.reshape(probabilities(outputs)[:, 1], (SIZE, SIZE))


def require_plane(data: Data) -> None:
    """Refuses data that is not two classes of points in the plane.

    Raises:
      ConfigError: with --surfaces.
    """
    if data.input_shape != (2,) or data.num_classes != 2:
        shape = "x".join(map(str, data.input_shape))
        remedy = f"needs two classes of points with 2 coordinates, such as moons; {data.name} has {data.num_classes} "
        raise ConfigError("surfaces", "true", f"{remedy}classes of {shape} inputs; leave it out")


def _complete(results: xr.Dataset, data: Data) -> xr.Dataset:
    """The coordinates of the plane, and the training points that lie on it."""
    plane = plane_of(data.train.inputs)
    points = {
        "example_x1": (data.train.inputs[:, 0], "first coordinate of a training point"),
        "example_x2": (data.train.inputs[:, 1], "second coordinate of a training point"),
        "example_label": (data.train.labels, "class of a training point"),
    }
    about = {"units": "1", "description": "coordinate of the surface"}
    return results.assign(
        {name: ("example", values, {"units": "1", "description": text}) for name, (values, text) in points.items()}
    ).assign_coords(x1=("x1", plane.x1, about), x2=("x2", plane.x2, about))


SURFACES = Watch(
    "surfaces",
    {"surface": SURFACE},
    lambda view: {"surface": surface(view.state.params, view.hparams, view.problem, view.data)},
    lambda data: plane_of(data.train.inputs).points,
    first_seed_only=True,
    require=lambda _problem, _params, data: require_plane(data),
    complete=_complete,
)
"""The decision surface of the first seed at checks, for two classes of points in the plane."""
