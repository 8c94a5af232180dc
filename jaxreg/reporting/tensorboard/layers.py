"""The diagnostics of every layer, where the results hold them, as scalars and histograms named `layer_1/NAME`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from tensorboardX.proto.event_pb2 import Event

from jaxreg.measures import layer_labels
from jaxreg.reporting.tensorboard.bands import means
from jaxreg.reporting.tensorboard.histograms import histogram_events
from jaxreg.reporting.tensorboard.settings import by_setting

LAYER_SCALARS = (
    "saturated_fraction",
    "dead_fraction",
    "distinct_units",
    "gradient_norm",
    "update_ratio",
    "relative_change",
)


def layer_scalars(
    results: xr.Dataset, settings: Sequence[int], checks: slice, check_step: np.ndarray
) -> dict[str, np.ndarray]:
    """By tag the means over the seeds that have not diverged, [setting, check].

    Args:
      results: of the whole sweep.
      settings: which are wanted.
      checks: which are wanted.
      check_step: [check], of all checks.
    """
    diverged_step = by_setting(results, "diverged_step")[settings]
    scalars: dict[str, np.ndarray] = {}
    for name in LAYER_SCALARS:
        if name in results:
            values = by_setting(results, name, "check", "layer")[:, :, checks][settings]
            of_layers = means(np.moveaxis(values, -1, 0), check_step[checks], diverged_step)
            scalars |= {f"{layer}/{name}": mean for layer, mean in zip(_layers(results), of_layers, strict=True)}
    return scalars


def layer_histograms(
    results: xr.Dataset, settings: Sequence[int], checks: np.ndarray, check_step: np.ndarray
) -> list[list[Event]]:
    """For each setting the histograms of its first seed, of every quantity and layer; arguments as `layer_scalars`."""
    at = np.array(settings, int)[:, None], 0, checks[None]
    events: list[list[Event]] = [[] for _ in settings]
    for quantity in _quantities(results):
        counts = by_setting(results, f"{quantity}_histogram", "check", "layer", "bin")[at]
        mean, std = (by_setting(results, f"{quantity}_{name}", "check", "layer")[at] for name in ("mean", "std"))
        bin_edges = results.variables[f"{quantity}_histogram"].attrs["bin_edges"]
        for i, own in enumerate(events):
            for j, layer in enumerate(_layers(results)):
                moments = mean[i, :, j], std[i, :, j]
                own += histogram_events(f"{layer}/{quantity}", check_step[checks], counts[i, :, j], bin_edges, *moments)
    return events


def _layers(results: xr.Dataset) -> list[str]:
    return [label.replace(" ", "_").replace("/", ".") for label in layer_labels(results)]


def _quantities(results: xr.Dataset) -> list[str]:
    suffix = "_histogram"
    return [str(name).removesuffix(suffix) for name in results.data_vars if str(name).endswith(suffix)]
