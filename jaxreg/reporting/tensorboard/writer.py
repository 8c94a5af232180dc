"""The curves of a sweep as TensorBoard runs: one per setting, means and intervals over its members."""

from __future__ import annotations

import itertools
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import xarray as xr
from tensorboardX.proto.event_pb2 import Event

from jaxreg.measures import setting_label, setting_values
from jaxreg.reporting.tensorboard import hparams
from jaxreg.reporting.tensorboard.charts import band_tags, margin_charts
from jaxreg.reporting.tensorboard.records import scalar_events, tf_records, version_event
from jaxreg.statistics import mean_interval
from jaxreg.summary import member_dims, summary

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
MAX_TRAIN_POINTS = 1000  # per run: what a TensorBoard chart resolves


class ScalarWriter:
    """Writes the curves of at most `max_runs` settings, evenly spread over the sweep, below `folder`.

    Each setting is a run named by its label (`learning_rate=0.1`; `run` if nothing is swept) with the scalars
    validation/loss, validation/accuracy, test/loss and test/accuracy at the checks and train/loss between them, thinned
    to at most 1000 points by averaging blocks of steps for each seed. A scalar is the mean over the members that have
    not diverged by then. With several seeds, ~interval/TAG/low and ~interval/TAG/high are the ends of its 95 % Student
    t interval (NaN where fewer than two members are left), and the Custom Scalars tab draws the two as a band.

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
        if self._folder.exists():
            shutil.rmtree(self._folder)

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
        by_setting = _by_setting(results)
        if self._runs is None:
            self._runs = self._start_runs(results)
        checks_done = by_setting("checks_done").min(axis=1)
        check_steps = _check_steps(results)
        at_same_steps = defaultdict(list)
        for run in self._runs:
            if checks_done[run.setting] > run.checks_written:
                steps = check_steps[run.setting]
                at_same_steps[run.checks_written, int(checks_done[run.setting]), steps.tobytes()].append(run)
        events: list[tuple[_Run, list[Event]]] = []
        for (_, done, _), runs in at_same_steps.items():
            events += _new_events(runs, done, check_steps[runs[0].setting], results["step"].values, by_setting)
        _append(events)

    def finish(self, results: xr.Dataset) -> None:
        """Writes what is left of the curves and each setting's final and best measures, and closes the writer.

        Args:
          results: of the whole sweep, complete.
        """
        self.write(results)
        check_steps, table, metrics = _check_steps(results), summary(results), _metrics(results)
        measures = table[[name if name in table else f"{name}_mean" for name in metrics]].to_numpy(float)
        tags: list[tuple[str, ...]] = [(hparams.metric_tag(name),) for name in metrics]
        events = []
        for run in self._runs or ():
            last = np.nanmax(check_steps[run.setting], keepdims=True)
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
        runs = [_Run(self._folder / _folder_name(setting_label(grid[i])), i) for i in chosen]
        fixed = {str(name): coord.item() for name, coord in results.coords.items() if not coord.dims}
        rows = hparams.as_hparams([grid[i] or fixed for i in chosen])
        events = [(run, [version_event(), hparams.session_start(row)]) for run, row in zip(runs, rows, strict=True)]
        if runs:  # what counts for all runs is in the first
            events[0][1].append(hparams.experiment(rows, _metrics(results)))
            if results.sizes["seed"] > 1:
                events[0][1].append(margin_charts([*CHECK_SCALARS, "train/loss"]))
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
        with run.path.open("ab") as file:
            file.write(b"".join(itertools.islice(records, len(own))))


def _metrics(results: xr.Dataset) -> dict[str, str]:
    """The metrics of the HParams tab by name, with their descriptions."""
    found = {
        name: f"{results[name].attrs.get('description', name)}; mean over seeds" for name in METRICS if name in results
    }
    return found | {"diverged": "members of the setting that diverged"}


def _folder_name(label: str) -> str:
    """The label of a setting as one folder: `learning_rate=0.1,init_variance=0.01`; `run` if nothing is swept."""
    return label.replace(", ", ",").replace("/", "_") or "run"


BySetting = Callable[..., np.ndarray]


def _by_setting(results: xr.Dataset) -> BySetting:
    """A function of a variable's name and its last dimension: its values as [setting, seed, along]."""
    dims = member_dims(results)

    def values(name: str, *along: str) -> np.ndarray:
        found = results[name].transpose(*dims, "seed", *along).values  # no copy where the layout allows it
        return found.reshape(-1, *found.shape[len(dims) :])

    return values


def _check_steps(results: xr.Dataset) -> np.ndarray:
    """The steps of the checks as [setting, check], also where groups of settings are checked at steps of their own."""
    setting = results["diverged_step"].isel(seed=0).reset_coords(drop=True)
    steps, _ = xr.broadcast(results["check_step"].reset_coords(drop=True), setting)
    return np.asarray(steps.transpose(*setting.dims, "check").values.reshape(-1, results.sizes["check"]), float)


def _new_events(
    runs: Sequence[_Run], done: int, check_step: np.ndarray, step: np.ndarray, by_setting: BySetting
) -> list[tuple[_Run, list[Event]]]:
    """The events up to check number `done` of runs that were written equally far and are checked at the same steps."""
    which, written, first = [run.setting for run in runs], runs[0].checks_written, runs[0].steps_written
    diverged_step = by_setting("diverged_step")[which]
    checks = slice(written, done)
    at_checks = {
        tag: _bands(by_setting(name, "check")[:, :, checks][which], check_step[checks], diverged_step)
        for tag, name in CHECK_SCALARS.items()
    }
    # The loss at step s is that before update s: check c is behind the steps below check_step[c].
    per_block = -(-len(step) // MAX_TRAIN_POINTS)
    recorded = int(np.searchsorted(step, check_step[done - 1]))
    end = recorded if done == np.isfinite(check_step).sum() else recorded - recorded % per_block
    steps = slice(first, max(end, first))
    train_loss = by_setting("train_loss", "step")[:, :, steps][which]
    train = {"train/loss": _bands(train_loss, step[steps], diverged_step, per_block)}
    blocks = _block_means(step[steps], per_block)
    for run in runs:
        run.checks_written, run.steps_written = done, steps.stop
    return [
        (run, scalar_events(check_step[checks], _scalars(at_checks, i)) + scalar_events(blocks, _scalars(train, i)))
        for i, run in enumerate(runs)
    ]


def _scalars(bands: dict[str, np.ndarray], run: int) -> dict[tuple[str, ...], np.ndarray]:
    """What one run writes of the bands of all, [run, tag, point]."""
    return {band_tags(tag)[: values.shape[1]]: values[run] for tag, values in bands.items()}


def _bands(values: np.ndarray, steps: np.ndarray, diverged_step: np.ndarray, per_block: int = 1) -> np.ndarray:
    """Mean, lower and upper end of its 95 % t interval over the seeds that have not diverged; with one seed the mean.

    Args:
      values: [run, seed, point].
      steps: [point].
      diverged_step: [run, seed], -1 for never.
      per_block: points that are averaged for each seed beforehand.

    Returns:
      [run, 3 or 1, block]; NaN where no seed has a value, the ends where fewer than two have.
    """
    sound = np.isfinite(values) & ((diverged_step[:, :, None] < 0) | (steps < diverged_step[:, :, None]))
    blocks = _block_means(np.where(sound, values, np.nan), per_block)
    over_seeds = mean_interval(xr.DataArray(blocks, dims=("run", "seed", "block")))
    parts = ("mean", "low", "high") if values.shape[1] > 1 else ("mean",)
    return np.stack([over_seeds[part].values for part in parts], axis=1)


def _block_means(values: np.ndarray, per_block: int) -> np.ndarray:
    """Mean without NaN of [..., point] over blocks of `per_block` points; the last block may be shorter."""
    if per_block == 1:
        return values
    points = values.shape[-1]
    padded = np.full((*values.shape[:-1], points + -points % per_block), np.nan)
    padded[..., :points] = values
    blocks = padded.reshape(*values.shape[:-1], -1, per_block)
    count = np.isfinite(blocks).sum(axis=-1)
    return np.where(count > 0, np.nansum(blocks, axis=-1) / np.maximum(count, 1), np.nan)
