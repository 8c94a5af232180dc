"""manifest.json of a checkpoint: what it is, its leaves, and the SHA-256 of each of its files and of itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxreg.files import flush_to_disk, strict_json, write_atomically
from jaxreg.runs.checkpoints.checksums import checksums, sha256_of_file, sha256_of_text
from jaxreg.runs.checkpoints.failures import Damaged, reason
from jaxreg.runs.checkpoints.leaves import Array

FORMAT = 1
NAME = "manifest.json"


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
    for path in files:
        flush_to_disk(path)
    for inner in [path for path in folder.rglob("*") if path.is_dir()]:
        flush_to_disk(inner)
    digests = {path.relative_to(folder).as_posix(): sha256_of_file(path) for path in files}
    text = strict_json({**manifest, "files": digests})
    write_atomically(folder / NAME, strict_json({"sha256": sha256_of_text(text), **json.loads(text)}))


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a checkpoint, once its own digest has been compared.

    Raises:
      Damaged: it is missing, cannot be read, or differs from what was written.
    """
    try:
        manifest = json.loads((folder / NAME).read_text(encoding="utf-8"))
        intact = manifest.pop("sha256") == sha256_of_text(strict_json(manifest))
    except OSError as error:
        raise Damaged(f"{NAME} cannot be read: {reason(error)}") from error
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        intact = False
    if not intact:
        raise Damaged(f"{NAME} differs from what was written")
    return dict(manifest)
