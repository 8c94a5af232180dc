"""A sweep as TensorBoard runs: one per setting, with curves over its members, histograms and the network's graph."""

from __future__ import annotations

import functools
import itertools
import re
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import xarray as xr
from tensorboardX.proto.event_pb2 import Event

from jaxreg.config import Hparams
from jaxreg.config.flagfile import parse_values
from jaxreg.files import append_bytes, remove
from jaxreg.measures import setting_labels, setting_values
from jaxreg.measures.summary import member_dims, summary
from jaxreg.nn.losses import loss_named
from jaxreg.reporting.tensorboard import hparams
from jaxreg.reporting.tensorboard.bands import bands, block_means
from jaxreg.reporting.tensorboard.charts import band_tags, margin_charts
from jaxreg.reporting.tensorboard.graph import network_graph
from jaxreg.reporting.tensorboard.histograms import shown_checks
from jaxreg.reporting.tensorboard.layers import layer_histograms, layer_scalars
from jaxreg.reporting.tensorboard.records import scalar_events, tf_records, version_event
from jaxreg.reporting.tensorboard.settings import by_setting, check_steps
from jaxreg.training.models import mlp

CHECK_SCALARS = {
    "validation/loss": "validation_loss",
    "validation/accuracy": "validation_accuracy",
    "test/loss": "test_loss",
    "test/accuracy": "test_accuracy",
}
METRICS = (  # of the HParams tab, columns of the summary
    "final_validation_accuracy",
    "final_test_accuracy",
    "final_test_loss",
    "best_validation_loss",
    "best_test_accuracy",
)


def check_scalars(results: xr.Dataset) -> dict[str, str]:
    """Those of `CHECK_SCALARS` that results hold: without right or wrong there are no accuracies."""
    return {tag: name for tag, name in CHECK_SCALARS.items() if name in results}


MAX_TRAIN_POINTS = 1000  # per run: what a TensorBoard chart resolves
UNSAFE = re.compile(r"[^A-Za-z0-9_.,=+()-]")  # in the name of a folder
LONGEST_NAME = 200  # of the 255 bytes that a file system allows
_DRAWN = ("hidden_sizes", "activation", "loss", "batch_size")  # the hyperparameters that the graph of an mlp shows


class ScalarWriter:
    """Writes at most `max_runs` settings of a sweep, evenly spread over it, below `folder`.

    Each setting is a run named by its label (`learning_rate=0.1`; `run` if nothing is swept) with the scalars
    validation/loss, validation/accuracy, test/loss and test/accuracy at the checks and train/loss between them, thinned
    to at most 1000 points by averaging blocks of steps for each seed. A scalar is the mean over the members that are
    measured then and have not diverged. With several seeds, ~interval/TAG/low and ~interval/TAG/high are the ends of
    its 95 % Student t interval (NaN where fewer than two members are left), and the Custom Scalars tab draws the two as
    a band.

    Diagnostics, where the results hold them, are the scalars layer_1/gradient_norm, layer_1/dead_fraction, ... (means
    too), and histograms fill the Histograms and Distributions tabs with layer_1/weights, layer_1/activations, ... of
    the first seed, at no more than 100 checks. The Graphs tab draws the network, unless it is a model of the user's.

    In the HParams tab each run is a row: the swept hyperparameters (all of them if nothing is swept) and, after
    `finish`, the final and best measures as in summary.csv, means over seeds, and the number of diverged members. They
    are also the scalars ~summary/NAME at the last step.

    `write` may be called with the results so far as often as there are new ones: a check is written once, when all
    seeds of its setting have it. A writer on an existing folder removes what an earlier one left there. Files are open
    during `write` only, so any number of runs costs no file handles, and no thread is started.

    Attributes:
      max_runs: at most so many settings are written.
      left_out: settings of the sweep that are not written, because of `max_runs`; known from the first `write` on.
    """

    def __init__(self, folder: str | Path, max_runs: int) -> None:
        """Removes the folder if it is there; `max_runs=0` writes nothing."""
        self.left_out = 0
        self._folder, self.max_runs = Path(folder), max_runs
        self._runs: list[_Run] | None = None
        remove(self._folder)

    def __enter__(self) -> Self:
        """The writer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Closes the writer."""
        self.close()

    def close(self) -> None:
        """Ends the writing; what was written is on disk already."""
        self._runs = []

    def write(self, results: xr.Dataset) -> None:
        """Appends every point that is complete and was not written by an earlier call.

        Args:
          results: results of the whole sweep, NaN where nothing has been measured yet; the variable `checks_done`
            [..., seed] counts the checks that have been.
        """
        if self._runs is None:
            self._runs = self._start_runs(results)
        checks_done = by_setting(results, "checks_done").min(axis=1)
        all_steps = check_steps(results)
        at_same_steps = defaultdict(list)
        for run in self._runs:
            if checks_done[run.setting] > run.checks_written:
                steps = all_steps[run.setting]
                at_same_steps[run.checks_written, int(checks_done[run.setting]), steps.tobytes()].append(run)
        events: list[tuple[_Run, list[Event]]] = []
        for (_, done, _), runs in at_same_steps.items():
            events += _new_events(runs, done, all_steps[runs[0].setting], results)
        _append(events)

    def finish(self, results: xr.Dataset) -> None:
        """Writes what is left of the curves and each setting's final and best measures, and closes the writer.

        Args:
          results: of the whole sweep, complete.
        """
        self.write(results)
        all_steps, table, metrics = check_steps(results), summary(results), _metrics(results)
        measures = table[[name if name in table else f"{name}_mean" for name in metrics]].to_numpy(float)
        tags: list[tuple[str, ...]] = [(hparams.metric_tag(name),) for name in metrics]
        events = []
        for run in self._runs or ():
            last = np.nanmax(all_steps[run.setting], keepdims=True)
            scalars = dict(zip(tags, measures[run.setting][:, None, None], strict=True))
            sound = bool(table["diverged"][run.setting] < table["seeds"][run.setting])
            events.append((run, [*scalar_events(last, scalars), hparams.session_end(sound)]))
        _append(events)
        self.close()

    def _start_runs(self, results: xr.Dataset) -> list[_Run]:
        grid = setting_values(results[["diverged_step"]], member_dims(results))
        count = min(len(grid), self.max_runs)
        self.left_out = len(grid) - count
        chosen = np.linspace(0, len(grid) - 1, count).round().astype(int).tolist()
        names = _folder_names(setting_labels(grid))
        runs = [_Run(self._folder / names[i], i) for i in chosen]
        fixed = {str(name): coord.item() for name, coord in results.coords.items() if not coord.dims}
        rows = hparams.as_hparams([grid[i] or fixed for i in chosen])
        events = [(run, [version_event(), hparams.session_start(row)]) for run, row in zip(runs, rows, strict=True)]
        if runs:  # what counts for all runs is in the first
            events[0][1].append(hparams.experiment(rows, _metrics(results)))
            if results.sizes["seed"] > 1:
                events[0][1].append(margin_charts([*check_scalars(results), "train/loss"]))
        for (_, own), graph in zip(events, _graphs(results, [fixed | grid[i] for i in chosen]), strict=False):
            own.append(graph)
        _append(events)
        return runs


class _Run:
    """One event file and how far it has been written."""

    def __init__(self, folder: Path, setting: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.setting, self.checks_written, self.steps_written = setting, 0, 0
        self.path = folder / f"events.out.tfevents.{time.time():.0f}"


def _append(events: Sequence[tuple[_Run, Sequence[Event]]]) -> None:
    """Appends to each run its events, framed all at once."""
    records = iter(tf_records([event for _, own in events for event in own]))
    for run, own in events:
        append_bytes(run.path, b"".join(itertools.islice(records, len(own))))


def _metrics(results: xr.Dataset) -> dict[str, str]:
    """The metrics of the HParams tab by name, with their descriptions."""
    found = {
        name: f"{results[name].attrs.get('description', name)}; mean over seeds" for name in METRICS if name in results
    }
    return found | {"diverged": "members of the setting that diverged"}


def _graphs(results: xr.Dataset, settings: Sequence[Mapping[str, Any]]) -> list[Event]:
    """The graph of each setting's network; none where the results do not determine it."""
    determined = "input_shape" in results.attrs and "label" in results.sizes and set(_DRAWN) <= set(results.coords)
    if results.attrs.get("own_model") or not determined:
        return []
    input_shape = tuple(np.atleast_1d(results.attrs["input_shape"]).tolist())

    @functools.cache
    def graph(**drawn: str) -> Event:
        network = Hparams(**{name: parse_values(name, text)[0] for name, text in drawn.items()})
        return network_graph(mlp(), network, input_shape, results.sizes["label"], loss_named(network.loss).function)

    drawn = [*_DRAWN, *({"output_activation"} & set(results.coords))]  # which earlier runs do not have
    return [graph(**{name: str(setting[name]) for name in drawn}) for setting in settings]


def _folder_names(labels: Sequence[str]) -> list[str]:
    """The label of each setting as a folder of its own: `learning_rate=0.1,init_variance=0.01`.

    `run` if nothing is swept. What a file system cannot hold is replaced or cut, and then the number of the setting
    comes behind.
    """
    plain = [label.replace(", ", ",") or "run" for label in labels]
    safe = [UNSAFE.sub("_", name)[:LONGEST_NAME] for name in plain]
    return [
        name if name == given else f"{name}~{number}"
        for number, (name, given) in enumerate(zip(safe, plain, strict=True))
    ]


def _new_events(
    runs: Sequence[_Run], done: int, check_step: np.ndarray, results: xr.Dataset
) -> list[tuple[_Run, list[Event]]]:
    """The events up to check number `done` of runs that were written equally far and are checked at the same steps."""
    which, written, first = [run.setting for run in runs], runs[0].checks_written, runs[0].steps_written
    diverged_step = by_setting(results, "diverged_step")[which]
    checks, num_checks = slice(written, done), int(np.isfinite(check_step).sum())
    at_checks = {
        tag: bands(by_setting(results, name, "check")[:, :, checks][which], check_step[checks], diverged_step)
        for tag, name in check_scalars(results).items()
    }
    of_layers = layer_scalars(results, which, checks, check_step)
    at_checks |= {tag: values[:, None] for tag, values in of_layers.items()}
    # The loss at step s is that before update s: check c is behind the steps below check_step[c].
    step = results["step"].values
    per_block = -(-len(step) // MAX_TRAIN_POINTS)
    recorded = int(np.searchsorted(step, check_step[done - 1]))
    end = recorded if done == num_checks else recorded - recorded % per_block
    steps = slice(first, max(end, first))
    train_loss = by_setting(results, "train_loss", "step")[:, :, steps][which]
    train = {"train/loss": bands(train_loss, step[steps], diverged_step, per_block)}
    blocks = block_means(step[steps], per_block)
    shown = shown_checks(num_checks)
    histograms = layer_histograms(results, which, shown[(shown >= written) & (shown < done)], check_step)
    events = []
    for i, run in enumerate(runs):
        run.checks_written, run.steps_written = done, steps.stop
        scalars = scalar_events(check_step[checks], _scalars(at_checks, i)) + scalar_events(blocks, _scalars(train, i))
        events.append((run, scalars + histograms[i]))
    return events


def _scalars(bands: dict[str, np.ndarray], run: int) -> dict[tuple[str, ...], np.ndarray]:
    """What one run writes of the bands of all, [run, tag, point]."""
    return {band_tags(tag)[: values.shape[1]]: values[run] for tag, values in bands.items()}
