"""The values that each field may take, and the words that refuse others: `--flag=value: must be ...`.

What single values do not show (axes, zips, options that contradict each other) is refused in
`jaxreg.config.consistency`, what only the data shows in `jaxreg.config.sweeps`.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from jaxreg.errors import ConfigError
from jaxreg.nn.regularisers import REGULARISERS

MAX_STEPS = 2**31 - 1  # steps are int32 on the device
MOST_EXACT = 2**53  # whole numbers below it are exact as Python's floats
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

ADDRESS = Rule(
    lambda value: re.fullmatch(r"\S+:\d{1,5}", value) is not None, lambda: "must be HOST:PORT, such as 10.0.0.1:1234"
)

SIZES = Rule(
    lambda value: isinstance(value, tuple) and all(isinstance(size, int) and 1 <= size < MOST_EXACT for size in value),
    lambda: (
        "must be layer sizes >= 1 and < 2^53, `x` between layers and a comma between axis values (32,64x64), or none"
    ),
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


def check_value(name: str, value: Any, rule: Rule | None) -> None:
    """Raises ConfigError where the rule does not hold, with the nearest name for a mistyped one."""
    if rule is None:
        return
    try:
        holds = rule.holds(value)
    except (TypeError, ValueError, OverflowError):
        holds = False
    if holds:
        return
    nearest = difflib.get_close_matches(str(value), rule.allowed.removeprefix("must be one of ").split(", "), n=1)
    hint = f"; did you mean {nearest[0]}?" if nearest else ""
    raise ConfigError(name, describe(value), rule.allowed + hint)


def plain(value: Any, kind: type) -> Any:
    """A value given from Python as its field keeps it; what is not of the kind stays as it is, to be refused.

    Numbers of NumPy and JAX become Python's, 1e3 a whole number and 1 a float where such are meant, lists of sizes
    tuples, and paths text.
    """
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    if kind is tuple and isinstance(value, list | tuple):
        return tuple(plain(size, int) for size in value)
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < MOST_EXACT:
        return float(value)
    return os.fspath(value) if kind is str and isinstance(value, os.PathLike) else value


def describe(value: Any) -> str:
    """The value as a flag spells it: 0.1, 64x64, relu."""
    if isinstance(value, tuple):
        return "x".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(float(value)).removesuffix(".0") if isinstance(value, float) else str(value)
