"""Named parts with their hyperparameters filled in from those of a member."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from jaxreg.config import Hparams, resolved
from jaxreg.nn.parts import hyperparameters_of


def bind(part: Callable[..., Any], hparams: Hparams, num_arguments: int = 0, **given: Any) -> Callable[..., Any]:
    """The part as a function of its first `num_arguments` arguments alone.

    Its other parameters without a default are taken by name: from `given`, else from the hyperparameters.
    """
    names = hyperparameters_of(part, num_arguments)
    values = {name: given[name] if name in given else resolved(hparams, name) for name in names}
    return functools.partial(part, **values) if values else part
