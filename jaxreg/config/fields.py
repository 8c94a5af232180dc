"""How fields of the configuration are declared: type, rule for the values, subject and help."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import jax

from jaxreg.config.validation import Rule


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
      label: whether it is neither: text that stands for values of other fields, which replace it before compilation.
      read_by_parts: whether nothing reads it but the named parts (optimizers, schedules ...) that have it as a
        parameter, so that it has no effect with the others.
    """
    metadata = {"kind": kind, "rule": rule, "subject": subject, "help": help, "read_by_parts": read_by_parts}
    metadata |= {"static": static, "label": label}
    return dataclasses.field(default=default, metadata=metadata)


def option(default: Any, kind: type, subject: str, help: str, rule: Rule | None = None) -> Any:
    """A field of the configurations around `Hparams`: set once per run, never an axis."""
    metadata = {"kind": kind, "rule": rule, "subject": subject, "help": help}
    return dataclasses.field(default=default, metadata=metadata)


@jax.tree_util.register_pytree_with_keys_class
class FrozenMapping(Mapping[str, Any]):
    """A mapping that does not change: hashable where its values are, and a tree whose leaves are its values."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(frozenset(self._values.items()))

    def __repr__(self) -> str:
        return f"FrozenMapping({self._values})"

    def tree_flatten_with_keys(self) -> tuple[list[tuple[Any, Any]], tuple[str, ...]]:
        """The values, each with its key, in the order of their names; and these names."""
        names = tuple(sorted(self._values))
        return [(jax.tree_util.DictKey(name), self._values[name]) for name in names], names

    @classmethod
    def tree_unflatten(cls, names: tuple[str, ...], values: Any) -> FrozenMapping:
        """The mapping of these names to these values."""
        return cls(dict(zip(names, values, strict=True)))
