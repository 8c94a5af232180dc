"""Named parts: functions whose parameter names say which hyperparameters they read.

An activation, initial scheme, loss, optimizer, schedule, penalty or projection stands once in the table of its kind
(`ACTIVATIONS`, `INITIAL_SCHEMES`, `LOSSES`, `OPTIMIZERS`, `SCHEDULES`, `REGULARISERS`). After the arguments that every
part of its kind takes, its parameters without a default are hyperparameters by name: `lambda momentum: trace(momentum)`
is an optimizer that reads `momentum`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def hyperparameters_of(part: Callable[..., Any], num_arguments: int = 0) -> tuple[str, ...]:
    """The hyperparameters that a part reads: its parameters without a default, but for the first `num_arguments`."""
    try:
        parameters = list(inspect.signature(part).parameters.values())
    except (TypeError, ValueError):  # a function of C, which takes no names
        return ()
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return tuple(p.name for p in parameters[num_arguments:] if p.kind in named and p.default is p.empty)
