"""A measure on the settings of a run: how settings are found by name, and how those left open are chosen."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, get_args

import numpy as np
import xarray as xr

from jaxreg.claims.comparison import Better, Compared, Members, Values, listed, number
from jaxreg.claims.reported import TOLERANCE, agree
from jaxreg.measures import setting_dims, setting_label, value_label


@dataclasses.dataclass(frozen=True)
class Measure:
    """A quantity of each member, read off the results.

    Attributes:
      label: as people read it: "steps to train". With "accuracy", "error", "share" or "fraction" in it and units "1" it
        is shown in percent.
      of: results -> […, seed], the dots standing for swept dimensions; `attrs["units"]` are its units, "nats" if it is
        a continuous loss. NaN is a member without a value, diverged if `diverged_step` of the results says so; inf is a
        censored one.
      better: which values are the good ones; None if neither, or not known.
    """

    label: str
    of: Callable[[xr.Dataset], xr.DataArray]
    better: Better | None = None

    def __post_init__(self) -> None:
        if self.better is not None:
            check_better(self.better)


def check_better(better: str) -> None:
    """Raises ValueError unless it is one of the two."""
    if better not in get_args(Better):
        raise ValueError(f"better={better!r}: must be one of {', '.join(get_args(Better))}")


def as_measure(measure: str | Measure) -> Measure:
    """A variable of the results by its name; of accuracies the higher are better, of losses the lower."""
    if isinstance(measure, Measure):
        return measure
    better: Better | None = "higher" if "accuracy" in measure else "lower" if "loss" in measure else None
    return Measure(measure.replace("_", " "), itemgetter(measure), better)


class NotHeldError(Exception):
    """The run lacks what a claim is about; the message says what, without a full stop."""


class _Coordinate(NamedTuple):
    """The values of a hyperparameter."""

    dims: tuple[Hashable, ...]
    shape: tuple[int, ...]
    values: list[Any]  # flattened
    are_numbers: bool


class _Where(NamedTuple):
    """Where a hyperparameter has some value."""

    dims: tuple[Hashable, ...]
    there: Values  # bool, [*dims]


def _agreeing(coordinate: _Coordinate, value: Any) -> np.ndarray:
    """Which values `agree` with this one; numbers all at once, because a trend asks for each value of its axis."""
    if not coordinate.are_numbers or not isinstance(value, int | float):
        return np.array([agree(ours, value) for ours in coordinate.values])
    ours = np.array(coordinate.values, float)
    with np.errstate(invalid="ignore"):  # inf - inf
        near = np.abs(ours - value) <= TOLERANCE * np.maximum(np.abs(ours), abs(value))
    return np.where(np.isfinite(ours) & np.isfinite(value), near, ours == value)


class Grid:
    """The members of one measure, [*dims, seed].

    Attributes:
      label, units, better: of the measure.
      dims: the swept dimensions.
      values: [*dims, seed], float64.
      diverged: members without a value because they diverged, [*dims, seed].
      notes: sentences that a reader needs beside a verdict, gathered as settings are looked up.
      choices: how many settings the members last returned were chosen from; 1 if the caller named them all.
    """

    def __init__(self, measure: str | Measure, results: xr.Dataset) -> None:
        """Reads the measure.

        Raises:
          NotHeldError: the results do not hold what it is read off, or it has no dimension seed.
          ValueError: it has other dimensions than the swept ones and seed.
        """
        measure = as_measure(measure)
        try:
            values = measure.of(results)
        except KeyError as missing:
            raise NotHeldError(f"This run does not record what {measure.label} is read off") from missing
        if not values.sizes.get("seed"):
            raise NotHeldError(f"This run has no seeds in {measure.label}")
        self.dims = setting_dims(values)
        if set(values.dims) != {*self.dims, "seed"}:
            raise ValueError(f"{measure.label}: dimensions {values.dims}, where only swept ones and seed are allowed")
        self.label, self.better = measure.label, measure.better
        self.units = str(values.attrs.get("units", "1"))
        self.results = results
        self.values: Values = values.variable.transpose(*self.dims, "seed").to_numpy().astype(np.float64)
        self.diverged = np.isnan(self.values)
        if self.diverged.any():
            self.diverged &= self._ended()
        self.notes: list[str] = []
        self.choices = 1
        self._coordinates: dict[str, _Coordinate | None] = {}

    # Settings.

    def members(self, settings: Sequence[Mapping[str, Any]], compared: str = "") -> Members:
        """The members of settings that differ in the same dimensions.

        Dimensions that the settings do not name are held, for all of them, at the values with the highest final
        validation accuracy, averaged over the settings; p must then be multiplied by the number of `choices`, since
        a choice among noisy settings may favour the noisier one. `compared` says in words what is averaged over.

        Raises:
          NotHeldError: no such settings, or several.
        """
        found = [[self._where(name, value) for name, value in setting.items()] for setting in settings]
        named = [dim for dim in self.dims if any(dim in where.dims for each in found for where in each)]
        free = [dim for dim in self.dims if dim not in named]
        places = [self._place(setting, where, named) for setting, where in zip(settings, found, strict=True)]
        order = [self.dims.index(dim) for dim in (*free, *named)]
        self.choices = math.prod(self._size(dim) for dim in free)
        shape = (self.choices, math.prod(self._size(dim) for dim in named), -1)
        choice = 0
        if self.choices > 1:
            choice = self._best_on_validation(free, named, places)
            self._say_chosen(free, choice, compared)

        def picked(members: Values) -> Values:
            """[choice, place, seed] -> [setting, seed]"""
            return np.asarray(members.transpose(*order, -1).reshape(shape)[choice, places])

        values, diverged = picked(self.values), picked(self.diverged)
        known = bool((diverged == np.isnan(values)).all())
        return Members(values, diverged, self.better if known else None)

    def along(self, axis: str, setting: Mapping[str, Any]) -> tuple[list[str], Members]:
        """The values of an axis as text, numbers in order, and the members at each."""
        dim, values = self._axis(axis)
        if any(self._where(name, value).dims == (dim,) for name, value in setting.items()):
            raise NotHeldError(f"This run does not hold {setting_label(setting)} at each {axis}")
        members = self.members([{axis: value, **setting} for value in values], axis)
        return [value_label(value) for value in values], members

    def around(
        self, axis: str, setting: Mapping[str, Any], among: Sequence[Any] | None = None
    ) -> tuple[list[str], Members, int]:
        """As `along`, at the value of the setting and those `among`, all by default; with the position of the former.

        The names of the setting that lie along the axis say which value is its own.
        """
        dim, values = self._axis(axis)
        found = {name: self._where(name, value) for name, value in setting.items()}
        here = {name: value for name, value in setting.items() if found[name].dims == (dim,)}
        if not here:
            raise NotHeldError(f"{setting_label(setting) or 'The setting'} names no {axis}")
        own = self.results.variables[axis].values[self._place(here, [found[name] for name in here], [dim])].item()
        for value in among or ():
            self._where(axis, value)
        kept = [v for v in values if v == own or among is None or any(agree(v, wanted) for wanted in among)]
        rest = {name: value for name, value in setting.items() if name not in here}
        compared = axis if among is None else f"these values of {axis}"
        members = self.members([{axis: value, **rest} for value in kept], compared)
        return [value_label(value) for value in kept], members, kept.index(own)

    def swept(self, setting: Mapping[str, Any]) -> dict[str, Any]:
        """The part of a setting that the run sweeps."""
        return {name: value for name, value in setting.items() if self._where(name, value).dims}

    def _ended(self) -> Values:
        """Whether training diverged, [*dims, seed]."""
        if "diverged_step" not in self.results:
            return np.zeros(self.values.shape, bool)
        ended = self.results.variables["diverged_step"] >= 0
        sizes = dict(zip((*self.dims, "seed"), self.values.shape, strict=True))
        if others := [dim for dim in ended.dims if dim not in sizes]:
            ended = ended.any(others)
        return np.asarray(ended.set_dims(sizes).transpose(*sizes).to_numpy())  # type: ignore[no-untyped-call]

    def _coordinate(self, name: str) -> _Coordinate | None:
        """A hyperparameter along swept dimensions, read once; None if there is none of that name."""
        if name not in self._coordinates:
            found = None
            variable = self.results.variables[name] if name in self.results.coords else None
            if variable is not None and set(variable.dims) <= set(self.dims):
                values = variable.values
                found = _Coordinate(variable.dims, values.shape, values.ravel().tolist(), values.dtype.kind in "iuf")
            self._coordinates[name] = found
        return self._coordinates[name]

    def _axis(self, axis: str) -> tuple[str, list[Any]]:
        """The dimension of an axis, and its values: numbers in order, text as it stands."""
        coordinate = self._coordinate(axis)
        if coordinate is None or len(coordinate.dims) != 1 or len(coordinate.values) < 2:
            raise NotHeldError(f"This run does not sweep {axis}")
        values = coordinate.values
        if len(set(values)) < len(values):
            raise NotHeldError(f"This run holds several settings with the same {axis}")
        return str(coordinate.dims[0]), sorted(values) if coordinate.are_numbers else values

    def _where(self, name: str, value: Any) -> _Where:
        coordinate = self._coordinate(name)
        there = _agreeing(coordinate, value) if coordinate else np.zeros(0, bool)
        if coordinate is None or not there.any():
            raise NotHeldError(f"This run does not hold {setting_label({name: value})}")
        return _Where(coordinate.dims, there.reshape(coordinate.shape))

    def _place(self, setting: Mapping[str, Any], found: Sequence[_Where], dims: Sequence[str]) -> int:
        """The only position in the flattened [*dims] that agrees with the setting."""
        agrees = np.ones([self._size(dim) for dim in dims], bool)
        for along, there in found:
            order = [along.index(dim) for dim in dims if dim in along]
            agrees &= there.transpose(order).reshape([self._size(dim) if dim in along else 1 for dim in dims])
        places = agrees.ravel().nonzero()[0].tolist()
        if len(places) != 1:
            raise NotHeldError(f"This run holds {setting_label(setting)} at {len(places) or 'no'} settings")
        return int(places[0])

    def _size(self, dim: str) -> int:
        return int(self.values.shape[self.dims.index(dim)])

    # The choice of what a claim leaves open.

    def _best_on_validation(self, free: Sequence[str], named: Sequence[str], places: Sequence[int]) -> int:
        """The best position in the flattened [*free], by the order of `summary.ranking`, averaged over the places."""
        shape = (self.choices, math.prod(self._size(dim) for dim in named), -1)

        def candidates(variable: str) -> Values:
            """[choice, place, seed]"""
            values = self.results[variable].variable.transpose(*free, *named, ...).to_numpy()
            return values.reshape(shape)[:, places].astype(np.float64)

        open_ = listed([dim for dim in free if self._size(dim) > 1])
        no_accuracy = NotHeldError(f"No setting has a validation accuracy by which {open_} could be chosen")
        try:
            accuracies = _mean(candidates("final_validation_accuracy"))
            losses = _mean(candidates("final_validation_loss"))
            diverged = (candidates("diverged_step") >= 0).any((1, 2))
        except KeyError as missing:
            raise no_accuracy from missing
        if np.isnan(accuracies).all():
            raise no_accuracy
        accuracy = _mean(accuracies).round(9)  # the same count of right examples ties
        order = np.lexsort((_mean(losses), -accuracy, diverged, np.isnan(accuracies).sum(-1)))
        return int(order[0])

    def _say_chosen(self, free: Sequence[str], choice: int, compared: str) -> None:
        at = np.unravel_index(choice, [self._size(dim) for dim in free])
        chosen = {d: self.results[d].values[i].item() for d, i in zip(free, at, strict=True) if self._size(d) > 1}
        averaged = f" averaged over {compared}" if compared else ""
        self.notes.append(
            f"Judged at {setting_label(chosen)}, best on validation{averaged}; p is multiplied by the {self.choices} "
            f"choices, which a claim that names {listed(list(chosen))} is spared."
        )

    # Words.

    def say_missing(self, names: Sequence[str], members: Members, found: Sequence[Compared] = ()) -> None:
        """Notes at which of the settings members have no value, and why."""
        ranked = any(compared.ranked for compared in found)
        diverged = (
            "Diverged, and ranked worst where fewer than two pairs are left"
            if ranked
            else ("Left out because they diverged")
        )
        unknown = np.isnan(members.values) & ~members.diverged
        for why, missing in ((diverged, members.diverged), ("Left out because they have no value", unknown)):
            counts = missing.sum(-1).tolist()
            told = [f"{c} of {missing.shape[-1]} at {name}" for name, c in zip(names, counts, strict=True) if c]
            if told:
                self.notes.append(f"{why}: {listed(told)}.")

    @property
    def _percent(self) -> bool:
        return self.units == "1" and any(word in self.label for word in ("accuracy", "error", "share", "fraction"))

    def value(self, x: float) -> str:
        """With units: "91.23 %", "0.213 nats", "1500 steps"."""
        if math.isinf(x):
            return "infinity" if x > 0 else "minus infinity"
        if self._percent:
            return f"{100 * x:.2f} %"
        return number(x) + ("" if self.units == "1" else f" {self.units}")

    def by(self, found: Compared, per: str = "") -> str:
        """The size of a difference in its own direction: "by 1.20 points (95 % interval 0.88 to 1.52, n = 5)"."""
        e = found.evidence
        if math.isnan(e.low):
            return found.seeds
        mean, low, high = (e.difference, e.low, e.high) if e.difference >= 0 else (-e.difference, -e.high, -e.low)
        units = " points" if self._percent else "" if self.units == "1" else f" {self.units}"
        shown = [f"{100 * x:.2f}" if self._percent else number(x) for x in (mean, low, high)]
        return f"by {shown[0]}{units}{per} (95 % interval {shown[1]} to {shown[2]}, n = {e.n})"


def _mean(values: Values) -> Values:
    """Along the last axis, NaN left out."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nansum(values, -1) / (~np.isnan(values)).sum(-1))
