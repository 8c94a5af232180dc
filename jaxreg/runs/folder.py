"""The folder of one run: who may write into it, what it holds already, and what is noted of how the run came to be."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import itertools
import json
import logging
import logging.handlers
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple

import jax

from jaxreg.config.flagfile import NOT_COMPARED
from jaxreg.errors import RunFolderError, Stopped
from jaxreg.files import strict_json, write_atomically

# All that a run writes, and so all that --overwrite deletes.
WRITTEN = (
    "flags.cfg",
    "meta.json",
    "results.nc",
    "summary.csv",
    "checkpoints",
    "tensorboard",
    "figures",
    "report.html",
    "log.txt",
)
STATUSES = ("running", "done", "interrupted", "failed")
PACKAGES = ("jaxreg", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "scipy", "xarray")

_LOCK = ".lock"
_TRACES = {_LOCK, ".meta.json.partial"}  # what a run killed in its first moment leaves
_log = logging.getLogger("jaxreg")


class Part(NamedTuple):
    """Seeds that were trained together: those a run began with, or those that were added to a finished run."""

    first_seed: int
    seeds: int

    def __str__(self) -> str:
        """What tells its checkpoints from those of other parts of the run."""
        return f"seeds {self.first_seed}+{self.seeds}"


def open_run_folder(
    workdir: Path | None,
    flags_text: str,
    configuration: str,
    *,
    experiment: str,
    seeds: Part,
    resume: bool = False,
    overwrite: bool = False,
) -> RunFolder:
    """Locks `workdir` (None: a new `runs/<experiment>/<UTC stamp>`) once it is clear that this run may use it.

    To be used as `with open_run_folder(…) as folder:`; nothing but the lock is written, and nothing deleted, before
    `folder.start()`.

    Args:
      flags_text: what becomes flags.cfg, lines `--name=value` and `#` comments.
      configuration: hash of what has to agree for a run to be resumed, seeds apart.
      seeds: all that the run shall have.
      resume: go on with the run in the folder. It must have the same configuration; to a finished one seeds are added.
      overwrite: delete what the run in the folder wrote, and start over.

    Raises:
      RunFolderError: the folder is in use, not writable, holds something else than a jaxreg run or a run that was not
        asked for; or there is nothing to resume.
    """
    if resume and overwrite:
        raise RunFolderError("--resume goes on with a run, --overwrite deletes it: give one of them")
    if workdir is None and resume:
        raise RunFolderError("--resume needs --workdir=FOLDER, the run to go on with")
    while True:
        folder = RunFolder(workdir or default_workdir(experiment), flags_text, configuration, experiment, seeds)
        try:
            folder._lock(new=workdir is None)
            break
        except FileExistsError:  # another run took the same default a moment ago
            continue
    try:
        folder._settle(resume=resume, overwrite=overwrite)
    except BaseException:
        folder._unlock()
        raise
    return folder


class RunFolder:
    """An open run folder. On leaving the `with` block its status is noted and its lock released.

    `path`: the folder. `meta`: what meta.json holds, of the run so far where one is resumed. `resumed`: whether there
    is a run to go on with. `finished`: whether that run is done, so that nothing is left to do. `parts`: the seeds that
    were trained together, the last ones being those to train now.
    """

    def __init__(self, path: Path, flags_text: str, configuration: str, experiment: str, seeds: Part) -> None:
        self.path, self.flags_text, self.configuration = path.absolute(), flags_text, configuration
        self.meta: dict[str, Any] = {"experiment": experiment}
        self.parts = [seeds]
        self.resumed = self.finished = self.started = False
        self._lock_file: IO[str] | None = None
        self._made: list[Path] = []  # folders that this call made, innermost first
        self._early_log = logging.handlers.MemoryHandler(capacity=10_000, flushLevel=sys.maxsize, flushOnClose=False)
        self._log_file: logging.Handler | None = None

    def start(self, **meta: Any) -> None:
        """Training begins: what is overwritten is deleted, flags.cfg, log.txt and meta.json (status running) written.

        Until then a failure leaves no trace. `meta` adds to meta.json.
        """
        if not self.resumed:
            self._delete_run()
        self.started = True
        now = utc_stamp()
        session = {"command": meta.get("command"), "git": meta.get("git"), "started": now, "ended": None}
        sessions = [*self.meta.get("sessions", ()), session]
        known = {"configuration": self.configuration, "parts": self.parts, "sessions": sessions}
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
        for path in (self.path / name for name in names):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def update(self, **meta: Any) -> None:
        """Adds to meta.json, atomically."""
        self.meta |= meta
        write_atomically(self.path / "meta.json", strict_json(self.meta))

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
            _log.error("meta.json could not be written: %s", failure)  # must not hide the error that led here
        finally:
            for handler in (self._early_log, self._log_file):
                if handler is not None:
                    _log.removeHandler(handler)
                    handler.close()
            self._unlock()

    def _open_log(self) -> None:
        """log.txt, beginning with what was said before there was a folder to say it in."""
        formatter = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
        formatter.converter = time.gmtime
        self._log_file = logging.FileHandler(self.path / "log.txt", encoding="utf-8")
        self._log_file.setFormatter(formatter)
        self._early_log.setTarget(self._log_file)
        self._early_log.flush()
        _log.removeHandler(self._early_log)
        _log.addHandler(self._log_file)

    def _delete_run(self) -> None:
        """Deletes what an earlier run wrote but its meta.json, which tells whose it is should this be cut off."""
        there = _read_meta(self.path)
        if there is None:
            return
        write_atomically(self.path / "meta.json", strict_json(there | {"status": "interrupted"}))
        self.delete(*(name for name in WRITTEN if name != "meta.json"))

    def _lock(self, *, new: bool) -> None:
        """Makes the folder where it is missing and takes its lock; `new`: the folder must not be there yet."""
        try:
            self._refuse_foreign()
            lock = self.path / _LOCK
            self._made = [path for path in (lock, self.path, *self.path.parents) if not path.exists()]
            self.path.mkdir(parents=True, exist_ok=not new)
            self._lock_file = lock.open("a", encoding="utf-8")
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not lock.exists() or not os.path.samestat(os.fstat(self._lock_file.fileno()), lock.stat()):
                raise BlockingIOError  # the one who held it has just removed it, and a third may hold the next
        except OSError as error:
            if isinstance(error, BlockingIOError | FileExistsError):
                self._made = []  # by the other run
            self._unlock()
            if isinstance(error, FileExistsError) and new:
                raise
            if isinstance(error, BlockingIOError):
                raise RunFolderError(f"--workdir={self.path}: in use by another run; choose another folder") from error
            reason = (error.strerror or str(error)).lower()
            raise RunFolderError(
                f"--workdir={self.path}: cannot be used ({reason}); give a folder that can be written"
            ) from error

    def _refuse_foreign(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise RunFolderError(f"--workdir={self.path}: is a file; give a folder")
        names = {path.name for path in self.path.iterdir()} - _TRACES if self.path.exists() else set()
        if names and _read_meta(self.path) is None:
            raise RunFolderError(
                f"--workdir={self.path}: holds {min(names)} but no meta.json of a jaxreg run; choose another folder"
            )

    def _unlock(self) -> None:
        """Removes what this call made, unless training started, and releases the lock."""
        for path in [] if self.started else self._made:
            with contextlib.suppress(OSError):  # not made after all, or somebody else put something into it
                path.unlink() if path.name == _LOCK else path.rmdir()
        if self._lock_file is not None:
            self._lock_file.close()
            self._lock_file = None

    def _settle(self, *, resume: bool, overwrite: bool) -> None:
        """Compares the run that is there with the one that is asked for."""
        there = _read_meta(self.path)
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
        flags_file = self.path / "flags.cfg"
        flags_there = flags_file.read_text("utf-8", "replace") if flags_file.exists() else self.flags_text
        differing = flag_differences(flags_there, self.flags_text)
        parts_there = [Part(*part) for part in there.get("parts", ())]
        seeds_there, seeds = sum(part.seeds for part in parts_there), self.parts[0].seeds
        same = there.get("configuration") == self.configuration
        more = same and seeds > seeds_there > 0
        if not same or (seeds != seeds_there and not (more and resume)):
            hashes = f"hash {there.get('configuration')} there, {self.configuration} here"
            shown = _in_words(differing) or hashes
            if there.get("status") == "done" and not parts_there:
                shown = "written by an older jaxreg"
            adds = "--resume to add the seeds, " if more else ""
            raise RunFolderError(
                f"--workdir={self.path}: holds another configuration ({shown}); {adds}choose another folder, or "
                "--overwrite to delete that run"
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
        self.meta, self.resumed = there, True
        self.finished = there["status"] == "done" and not more
        added = Part(self.parts[0].first_seed + seeds_there, seeds - seeds_there)
        self.parts = [*parts_there, added] if more else parts_there


def checkpoint_folder(run: Path, parts: Sequence[Part]) -> Path:
    """Where the checkpoints of the last of these parts are; added seeds have a folder of their own."""
    folder = run / "checkpoints"
    return folder if len(parts) == 1 else folder / f"seeds_from_{parts[-1].first_seed}"


def default_workdir(experiment: str, root: Path = Path("runs")) -> Path:
    """`<root>/<experiment>/<UTC stamp>`, with `-2`, `-3`, … after it where that is taken."""
    stamp = root / experiment / utc_stamp().replace("-", "").replace(":", "")
    names = itertools.chain([stamp], (stamp.with_name(f"{stamp.name}-{n}") for n in itertools.count(2)))
    return next(path for path in names if not path.exists())


def flag_differences(there: str, here: str) -> dict[str, tuple[str, str]]:
    """Flags that differ between two flags.cfg texts, name -> (there, here); `absent` where one has no such line.

    Comments, order and the flags that only say how a run is kept and shown do not count.
    """
    old, new = _flags(there), _flags(here)
    return {
        name: (old.get(name, "absent"), new.get(name, "absent"))
        for name in old | new
        if old.get(name) != new.get(name) and name not in NOT_COMPARED
    }


def _flags(text: str) -> dict[str, str]:
    lines = (line.strip() for line in text.splitlines())
    parts = [line.lstrip("-").partition("=") for line in lines if line.startswith("-")]
    return {name.strip(): value.strip() if equals else "true" for name, equals, value in parts}


def _in_words(differing: dict[str, tuple[str, str]], most: int = 5) -> str:
    shown = [f"--{name}={old} there, {new} here" for name, (old, new) in differing.items()]
    more = [f"{len(shown) - most} more"] if len(shown) > most else []
    return "; ".join(shown[:most] + more)


def read_finished(folder: Path) -> dict[str, Any]:
    """The meta.json of a run folder that holds results.

    Raises:
      RunFolderError: `folder` is no run folder, or its run left no results yet.
    """
    meta = _read_meta(folder)
    if meta is None or not (folder / "flags.cfg").is_file():
        raise RunFolderError(
            f"{folder}: not a run folder (it holds no meta.json and flags.cfg of jaxreg); give the folder of a "
            "finished run, such as runs/NAME/STAMP"
        )
    if not (folder / "results.nc").is_file():
        raise RunFolderError(f"{folder}: holds no results yet (status {meta['status']}); finish it with --resume first")
    return meta


def _read_meta(folder: Path) -> dict[str, Any] | None:
    """meta.json of a jaxreg run, None where there is none or it is something else's."""
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    ours = isinstance(meta, dict) and "experiment" in meta and meta.get("status") in STATUSES
    return meta if ours else None


# Provenance -----------------------------------------------------------------------------------------------------------


def utc_stamp() -> str:
    """Now, as in 2031-05-28T09:30:00Z."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def git_state(root: Path | None = None) -> dict[str, Any] | None:
    """`{commit, dirty}` of the checkout that jaxreg (or `root`) is; None without git, a commit or an answer in 2 s.

    A checkout that merely has jaxreg installed somewhere inside it is not meant.
    """
    root = (root or Path(__file__).parents[2]).resolve()

    def git(*arguments: str) -> str:
        command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=2).stdout

    try:
        top, commit = git("rev-parse", "--show-toplevel", "HEAD").split("\n")[:2]
        if Path(top).resolve() != root:
            return None
        return {"commit": commit, "dirty": bool(git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide what a run computes, for those that are installed."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def device_description() -> dict[str, Any]:
    """What JAX computes on: platform and kind of the devices, how many, in how many processes, CPU cores here."""
    devices = jax.devices()
    return {
        "platform": devices[0].platform,
        "kind": devices[0].device_kind,
        "count": len(devices),
        "processes": jax.process_count(),
        "cpu_cores": os.cpu_count(),
        "machine": platform.machine(),
    }


def peak_memory_bytes() -> int:
    """Peak memory so far: that of the fullest device where devices count it, else of this process on the host."""
    peaks = [(device.memory_stats() or {}).get("peak_bytes_in_use") for device in jax.local_devices()]
    counted = [int(peak) for peak in peaks if peak is not None]
    unit = 1 if sys.platform == "darwin" else 1024
    return max(counted) if counted else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
