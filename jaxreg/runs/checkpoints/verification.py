"""A checkpoint is trusted once its manifest, every file and, as they come back, all its arrays are verified."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jaxreg.errors import CheckpointError
from jaxreg.runs.checkpoints.checksums import checksums, sha256_of_file
from jaxreg.runs.checkpoints.failures import Damaged, reason
from jaxreg.runs.checkpoints.leaves import Array
from jaxreg.runs.checkpoints.manifest import FORMAT, read_manifest


def verify(folder: Path, step: int, configuration: str) -> None:
    """Compares the checkpoint in `folder` with the digests that its manifest holds.

    Raises:
      Damaged: a file is missing or differs from what was written, or it is another step under this name.
      CheckpointError: it has a newer format, or belongs to another configuration.
    """
    manifest = read_manifest(folder)
    if manifest["format"] != FORMAT:
        raise CheckpointError(f"checkpoint {folder} has format {manifest['format']}, this jaxreg reads {FORMAT}")
    if manifest["configuration"] != configuration:
        raise CheckpointError(
            f"checkpoint {folder} belongs to another configuration; choose another --workdir, or --overwrite to "
            "start over"
        )
    if manifest["step"] != step:
        raise Damaged(f"it is step {manifest['step']} under another name")
    for name, digest in manifest["files"].items():
        try:
            intact = sha256_of_file(folder / name) == digest
        except OSError as error:
            raise Damaged(f"{name} cannot be read: {reason(error)}") from error
        if not intact:
            raise Damaged(f"{name} differs from what was written")


def verify_tree(folder: Path, saved: Iterable[Mapping[str, Any]], wanted: Mapping[str, Any]) -> None:
    """Compares paths, shapes and dtypes of the leaves that a manifest holds with those that are wanted, by path.

    Raises:
      CheckpointError: they differ.
    """
    here = {path: f"{leaf.dtype}{list(leaf.shape)}" for path, leaf in wanted.items()}
    there = {leaf["path"]: f"{leaf['dtype']}{leaf['shape']}" for leaf in saved}
    differing = [path for path in there | here if there.get(path) != here.get(path)]
    if differing or list(here) != list(there):
        path = differing[0] if differing else "the order of the leaves"
        raise CheckpointError(
            f"checkpoint {folder} holds another state: {path} is {there.get(path, 'absent')} there and "
            f"{here.get(path, 'absent')} here ({len(differing)} of {len(here)} leaves differ)"
        )


def verify_arrays(folder: Path, saved: Iterable[Mapping[str, Any]], leaves: Iterable[Array]) -> None:
    """Compares the checksums of arrays that were read with those that the manifest holds.

    Raises:
      CheckpointError: an array came back with other values.
    """
    for leaf, checksum in zip(saved, checksums(leaves), strict=True):
        if leaf["checksum"] != checksum:
            raise CheckpointError(f"checkpoint {folder}: {leaf['path']} came back with other values")
