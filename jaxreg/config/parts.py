"""Which named parts read which hyperparameters, as their signatures say."""

from __future__ import annotations

import difflib

from jaxreg.config.hparams import FIELDS
from jaxreg.errors import ConfigError
from jaxreg.nn.activations import ACTIVATIONS, activation_named
from jaxreg.nn.initializers import INITIAL_SCHEMES, scheme_named
from jaxreg.nn.losses import LOSSES, loss_named
from jaxreg.nn.optimizers import OPTIMIZERS, SCHEDULES
from jaxreg.nn.parts import hyperparameters_of
from jaxreg.nn.regularisers import REGULARISERS


def _read_by_scheme(name: str) -> tuple[str, ...]:
    scheme = scheme_named(name)
    bias = () if scheme.bias is None else hyperparameters_of(scheme.bias, 3)
    variance = () if scheme.default_variance is None else ("init_variance",)
    return (*variance, *hyperparameters_of(scheme.weights, 3), *bias)


def read_by_parts() -> dict[str, dict[str, tuple[str, ...]]]:
    """By the hyperparameter that chooses a part and the name of the part: the hyperparameters that the part reads."""
    activations = {name: hyperparameters_of(activation_named(name).function, 1) for name in ACTIVATIONS}
    return {
        "activation": activations,
        "output_activation": activations,
        "init": {name: _read_by_scheme(name) for name in INITIAL_SCHEMES},
        "loss": {name: hyperparameters_of(loss_named(name).function, 2) for name in LOSSES},
        "optimizer": {name: hyperparameters_of(OPTIMIZERS[name]) for name in OPTIMIZERS},
        "schedule": {name: hyperparameters_of(SCHEDULES[name], 1) for name in SCHEDULES},
        "method": {name: regulariser.hyperparameters for name, regulariser in REGULARISERS.items()},
    }


def readers_of(name: str) -> dict[str, tuple[str, ...]]:
    """The parts that read a hyperparameter, by the one that chooses them: {"optimizer": ("momentum", "nesterov")}."""
    found = {
        chooser: tuple(part for part, read in parts.items() if name in read)
        for chooser, parts in read_by_parts().items()
        if chooser != "method"
    }
    return {chooser: parts for chooser, parts in found.items() if parts}


def require_declared() -> None:
    """Refuses a part that reads what is no hyperparameter, or whose name no flag can spell.

    Raises:
      ConfigError: naming the part and what it reads.
    """
    for chooser, parts in read_by_parts().items():
        for part, read in parts.items():
            if not part.isidentifier() or part in ("all", "none"):
                raise ConfigError(chooser, part, "cannot be the name of a part: give letters, digits and _")
            for name in read:
                if name not in FIELDS:
                    nearest = difflib.get_close_matches(name, FIELDS, n=1)
                    hint = f"; did you mean {nearest[0]}?" if nearest else ""
                    remedy = "jaxreg.add_hyperparameter declares one"
                    raise ConfigError(chooser, part, f"reads {name}, which is no hyperparameter; {remedy}{hint}")
