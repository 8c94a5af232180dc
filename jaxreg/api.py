"""`jaxreg.run`: whole sweeps from Python."""

from __future__ import annotations

from collections.abc import Sequence

from jaxreg.config import Experiment
from jaxreg.data import Data
from jaxreg.diagnostics.watch import Watch
from jaxreg.errors import ConfigError
from jaxreg.nn.initializers import Initializer
from jaxreg.session import execute
from jaxreg.slow_imports import xr
from jaxreg.study import Study
from jaxreg.training import models
from jaxreg.training.problem import Constraint, Penalty, Problem, named_parts


def run(
    experiment: Experiment,
    *,
    data: Data | None = None,
    model: models.Model | None = None,
    initializer: Initializer | None = None,
    penalties: Sequence[Penalty] = (),
    constraints: Sequence[Constraint] = (),
    study: Study | None = None,
    watches: Sequence[Watch] = (),
) -> xr.Dataset:
    """Trains all members of an experiment and returns their labelled results.

    Nothing is written unless `experiment.run.workdir` names a folder; then the run is kept there as the command line
    keeps it, and can be resumed.

    Args:
      experiment: what is trained.
      data: own arrays (`jaxreg.from_arrays`) in place of `experiment.data`.
      model: own pair of functions in place of the multilayer perceptron.
      initializer: own (key, shape, variance) -> weights in place of the scheme `init`.
      penalties: own terms of the objective, (params, activations, hparams, step) -> scalar.
      constraints: own projections after the update, (params, hparams) -> params.
      study: the words and figures of the report, and the parts that it brings.
      watches: what is measured inside the programs besides losses and what flags ask for.

    Returns:
      A Dataset whose dimensions are the swept hyperparameters by name, `seed`, and `step` or `check`; every variable
      has `units` and a `description`.

    Raises:
      ConfigError: a value that is not allowed, before anything is compiled or written.
      DataError, RunFolderError, CheckpointError: in one line each, with what to do.
      Stopped: by a signal or `max_minutes`, after a checkpoint.
    """
    if model is not None and initializer is not None:
        raise ConfigError("init", "own initializer", "a model of your own draws its own weights; give one of the two")
    if experiment.run.dry_run:
        raise ConfigError("dry_run", "true", "is for the command line")
    if experiment.run.distributed:
        raise ConfigError("distributed", "true", "is for the command line; call jaxreg.processes.join() first")
    if experiment.run.gpu_memory is not None:
        remedy = "is for the command line; set XLA_CLIENT_MEM_FRACTION before JAX is first used"
        raise ConfigError("gpu_memory", experiment.run.gpu_memory, remedy)
    if experiment.part is not None:
        raise ConfigError("part", experiment.part, "is for the command line, which leaves a folder to be joined")
    if experiment.run.max_minutes and experiment.run.workdir is None:
        raise ConfigError("max_minutes", experiment.run.max_minutes, "needs --workdir, to go on from")
    if experiment.run.profile and experiment.run.workdir is None:
        raise ConfigError("profile", "true", "needs --workdir, where the trace is written")
    own = named_parts(model, initializer, penalties, constraints)
    problem = Problem(model or models.mlp(initializer), tuple(penalties), tuple(constraints)) if own else None
    own |= {} if data is None else {"data": data}
    own |= {f"watch {watch.name}": watch.measure for watch in watches}
    keep = experiment.run.workdir is not None
    outcome = execute(experiment, study or Study(), problem=problem, data=data, own=own, watches=watches, keep=keep)
    assert outcome.results is not None  # which only parts do not have
    return outcome.results
