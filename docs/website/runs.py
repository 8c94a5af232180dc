"""The small runs that the pictures show: trained where they are not yet, and kept in build/website/runs."""

from __future__ import annotations

import importlib
from pathlib import Path

from docs.website.places import RUNS
from experiments.catalogue import FLAGFILES, module_of, on_digits


def small_flagfile(name: str) -> Path:
    """The flagfile of an experiment that takes seconds: on digits, or its own where that downloads nothing."""
    return on_digits(name) or FLAGFILES / f"{name}.cfg"


def finished(name: str, experiment: str, *flags: str) -> Path:
    """The folder of a run of an experiment with its small flagfile and further flags; trained unless it is there.

    Raises:
      RuntimeError: the run failed.
    """
    from experiments import cli  # slow to import

    folder = RUNS / name
    if not (folder / "results.nc").exists():
        flags = (f"--flagfile={small_flagfile(experiment)}", *flags, f"--workdir={folder}", "--report=false")
        if code := cli.main(importlib.import_module(module_of(experiment)).STUDY, [experiment, *flags]):
            raise RuntimeError(f"the run in {folder} ended with exit code {code}")
    return folder
