"""The folder of a run that several processes train: process 0 opens it and writes, the others follow."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxreg import processes
from jaxreg.config.experiment import Experiment
from jaxreg.runs.folder import Part, RunFolder, open_run_folder
from jaxreg.runs.identity import Identity


class FollowedFolder:
    """What the other processes know of the folder that process 0 has opened; what they would write there is left to it.

    Attributes: those of `RunFolder`.
    """

    def __init__(self, path: str, configuration: str, parts: list[list[int]], *, resumed: bool, finished: bool) -> None:
        self.path, self.configuration, self.parts = Path(path), configuration, [Part(*part) for part in parts]
        self.resumed, self.finished = resumed, finished
        self.meta: dict[str, Any] = {}

    def start(self, **meta: Any) -> None:
        """Nothing."""

    def delete(self, *names: str) -> None:
        """Nothing."""

    def update(self, **meta: Any) -> None:
        """Nothing."""

    def repair_flags(self) -> None:
        """Nothing."""


@contextlib.contextmanager
def shared_run_folder(experiment: Experiment, identity: Identity) -> Iterator[RunFolder | FollowedFolder]:
    """As `open_run_folder`, by process 0 for all; the folder must be one that all of them see.

    Raises:
      RunFolderError: on process 0; on the others a JaxregError that repeats it.
    """
    with contextlib.ExitStack() as stack:
        opened: list[RunFolder] = []

        def open_it() -> dict[str, Any]:
            opened.append(stack.enter_context(open_run_folder(experiment, identity)))
            return {
                "path": str(opened[0].path),
                "configuration": opened[0].configuration,
                "parts": opened[0].parts,
                "resumed": opened[0].resumed,
                "finished": opened[0].finished,
            }

        about = processes.of_first(open_it)
        yield opened[0] if opened else FollowedFolder(**about)
