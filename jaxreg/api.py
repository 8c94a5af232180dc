"""From an experiment to results: check, load, train, keep, show."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import inspect
import logging
import math
import re
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr

from jaxreg import models, results, runfolder, sweeps
from jaxreg.config import Experiment, validate
from jaxreg.constraints import Constraint
from jaxreg.data import Data, load
from jaxreg.errors import ConfigError, RunFolderError
from jaxreg.flagfile import compared_lines, flag_lines
from jaxreg.initializers import Initializer
from jaxreg.penalties import Penalty
from jaxreg.reporting.console import progress_bar
from jaxreg.runner import Runner
from jaxreg.signals import SignalGuard
from jaxreg.study import Study
from jaxreg.training import Problem

_log = logging.getLogger("jaxreg")

_SECONDS_BETWEEN_SCALARS = 5.0


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The results of a run, and the folder in which it is kept, if any."""

    results: xr.Dataset
    folder: Path | None


def run(
    experiment: Experiment,
    *,
    data: Data | None = None,
    model: models.Model | None = None,
    initializer: Initializer | None = None,
    penalties: Sequence[Penalty] = (),
    constraints: Sequence[Constraint] = (),
    study: Study | None = None,
) -> xr.Dataset:
    """Trains all members of an experiment and returns their labelled results.

    Nothing is written unless `experiment.run.workdir` names a folder; then the run is kept there as the command line
    keeps it, and can be resumed.

    Args:
      experiment: what is trained.
      data: own arrays (`jaxreg.from_arrays`) in place of `experiment.data`.
      model: own pair of functions in place of the multilayer perceptron.
      initializer: own (key, shape, variance) -> weights in place of the scheme `init`.
      penalties: own terms of the objective, (params, activations, hparams, step) -> scalar.
      constraints: own projections after the update, (params, hparams) -> params.
      study: the words and figures of the report.

    Returns:
      A Dataset whose dimensions are the swept hyperparameters by name, `seed`, and `step` or `check`; every variable
      has `units` and a `description`.

    Raises:
      ConfigError: a value that is not allowed, before anything is compiled or written.
      DataError, RunFolderError, CheckpointError: in one line each, with what to do.
      Stopped: by a signal or `max_minutes`, after a checkpoint.
    """
    if model is not None and initializer is not None:
        raise ConfigError("init", "own initializer", "a model of your own draws its own weights; give one of the two")
    if experiment.run.dry_run:
        raise ConfigError("dry_run", "true", "is for the command line")
    if experiment.run.max_minutes and experiment.run.workdir is None:
        raise ConfigError("max_minutes", experiment.run.max_minutes, "needs --workdir, to go on from")
    problem = Problem(model or models.mlp(initializer), tuple(penalties), tuple(constraints))
    named: dict[str, Any] = {"data": data, "model": model, "initializer": initializer}
    own = {name: part for name, part in named.items() if part is not None}
    own |= {f"penalty {i}": part for i, part in enumerate(penalties)}
    own |= {f"constraint {i}": part for i, part in enumerate(constraints)}
    keep = experiment.run.workdir is not None
    return execute(experiment, study or Study(), problem=problem, data=data, own=own, keep=keep).results


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
    data, runner = _prepare(experiment, problem or Problem(), data)
    if not keep:
        with progress_bar(experiment.run.progress) as runner.progress:
            runner.run()
        return Outcome(_dataset(runner, data, experiment), None)

    from jaxreg.checkpoints import Checkpoints  # Orbax, like what draws and counts, is slow to import
    from jaxreg.summary import write_summary

    settings, own = experiment.run, own or {}
    remarks = [f"# {name} is the user's own: flags alone do not repeat this run" for name in own]
    flags_text = "\n".join([*remarks, *flag_lines(experiment)]) + "\n"
    with runfolder.open_run_folder(
        None if settings.workdir is None else Path(settings.workdir),
        flags_text,
        _fingerprint(experiment, own),
        experiment=experiment.name,
        resume=settings.resume,
        overwrite=settings.overwrite,
    ) as folder:
        kept = folder.path / "results.nc"
        if folder.finished and kept.exists():
            dataset = results.load(kept)
            if settings.report and not (folder.path / "report.html").exists():
                _report(dataset, study, folder.path, folder.meta, flags_text)
            _log.info("%s is finished: nothing is left to do", folder.path)
            return Outcome(dataset, folder.path)
        runner.checkpoints = Checkpoints(folder.path / "checkpoints", folder.configuration)
        if folder.resumed and (found := runner.checkpoints.latest()):
            runner.restore(found)
        folder.start(
            command=_command(),
            git=runfolder.git_state(),
            versions=runfolder.package_versions(),
            device=runfolder.device_description(),
            members=runner.sweep.num_members,
            own=list(own),
        )
        try:
            scalars = _Scalars(experiment, data, folder.path / "tensorboard")
            runner.on_check = scalars.write_sometimes
            try:
                with SignalGuard() as runner.guard, progress_bar(settings.progress) as runner.progress:
                    runner.run()
            finally:
                with contextlib.suppress(OSError):  # must not hide what ended the run
                    folder.update(**_cost(runner))
            with runner.cost.timed("write"):
                scalars.write(runner)
                dataset = _dataset(runner, data, experiment)
                results.save(dataset, kept)
                write_summary(dataset, folder.path / "summary.csv")
            folder.update(**_cost(runner), **_counts(dataset))
            if settings.report:
                _report(dataset, study, folder.path, folder.meta | {"status": "done"}, flags_text)
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


class _Scalars:
    """TensorBoard scalars while training runs: at checks, but at most every few seconds."""

    def __init__(self, experiment: Experiment, data: Data, folder: Path) -> None:
        from jaxreg.reporting.tensorboard import ScalarWriter

        self._experiment, self._data, self._last = experiment, data, -math.inf
        most = experiment.run.tensorboard_max_runs if experiment.run.tensorboard else 0
        self._writer = ScalarWriter(folder, most)
        self._off = most == 0

    def write_sometimes(self, runner: Runner) -> None:
        if time.monotonic() - self._last > _SECONDS_BETWEEN_SCALARS:
            self.write(runner)

    def write(self, runner: Runner) -> None:
        if self._off:
            return
        try:
            self._writer.write(_dataset(runner, self._data, self._experiment))
        except OSError as error:  # scalars can be had again from the checkpoints, training time cannot
            _log.warning("TensorBoard scalars could not be written (%s): none from here on", error.strerror)
            self._off = True
        if self._writer.left_out and self._last == -math.inf:
            _log.info(
                "TensorBoard shows %d of %d settings: --tensorboard_max_runs=%d",
                len(runner.sweep.settings) - self._writer.left_out,
                len(runner.sweep.settings),
                self._experiment.run.tensorboard_max_runs,
            )
        self._last = time.monotonic()


def _report(dataset: xr.Dataset, study: Study, folder: Path, meta: Mapping[str, Any], flags_text: str) -> None:
    """Draws the figures of a study into `folder`/figures and writes `folder`/report.html."""
    from jaxreg.replication import compare
    from jaxreg.reporting import figures, page

    drawn = study.figures(dataset)
    for figure in drawn:
        figures.save(figure.figure, folder / "figures", figure.name)
    page.write_report(
        folder / "report.html",
        title=study.title,
        question=study.question,
        answer=study.answer(dataset),
        source=study.source,
        results=dataset,
        meta=meta,
        figures=drawn,
        comparison=compare(dataset, study.reported) if study.reported else None,
        flags=flags_text,
        notes=study.notes,
    )


def _dataset(runner: Runner, data: Data, experiment: Experiment) -> xr.Dataset:
    return results.make_dataset(runner.sweep, runner.histories, data, experiment)


def _counts(dataset: xr.Dataset) -> dict[str, int]:
    """How many members stopped, diverged, and trained to their end."""
    stopped, diverged = (int((dataset[name] >= 0).sum()) for name in ("stopped_check", "diverged_step"))
    return {"finished": dataset["diverged_step"].size - stopped - diverged, "stopped": stopped, "diverged": diverged}


def _cost(runner: Runner) -> dict[str, Any]:
    """What meta.json says of the work done so far."""
    seconds = runner.cost.seconds
    return {
        "train_compilations": runner.cost.train_compilations,
        "layout": [dataclasses.asdict(layout) for layout in runner.layouts],
        "seconds": dict(seconds),
        "member_steps_per_second": runner.member_steps / seconds["train"] if seconds["train"] else None,
        "peak_memory_bytes": runfolder.peak_memory_bytes(),
    }


def _command() -> str:
    """The command line of this process, as it can be typed again."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    program = ["python", "-m", spec.name] if spec else ["python", sys.argv[0]]
    return shlex.join([*program, *sys.argv[1:]])


def _fingerprint(experiment: Experiment, own: Mapping[str, Any]) -> str:
    """A hash of what has to agree for a run to be resumed: the flags, and the user's own data and functions."""
    digest = hashlib.sha256("\n".join(compared_lines(experiment)).encode())
    for name, part in own.items():
        digest.update(f"\n{name}: ".encode())
        for piece in _identity(part):
            digest.update(piece)
    return digest.hexdigest()


def _identity(part: Any) -> Iterator[bytes]:
    """What tells a value from another one: arrays by content, functions by source and by the values they close over."""
    if isinstance(part, Data):
        yield from _identity((*part.train, *part.validation, *part.test))
    elif isinstance(part, np.ndarray | jax.Array):
        yield np.asarray(part).tobytes()
    elif isinstance(part, tuple | list):
        for entry in part:
            yield from _identity(entry)
    elif isinstance(part, functools.partial):
        yield from _identity((part.func, part.args, sorted(part.keywords.items())))
    elif inspect.isfunction(part):
        try:
            yield inspect.getsource(part).encode()
        except OSError:
            yield part.__code__.co_code
        yield from _identity((part.__defaults__ or (), [cell.cell_contents for cell in part.__closure__ or ()]))
    else:
        yield re.sub(" at 0x[0-9a-f]+", "", repr(part)).encode()  # an address is another one in the next process
