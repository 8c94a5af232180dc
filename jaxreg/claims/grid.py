"""The grid of settings of a run with one measure on it, from which a claim takes the members that it compares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxreg.claims.comparison import Members, Values
from jaxreg.claims.lookup import Lookup
from jaxreg.claims.measure import Measure, as_measure
from jaxreg.claims.selection import best_on_validation, note_choice
from jaxreg.claims.wording import Quantity
from jaxreg.measures.settings import NotHeldError, agree, setting_dims, setting_label, setting_values, value_labels
from jaxreg.slow_imports import xr

DIGITS = 3  # of a value of an axis in a sentence, or as many as tell the values apart


class Grid:
    """The members of one measure, [*dims, seed].

    Attributes:
      quantity: label and units of the measure.
      better: which of its values are; None if not known.
      dims: the swept dimensions.
      values: [*dims, seed], float64, NaN where a member has none.
      diverged: members without a value because they diverged, bool [*dims, seed].
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
        except NotHeldError:
            raise
        except KeyError as missing:
            raise NotHeldError(f"This run does not record what {measure.label} is computed from") from missing
        if not values.sizes.get("seed"):
            raise NotHeldError(f"This run has no seeds in {measure.label}")
        self.dims = setting_dims(values)
        if set(values.dims) != {*self.dims, "seed"}:
            raise ValueError(f"{measure.label}: dimensions {values.dims}, where only swept ones and seed are allowed")
        described = (str(values.attrs.get(name, default)) for name, default in (("units", "1"), ("resolution", "")))
        self.quantity, self.better = Quantity(measure.label, *described), measure.better
        self.values: Values = values.variable.transpose(*self.dims, "seed").to_numpy().astype(np.float64)
        self.diverged = np.isnan(self.values)
        if self.diverged.any():
            self.diverged &= _diverged(results, {dim: values.sizes[dim] for dim in (*self.dims, "seed")})
        self._lookup = Lookup(results, {dim: values.sizes[dim] for dim in self.dims})

    def members(self, settings: Sequence[Mapping[str, Any]], compared: str = "") -> Members:
        """The members of settings that differ in the same dimensions.

        Dimensions that the settings do not name are held, for all of them, at the values with the highest final
        validation accuracy, averaged over the settings; p must then be multiplied by the number of `choices`, since
        a choice among noisy settings may favour the noisier one. `compared` says in words what is averaged over.

        Raises:
          NotHeldError: no such settings, or several.
        """
        lookup = self._lookup
        found = [[lookup.where(name, value) for name, value in setting.items()] for setting in settings]
        named = [dim for dim in self.dims if any(dim in where.dims for each in found for where in each)]
        free = [dim for dim in self.dims if dim not in named]
        places = [lookup.place(setting, where, named) for setting, where in zip(settings, found, strict=True)]
        choices, choice = lookup.count(free), 0
        notes: tuple[str, ...] = ()
        if choices > 1:
            choice = best_on_validation(lookup.results, free, named, places)
            notes = (note_choice(lookup.results, free, choice, compared),)
        order = [self.dims.index(dim) for dim in (*free, *named)]
        shape = (choices, lookup.count(named), -1)

        def picked(members: Values) -> Values:
            """[*dims, seed] -> [setting, seed]"""
            return np.asarray(members.transpose(*order, -1).reshape(shape)[choice, places])

        values, diverged = picked(self.values), picked(self.diverged)
        known = bool((diverged == np.isnan(values)).all())
        return Members(values, diverged, self.better if known else None, choices, notes)

    def unnamed(self, setting: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The settings of the swept dimensions that a setting does not name, one without values if there is none.

        Raises:
          NotHeldError: the run does not hold a value of the setting.
        """
        named = {dim for name, value in setting.items() for dim in self._lookup.where(name, value).dims}
        return setting_values(self._lookup.results, [dim for dim in self.dims if dim not in named]) or [{}]

    def along(self, axis: str, setting: Mapping[str, Any]) -> tuple[list[str], Members]:
        """The values of an axis as text, numbers in order, and the members at each.

        Raises:
          NotHeldError: the axis is not swept, or the run does not hold the setting along it.
        """
        dim, values = self._lookup.axis(axis)
        if any(self._lookup.where(name, value).dims == (dim,) for name, value in setting.items()):
            raise NotHeldError(f"This run does not hold {setting_label(setting)} at each {axis}")
        members = self.members([{axis: value, **setting} for value in values], axis)
        return value_labels(values, DIGITS), members

    def around(
        self, axis: str, setting: Mapping[str, Any], among: Sequence[Any] | None = None
    ) -> tuple[list[str], Members, int]:
        """As `along`, at the value of the setting and those `among`, all by default; with the position of the former.

        The names of the setting that lie along the axis say which value is its own.

        Raises:
          NotHeldError: the axis is not swept, or the run does not hold the setting or a value along it.
        """
        lookup = self._lookup
        dim, values = lookup.axis(axis)
        found = {name: lookup.where(name, value) for name, value in setting.items()}
        here = {name: value for name, value in setting.items() if found[name].dims == (dim,)}
        if not here:
            raise NotHeldError(f"{setting_label(setting) or 'The setting'} names no {axis}")
        own = lookup.results.variables[axis].values[lookup.place(here, [found[name] for name in here], [dim])].item()
        for value in among or ():
            lookup.where(axis, value)
        kept = [v for v in values if v == own or among is None or any(agree(v, wanted) for wanted in among)]
        rest = {name: value for name, value in setting.items() if name not in here}
        compared = axis if among is None else f"these values of {axis}"
        members = self.members([{axis: value, **rest} for value in kept], compared)
        return value_labels(kept, DIGITS), members, kept.index(own)

    def swept(self, setting: Mapping[str, Any]) -> dict[str, Any]:
        """The part of a setting that the run sweeps.

        Raises:
          NotHeldError: the run does not hold a value of it.
        """
        return {name: value for name, value in setting.items() if self._lookup.where(name, value).dims}


def _diverged(results: xr.Dataset, sizes: Mapping[str, int]) -> Values:
    """Whether training diverged, on the dimensions of `sizes`; of a member with further ones, in any of them."""
    if "diverged_step" not in results:
        return np.zeros(tuple(sizes.values()), bool)
    diverged = results.variables["diverged_step"] >= 0
    if others := [dim for dim in diverged.dims if dim not in sizes]:
        diverged = diverged.any(others)
    return np.asarray(diverged.set_dims(sizes).transpose(*sizes).to_numpy())  # type: ignore[no-untyped-call]
