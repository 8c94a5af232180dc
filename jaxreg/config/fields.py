"""What a field of the configuration is: its type, the rule for its values, its words."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import flax.struct
import numpy as np

from jaxreg.nn.regularisers import REGULARISERS

MAX_STEPS = 2**31 - 1  # steps are int32 on the device
MAX_FLOAT_COUNT = 2**24  # counts up to here are exact as float32, which traced hyperparameters are


@dataclasses.dataclass(frozen=True)
class Rule:
    """What values a field may take.

    Attributes:
      holds: a test.
      words: what is allowed, in words: "must be ...". Called anew each time, since tables of names can grow.
      table: the table of named parts that the values are taken from, if any.
    """

    holds: Callable[[Any], bool]
    words: Callable[[], str]
    table: Mapping[str, Any] | None = None

    @property
    def allowed(self) -> str:
        """What is allowed now, in words."""
        return self.words()


def _float32(value: float) -> float:
    """The number as the device will see it: 1e39 is infinite there and 1e-50 zero."""
    with np.errstate(over="ignore", under="ignore"):
        return float(np.float32(value))


def number(lowest: float = -math.inf, highest: float = math.inf, *, above: bool = False, below: bool = False) -> Rule:
    """Finite float32 numbers in [lowest, highest]; `above` and `below` leave the ends out."""
    bounds = [f"{'>' if above else '>='} {lowest:g}"] if lowest > -math.inf else []
    bounds += [f"{'<' if below else '<='} {highest:g}"] if highest < math.inf else []

    def holds(value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        x = _float32(value)
        return math.isfinite(x) and (x > lowest if above else x >= lowest) and (x < highest if below else x <= highest)

    allowed = f"must be a finite number {' and '.join(bounds)}".rstrip()
    return Rule(holds, lambda: allowed)


def whole_number(lowest: int, highest: int = MAX_STEPS) -> Rule:
    """Whole numbers in [lowest, highest]."""
    return Rule(
        lambda value: isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest,
        lambda: f"must be a whole number from {lowest} to {highest}",
    )


def one_of(names: Iterable[str]) -> Rule:
    """One of the names. Those of a table are looked up anew each time: what is added to it later is allowed too."""
    table = names if isinstance(names, Mapping) else None
    names = names if table is not None else tuple(names)
    return Rule(lambda value: value in names, lambda: f"must be one of {', '.join(names)}", table)


RADIUS = Rule(
    lambda value: value == math.inf or number(0, above=True).holds(value), lambda: "must be a number > 0, or inf"
)

SIZES = Rule(
    lambda value: isinstance(value, tuple) and all(isinstance(size, int) and size >= 1 for size in value),
    lambda: "must be layer sizes >= 1, `x` between layers and a comma between axis values (32,64x64), or none",
)


def _is_method(text: Any) -> bool:
    parts = text.split("+") if isinstance(text, str) else [text]
    if text in ("all", "none"):
        return True
    if not set(parts) <= set(REGULARISERS):
        return False
    without_variants = {REGULARISERS[name].variant_of or name for name in parts}
    return len(without_variants) == len(parts)  # each once, and none beside its variant


def _methods() -> str:
    variants = [f"{r.variant_of} not beside {name}" for name, r in REGULARISERS.items() if r.variant_of]
    return ", ".join(
        [
            f"must be one of all, none, {', '.join(REGULARISERS)}, or several of them joined by +, each once",
            "all and none alone",
            *variants,
        ]
    )


METHOD = Rule(_is_method, _methods, REGULARISERS)


def hyperparameter(
    default: Any,
    kind: type,
    rule: Rule,
    subject: str,
    help: str,
    *,
    static: bool = False,
    label: bool = False,
    read_by_parts: bool = False,
) -> Any:
    """A field of `Hparams`.

    Args:
      default: its value where none is given.
      kind: its type.
      rule: which values it may take.
      subject: the heading of its flag in --help.
      help: one line for its flag and its coordinate.
      static: whether it decides array shapes or code and so splits a sweep into groups; else it is traced, a number
        that every member has for itself.
      label: whether it is neither: text that is spelled out in other fields before anything is compiled.
      read_by_parts: whether nothing reads it but the named parts (optimizers, schedules ...) that have it as a
        parameter, so that it has no effect with the others.
    """
    metadata = {"kind": kind, "rule": rule, "subject": subject, "help": help, "read_by_parts": read_by_parts}
    metadata |= {"static": static, "label": label}
    return flax.struct.field(pytree_node=not (static or label), default=default, metadata=metadata)


def option(default: Any, kind: type, subject: str, help: str, rule: Rule | None = None) -> Any:
    """A field of the configurations around `Hparams`: set once per run, never an axis."""
    metadata = {"kind": kind, "rule": rule, "subject": subject, "help": help}
    return dataclasses.field(default=default, metadata=metadata)


def describe(value: Any) -> str:
    """The value as a flag spells it: 0.1, 64x64, relu."""
    if isinstance(value, tuple):
        return "x".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(float(value)).removesuffix(".0") if isinstance(value, float) else str(value)
