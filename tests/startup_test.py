"""What a command has imported when its first step begins: nothing that is slow to import and not needed by then."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax

from jaxreg import DataConfig, load_data

ROOT = Path(__file__).parents[1]
SLOW = (
    *("xarray", "pandas", "scipy.special", "scipy.stats", "sklearn", "h5py", "matplotlib", "PIL", "jinja2"),
    *("flax", "orbax", "tensorboardX", "tensorflow_datasets", "tensorflow", "requests"),
    *("jaxreg.reporting.figures", "jaxreg.reporting.tables", "jaxreg.reporting.tensorboard"),
)
# Every experiment is imported, and one of them run to its first step, with TensorBoard and checkpoints.
COMMAND = """
import importlib, os, pathlib, sys
from experiments import cli
from jaxreg.population.placement import Placement

studies = [path.stem for path in pathlib.Path(cli.__file__).parent.glob("*.py") if "STUDY" in path.read_text()]
studies = [name for name in studies if name not in ("__init__", "cnn")]  # a model in Flax cannot do without Flax
modules = {name: importlib.import_module(f"experiments.{name}") for name in studies}

def train(*_):
    print("imported:", *(name for name in SLOW if name in sys.modules), flush=True)
    os._exit(0)

Placement.train = train
cli.main(modules["lr_sweep"].STUDY, ["lr_sweep", "--hidden_sizes=2", "--num_steps=2", "--workdir=run"])
"""


def test_what_is_slow_to_import_is_imported_after_the_first_step_at_the_earliest() -> None:
    load_data(DataConfig())  # what is decoded once is cached
    config: Any = jax.config
    environment = {"PYTHONPATH": str(ROOT), "JAX_COMPILATION_CACHE_DIR": str(config.jax_compilation_cache_dir)}
    ended = subprocess.run(
        [sys.executable, "-c", f"SLOW = {SLOW}\n{COMMAND}"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert ended.stdout == "imported:\n", ended.stderr
