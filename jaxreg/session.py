"""One session of a run: check, load, train, keep, show."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from jaxreg import jax_settings, processes, results
from jaxreg.config import sweeps
from jaxreg.config.consistency import refuse_data_options, validate
from jaxreg.config.experiment import Experiment, RunConfig
from jaxreg.config.flagfile import experiment_from_flags
from jaxreg.config.remarks import remarks, remarks_on_steps
from jaxreg.data import Data, load, located
from jaxreg.data.remarks import remarks_on
from jaxreg.diagnostics.watch import Watch
from jaxreg.errors import ConfigError, RunFolderError, Stopped
from jaxreg.files import shown
from jaxreg.hardware import require_devices
from jaxreg.in_progress import InProgress
from jaxreg.measures.summary import halted, write_summary
from jaxreg.population.planning import Plan, make_plan
from jaxreg.reporting.console import Bar, progress_bar
from jaxreg.runs import folder as runfolder
from jaxreg.runs import provenance, study_source
from jaxreg.runs.block_training import Hooks
from jaxreg.runs.checkpoints.store import Checkpoints
from jaxreg.runs.commands import command_line
from jaxreg.runs.estimate import estimate
from jaxreg.runs.identity import Identity
from jaxreg.runs.interruption import Interruption
from jaxreg.runs.joining import joined_record, read_parts
from jaxreg.runs.profile import Profile
from jaxreg.runs.progress import Position
from jaxreg.runs.runner import Runner
from jaxreg.runs.shared_folder import FollowedFolder, shared_run_folder
from jaxreg.runs.signals import SignalGuard
from jaxreg.runs.snapshots import Snapshot, Snapshots
from jaxreg.slow_imports import xr
from jaxreg.study import Study
from jaxreg.training.problem import Problem

_log = logging.getLogger("jaxreg")

Folder: TypeAlias = runfolder.RunFolder | FollowedFolder


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The results of a run, and the folder in which it is kept, if any. A part of a sweep has no results by itself."""

    results: xr.Dataset | None
    folder: Path | None


def prepare(
    experiment: Experiment,
    problem: Problem | None = None,
    data: Data | None = None,
    watches: Sequence[Watch] = (),
) -> Plan:
    """The plan of an experiment; all that can be refused is refused here, before anything is compiled or written.

    Raises:
      ConfigError, DataError, JaxregError: in one line each.
    """
    validate(experiment)
    require_devices()
    if data is None:
        experiment = dataclasses.replace(experiment, data=located(experiment.data))
        data = load(experiment.data)
    else:
        refuse_data_options(experiment.data)
    return make_plan(experiment, data, problem, watches)


def _remark(plan: Plan) -> None:
    """Says what a user should know of the plan before it is trained; where a run folder is open, log.txt keeps it."""
    of_settings = filter(None, [jax_settings.remark()])
    for line in (*remarks(plan.experiment), *remarks_on_steps(plan.sweep), *remarks_on(plan.data), *of_settings):
        _log.warning(line)
    if plan.sweep.record_every > 1 and not plan.experiment.record_every:
        _log.info("batch losses are recorded every %d steps, to keep them under 256 MB", plan.sweep.record_every)


@jax_settings.pinned()
def execute(
    experiment: Experiment,
    study: Study,
    *,
    problem: Problem | None = None,
    data: Data | None = None,
    own: Mapping[str, Any] | None = None,
    watches: Sequence[Watch] = (),
    keep: bool = True,
) -> Outcome:
    """Like `jaxreg.run`; with `keep` a run folder is left in any case. `own` is what the user gave beside the flags."""
    own = own or {}
    with processes.losses_in_words():
        return _execute(experiment, study, problem, data, own, watches, keep=keep)


def _execute(
    experiment: Experiment,
    study: Study,
    problem: Problem | None,
    data: Data | None,
    own: Mapping[str, Any],
    watches: Sequence[Watch],
    *,
    keep: bool,
) -> Outcome:
    made: list[Plan] = []
    processes.together(lambda: made.append(_plan_of(experiment, study, problem, data, watches)))
    plan = made[0]
    if processes.count() > 1:
        processes.require_same(_compared(plan, own, study))
    about = {"own_model": 1} if {"model"} & {*own, *study.parts} else {}
    if keep:
        return _run_in_folder(plan, study, own, about)
    _remark(plan)
    runner = Runner(plan)
    with _bar(plan) as bar:
        runner.run(Hooks(progress=bar))
    return Outcome(_with_measured(study, plan, _dataset([runner], about)), None)


def _compared(plan: Plan, own: Mapping[str, Any], study: Study) -> dict[str, Any]:
    """What must agree between the processes of a run, so that they do the same in the same order; by name."""
    run = {
        f"--{name}": value for name, value in dataclasses.asdict(plan.experiment.run).items() if name != "process_id"
    }
    identity = Identity.of(plan, own, study.parts)
    flags = {f"--{name}": value for name, value in identity.flags.items()}
    layouts = [str(layout) for layout in plan.layouts]
    parts = {"the own parts": identity.own, "the settings of JAX": identity.jax, "the layout": layouts}
    versions = {"the version of jaxreg or of JAX": provenance.package_versions()}
    return run | flags | {"the data": identity.data, "--seeds": plan.experiment.seeds} | parts | versions


def _bar(plan: Plan) -> contextlib.AbstractContextManager[Bar]:
    return progress_bar(plan.experiment.run.progress if processes.is_first() else "false")


def _plan_of(
    experiment: Experiment,
    study: Study,
    problem: Problem | None = None,
    data: Data | None = None,
    watches: Sequence[Watch] = (),
) -> Plan:
    """The plan of an experiment with the parts of its study, or with those that are given in their place.

    Raises:
      ConfigError: the study brings parts, or data, and others are given too.
    """
    if (problem is not None and study.parts) or (data is not None and study.data):
        what = "data" if data is not None and study.data else ", ".join(study.parts)
        raise ConfigError("study", study.name, f"brings {what} of its own; give them in one place")
    if data is None and study.data:
        data = study.data()
    return prepare(experiment, problem or study.problem, data, (*study.watches, *watches))


@jax_settings.pinned()
def check(experiment: Experiment, study: Study) -> None:
    """Refuses what a run of this experiment would refuse before it trains.

    Raises:
      ConfigError, DataError: in one line.
    """
    _plan_of(experiment, study)


@jax_settings.pinned()
def dry_run(experiment: Experiment, study: Study) -> list[str]:
    """What `--dry_run` prints: how many members there are, and for each group what it will take."""
    plan = _plan_of(experiment, study)
    _remark(plan)
    return list(estimate(plan))


def _run_in_folder(plan: Plan, study: Study, own: Mapping[str, Any], about: Mapping[str, Any]) -> Outcome:
    """Trains in a run folder: resumes what is there, keeps checkpoints, writes results and report."""
    experiment = plan.experiment
    settings = experiment.run
    identity = Identity.of(plan, own, study.parts)
    with shared_run_folder(experiment, identity) as folder, _ends_in_words(folder.path):
        if folder.finished and experiment.part:
            _log.info("%s is finished: nothing is left to do but to join the parts", folder.path)
            return Outcome(None, folder.path)
        if folder.finished and (kept := _intact_results(folder.path)) is not None:
            folder.repair_flags()
            if settings.report and processes.is_first() and not (folder.path / "report.html").exists():
                _report(folder.path, study, folder.meta, kept)
            processes.wait()
            _log.info("%s is finished: nothing is left to do", folder.path)
            return Outcome(kept, folder.path)
        _remark(plan)
        if folder.resumed and (changes := provenance.changes_since(folder.meta)):
            _log.warning("%s: equal bits are promised only where these are equal", "; ".join(changes))
        parts = _restored_parts(plan, folder)
        folder.start(
            command=command_line(),
            git=provenance.git_state(),
            versions=provenance.package_versions(),
            device=provenance.device_description(),
            members=sum(runner.plan.sweep.num_members for runner, _ in parts),
            own=list(own),
            study=study_source.locate(study),
        )
        return Outcome(_train_and_write(parts, plan, study, folder, about), folder.path)


@contextlib.contextmanager
def _ends_in_words(folder: Path) -> Iterator[None]:
    """A run that is stopped says how it goes on, one that fails for the disk what to do."""
    try:
        yield
    except Stopped as stop:
        stop.folder = folder
        stop.add_note(
            f"Go on with RunConfig(workdir={str(folder)!r}, resume=True), or on the command line with --resume."
        )
        raise
    except OSError as error:
        raise RunFolderError(
            f"{folder}: could not be used ({error.strerror or error}: {shown(error.filename or folder)}); the "
            "checkpoints that are there are good: free some space or repair the folder, then go on with --resume"
        ) from error


def _intact_results(folder: Path) -> xr.Dataset | None:
    """The results of a finished run; None where they are missing or damaged, to be made again from its checkpoint."""
    if not (folder / "results.nc").exists():
        return None
    try:
        return results.load(folder)
    except RunFolderError as damage:
        _log.warning("%s: made again", str(damage).partition(";")[0])
        return None


def _restored_parts(plan: Plan, folder: Folder) -> list[tuple[Runner, Checkpoints]]:
    """A runner, with its checkpoints, for the seeds that a run began with and for those of every addition.

    Each has taken over its newest checkpoint, where a run is resumed. Curves are recorded as at first.
    """
    plans = [plan]
    if len(folder.parts) > 1:
        first = dataclasses.replace(plan.experiment, seeds=folder.parts[0].seeds)
        record_every = sweeps.make_sweep(first, len(plan.data.train.labels)).record_every
        plans = [plan.for_seeds(part.first_seed, part.seeds, record_every) for part in folder.parts]
    restored = []
    for number, of_part in enumerate(plans, 1):
        parts = folder.parts[:number]
        runner = Runner(of_part)
        checkpoints = Checkpoints(
            runfolder.checkpoint_folder(folder.path, parts), f"{folder.configuration} {parts[-1]}"
        )
        if folder.resumed and (found := checkpoints.latest()):
            runner.restore(found)
            if number == len(plans):
                _log.info("going on from the checkpoint at step %d", found.step)
        restored.append((runner, checkpoints))
    return restored


@jax_settings.pinned()
def join(
    folders: Sequence[Path], settings: RunConfig, *, study: str | None = None, data_dir: str | None = None
) -> Outcome:
    """The run of a sweep whose parts have been trained on their own, kept in the folder that `settings` names.

    Args:
      folders: of the parts, all of them.
      settings: how the run is kept and shown.
      study: where the study is found, if not by what the parts tell.
      data_dir: folder of tensorflow-datasets.

    Raises:
      RunFolderError: these are not all the parts of one sweep, each once and finished.
      ConfigError: the data here are not those of the parts.
    """
    parts = read_parts(folders)
    first = parts[0]
    found, _ = study_source.find(first.meta, first.folder, study)
    flags = runfolder.flags_of_run(first.folder, first.meta["experiment"])
    assert flags is not None  # of a part, which keeps them
    experiment = experiment_from_flags(flags, first.meta["experiment"])
    data = dataclasses.replace(experiment.data, data_dir=data_dir or experiment.data.data_dir)
    experiment = dataclasses.replace(experiment, part=None, data=data, run=settings)
    plan = _plan_of(experiment, found)
    identity = Identity.of(plan, {}, found.parts)
    if identity.data != first.meta["identity"]["data"]:
        raise ConfigError("dataset", experiment.data.dataset, "holds other data than the parts were trained on")
    runner = Runner(plan)
    runner.record = joined_record(plan, parts)
    with runfolder.open_run_folder(experiment, identity) as folder, _ends_in_words(folder.path):
        folder.start(
            command=command_line(),
            git=provenance.git_state(),
            versions=provenance.package_versions(),
            device=provenance.device_description(),
            members=plan.sweep.num_members,
            own=[],
            study=study_source.locate(found),
            joined=[part.about() for part in parts],
        )
        checkpoints = Checkpoints(
            runfolder.checkpoint_folder(folder.path, folder.parts), f"{folder.configuration} {folder.parts[-1]}"
        )
        Snapshots(runner.record, checkpoints).save(Snapshot(Position(len(plan.sweep.groups))))
        about = {"own_model": 1} if "model" in found.parts else {}
        measured = functools.partial(_dataset, [runner], about)
        looks = InProgress(folder.path, _max_runs(experiment), measured)
        with _bar(plan) as bar:
            return Outcome(_write([runner], measured, plan, found, folder, looks, bar), folder.path)


def _train_and_write(
    parts: Sequence[tuple[Runner, Checkpoints]],
    plan: Plan,
    study: Study,
    folder: Folder,
    about: Mapping[str, Any],
) -> xr.Dataset | None:
    """Trains what is left of every part, and writes results, TensorBoard, summary and report.

    A part of a sweep leaves its last checkpoint, and no results.
    """
    runners = [runner for runner, _ in parts]
    measured = functools.partial(_dataset, runners, about)
    folder.delete("tensorboard", *runfolder.SO_FAR_FILES)  # of an earlier session
    looks = InProgress(folder.path, _max_runs(plan.experiment), measured)
    shows = processes.is_first() and not plan.experiment.part
    with _bar(plan) as bar:
        _train(parts, plan, folder, looks.write_sometimes if shows else None, bar)
        if plan.experiment.part:
            dataset = None
        elif processes.is_first():
            dataset = _write(runners, measured, plan, study, folder, looks, bar)
        else:
            dataset = _with_measured(study, plan, measured())
        processes.wait()  # longer than JAX would at the end of a process
        return dataset


def _train(
    parts: Sequence[tuple[Runner, Checkpoints]],
    plan: Plan,
    folder: Folder,
    on_check: Callable[[], None] | None,
    bar: Bar,
) -> None:
    settings, runners = plan.experiment.run, [runner for runner, _ in parts]
    last = runners[-1]
    profile = Profile(folder.path / "profile") if settings.profile and processes.is_first() else None
    try:
        with SignalGuard() as guard:
            interruption = Interruption(plan.experiment.name, guard, settings.max_minutes)
            for runner, checkpoints in parts:
                # Earlier seeds are finished, unless the checkpoint of their end was lost.
                if runner is last or not runner.finished:
                    runner.run(Hooks(checkpoints, interruption, bar, on_check, profile))
        if stop := interruption.after_the_last_step():  # asked once the guard has read all signals
            raise stop
    finally:
        if profile:
            profile.end()
        with contextlib.suppress(OSError):  # must not hide what ended the run
            folder.update(**_cost(runners))


def _write(
    runners: Sequence[Runner],
    measured: Callable[[], xr.Dataset],
    plan: Plan,
    study: Study,
    folder: Folder,
    looks: InProgress,
    bar: Bar,
) -> xr.Dataset:
    cost = runners[-1].record.cost
    bar.says("writing the results")
    with cost.timed("write"):
        dataset = measured()
        looks.finish(dataset)
    with cost.timed("evaluate"):
        dataset = _with_measured(study, plan, dataset)
    with cost.timed("write"):
        results.save(dataset, folder.path / "results.nc")
        write_summary(dataset, folder.path / "summary.csv")
        folder.delete(*runfolder.SO_FAR_FILES)
    folder.update(**_cost(runners), **_counts(dataset))
    folder.delete("report.html", "figures")  # of fewer seeds
    if plan.experiment.run.report:
        for runner in runners:
            runner.record.forget_params()  # the report reads those that it shows from the checkpoint
        bar.says("drawing the report")
        _report(folder.path, study, folder.meta | {"status": "done", "ended": provenance.utc_stamp()}, dataset)
    return dataset


def _report(folder: Path, study: Study, meta: Mapping[str, Any], dataset: xr.Dataset) -> None:
    from jaxreg.reporting.assemble import write_report  # what draws is slow to import

    write_report(folder, study, meta, results=dataset)


def _max_runs(experiment: Experiment) -> int:
    return experiment.run.tensorboard_max_runs if experiment.run.tensorboard else 0


def _dataset(runners: Sequence[Runner], about: Mapping[str, Any]) -> xr.Dataset:
    """The labelled results so far, of all parts."""
    parts = [results.make_dataset(runner.plan, runner.record.histories) for runner in runners]
    return functools.reduce(results.add_seeds, parts).assign_attrs(about)


def _with_measured(study: Study, plan: Plan, dataset: xr.Dataset) -> xr.Dataset:
    """The results with what the study measures besides."""
    if study.measure is None:
        return dataset
    measured = study.measure(plan.experiment, plan.data, dataset)
    for name in measured.coords:
        if name in dataset.coords and not np.array_equal(measured[name], dataset[name]):
            raise ValueError(f"study {study.name}: what it measures has another {name} than the run")
    return dataset.merge(measured, compat="no_conflicts", join="exact", combine_attrs="override")


def _counts(dataset: xr.Dataset) -> dict[str, int]:
    """How many members stopped, diverged, and trained to their end."""
    counts = {halt: int(members.sum()) for halt, members in halted(dataset).items()}
    return {"finished": dataset["diverged_step"].size - sum(counts.values()), **counts}


def _cost(runners: Sequence[Runner]) -> dict[str, Any]:
    """What meta.json says of the work done so far; compilations and layout are those of this session."""
    records = [runner.record for runner in runners]
    seconds = {name: sum(record.cost.seconds[name] for record in records) for name in records[0].cost.seconds}
    member_steps = sum(record.member_steps for record in records)
    return {
        "train_compilations": runners[-1].placements.compilations,
        "layout": [dataclasses.asdict(layout) for layout in records[-1].layouts],
        "compactions": [
            {"first_seed": record.plan.sweep.seeds[0], **entry} for record in records for entry in record.compactions
        ],
        "device_changes": [
            {"first_seed": record.plan.sweep.seeds[0], **entry} for record in records for entry in record.device_changes
        ],
        "seconds": seconds,
        "member_steps_per_second": member_steps / seconds["train"] if seconds["train"] else None,
        "peak_memory_bytes": provenance.peak_memory_bytes(),
    }
