"""What is written into figures: names with units, values of an axis, notes on seeds and diverged members."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from jaxreg.config import LABELS
from jaxreg.measures import setting_values, value_labels
from jaxreg.statistics import FEW_SEEDS, rests_on_normality

_MAX_NAMED = 6  # settings of which a note gives the values
MAX_TEXT = 44  # characters of a value that is text, such as a method
PARTS = ("train", "test", "validation", "test_batch")  # a part of the data has one colour and line style in all figures


_AXES = {  # names of hyperparameters that are not words yet, and the units of those that have some
    "hidden_sizes": ("hidden sizes", "units"),
    "init": ("initial scheme", ""),
    "init_variance": ("initial variance", ""),
    "beta1": ("β₁", ""),
    "beta2": ("β₂", ""),
    "decay_steps": ("decay time", "steps"),
    "warmup_steps": ("warm-up", "steps"),
    "batch_size": ("batch size", "examples"),
    "num_steps": ("length of training", "steps"),
    "num_epochs": ("length of training", "epochs"),
    "patience": ("patience", "checks"),
    "l1_strength": ("L1 strength", ""),
    "l1_start": ("start of L1", "fraction of training"),
    "l2_strength": ("L2 strength", ""),
    "kl_strength": ("KL strength", ""),
    "kl_target": ("KL target", ""),
    "max_norm": ("max-norm radius", ""),
}
_PARTS_IN_WORDS = {"train": "training", "test": "test", "validation": "validation", "test_batch": "test batch"}
_QUANTITIES = {  # variables whose name does not say what they are
    "train_loss_with_penalties": "training loss with penalties, mean between checks",
    "training_loss_with_penalty": "training loss with penalties",
}
_KINDS = {"objective": "loss with penalties"}
_WHEN = {"final": "after the last step", "best": "at the best check"}  # a prefix of a variable, in words
_SHARES = ("accuracy", "error", "share", "fraction")


def words(name: str) -> str:
    """A name in words: "weight change" for "weight_change"."""
    return name.replace("_", " ")


def axis_words(*names: str) -> str:
    """Hyperparameters in words, without units: "learning rate and batch size"."""
    *first, last = dict.fromkeys(_AXES[name][0] if name in _AXES else words(name) for name in names) or [""]
    return f"{', '.join(first)} and {last}" if first else last


def for_each(*names: str) -> str:
    """What a figure of all settings is of: "for each learning rate", or "for each setting of … and …"."""
    return f"for each {'setting of ' if len(names) > 1 else ''}{axis_words(*names)}" if names else ""


def axis_title(*names: str) -> str:
    """Hyperparameters as an axis or a legend names them, with units: "batch size (examples)"."""
    return ", ".join(
        f"{axis_words(name)} ({_AXES[name][1]})" if _AXES.get(name, ("", ""))[1] else axis_words(name) for name in names
    )


def name_of(values: xr.DataArray, default: str) -> str:
    """The name of an array, or the default if it has none."""
    return default if values.name is None else str(values.name)


def capital(text: str) -> str:
    """The text with a capital first letter, the rest as it is."""
    return text[:1].upper() + text[1:]


def quantity_words(name: str, values: xr.DataArray | None = None) -> str:
    """What a variable is, in the words of all figures and tables: "test accuracy" for "final_test_accuracy".

    An array with a `long_name` brings its own words.
    """
    if values is not None and "long_name" in values.attrs:
        return str(values.attrs["long_name"])
    prefix, _, rest = name.partition("_")
    if prefix in _WHEN and part_of(rest):
        name = rest
    if name in _QUANTITIES:
        return _QUANTITIES[name]
    part = part_of(name)
    return words(name) if part is None else f"{_PARTS_IN_WORDS[part]} {kind_words(name)}"


def quantity_in_full(name: str, values: xr.DataArray | None = None) -> str:
    """The same with when it is measured, for titles: "test accuracy after the last step"."""
    prefix, _, rest = name.partition("_")
    when = f" {_WHEN[prefix]}" if prefix in _WHEN and part_of(rest) else ""
    return quantity_words(name, values) + when


def is_share(name: str, values: xr.DataArray) -> bool:
    """Whether a variable is a share of something, which figures show in per cent."""
    return str(values.attrs.get("units", "1")) == "1" and (name.endswith(_SHARES) or name.startswith("share of "))


def quantity_label(name: str, values: xr.DataArray) -> str:
    """Words and units: "test loss (nats)", "test accuracy (%)", and "steps to …" without its units again."""
    return with_units(quantity_words(name, values), name, values)


def with_units(what: str, name: str, values: xr.DataArray) -> str:
    """Words for a variable and its units, if it has some that the words do not say."""
    units = "%" if is_share(name, values) else str(values.attrs.get("units", "1"))
    return what if units == "1" or what.startswith(units) else f"{what} ({units})"


def part_of(name: str) -> str | None:
    """The part of the data that a variable is measured on: "test_batch" of "test_batch_loss"."""
    return next((part for part in sorted(PARTS, key=len, reverse=True) if name.startswith(f"{part}_")), None)


def kind_of(name: str) -> str:
    """What a variable measures: "loss" of "test_loss"."""
    return name.removeprefix(f"{part_of(name)}_")


def kind_words(name: str) -> str:
    """The same in words: "loss with penalties" of "train_objective"."""
    kind = kind_of(name)
    return _KINDS.get(kind, words(kind))


def plain_kind(name: str) -> str:
    """The same without what distinguishes several of a kind: "loss" of "train_objective"."""
    return kind_words(name).partition(" with ")[0]


def part_words(name: str) -> str:
    """The part of the data that a variable is measured on, in words: "training" of "train_loss"."""
    return _PARTS_IN_WORDS[str(part_of(name))]


def row_label(results: xr.Dataset, variables: Sequence[str]) -> str:
    """One label for variables that measure the same on several parts of the data, with penalties or without."""
    return "\n".join(dict.fromkeys(with_units(plain_kind(name), name, results[name]) for name in variables))


def axis_labels(data: xr.Dataset, dims: Sequence[str]) -> tuple[list[str], list[str]]:
    """The names along `dims`, zipped ones included except with labels, and the label of each setting."""
    labelled = {dim for dim in dims if dim in LABELS}
    data = data.drop_vars([name for name, c in data.coords.items() if name not in dims and labelled & set(c.dims)])
    found = setting_values(data, dims)
    columns = [value_labels([setting[name] for setting in found], 3, MAX_TEXT) for name in found[0]]
    return list(found[0]), [", ".join(labels) for labels in zip(*columns, strict=True)] or [""] * len(found)


def replicates_note(data: xr.Dataset, mark: str) -> str:
    """How many seeds the means are over, and what `mark` ("band", "bars") shows; "" for no mark."""
    seeds = data.sizes["seed"]
    if seeds == 1:
        return "1 seed, no interval" if mark else "1 seed"
    return f"mean of {seeds} seeds" + (f", {mark}: {t_interval(data.get('n', seeds))}" if mark else "")


def t_interval(seeds: Any) -> str:
    """What intervals over so many seeds are: "95 % t interval", and where any is over few, what that rests on."""
    few = any(rests_on_normality(n) for n in np.unique(np.asarray(seeds)).tolist())
    return "95 % t interval" + (f", below n = {FEW_SEEDS} only if values are normal" if few else "")


def diverged_note(data: xr.Dataset, then: str = "left out of the mean") -> str:
    """How many members diverged, and of which settings no other is left; "" if none diverged."""
    count = int(data["diverged"].sum())
    if not count:
        return ""
    lost = all_diverged_note(data)
    return f"{count} of {data['diverged'].size} members diverged, {then}" + (f" ({lost})" if lost else "")


def all_diverged_note(data: xr.Dataset) -> str:
    """The settings whose seeds all diverged: "all seeds at learning rate 100, 1000"; "" if there is none.

    Where they are all settings with some values of one axis, by these alone.
    """
    lost = data["diverged"].all("seed")
    if not lost.any():
        return ""
    if lost.all():
        return "all seeds"
    dims = [str(dim) for dim in lost.dims]
    for dim in dims:
        of_value = lost.all([other for other in dims if other != dim])
        if bool((of_value == lost).all()):
            lost, dims = of_value, [dim]
            break
    gone = lost.transpose(*dims).values.ravel()
    if gone.sum() > _MAX_NAMED:
        of = f"values of {axis_words(*dims)}" if len(dims) == 1 else "settings"
        return f"all seeds of {int(gone.sum())} of {gone.size} {of}"
    names, labels = axis_labels(data, dims)
    between = ", " if len(names) == 1 else "; "
    values = between.join(label for label, is_gone in zip(labels, gone, strict=True) if is_gone)
    return f"all seeds at {', '.join(map(axis_words, names))} {values}"


def diverged_until_note(diverged: xr.DataArray) -> str:
    """How many members have nothing after the check before they diverged, "" if none."""
    count = int(diverged.sum())
    return f"{count} of {diverged.size} members diverged, nothing is measured from there on" if count else ""


def diverged_counts(diverged: xr.DataArray, dims: Sequence[str]) -> list[str]:
    """For each value along `dims` how many members diverged, if any."""
    counts = diverged.sum([dim for dim in diverged.dims if dim not in dims]).transpose(*dims).values.ravel()
    return [f"\n({count} of {diverged.size // counts.size} diverged)" if count else "" for count in counts]
