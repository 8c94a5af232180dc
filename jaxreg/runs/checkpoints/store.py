"""Checkpoints that are verified before they are trusted. The only file that imports Orbax.

    <directory>/<step, 12 digits>/state/          the arrays, written by Orbax
    <directory>/<step, 12 digits>/manifest.json   written last: no manifest, no checkpoint

A save is built in a `saving-…` folder, flushed to the disk and renamed into place; what is deleted is renamed first.
So a crash at any moment leaves the last good checkpoint as it was. Orbax loads most damaged files without an error and
casts to another dtype without a word; therefore the manifest holds the SHA-256 of every file, and the path, shape,
dtype and checksum of every leaf.
"""

from __future__ import annotations

import ast
import collections
import dataclasses
import hashlib
import json
import logging
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from jaxreg.errors import CheckpointError
from jaxreg.files import flush_to_disk, strict_json, write_atomically

PyTree: TypeAlias = Any
Array: TypeAlias = jax.Array | np.ndarray[Any, Any]

FORMAT = 1
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
        leaves = _named_leaves(state)
        manifest = {
            "format": FORMAT,
            "step": step,
            "configuration": self.configuration,
            "about": about,
            "leaves": [
                {"path": path, "shape": leaf.shape, "dtype": str(leaf.dtype), "checksum": checksum}
                for (path, leaf), checksum in zip(leaves.items(), _checksums(leaves.values()), strict=True)
            ],
        }
        saving = self.directory / f"saving-{step:012d}"
        try:
            _on_process_0(lambda: self._prepare(saving))
            _write_arrays(saving / "state", list(leaves.values()))
            _on_process_0(lambda: self._commit(saving, manifest))
        except Exception as error:
            if jax.process_index() == 0:
                self._abandon(saving)
            if not _is_disk_error(error):
                raise
            last = max(self._steps(), default=None)
            good = "there is no earlier one" if last is None else f"the last good one is step {last}"
            raise CheckpointError(
                f"checkpoint {step} could not be written to {self.directory} ({_reason(error)}); {good}. "
                "Free some space or mend the folder, then go on with --resume"
            ) from error

    def latest(self, *, mend: bool = True) -> Found | None:
        """The newest checkpoint whose every file has been verified, None where there never was one.

        Damaged ones on the way are set aside as `damaged-<step>-<n>`, each with a line in the log. With `mend=False`,
        for those who only read, they are passed over and nothing is renamed.

        Raises:
          CheckpointError: only damaged ones are left, or they belong to another configuration or a newer format.
        """
        step = _on_process_0(lambda: self._newest_good(mend))
        return None if step is None else self._found(step)

    def _newest_good(self, mend: bool) -> int | None:
        if mend:
            self._mend_names()
        steps = sorted(self._steps(with_manifest=False), reverse=True)
        for step in steps:
            try:
                self._verify(step)
            except _Damaged as damage:
                if mend:
                    self._set_aside(step, damage)
                else:
                    _log.warning("checkpoint %d is damaged (%s): passed over", step, damage)
            else:
                return step
        if steps or any(self.directory.glob("damaged-*")):
            raise CheckpointError(
                f"only damaged checkpoints are left in {self.directory}; delete that folder and --resume to train its "
                "seeds again, or start over with --overwrite"
            )
        return None

    def _verify(self, step: int) -> None:
        """Refuses a foreign checkpoint, and finds a damaged one by the digests of its manifest and files."""
        folder = self._folder(step)
        manifest = _manifest(folder)
        if manifest["format"] != FORMAT:
            raise CheckpointError(f"checkpoint {folder} has format {manifest['format']}, this jaxreg reads {FORMAT}")
        if manifest["configuration"] != self.configuration:
            raise CheckpointError(
                f"checkpoint {folder} belongs to another configuration; choose another --workdir, or --overwrite to "
                "start over"
            )
        if manifest["step"] != step:
            raise _Damaged(f"it is step {manifest['step']} under another name")
        for name, digest in manifest["files"].items():
            try:
                intact = _sha256(folder / name) == digest
            except OSError as error:
                raise _Damaged(f"{name} cannot be read: {_reason(error)}") from error
            if not intact:
                raise _Damaged(f"{name} differs from what was written")

    def _found(self, step: int) -> Found:
        manifest = _manifest(self._folder(step))
        return Found(step, manifest["about"], self._folder(step), manifest["leaves"])

    def _folder(self, step: int) -> Path:
        return self.directory / f"{step:012d}"

    def _steps(self, *, with_manifest: bool = True) -> list[int]:
        """Steps that have a checkpoint. Folders of any other name are somebody else's and do not count."""
        folders = (path for path in self.directory.glob("*") if re.fullmatch(r"[0-9]{12}", path.name) and path.is_dir())
        return sorted(int(path.name) for path in folders if not with_manifest or (path / "manifest.json").is_file())

    def _prepare(self, saving: Path) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._mend_names()
        for leftover in self.directory.glob("*"):
            if re.fullmatch(r"(saving|deleting)-[0-9]{12}", leftover.name):
                shutil.rmtree(leftover, ignore_errors=True)
        saving.mkdir()

    def _commit(self, saving: Path, manifest: dict[str, Any]) -> None:
        """Manifest, then the name; everything below is on the disk before what vouches for it."""
        files = sorted(path for path in saving.rglob("*") if path.is_file())
        for path in files:
            flush_to_disk(path)
        for folder in [path for path in saving.rglob("*") if path.is_dir()]:
            flush_to_disk(folder)
        manifest = manifest | {"files": {path.relative_to(saving).as_posix(): _sha256(path) for path in files}}
        text = strict_json(manifest)
        write_atomically(saving / "manifest.json", strict_json({"sha256": _digest(text), **json.loads(text)}))

        step, final = manifest["step"], self._folder(manifest["step"])
        replaced = self.directory / f"replaced-{step:012d}"
        if final.exists():
            final.rename(replaced)
        saving.rename(final)
        flush_to_disk(self.directory)
        self._mend_names()
        for old in self._steps()[: -self.keep]:
            self._delete(self._folder(old), old)

    def _mend_names(self) -> None:
        """Ends a replacement that a crash cut in two: the old one goes if the new one is there, else comes back."""
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
        self._mend_names()

    def _set_aside(self, step: int, damage: _Damaged) -> None:
        taken = {path.name for path in self.directory.glob(f"damaged-{step:012d}-*")}
        name = next(name for n in range(len(taken) + 1) if (name := f"damaged-{step:012d}-{n}") not in taken)
        self._folder(step).rename(self.directory / name)
        _log.warning("checkpoint %d is damaged (%s): set aside as %s", step, damage, name)


@dataclasses.dataclass(frozen=True)
class Found:
    """A verified checkpoint: its step, what the caller noted about it, and `restore` for the arrays."""

    step: int
    about: dict[str, Any]
    folder: Path
    leaves: list[dict[str, Any]] = dataclasses.field(repr=False)

    def restore(self, target: PyTree) -> PyTree:
        """The saved state, bit for bit, in the structure, placement and kind of array of `target`.

        Args:
          target: the saved pytree with `jax.ShapeDtypeStruct`s (one without a sharding means the first device) or JAX
            arrays where JAX arrays are wanted, and NumPy arrays where NumPy arrays are wanted.

        Raises:
          CheckpointError: the tree, a shape or a dtype differ from the saved ones, or other values were read.
        """
        structure = jax.tree.structure(target)
        wanted = _by_path(target)
        self._refuse_another_tree(wanted)
        try:
            leaves = _read_arrays(self.folder / "state", [_placed(leaf) for leaf in wanted.values()])
        except Exception as error:  # Orbax and TensorStore raise many types for what they cannot read or place
            raise CheckpointError(f"checkpoint {self.folder} could not be read ({_reason(error)})") from error
        for saved, checksum in zip(self.leaves, _checksums(leaves), strict=True):
            if saved["checksum"] != checksum:
                raise CheckpointError(f"checkpoint {self.folder}: {saved['path']} came back with other values")
        return jax.tree.unflatten(structure, leaves)

    def restore_tree(self) -> PyTree:
        """The saved state as NumPy arrays, in the tree that their paths tell: tuples, NamedTuples and dicts.

        Raises:
          CheckpointError: as `restore`.
        """
        return self.restore(_tree(self.leaves))

    def _refuse_another_tree(self, wanted: dict[str, Any]) -> None:
        here = {path: f"{leaf.dtype}{list(leaf.shape)}" for path, leaf in wanted.items()}
        there = {leaf["path"]: f"{leaf['dtype']}{leaf['shape']}" for leaf in self.leaves}
        differing = [path for path in there | here if there.get(path) != here.get(path)]
        if differing or list(here) != list(there):
            path = differing[0] if differing else "the order of the leaves"
            raise CheckpointError(
                f"checkpoint {self.folder} holds another state: {path} is {there.get(path, 'absent')} there and "
                f"{here.get(path, 'absent')} here ({len(differing)} of {len(here)} leaves differ)"
            )


# Leaves ---------------------------------------------------------------------------------------------------------------


def _by_path(tree: PyTree) -> dict[str, Any]:
    return {jax.tree_util.keystr(path) or "state": leaf for path, leaf in jax.tree.leaves_with_path(tree)}


def _named_leaves(state: PyTree) -> dict[str, Array]:
    leaves = _by_path(state)
    for path, leaf in leaves.items():
        if not isinstance(leaf, jax.Array | np.ndarray):
            raise TypeError(f"{path} is a {type(leaf).__name__}: a state holds JAX and NumPy arrays")
        if not (_is_key(leaf) or jnp.issubdtype(leaf.dtype, jnp.bool) or _is_real(leaf)):
            raise TypeError(f"{path} has dtype {leaf.dtype}: a state holds real numbers and keys")
        if getattr(leaf, "weak_type", False):
            raise TypeError(f"{path} is weakly typed: give it a dtype where the state is made")
    return leaves


def _is_key(leaf: Any) -> bool:
    return bool(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key))


def _is_real(leaf: Any) -> bool:
    real = jnp.issubdtype(leaf.dtype, jnp.integer) or jnp.issubdtype(leaf.dtype, jnp.floating)
    return bool(real) and leaf.dtype.isnative


def _placed(leaf: Any) -> Any:
    """A restore target with an explicit sharding: without one Orbax falls back to the devices of the run that saved."""
    if isinstance(leaf, np.ndarray):
        return leaf
    sharding = leaf.sharding or jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _checksums(leaves: Iterable[Array]) -> list[int]:
    """One number per leaf, Σᵢ mix(bᵢ xor mix(i)) mod 2³², over the bits bᵢ of its elements i.

    Modular sums do not depend on the order of summation, hence not on layout, sharding or devices. `mix` is one to one,
    so that one changed element always shows; exchanged elements and changed signs show but for a chance of 2⁻³².
    """
    leaves = list(leaves)
    groups: collections.defaultdict[frozenset[jax.Device], list[int]] = collections.defaultdict(list)
    sums: dict[int, Any] = {}
    for i, leaf in enumerate(leaves):
        if isinstance(leaf, jax.Array):
            groups[frozenset(leaf.sharding.device_set)].append(i)
        else:
            words = _host_words(leaf)
            sums[i] = np.sum(_mix(words ^ _mix(np.arange(words.size).astype(np.uint32))), dtype=np.uint32)
    for members in groups.values():  # one program runs on one set of devices
        sums |= zip(members, _device_checksums([leaves[i] for i in members]), strict=True)
    return [int(sums[i]) for i in range(len(leaves))]


@jax.jit
def _device_checksums(leaves: list[jax.Array]) -> list[jax.Array]:
    def checksum(leaf: jax.Array) -> jax.Array:
        words = _device_words(leaf)
        strides = [int(np.prod(words.shape[axis + 1 :], dtype=np.uint64)) % 2**32 for axis in range(words.ndim)]
        index = jnp.zeros(words.shape, jnp.uint32)
        for axis, stride in enumerate(strides):
            index += jax.lax.broadcasted_iota(jnp.uint32, words.shape, axis) * np.uint32(stride)
        return jnp.sum(_mix(words ^ _mix(index)), dtype=jnp.uint32)

    return [checksum(leaf) for leaf in leaves]


def _mix(word: Any) -> Any:
    """The last step of MurmurHash3 (Appleby, 2011) on uint32 arrays of host or device: one to one, 0 stays 0."""
    word = (word ^ (word >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    word = (word ^ (word >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return word ^ (word >> np.uint32(16))


_WORDS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint32}  # by bytes per element; eight bytes make two words


def _host_words(leaf: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.ascontiguousarray(leaf).reshape(-1).view(_WORDS[leaf.dtype.itemsize]).astype(np.uint32)


def _device_words(leaf: jax.Array) -> jax.Array:
    if _is_key(leaf):
        leaf = jax.random.key_data(leaf)
    if leaf.dtype == jnp.bool:
        return leaf.astype(jnp.uint32)
    return jax.lax.bitcast_convert_type(leaf, _WORDS[leaf.dtype.itemsize]).astype(jnp.uint32)


def _tree(leaves: Iterable[Mapping[str, Any]]) -> Any:
    """Empty arrays in the tree that the leaves of a manifest had, as far as their paths tell it from another one."""
    root: dict[tuple[str, Any], Any] = {}
    for leaf in leaves:
        *parents, last = _keys(leaf["path"])
        node = root
        for key in parents:
            node = node.setdefault(key, {})
        node[last] = np.empty(leaf["shape"], jnp.dtype(leaf["dtype"]))
    return _collected(root)


def _keys(path: str) -> list[tuple[str, Any]]:
    """The keys of a path `['params'][0].mu`, each with its kind: key, index or field."""
    pattern = r"""\[(?P<index>\d+)\]|\[(?P<key>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\]|\.(?P<field>\w+)"""
    found = [(match.lastgroup or "", match[match.lastgroup or 0]) for match in re.finditer(pattern, path)]
    return [(kind, text if kind == "field" else ast.literal_eval(text)) for kind, text in found]


def _collected(node: Any) -> Any:
    """Tuples from indices, NamedTuples from fields, dicts from keys; what had no leaves is None."""
    if not isinstance(node, dict):
        return node
    children = {key: _collected(child) for (_, key), child in node.items()}
    kind = next(iter(node))[0]
    if kind == "index":
        return tuple(children.get(i) for i in range(max(children) + 1))
    if kind == "field":
        return collections.namedtuple("Fields", list(children))(**children)
    return children


# Orbax ----------------------------------------------------------------------------------------------------------------
# Leaves go by their number in the manifest, so that what Orbax makes of tree types and odd key names does not matter.
# It refuses arrays without elements: those live in the manifest alone.


def _write_arrays(folder: Path, leaves: list[Array]) -> None:
    item = {f"{i:04d}": leaf for i, leaf in enumerate(leaves) if leaf.size}
    if item:
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
            checkpointer.save(folder, args=ocp.args.PyTreeSave(item))


def _read_arrays(folder: Path, targets: list[Any]) -> list[Array]:
    item = {f"{i:04d}": leaf for i, leaf in enumerate(targets) if leaf.size}
    restored: dict[str, Array] = {}
    if item:
        restore_args = ocp.checkpoint_utils.construct_restore_args(item)
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
            restored = checkpointer.restore(folder, args=ocp.args.PyTreeRestore(item, restore_args=restore_args))
    return [restored[f"{i:04d}"] if leaf.size else _empty(leaf) for i, leaf in enumerate(targets)]


def save_arrays(folder: Path, tree: PyTree) -> None:
    """Writes a pytree of arrays as a plain Orbax checkpoint, for others to load; `folder` must not exist."""
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        checkpointer.save(folder.absolute(), args=ocp.args.PyTreeSave(tree))


def load_arrays(folder: Path) -> PyTree:
    """What `save_arrays` wrote, as NumPy arrays; tuples come back as lists."""
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        return jax.tree.map(np.asarray, checkpointer.restore(folder.absolute()))


def _empty(target: Any) -> Array:
    if isinstance(target, np.ndarray):
        return np.empty(target.shape, target.dtype)
    return jnp.empty(target.shape, target.dtype, device=target.sharding)


# Manifests ------------------------------------------------------------------------------------------------------------


class _Damaged(Exception):  # noqa: N818 - a finding, never seen outside
    """Why a folder is not the checkpoint that was written."""


def _manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a checkpoint, once its own digest has been compared."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        intact = manifest.pop("sha256") == _digest(strict_json(manifest))
    except OSError as error:
        raise _Damaged(f"manifest.json cannot be read: {_reason(error)}") from error
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        intact = False
    if not intact:
        raise _Damaged("manifest.json differs from what was written")
    return dict(manifest)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# Failures and processes -----------------------------------------------------------------------------------------------


def _is_disk_error(error: Exception) -> bool:
    return isinstance(error, OSError | CheckpointError) or "RESOURCE_EXHAUSTED" in str(error)


def _reason(error: Exception) -> str:
    """One short line: TensorStore tells of a full disk in several hundred characters."""
    if "RESOURCE_EXHAUSTED" in str(error):
        return "no space left on device"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error).partition("\n")[0][:200] or type(error).__name__


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
