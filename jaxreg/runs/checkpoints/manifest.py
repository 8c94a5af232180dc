"""manifest.json of a checkpoint: what it is, its leaves, and the SHA-256 of each of its files and of itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

from jaxreg.files import flush_to_disk, read_text, signed_json, verified_json, write_atomically
from jaxreg.runs.checkpoints.checksums import checksums, sha256_of_file
from jaxreg.runs.checkpoints.failures import Damaged, reason
from jaxreg.runs.checkpoints.leaves import Array

FORMAT = 1
NAME = "manifest.json"
_ENTRIES = {"format", "step", "configuration", "about", "leaves", "files"}


def make_manifest(
    step: int, configuration: str, about: Mapping[str, Any], leaves: Mapping[str, Array]
) -> dict[str, Any]:
    """What is known of a checkpoint before its files are written.

    Args:
      step: of the run.
      configuration: hash of what must agree between the run that saves and the run that restores.
      about: the caller's notes.
      leaves: the state by path; each one's shape, dtype and checksum are noted.
    """
    return {
        "format": FORMAT,
        "step": step,
        "configuration": configuration,
        "about": about,
        "leaves": [
            {"path": path, "shape": leaf.shape, "dtype": str(leaf.dtype), "checksum": checksum}
            for (path, leaf), checksum in zip(leaves.items(), checksums(leaves.values()), strict=True)
        ],
    }


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Writes manifest.json with the digests of all files in `folder`, which are flushed to the disk before it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    with ThreadPoolExecutor() as pool:  # the disk writes them together, where one after another each would wait for it
        for paths in (files, [path for path in folder.rglob("*") if path.is_dir()]):
            list(pool.map(flush_to_disk, paths))
    digests = {path.relative_to(folder).as_posix(): sha256_of_file(path) for path in files}
    write_atomically(folder / NAME, signed_json({**manifest, "files": digests}))


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a checkpoint, once its own digest has been compared.

    Raises:
      Damaged: it is missing, cannot be read, or differs from what was written.
    """
    try:
        text = read_text(folder / NAME)
        manifest = verified_json(text)
        complete = set(manifest) >= _ENTRIES or manifest.get("format") != FORMAT
        intact = complete and "sha256" in json.loads(text)
    except OSError as error:
        raise Damaged(f"{NAME} cannot be read: {reason(error)}") from error
    except ValueError:
        intact = False
    if not intact:
        raise Damaged(f"{NAME} differs from what was written")
    if not all(isinstance(name, str) and _is_inside(name) for name in manifest["files"]):
        raise Damaged(f"{NAME} names files outside of its folder")
    return manifest


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts
