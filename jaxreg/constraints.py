"""Projections of the parameters after the update: functions (params, hparams) -> params, applied in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jaxreg.config import Hparams
from jaxreg.models import Params

Constraint = Callable[[Params, Hparams], Params]


def project(constraints: Sequence[Constraint], params: Params, hparams: Hparams) -> Params:
    """The parameters after all projections, first to last."""
    for constraint in constraints:
        params = constraint(params, hparams)
    return params
