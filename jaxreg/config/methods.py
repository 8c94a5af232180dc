"""Methods: which of the regularisers act in a member."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from jaxreg.config.hparams import FIELDS, Hparams
from jaxreg.nn.regularisers import REGULARISERS


def strengths_of(method: str) -> dict[str, float]:
    """The hyperparameters that hold the strengths of a method, in its order, with the values at which they are off.

    Empty for all and none, which name no regulariser.
    """
    named = [REGULARISERS[name] for name in method.split("+") if name in REGULARISERS]
    return {regulariser.strength: regulariser.off for regulariser in named}


def suppressed_by(method: str) -> dict[str, Any]:
    """The hyperparameters that a method leaves without effect, with the values that they effectively have.

    Those are the strengths of the regularisers that it does not name, which are off, and what variants own that it
    does not name, which is at its default. None for all.
    """
    if method == "all":
        return {}
    kept, named = strengths_of(method), method.split("+")
    off: dict[str, Any] = {r.strength: r.off for r in REGULARISERS.values() if r.strength not in kept}
    variants = [r for name, r in REGULARISERS.items() if r.variant_of and name not in named]
    return off | {name: FIELDS[name].default for variant in variants for name in variant.owns}


def effective_hparams(hparams: Hparams) -> Hparams:
    """The hyperparameters with every strength off that the method does not name, and `method="all"`."""
    if hparams.method == "all":
        return hparams
    return dataclasses.replace(hparams, method="all", **suppressed_by(hparams.method))


def terms_of(hparams: Hparams) -> tuple[str, ...]:
    """The regularisers that have to be compiled into the program of a member with these effective hyperparameters."""
    return terms_of_any([hparams])


def terms_of_any(members: Sequence[Hparams]) -> tuple[str, ...]:
    """The same of a program of several members: what any of them needs."""
    return tuple(
        name
        for name, r in REGULARISERS.items()
        if r.is_compiled and any(getattr(hparams, r.strength) != r.off for hparams in members)
    )
