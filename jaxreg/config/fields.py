"""How fields of the configuration are declared: type, rule for the values, subject and help."""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.struct

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
    return flax.struct.field(pytree_node=not (static or label), default=default, metadata=metadata)


def option(default: Any, kind: type, subject: str, help: str, rule: Rule | None = None) -> Any:
    """A field of the configurations around `Hparams`: set once per run, never an axis."""
    metadata = {"kind": kind, "rule": rule, "subject": subject, "help": help}
    return dataclasses.field(default=default, metadata=metadata)
