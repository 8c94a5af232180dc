"""One session of a run: check, load, train, keep, show."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import math
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from jaxreg import results
from jaxreg.config import sweeps
from jaxreg.config.hparams import Experiment, validate
from jaxreg.data import Data, load
from jaxreg.errors import RunFolderError
from jaxreg.reporting.console import progress_bar
from jaxreg.runs import folder as runfolder
from jaxreg.runs import provenance, study_source
from jaxreg.runs.runner import Runner
from jaxreg.runs.signals import SignalGuard
from jaxreg.study import Study
from jaxreg.training.member import Problem

if TYPE_CHECKING:
    from jaxreg.reporting.tensorboard import ScalarWriter

_log = logging.getLogger("jaxreg")

_SECONDS_BETWEEN_SCALARS = 5.0


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The results of a run, and the folder in which it is kept, if any."""

    results: xr.Dataset
    folder: Path | None


def execute(
    experiment: Experiment,
    study: Study,
    *,
    problem: Problem | None = None,
    data: Data | None = None,
    own: Mapping[str, Any] | None = None,
    keep: bool = True,
) -> Outcome:
    """Like `run`; with `keep` a run folder is left in any case. `own` is what the user gave beside the flags."""
    problem, own = problem or Problem(), own or {}
    data, runner = _prepare(experiment, problem, data)
    about = {"own_model": 1} if "model" in own else {}
    if not keep:
        with progress_bar(experiment.run.progress) as runner.progress:
            runner.run()
        return Outcome(_with_measured(study, experiment, data, _dataset([runner], data, experiment, about)), None)

    from jaxreg.measures.summary import write_summary
    from jaxreg.reporting.tensorboard import ScalarWriter
    from jaxreg.runs.checkpoints import Checkpoints  # Orbax, like what draws and counts, is slow to import

    settings = experiment.run
    with runfolder.open_run_folder(experiment, own) as folder:
        kept = folder.path / "results.nc"
        if folder.finished and kept.exists():
            if settings.report and not (folder.path / "report.html").exists():
                _report(folder.path, study, folder.meta)
            _log.info("%s is finished: nothing is left to do", folder.path)
            return Outcome(results.load(kept), folder.path)
        runners = [runner] if len(folder.parts) == 1 else _one_per_part(experiment, folder.parts, data, problem)
        runner = runners[-1]
        for number, trained in enumerate(runners, 1):
            parts = folder.parts[:number]
            directory = runfolder.checkpoint_folder(folder.path, parts)
            trained.checkpoints = Checkpoints(directory, f"{folder.configuration} {parts[-1]}")
            if folder.resumed and (found := trained.checkpoints.latest()):
                trained.restore(found)
                if trained is runner:
                    _log.info("going on from the checkpoint at step %d", found.step)
        folder.start(
            command=_command(),
            git=provenance.git_state(),
            versions=provenance.package_versions(),
            device=provenance.device_description(),
            members=sum(trained.sweep.num_members for trained in runners),
            own=list(own),
            study=study_source.locate(study),
        )
        try:
            measured = functools.partial(_dataset, runners, data, experiment, about)
            scalars = _Scalars(ScalarWriter(folder.path / "tensorboard", _max_runs(experiment)), measured)
            try:
                with SignalGuard() as guard, progress_bar(settings.progress) as progress:
                    for trained in runners:
                        trained.guard, trained.progress, trained.on_check = guard, progress, scalars.write_sometimes
                        # Earlier seeds are finished, unless the checkpoint of their end was lost.
                        if trained is runner or not trained.finished:
                            trained.run()
            finally:
                with contextlib.suppress(OSError):  # must not hide what ended the run
                    folder.update(**_cost(runners))
            with runner.cost.timed("write"):
                dataset = measured()
                scalars.finish(dataset)
            with runner.cost.timed("evaluate"):
                dataset = _with_measured(study, experiment, data, dataset)
            with runner.cost.timed("write"):
                results.save(dataset, kept)
                write_summary(dataset, folder.path / "summary.csv")
            folder.update(**_cost(runners), **_counts(dataset))
            folder.delete("report.html", "figures")  # of fewer seeds
            if settings.report:
                _report(folder.path, study, folder.meta | {"status": "done", "ended": provenance.utc_stamp()})
        except OSError as error:
            raise RunFolderError(
                f"{folder.path}: could not be written ({error.strerror or error}); the checkpoints that are there are "
                "good: free some space or mend the folder, then go on with --resume"
            ) from error
    return Outcome(dataset, folder.path)


def rehearse(experiment: Experiment) -> Iterator[str]:
    """What `--dry_run` prints: how many members there are, and for each group what it will take."""
    _, runner = _prepare(experiment, Problem(), None)
    sweep = runner.sweep
    settings, seeds, groups = len(sweep.settings), len(sweep.seeds), len(sweep.groups)
    yield f"{sweep.num_members} members: {settings} settings x {seeds} seeds, {groups} group(s)"
    yield from runner.rehearse()


def _prepare(experiment: Experiment, problem: Problem, data: Data | None) -> tuple[Data, Runner]:
    """Everything that can be refused is refused here, before anything is compiled or written."""
    validate(experiment)
    data = data or load(experiment.data)
    sweep = sweeps.make_sweep(experiment, len(data.train.labels))
    runner = Runner(experiment, sweep, data, problem)
    for line in sweeps.remarks(experiment):
        _log.warning(line)
    if sweep.record_every > 1 and not experiment.record_every:
        _log.info("batch losses are recorded every %d steps, to keep them under 256 MB", sweep.record_every)
    return data, runner


def _report(folder: Path, study: Study, meta: Mapping[str, Any]) -> None:
    from jaxreg.reporting.assemble import write_report  # what draws is slow to import

    write_report(folder, study, meta)


def _one_per_part(
    experiment: Experiment, parts: Sequence[runfolder.Part], data: Data, problem: Problem
) -> list[Runner]:
    """A runner for the seeds that a run began with and for those of every addition; curves are recorded as at first."""
    first = dataclasses.replace(experiment, seeds=parts[0].seeds)
    record_every = sweeps.make_sweep(first, len(data.train.labels)).record_every
    asked = [
        dataclasses.replace(experiment, first_seed=part.first_seed, seeds=part.seeds, record_every=record_every)
        for part in parts
    ]
    return [Runner(each, sweeps.make_sweep(each, len(data.train.labels)), data, problem) for each in asked]


class _Scalars:
    """TensorBoard scalars while training runs: at checks, at most every few seconds and for a twentieth of the time."""

    def __init__(self, writer: ScalarWriter, measured: Callable[[], xr.Dataset]) -> None:
        self._writer, self._measured = writer, measured
        self._last, self._off = -math.inf, writer.max_runs == 0
        self._pause = _SECONDS_BETWEEN_SCALARS

    def write_sometimes(self, _: Runner) -> None:
        if (start := time.monotonic()) - self._last > self._pause:
            self._write(lambda: self._writer.write(self._measured()))
            self._pause = max(_SECONDS_BETWEEN_SCALARS, 20 * (time.monotonic() - start))

    def finish(self, results: xr.Dataset) -> None:
        self._write(lambda: self._writer.finish(results))

    def _write(self, points: Callable[[], None]) -> None:
        if self._off:
            return
        try:
            points()
        except OSError as error:  # scalars can be had again from the checkpoints, training time cannot
            _log.warning("TensorBoard scalars could not be written (%s): none from here on", error.strerror)
            self._off = True
        if self._writer.left_out and self._last == -math.inf:
            shown = self._writer.max_runs
            total = shown + self._writer.left_out
            _log.info("TensorBoard shows %d of %d settings: --tensorboard_max_runs=%d", shown, total, shown)
        self._last = time.monotonic()


def _max_runs(experiment: Experiment) -> int:
    return experiment.run.tensorboard_max_runs if experiment.run.tensorboard else 0


def _dataset(runners: Sequence[Runner], data: Data, experiment: Experiment, about: Mapping[str, Any]) -> xr.Dataset:
    parts = [results.make_dataset(runner.sweep, runner.histories, data, experiment) for runner in runners]
    return functools.reduce(results.add_seeds, parts).assign_attrs(about)


def _with_measured(study: Study, experiment: Experiment, data: Data, dataset: xr.Dataset) -> xr.Dataset:
    """The results with what the study measures besides."""
    if study.measure is None:
        return dataset
    measured = study.measure(experiment, data, dataset)
    for name in measured.coords:
        if name in dataset.coords and not np.array_equal(measured[name], dataset[name]):
            raise ValueError(f"study {study.name}: what it measures has another {name} than the run")
    return dataset.merge(measured, combine_attrs="override")


def _counts(dataset: xr.Dataset) -> dict[str, int]:
    """How many members stopped, diverged, and trained to their end."""
    from jaxreg.measures.summary import halted  # pandas is slow to import

    counts = {halt: int(members.sum()) for halt, members in halted(dataset).items()}
    return {"finished": dataset["diverged_step"].size - sum(counts.values()), **counts}


def _cost(runners: Sequence[Runner]) -> dict[str, Any]:
    """What meta.json says of the work done so far; compilations and layout are those of this session."""
    seconds = {name: sum(runner.cost.seconds[name] for runner in runners) for name in runners[0].cost.seconds}
    member_steps = sum(runner.member_steps for runner in runners)
    return {
        "train_compilations": runners[-1].cost.train_compilations,
        "layout": [dataclasses.asdict(layout) for layout in runners[-1].layouts],
        "compactions": [
            {"first_seed": runner.sweep.seeds[0], **entry} for runner in runners for entry in runner.compactions
        ],
        "seconds": seconds,
        "member_steps_per_second": member_steps / seconds["train"] if seconds["train"] else None,
        "peak_memory_bytes": provenance.peak_memory_bytes(),
    }


def _command() -> str:
    """The command line of this process, as it can be typed again."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    program = ["python", "-m", spec.name] if spec else ["python", sys.argv[0]]
    return shlex.join([*program, *sys.argv[1:]])
