"""Counts in fixed bins as TensorBoard's histograms: they fill its Histograms and Distributions tabs."""

from __future__ import annotations

import math
import time

import numpy as np
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.summary_pb2 import HistogramProto, Summary

MAX_HISTOGRAMS = 100  # per run and tag: slices that can be distinguished in a chart


def shown_checks(num_checks: int) -> np.ndarray:
    """The checks whose histograms are written: at most 100, evenly spread, the first and the last among them."""
    return np.linspace(0, num_checks - 1, min(num_checks, MAX_HISTOGRAMS)).round().astype(int)


def histogram_events(
    tag: str, steps: np.ndarray, counts: np.ndarray, bin_edges: np.ndarray, mean: np.ndarray, std: np.ndarray
) -> list[Event]:
    """One event per step at which something was counted and the moments are finite.

    Args:
      tag: such as `layer_1/weights`.
      steps: [point].
      counts: [point, bin].
      bin_edges: [bins + 1], ascending; the first and the last may be infinite.
      mean, std: [point], moments of what was counted.
    """
    now, closed = time.time(), _closed(bin_edges)
    known = (counts.sum(axis=-1) > 0) & np.isfinite(mean) & np.isfinite(std)
    columns = (values[known].tolist() for values in (steps, mean, std))
    return [
        Event(
            wall_time=now,
            step=int(step),
            summary=Summary(value=[Summary.Value(tag=tag, histo=histogram(row, closed, m, s))]),
        )
        for row, step, m, s in zip(counts[known], *columns, strict=True)
    ]


def histogram(counts: np.ndarray, bin_edges: np.ndarray, mean: float, std: float) -> HistogramProto:
    """The bins from the first to the last that are not empty, with n, sum = n mean, sum of squares = n (mean² + std²).

    The lowest and the highest value are not known; they are put where the first and the last bin end, or nearer: no
    value is further from the mean than std sqrt(n - 1) (Samuelson 1968), and values of a single bin are taken to be
    uniform, which ends std sqrt(3) from the mean. So values that are all equal show as one value.

    Args:
      counts: [bin], not all 0.
      bin_edges: [bins + 1], ascending and finite.
      mean, std: moments of what was counted.
    """
    filled, n = np.flatnonzero(counts), int(counts.sum())
    first, last = int(filled[0]), int(filled[-1])
    reach = std * math.sqrt(3 if first == last else n - 1)
    lowest = np.clip(mean - reach, bin_edges[first], bin_edges[first + 1])
    highest = np.clip(mean + reach, max(lowest, bin_edges[last]), bin_edges[last + 1])
    return HistogramProto(
        min=lowest,
        max=highest,
        num=n,
        sum=n * mean,
        sum_squares=n * (mean**2 + std**2),
        bucket_limit=[*bin_edges[first + 1 : last + 1].tolist(), highest],
        bucket=counts[first : last + 1].tolist(),
    )


def _closed(bin_edges: np.ndarray) -> np.ndarray:
    """Finite edges: an open outermost bin becomes as wide as its neighbour."""
    edges = np.array(bin_edges, float)
    if np.isneginf(edges[0]):
        edges[0] = 2 * edges[1] - edges[2]
    if np.isposinf(edges[-1]):
        edges[-1] = 2 * edges[-2] - edges[-3]
    return edges
