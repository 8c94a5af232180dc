"""Whole sweeps of small networks as one compiled JAX program: see README.md for a tour."""

from jaxreg.api import run
from jaxreg.config import DataConfig, Experiment, Hparams, RunConfig, add_hyperparameter
from jaxreg.data import Data, from_arrays
from jaxreg.data import load as load_data
from jaxreg.diagnostics.metrics import metric
from jaxreg.errors import CheckpointError, ConfigError, DataError, JaxregError, RunFolderError, Stopped
from jaxreg.hardware import keep_compilations, use_all_cores
from jaxreg.moved import find_moved_modules
from jaxreg.nn.convolution import convolve
from jaxreg.reporting.answers import answer
from jaxreg.results.members import load_member
from jaxreg.results.storage import load as load_results
from jaxreg.results.storage import open_lazily as open_results
from jaxreg.study import Study
from jaxreg.training.flax_models import from_linen, from_nnx
from jaxreg.training.models import Model, mlp

find_moved_modules()

__all__ = [
    "CheckpointError",
    "ConfigError",
    "Data",
    "DataConfig",
    "DataError",
    "Experiment",
    "Hparams",
    "JaxregError",
    "Model",
    "RunConfig",
    "RunFolderError",
    "Stopped",
    "Study",
    "add_hyperparameter",
    "answer",
    "convolve",
    "from_arrays",
    "from_linen",
    "from_nnx",
    "keep_compilations",
    "load_data",
    "load_member",
    "load_results",
    "metric",
    "mlp",
    "open_results",
    "run",
    "use_all_cores",
]
