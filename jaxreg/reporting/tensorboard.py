"""Loss and accuracy curves for TensorBoard: one run per setting, the mean over its members."""

from __future__ import annotations

import functools
import shutil
import struct
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import xarray as xr
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import masked_crc32c

from jaxreg.measures import setting_dims, setting_label, settings

CHECK_SCALARS = {
    "validation/loss": "validation_loss",
    "validation/accuracy": "validation_accuracy",
    "test/loss": "test_loss",
    "test/accuracy": "test_accuracy",
}
MAX_TRAIN_POINTS = 1000  # per run: what a TensorBoard chart resolves


class ScalarWriter:
    """Writes the curves of at most `max_runs` settings, evenly spread over the sweep, below `folder`.

    Each setting is a run named by its label (`learning_rate=0.1`; `run` if nothing is swept) with the scalars
    validation/loss, validation/accuracy, test/loss and test/accuracy at the checks and train/loss between them, thinned
    to at most 1000 points by averaging blocks of steps. A scalar is the mean over the members that have not diverged by
    then.

    `write` may be called with the results so far as often as there are new ones: a check is written once, when all
    seeds of its setting have it. A writer on an existing folder removes what an earlier one left there. Files are open
    during `write` only, so any number of runs costs no file handles, and no thread is started.

    Attributes:
      left_out: settings of the sweep that are not written, because of `max_runs`; known from the first `write` on.
    """

    def __init__(self, folder: str | Path, max_runs: int) -> None:
        """Removes the folder if it is there; `max_runs=0` writes nothing."""
        self.left_out = 0
        self._folder, self._max_runs = Path(folder), max_runs
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
        dims = setting_dims(results["diverged_step"])

        def by_setting(name: str, *along: str) -> np.ndarray:
            """The variable as [setting, seed, along], without a copy where the layout allows it."""
            values = results[name].transpose(*dims, "seed", *along).values
            return values.reshape(-1, *values.shape[len(dims) :])

        checks_done = by_setting("checks_done").min(axis=1)
        if self._runs is None:
            self._runs = self._choose_runs(results, dims)
        new = [run for run in self._runs if checks_done[run.setting] > run.checks_written]
        if not new:
            return
        diverged_step = by_setting("diverged_step")
        at_checks = {tag: by_setting(name, "check") for tag, name in CHECK_SCALARS.items()}
        train_loss = by_setting("train_loss", "step")
        step = results["step"].values
        check_steps = _per_setting(results["check_step"], results["diverged_step"].isel(seed=0), dims)
        per_block = -(-len(step) // MAX_TRAIN_POINTS)
        for run in new:
            done, diverged = int(checks_done[run.setting]), diverged_step[run.setting]
            checks = slice(run.checks_written, done)
            check_step = check_steps[run.setting]
            means = {
                tag: _mean_of_sound(values[run.setting][:, checks], check_step[checks], diverged)
                for tag, values in at_checks.items()
            }
            # The loss at step s is that before update s: check c is behind the steps below check_step[c].
            recorded = int(np.searchsorted(step, check_step[done - 1]))
            end = recorded if done == np.isfinite(check_step).sum() else recorded - recorded % per_block
            new_steps = slice(run.steps_written, max(end, run.steps_written))
            losses = _mean_of_sound(train_loss[run.setting][:, new_steps], step[new_steps], diverged, per_block)
            run.append(
                _events(check_step[checks], means)
                + _events(_block_means(step[None, new_steps], per_block), {"train/loss": losses})
            )
            run.checks_written, run.steps_written = done, new_steps.stop

    def _choose_runs(self, results: xr.Dataset, dims: Sequence[str]) -> list[_Run]:
        labels = [setting_label(setting) for setting, _ in settings(results[["diverged_step"]], dims)]
        count = min(len(labels), self._max_runs)
        self.left_out = len(labels) - count
        chosen = np.linspace(0, len(labels) - 1, count).round().astype(int).tolist()
        return [_Run(self._folder / _folder_name(labels[i]), i) for i in chosen]


class _Run:
    """One event file and how far it has been written."""

    def __init__(self, folder: Path, setting: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.setting, self.checks_written, self.steps_written = setting, 0, 0
        self._path = folder / f"events.out.tfevents.{time.time():.0f}"
        self.append([Event(wall_time=time.time(), file_version="brain.Event:2")])

    def append(self, events: Sequence[Event]) -> None:
        """Appends TFRecords: length, its checksum, the serialised event, its checksum."""
        records = bytearray()
        for event in events:
            data = event.SerializeToString()
            records += _header(len(data)) + data + struct.pack("<I", masked_crc32c(data))
        with self._path.open("ab") as file:
            file.write(records)


@functools.cache  # records come in few lengths, and the checksum is computed in Python
def _header(num_bytes: int) -> bytes:
    length = struct.pack("<Q", num_bytes)
    return length + struct.pack("<I", masked_crc32c(length))


def _folder_name(label: str) -> str:
    """The label of a setting as one folder: `learning_rate=0.1,init_variance=0.01`; `run` if nothing is swept."""
    return label.replace(", ", ",").replace("/", "_") or "run"


def _per_setting(check_step: xr.DataArray, setting: xr.DataArray, dims: Sequence[str]) -> np.ndarray:
    """The steps of the checks as [setting, check], also where groups of settings are checked at steps of their own."""
    steps, _ = xr.broadcast(check_step.reset_coords(drop=True), setting.reset_coords(drop=True))
    return np.asarray(steps.transpose(*dims, "check").values.reshape(-1, check_step.sizes["check"]), float)


def _mean_of_sound(values: np.ndarray, steps: np.ndarray, diverged_step: np.ndarray, per_block: int = 1) -> np.ndarray:
    """Mean of [seed, point] over the seeds that have not diverged and over blocks of points; NaN where none is left."""
    sound = np.isfinite(values) & ((diverged_step[:, None] < 0) | (steps < diverged_step[:, None]))
    return _block_means(np.where(sound, values, np.nan), per_block)


def _block_means(values: np.ndarray, per_block: int) -> np.ndarray:
    """Mean without NaN of [row, point] over rows and blocks of `per_block` points; the last block may be shorter."""
    rows, points = values.shape
    padded = np.full((rows, points + -points % per_block), np.nan)
    padded[:, :points] = values
    blocks = padded.reshape(rows, -1, per_block)
    count = np.isfinite(blocks).sum(axis=(0, 2))
    return np.where(count > 0, np.nansum(blocks, axis=(0, 2)) / np.maximum(count, 1), np.nan)


def _events(steps: np.ndarray, scalars: dict[str, np.ndarray]) -> list[Event]:
    """One event per step with the scalars that have a value there."""
    now, events = time.time(), []
    for i, step in enumerate(steps.tolist()):
        values = [Summary.Value(tag=tag, simple_value=mean[i]) for tag, mean in scalars.items() if np.isfinite(mean[i])]
        if values:
            events.append(Event(wall_time=now, step=int(step), summary=Summary(value=values)))
    return events
