"""The checkpoints of a run: saved, found again, set aside where damaged, restored.

    <directory>/<step, 12 digits>/state/          the arrays, written by Orbax
    <directory>/<step, 12 digits>/manifest.json   written last: no manifest, no checkpoint

A save is built in a `saving-…` folder, flushed to the disk and renamed into place; what is deleted is renamed first.
So a crash at any moment leaves the last good checkpoint as it was. Orbax loads most damaged files without an error and
casts to another dtype without a word; therefore the manifest holds the SHA-256 of every file, and the path, shape,
dtype and checksum of every leaf.
"""

from __future__ import annotations

import dataclasses
import logging
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxreg.errors import CheckpointError
from jaxreg.files import flush_to_disk
from jaxreg.runs.checkpoints.arrays import read_arrays, write_arrays
from jaxreg.runs.checkpoints.failures import Damaged, is_disk_error, reason
from jaxreg.runs.checkpoints.leaves import Array, PyTree, by_path, named_leaves, tree_of
from jaxreg.runs.checkpoints.manifest import make_manifest, read_manifest, write_manifest
from jaxreg.runs.checkpoints.verification import verify, verify_arrays, verify_tree

MAX_STEP = 10**12 - 1

_log = logging.getLogger("jaxreg")


class Checkpoints:
    """The checkpoints of one run in `directory`, of which the newest `keep` are kept.

    `configuration` is a hash of what must agree between the run that saves and the run that restores. With several
    processes every one makes the same calls on the same shared folder; process 0 names, verifies and deletes.
    """

    def __init__(self, directory: Path, configuration: str, keep: int = 2) -> None:
        if keep < 1:
            raise ValueError(f"keep={keep}: at least one checkpoint has to stay")
        self.directory, self.configuration, self.keep = directory.absolute(), configuration, keep

    def save(self, step: int, state: PyTree, about: dict[str, Any]) -> None:
        """Writes `state` as checkpoint `step` and returns when it is on the disk; the same step again replaces it.

        Args:
          step: in [0, 10¹²), never below the newest checkpoint.
          state: pytree of JAX arrays (on any sharding, typed keys too) and NumPy arrays of real numbers.
          about: whatever else is needed to go on, as JSON: keys become text, tuples lists, non-finite numbers null.

        Raises:
          CheckpointError: it could not be written; names the last good step, which stands untouched.
          TypeError: a leaf of another kind or with a weak type, which would come back strong and compile again.
          ValueError: a step out of range.
        """
        newest = max(self._steps(), default=0)
        if not newest <= step <= MAX_STEP:
            raise ValueError(f"step {step}: steps lie between the newest checkpoint, {newest}, and {MAX_STEP}")
        leaves = named_leaves(state)
        manifest = make_manifest(step, self.configuration, about, leaves)
        saving = self.directory / f"saving-{step:012d}"
        try:
            _on_process_0(lambda: self._prepare(saving))
            write_arrays(saving / "state", list(leaves.values()))
            _on_process_0(lambda: self._commit(saving, manifest))
        except Exception as error:
            if jax.process_index() == 0:
                self._abandon(saving)
            if not is_disk_error(error):
                raise
            last = max(self._steps(), default=None)
            good = "there is no earlier one" if last is None else f"the last good one is step {last}"
            raise CheckpointError(
                f"checkpoint {step} could not be written to {self.directory} ({reason(error)}); {good}. "
                "Free some space or repair the folder, then go on with --resume"
            ) from error

    def latest(self, *, repair: bool = True) -> Found | None:
        """The newest checkpoint of which every file has been verified, None where there never was one.

        Newer ones that are damaged are set aside as `damaged-<step>-<n>`, each with a line in the log; where all are
        damaged, nothing is renamed. With
        `repair=False`, for callers that only read, nothing is renamed, `skipped` of what is found names them, and a
        process asks by itself.

        Raises:
          CheckpointError: only damaged ones are left, or they belong to another configuration or a newer format.
        """
        skipped: list[str] = []
        step = (
            _on_process_0(lambda: self._newest_good(repair, skipped)) if repair else self._newest_good(repair, skipped)
        )
        return None if step is None else self._found(step, tuple(skipped))

    def _newest_good(self, repair: bool, skipped: list[str]) -> int | None:
        if repair:
            self._finish_replacing()
        damages: dict[int, Damaged] = {}
        for step in sorted(self._steps(with_manifest=False), reverse=True):
            try:
                verify(self._folder(step), step, self.configuration)
            except Damaged as damage:
                damages[step] = damage
                continue
            for newer, why in damages.items():
                if repair:
                    self._set_aside(newer, why)
                else:
                    skipped.append(f"step {newer}, {why}")
            return step
        if damages or any(self.directory.glob("damaged-*")):
            newest = next((f" (step {step}, {why})" for step, why in damages.items()), "")
            raise CheckpointError(
                f"only damaged checkpoints are left in {self.directory}{newest}; put copies back, or delete that "
                "folder and --resume to train its seeds again, or start over with --overwrite"
            )
        return None

    def _found(self, step: int, skipped: tuple[str, ...]) -> Found:
        manifest = read_manifest(self._folder(step))
        return Found(step, manifest["about"], self._folder(step), manifest["leaves"], skipped)

    def _folder(self, step: int) -> Path:
        return self.directory / f"{step:012d}"

    def _steps(self, *, with_manifest: bool = True) -> list[int]:
        """Steps that have a checkpoint. Folders of any other name are somebody else's and do not count."""
        folders = (path for path in self.directory.glob("*") if re.fullmatch(r"[0-9]{12}", path.name) and path.is_dir())
        return sorted(int(path.name) for path in folders if not with_manifest or (path / "manifest.json").is_file())

    def _prepare(self, saving: Path) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._finish_replacing()
        for leftover in self.directory.glob("*"):
            if re.fullmatch(r"(saving|deleting)-[0-9]{12}", leftover.name):
                shutil.rmtree(leftover, ignore_errors=True)
        saving.mkdir()

    def _commit(self, saving: Path, manifest: dict[str, Any]) -> None:
        """Manifest, then the name; everything below is on the disk before what vouches for it."""
        write_manifest(saving, manifest)
        step, final = manifest["step"], self._folder(manifest["step"])
        replaced = self.directory / f"replaced-{step:012d}"
        if final.exists():
            final.rename(replaced)
        saving.rename(final)
        flush_to_disk(self.directory)
        self._finish_replacing()
        for old in self._steps()[: -self.keep]:
            self._delete(self._folder(old), old)

    def _finish_replacing(self) -> None:
        """Finishes a replacement that a crash interrupted: the old one goes, or comes back if there is no new one."""
        for replaced in self.directory.glob("replaced-*"):
            if re.fullmatch(r"replaced-[0-9]{12}", replaced.name):
                step = int(replaced.name.removeprefix("replaced-"))
                if self._folder(step).exists():
                    self._delete(replaced, step)
                else:
                    replaced.rename(self._folder(step))

    def _delete(self, folder: Path, step: int) -> None:
        deleting = self.directory / f"deleting-{step:012d}"
        shutil.rmtree(deleting, ignore_errors=True)
        shutil.rmtree(folder.rename(deleting), ignore_errors=True)  # what is left goes with the next save

    def _abandon(self, saving: Path) -> None:
        shutil.rmtree(saving, ignore_errors=True)  # a partial save keeps a full disk full
        self._finish_replacing()

    def _set_aside(self, step: int, damage: Damaged) -> None:
        taken = {path.name for path in self.directory.glob(f"damaged-{step:012d}-*")}
        name = next(name for n in range(len(taken) + 1) if (name := f"damaged-{step:012d}-{n}") not in taken)
        self._folder(step).rename(self.directory / name)
        _log.warning("checkpoint %d is damaged (%s): set aside as %s", step, damage, name)


@dataclasses.dataclass(frozen=True)
class Found:
    """A verified checkpoint: its step, what the caller noted about it, and `restore` for the arrays.

    `skipped` says which newer ones are damaged, and why, where they were not set aside.
    """

    step: int
    about: dict[str, Any]
    folder: Path
    leaves: list[dict[str, Any]] = dataclasses.field(repr=False)
    skipped: tuple[str, ...] = ()

    def restore(self, target: PyTree) -> PyTree:
        """The saved state, bit for bit, in the structure, placement and kind of array of `target`.

        Of several processes all do this together.

        Args:
          target: the saved pytree with `jax.ShapeDtypeStruct`s (one without a sharding means the first device) or JAX
            arrays where JAX arrays are wanted, and NumPy arrays where NumPy arrays are wanted.

        Raises:
          CheckpointError: the tree, a shape or a dtype differ from the saved ones, or other values were read.
        """
        leaves = self._read(by_path(target), range(len(self.leaves)), alone=False)
        return jax.tree.unflatten(jax.tree.structure(target), leaves)

    def restore_tree(self, *under: str) -> PyTree:
        """The saved state as NumPy arrays, in the tree that their paths tell: tuples, NamedTuples and dicts.

        A process does this by itself.

        Args:
          under: the keys of a part, one below the other; the rest of a large checkpoint is not read, and missing in the
            tree. All that there is unless any are given.

        Raises:
          CheckpointError: as `restore`.
        """
        try:
            whole = by_path(tree_of(self.leaves))
            start = jax.tree_util.keystr(tuple(map(jax.tree_util.DictKey, under)))
            chosen = [number for number, path in enumerate(whole) if path.startswith(start)]
            part = tree_of(self.leaves[number] for number in chosen) if chosen else {}
        except Exception as error:  # of a manifest that no run wrote, with a digest that fits
            raise CheckpointError(f"checkpoint {self.folder} could not be read ({reason(error)})") from error
        return jax.tree.unflatten(jax.tree.structure(part), self._read(whole, chosen, alone=True))

    def _read(self, targets: Mapping[str, Any], chosen: Sequence[int], *, alone: bool) -> list[Array]:
        """The chosen leaves, by their numbers, verified."""
        verify_tree(self.folder, self.leaves, targets)
        try:
            leaves = read_arrays(self.folder / "state", list(targets.values()), chosen, alone=alone)
        except Exception as error:  # Orbax and TensorStore raise many types for what they cannot read or place
            raise CheckpointError(f"checkpoint {self.folder} could not be read ({reason(error)})") from error
        verify_arrays(self.folder, [self.leaves[number] for number in chosen], leaves)
        return leaves


def _on_process_0(act: Callable[[], int | None]) -> int | None:
    """What `act` returns (None or a step) on process 0, told to all; its failure is raised on all of them."""
    if jax.process_count() == 1:
        return act()
    step, failure = None, None
    if jax.process_index() == 0:
        try:
            step = act()
        except Exception as error:
            failure = error
    none, failed = -1, -2
    code = failed if failure else none if step is None else step
    parts = np.array(divmod(code, 10**6), np.int32)  # twelve digits are more than 32 bits, all that JAX has by default
    high, low = multihost_utils.broadcast_one_to_all(parts)
    code = int(high) * 10**6 + int(low)
    if failure:
        raise failure
    if code == failed:
        raise CheckpointError("process 0 could not use the checkpoints; its own message tells why")
    return None if code == none else code
