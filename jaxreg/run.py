"""From an experiment to results: check, load, train, keep, show."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import logging
import math
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from jaxreg import hardware, models, results, runfolder, sweeps
from jaxreg.config import Experiment, validate
from jaxreg.constraints import Constraint
from jaxreg.data import Data, load
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
    problem = Problem(model or models.mlp(initializer), tuple(penalties), tuple(constraints))
    own = [part for part in (data, model, initializer, *penalties, *constraints) if part is not None]
    keep = experiment.run.workdir is not None
    return execute(experiment, study or Study(), problem=problem, data=data, own=own, keep=keep).results


def execute(
    experiment: Experiment,
    study: Study,
    *,
    problem: Problem | None = None,
    data: Data | None = None,
    own: Sequence[Any] = (),
    keep: bool = True,
) -> Outcome:
    """Like `run`; with `keep` a run folder is left in any case. `own` is what the user gave beside the flags."""
    data, runner = _prepare(experiment, problem or Problem(), data)
    if not keep:
        with progress_bar(experiment.run.progress) as runner.progress:
            runner.run()
        return Outcome(_dataset(runner, data, experiment), None)

    settings = experiment.run
    flags_text = "\n".join(flag_lines(experiment)) + "\n"
    with runfolder.open_run_folder(
        None if settings.workdir is None else Path(settings.workdir),
        flags_text,
        _fingerprint(experiment, own),
        experiment=experiment.name,
        resume=settings.resume,
        overwrite=settings.overwrite,
    ) as folder:
        if folder.finished:
            _log.info("%s is finished: nothing is left to do", folder.path)
            return Outcome(results.load(folder.path / "results.nc"), folder.path)
        folder.start(
            command=_command(),
            git=runfolder.git_state(),
            versions=runfolder.package_versions(),
            device=runfolder.device_description(),
            members=runner.sweep.num_members,
        )
        from jaxreg.checkpoints import Checkpoints  # Orbax, like what draws and counts, is slow to import
        from jaxreg.reporting.tables import write_summary

        scalars = _Scalars(experiment, data, folder.path / "tensorboard")
        runner.checkpoints = Checkpoints(folder.path / "checkpoints", folder.configuration)
        runner.on_check = scalars.write_sometimes
        try:
            with SignalGuard() as runner.guard, progress_bar(settings.progress) as runner.progress:
                runner.run()
        finally:
            folder.update(**_cost(runner))
        with runner.cost.timed("write"):
            scalars.write(runner)
            dataset = _dataset(runner, data, experiment)
            results.save(dataset, folder.path / "results.nc")
            write_summary(dataset, folder.path / "summary.csv")
        folder.update(**_cost(runner), **_counts(dataset))
    if settings.report:
        _report(dataset, study, folder.path, folder.meta, flags_text)
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
    for line in sweeps.remarks(experiment):
        _log.warning(line)
    data = data or load(experiment.data)
    sweep = sweeps.make_sweep(experiment, len(data.train.labels))
    if sweep.record_every > 1 and not experiment.record_every:
        _log.info("batch losses are recorded every %d steps, to keep them under 256 MB", sweep.record_every)
    hardware.keep_compilations()
    return data, Runner(experiment, sweep, data, problem)


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
        self._writer.write(_dataset(runner, self._data, self._experiment))
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


def _fingerprint(experiment: Experiment, own: Sequence[Any]) -> str:
    """A hash of what has to agree for a run to be resumed: the flags, and the user's own data and functions."""
    digest = hashlib.sha256("\n".join(compared_lines(experiment)).encode())
    for part in own:
        if isinstance(part, Data):
            for array in (*part.train, *part.validation, *part.test):
                digest.update(array.tobytes())
        else:
            for function in part if isinstance(part, tuple) else (part,):
                digest.update(_code(function).encode())
    return digest.hexdigest()


def _code(function: Any) -> str:
    """The source of a function where it can be had, else its name."""
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return str(getattr(function, "__qualname__", type(function).__qualname__))
