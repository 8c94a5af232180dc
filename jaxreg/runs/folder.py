"""The folder of one run: whether this run may use it, and what is kept in it."""

from __future__ import annotations

import contextlib
import itertools
import logging
import logging.handlers
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from jaxreg.config.experiment import Experiment
from jaxreg.config.flagfile import flag_lines
from jaxreg.errors import ConfigError, RunFolderError, Stopped
from jaxreg.files import (
    finish_removing,
    read_text,
    reason,
    refuse_links,
    remove,
    sha256_of_text,
    shown,
    signed_json,
    user_path,
    write_atomically,
)
from jaxreg.portable import resource
from jaxreg.runs.identity import Identity
from jaxreg.runs.lock import LOCK, STAND_IN, FolderLock, unusable
from jaxreg.runs.meta import read_meta, unreadable
from jaxreg.runs.provenance import utc_stamp

SO_FAR = "so_far.nc"  # the results of a run that goes on, now and then
SO_FAR_FILES = (SO_FAR, f".{SO_FAR}.partial")

# All that a run writes, and so all that --overwrite deletes.
WRITTEN = (
    "flags.cfg",
    "meta.json",
    "results.nc",
    *SO_FAR_FILES,
    "summary.csv",
    "checkpoints",
    "tensorboard",
    "figures",
    "profile",
    "report.html",
    "log.txt",
)
_FOLDERS = frozenset({"checkpoints", "tensorboard", "figures", "profile"})
_TRACES = {LOCK, STAND_IN, ".meta.json.partial"}  # what a run killed in its first moment leaves
_OPEN_FILES = 64  # that a run needs at once, Orbax's threads included

_log = logging.getLogger("jaxreg")


class Part(NamedTuple):
    """Seeds that were trained together: those a run began with, or those that were added to a finished run."""

    first_seed: int
    seeds: int

    def __str__(self) -> str:
        """What tells its checkpoints from those of other parts of the run."""
        return f"seeds {self.first_seed}+{self.seeds}"


def open_run_folder(experiment: Experiment, identity: Identity) -> RunFolder:
    """Locks the folder of a run once it is clear that this run may use it.

    To be used as `with open_run_folder(…) as folder:`; nothing but the lock is written, and nothing deleted, before
    `folder.start()`.

    Args:
      experiment: what is to be trained. Of `experiment.run`, `workdir` names the folder (None: a new
        `runs/<name>/<UTC stamp>`); with `resume` the run in the folder is gone on with, which must be the same one, and
        seeds are added where it is finished and more are asked for; with `overwrite` it is deleted.
      identity: what must agree for a run to be gone on with.

    Raises:
      RunFolderError: the folder is in use, not writable, holds something else than a jaxreg run or a run that was not
        asked for; or there is nothing to resume.
    """
    settings = experiment.run
    if settings.resume and settings.overwrite:
        raise RunFolderError("--resume goes on with a run, --overwrite deletes it: give one of them")
    if settings.workdir is None and settings.resume:
        raise RunFolderError("--resume needs --workdir=FOLDER, the run to go on with")
    _allow_open_files()
    while True:
        lock = FolderLock(default_workdir(experiment.name) if settings.workdir is None else user_path(settings.workdir))
        refuse_odd_name(lock.folder, "--workdir=")
        _refuse_foreign(lock.folder)
        try:
            lock.acquire(new=settings.workdir is None)
            break
        except FileExistsError:  # another run took the same default a moment ago
            continue
    try:
        return RunFolder(lock, experiment, identity)
    except BaseException:
        lock.release()
        raise


class RunFolder:
    """An open run folder. On leaving the `with` block its status is noted and its lock released.

    Attributes:
      path: the folder.
      flags_text: what becomes flags.cfg.
      configuration: the hash that the checkpoints of the run carry.
      meta: what meta.json holds, of the run so far where one is resumed.
      resumed: whether there is a run to go on with.
      finished: whether that run is done, so that nothing is left to do.
      started: whether `start` was called.
      parts: the seeds that were trained together, the last ones being those to train now.
    """

    def __init__(self, lock: FolderLock, experiment: Experiment, identity: Identity) -> None:
        """Compares the run that is in the locked folder with the one that is asked for; see `open_run_folder`."""
        self.path = lock.folder
        remarks = [f"# {name} is the user's own: flags alone do not repeat this run" for name in identity.given]
        self.flags_text = _as_text([*remarks, *flag_lines(experiment)])
        self.configuration = identity.configuration
        self.meta: dict[str, Any] = {"experiment": experiment.name}
        self.parts = [Part(experiment.first_seed, experiment.seeds)]
        self.resumed = self.finished = self.started = False
        self._lock, self._identity, self._is_part = lock, identity, experiment.part is not None
        self._early_log = logging.handlers.MemoryHandler(capacity=10_000, flushLevel=sys.maxsize, flushOnClose=False)
        self._log_file: logging.Handler | None = None
        self._compare(resume=experiment.run.resume, overwrite=experiment.run.overwrite)

    def start(self, **meta: Any) -> None:
        """Training begins: what is overwritten is deleted, flags.cfg, log.txt and meta.json (status running) written.

        Until then a failure leaves no trace. `meta` adds to meta.json.
        """
        if not self.resumed:
            self._delete_run()
        self.started = True
        self._lock.sign()
        for name in _FOLDERS:
            finish_removing(self.path / name)
        now = utc_stamp()
        session = {"command": meta.get("command"), "git": meta.get("git"), "started": now, "ended": None}
        sessions = [*self.meta.get("sessions", ()), session]
        known: dict[str, Any] = {"configuration": self.configuration, "identity": self._identity.record()}
        known |= {"parts": self.parts, "sessions": sessions, "flags_sha256": sha256_of_text(self.flags_text)}
        self.meta = {"started": now} | self.meta | known | meta
        self.update(status="running", ended=None)
        write_atomically(self.path / "flags.cfg", self.flags_text)
        self._open_log()
        if self.resumed and not any(checkpoint_folder(self.path, self.parts).glob("[0-9]*")):
            if len(self.parts) > 1:
                _log.info("%s: %d seeds are added, the others stay as they are", self.path, self.parts[-1].seeds)
            else:
                _log.info("%s holds no checkpoint yet: training starts from the beginning", self.path)

    def delete(self, *names: str) -> None:
        """Deletes files and folders that the run wrote, where they are there."""
        for name in names:
            remove(self.path / name)

    def update(self, **meta: Any) -> None:
        """Adds to meta.json, atomically."""
        self.meta |= meta
        write_atomically(self.path / "meta.json", signed_json(self.meta))

    def repair_flags(self) -> None:
        """Writes the flags.cfg of a finished run anew where it is missing or damaged."""
        if "flags_sha256" in self.meta:
            try:
                read_flags(self.path, self.meta)
            except RunFolderError as damage:
                self.update(flags_sha256=sha256_of_text(self.flags_text))
                write_atomically(self.path / "flags.cfg", self.flags_text)
                _log.warning("%s: written anew", str(damage).partition(";")[0])

    def __enter__(self) -> RunFolder:
        _log.addHandler(self._early_log)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            status = "done"
        else:
            status = "interrupted" if isinstance(error, Stopped | KeyboardInterrupt) else "failed"
        try:
            if self.started:
                self.meta["sessions"][-1]["ended"] = utc_stamp()
                self.update(status=status, ended=utc_stamp())
        except OSError as failure:
            if error is None:  # else it must not hide the error that led here
                raise RunFolderError(
                    f"{self.path}/meta.json: could not be written ({reason(failure)}), so the run does not count as "
                    "done; free some space or repair the folder, then go on with --resume"
                ) from failure
        finally:
            for handler in (self._early_log, self._log_file):
                if handler is not None:
                    _log.removeHandler(handler)
                    handler.close()
            self._lock.release(keep_folder=self.started)

    def _open_log(self) -> None:
        """log.txt, beginning with what was said before there was a folder to say it in."""
        formatter = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
        formatter.converter = time.gmtime
        self._log_file = _LogFile(self.path / "log.txt", encoding="utf-8", errors="backslashreplace")
        self._log_file.setFormatter(formatter)
        self._early_log.setTarget(self._log_file)
        self._early_log.flush()
        _log.removeHandler(self._early_log)
        _log.addHandler(self._log_file)

    def _delete_run(self) -> None:
        """Deletes what an earlier run wrote but its meta.json, which tells whose it is should this be cut off."""
        there = read_meta(self.path)
        if there is None:
            return
        write_atomically(self.path / "meta.json", signed_json(there | {"status": "interrupted"}))
        self.delete(*(name for name in WRITTEN if name != "meta.json"))

    def _compare(self, *, resume: bool, overwrite: bool) -> None:
        """Goes on with the run that is in the folder, if it is the one that is asked for."""
        there = read_meta(self.path)
        if there is None:
            if resume:
                raise RunFolderError(f"--resume: --workdir={self.path} holds nothing to resume; start without --resume")
            return
        if overwrite:
            return
        if there["experiment"] != self.meta["experiment"]:
            raise RunFolderError(
                f"--workdir={self.path}: holds a run of {there['experiment']}, not of {self.meta['experiment']}; "
                "choose another folder, or --overwrite to delete that run"
            )
        differing = self._identity.differences(there, self._flags_there(there))
        parts_there = [Part(*part) for part in there.get("parts", ())]
        seeds_there, seeds = sum(part.seeds for part in parts_there), self.parts[0].seeds
        more = not differing and seeds > seeds_there > 0 and not self._is_part
        if differing or (seeds != seeds_there and not (more and resume)):
            if there.get("status") == "done" and not parts_there:
                differing = ["written by an older jaxreg"]
            elif seeds != seeds_there:
                differing.append(f"--seeds={seeds_there} there, {seeds} here")
            adds = "--resume to add the seeds, " if more else ""
            raise RunFolderError(
                f"--workdir={self.path}: holds another configuration ({_shortened(differing)}); {adds}choose another "
                "folder, or --overwrite to delete that run"
            )
        if more and there["status"] != "done":
            raise RunFolderError(
                f"--seeds={seeds}: seeds are added to a finished run, --workdir={self.path} is {there['status']}; "
                f"--resume with --seeds={seeds_there} first"
            )
        if not resume:
            raise RunFolderError(
                f"--workdir={self.path}: holds this very run (status {there['status']}); --resume to go on with it, or "
                "--overwrite to delete it"
            )
        self.meta, self.resumed, self.configuration = there, True, str(there["configuration"])
        self.finished = there["status"] == "done" and not more
        added = Part(self.parts[0].first_seed + seeds_there, seeds - seeds_there)
        self.parts = [*parts_there, added] if more else parts_there

    def _flags_there(self, there: Mapping[str, Any]) -> str | None:
        """The flags.cfg that is compared, of a run that keeps no `identity`; None where it is missing."""
        path = self.path / "flags.cfg"
        if "identity" in there or not path.exists():
            return None
        try:
            return read_text(path)
        except OSError as error:
            raise unreadable(path, reason(error)) from error


class _LogFile(logging.FileHandler):
    """log.txt, of which a line that cannot be written, as on a full disk, is left out without a word."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - as in logging
        pass

    def close(self) -> None:
        """Closes the file; what it still held is lost on a full disk."""
        with contextlib.suppress(OSError):
            super().close()


def _refuse_foreign(folder: Path) -> None:
    """Refuses a file, a folder that holds something else than a run, and a run with links or the like in it."""
    try:
        if folder.exists() and not folder.is_dir():
            raise RunFolderError(f"--workdir={folder}: is a file; give a folder")
        names = {path.name for path in folder.iterdir()} - _TRACES if folder.exists() else set()
        refuse_links_within(folder)
    except OSError as error:
        raise unusable(folder, error) from error
    if names and read_meta(folder) is None:
        raise RunFolderError(
            f"--workdir={folder}: holds {min(names)} but no meta.json of a jaxreg run; choose another folder"
        )


def refuse_links_within(folder: Path) -> None:
    """Refuses a run folder in which a link, a pipe or another kind of file stands where a run writes.

    The folder itself may be given as a link, and may hold links under other names.

    Raises:
      RunFolderError: in one line.
      OSError: the folder cannot be read.
    """
    for name in (*WRITTEN, LOCK, STAND_IN):
        refuse_links(folder / name, folders=_FOLDERS)


def refuse_odd_name(folder: Path, flag: str = "") -> None:
    """Refuses a folder whose name is not UTF-8, which Orbax cannot open; `flag` is by what it was given: `--out=`."""
    try:
        str(folder.absolute()).encode("utf-8")
    except UnicodeEncodeError as error:
        raise RunFolderError(f"{flag}{shown(folder)}: its name is not UTF-8; give the folder another name") from error


def _allow_open_files() -> None:
    """Raises the limit of open files where it is too low for a run and may be raised.

    Raises:
      RunFolderError: it may not.
    """
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= _OPEN_FILES:
        return
    if hard != resource.RLIM_INFINITY and hard < _OPEN_FILES:
        raise RunFolderError(
            f"a run needs {_OPEN_FILES} open files at once, and here at most {hard} are allowed; raise the limit: "
            f"ulimit -n {_OPEN_FILES}"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, hard))


def _as_text(lines: Sequence[str]) -> str:
    """Lines of a flags.cfg.

    Raises:
      ConfigError: a value is not text in UTF-8.
    """
    for line in lines:
        try:
            line.encode("utf-8")
        except UnicodeEncodeError as error:
            name, _, value = line.removeprefix("--").partition("=")
            raise ConfigError(name, shown(value), "is not text in UTF-8; give another name") from error
    return "\n".join(lines) + "\n"


def checkpoint_folder(run: Path, parts: Sequence[Part]) -> Path:
    """Where the checkpoints of the last of these parts are; added seeds have a folder of their own."""
    folder = run / "checkpoints"
    return folder if len(parts) == 1 else folder / f"seeds_from_{parts[-1].first_seed}"


def default_workdir(experiment: str, root: Path = Path("runs")) -> Path:
    """`<root>/<experiment>/<UTC stamp>`, with `-2`, `-3`, … after it where that is taken."""
    stamp = root / experiment / utc_stamp().replace("-", "").replace(":", "")
    names = itertools.chain([stamp], (stamp.with_name(f"{stamp.name}-{n}") for n in itertools.count(2)))
    return next(path for path in names if not path.exists())


def _shortened(differing: Sequence[str], most: int = 5) -> str:
    more = [f"{len(differing) - most} more"] if len(differing) > most else []
    return "; ".join([*differing[:most], *more])


def results_file(folder: Path) -> Path:
    """The results of a run: results.nc, or while it goes on those so far, once it has left some."""
    finished, so_far = folder / "results.nc", folder / SO_FAR
    return so_far if so_far.is_file() and not finished.is_file() else finished


def read_finished(folder: Path, *, or_so_far: bool = False) -> dict[str, Any]:
    """The meta.json of a run folder that holds results, with `or_so_far` those of a run that goes on too.

    Raises:
      RunFolderError: `folder` is no run folder, or its run left no results yet; it cannot be read; there are links or
        the like in it.
    """
    try:
        refuse_links_within(folder)
    except OSError as error:
        raise unreadable(folder, reason(error)) from error
    meta = read_meta(folder)
    if meta is None or (not (folder / "flags.cfg").is_file() and "flags_sha256" not in meta):
        raise RunFolderError(
            f"{folder}: not a run folder (it holds no meta.json and flags.cfg of jaxreg); give the folder of a "
            "finished run, such as runs/NAME/STAMP"
        )
    if part := part_in(meta):
        raise RunFolderError(
            f"{folder}: is part {part} of a sweep and has no results by itself; join all parts: python -m jaxreg.join"
        )
    if not (results_file(folder) if or_so_far else folder / "results.nc").is_file():
        raise RunFolderError(f"{folder}: holds no results yet (status {meta['status']}); finish it with --resume first")
    return meta


def part_in(meta: Mapping[str, Any]) -> str | None:
    """Which part of a sweep a run folder holds, as `--part` spells it; None for a whole one."""
    part = meta.get("identity", {}).get("flags", {}).get("part")
    return None if part is None else str(part)


def flags_of_run(folder: Path, experiment: str) -> str | None:
    """The flags of a run: its flags.cfg, or where that is missing or damaged what its meta.json keeps of them.

    None where the folder holds no run of that experiment, or one that keeps its flags nowhere else.

    Raises:
      RunFolderError: meta.json cannot be read.
    """
    meta = read_meta(folder)
    if meta is None or meta["experiment"] != experiment:
        return None
    try:
        return read_flags(folder, meta)
    except RunFolderError:
        if "identity" not in meta:
            return None
    kept = meta["identity"]["flags"] | {"seeds": sum(seeds for _, seeds in meta["parts"])}
    zipped = kept.pop("zip", None)  # the one flag that may be given several times
    flags = [*kept.items(), *(("zip", names) for names in (zipped.split("; ") if zipped else ()))]
    return "".join(f"--{name}={value}\n" for name, value in flags)


def read_flags(folder: Path, meta: Mapping[str, Any]) -> str:
    """The flags.cfg of a run, compared with the digest that its meta.json keeps.

    Raises:
      RunFolderError: it is missing, cannot be read, or differs from what was written.
    """
    path = folder / "flags.cfg"
    try:
        text = read_text(path)
    except OSError as error:
        raise unreadable(path, reason(error)) from error
    if sha256_of_text(text) != meta.get("flags_sha256", sha256_of_text(text)):
        raise unreadable(path, "it differs from what the run wrote")
    return text
