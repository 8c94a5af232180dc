"""How the settings that a claim names are found in a run: by name and value, zipped and fixed names included."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxreg.claims.comparison import Values
from jaxreg.measures.settings import TOLERANCE, NotHeldError, agree, setting_label
from jaxreg.slow_imports import xr


class Where(NamedTuple):
    """Where a hyperparameter has some value."""

    dims: tuple[Hashable, ...]
    there: Values  # bool, [*dims]


class _Coordinate(NamedTuple):
    """The values of a hyperparameter."""

    dims: tuple[Hashable, ...]
    shape: tuple[int, ...]
    values: list[Any]  # flattened
    are_numbers: bool


class Lookup:
    """The settings of a run along swept dimensions.

    Attributes:
      results: of the run.
      sizes: of the dimensions that settings are looked up in, by name and in order.
    """

    def __init__(self, results: xr.Dataset, sizes: Mapping[str, int]) -> None:
        self.results, self.sizes = results, dict(sizes)
        self._coordinates: dict[str, _Coordinate | None] = {}

    def count(self, dims: Sequence[str]) -> int:
        """The number of settings along these dimensions."""
        return math.prod(self.sizes[dim] for dim in dims)

    def axis(self, name: str) -> tuple[str, list[Any]]:
        """The dimension along which a hyperparameter is swept, and its values: numbers in order, text as it stands.

        Raises:
          NotHeldError: it is not swept, or not along one dimension, or several settings have the same value.
        """
        coordinate = self._coordinate(name)
        if coordinate is None or len(coordinate.dims) != 1 or len(coordinate.values) < 2:
            raise NotHeldError(f"This run does not sweep {name}")
        values = coordinate.values
        if len(set(values)) < len(values):
            raise NotHeldError(f"This run holds several settings with the same {name}")
        return str(coordinate.dims[0]), sorted(values) if coordinate.are_numbers else values

    def where(self, name: str, value: Any) -> Where:
        """Where a hyperparameter has a value; a fixed one has it along no dimension.

        Raises:
          NotHeldError: it has it nowhere.
        """
        coordinate = self._coordinate(name)
        there = _agreeing(coordinate, value) if coordinate else np.zeros(0, bool)
        if coordinate is None or not there.any():
            raise NotHeldError(f"This run does not hold {setting_label({name: value})}")
        return Where(coordinate.dims, there.reshape(coordinate.shape))

    def place(self, setting: Mapping[str, Any], found: Sequence[Where], dims: Sequence[str]) -> int:
        """The only position in the flattened [*dims] that agrees with the setting, whose names were found so.

        Raises:
          NotHeldError: there is none, or several.
        """
        agrees = np.ones([self.sizes[dim] for dim in dims], bool)
        for along, there in found:
            order = [along.index(dim) for dim in dims if dim in along]
            agrees &= there.transpose(order).reshape([self.sizes[dim] if dim in along else 1 for dim in dims])
        places = agrees.ravel().nonzero()[0].tolist()
        if len(places) != 1:
            label = setting_label(setting)
            if not places:
                raise NotHeldError(f"No setting of this run has {label}")
            raise NotHeldError(f"{len(places)} settings of this run have {label}, and the claim names none of them")
        return int(places[0])

    def _coordinate(self, name: str) -> _Coordinate | None:
        """A hyperparameter along swept dimensions, read once; None if there is none of that name."""
        if name not in self._coordinates:
            found = None
            variable = self.results.variables[name] if name in self.results.coords else None
            if variable is not None and set(variable.dims) <= set(self.sizes):
                values = variable.values
                found = _Coordinate(variable.dims, values.shape, values.ravel().tolist(), values.dtype.kind in "iuf")
            self._coordinates[name] = found
        return self._coordinates[name]


def _agreeing(coordinate: _Coordinate, value: Any) -> np.ndarray:
    """Which values equal this one, or `agree` with it where none does.

    Numbers all at once, because a trend asks for each value of its axis.
    """
    if not coordinate.are_numbers or not isinstance(value, int | float):
        return np.array([agree(ours, value) for ours in coordinate.values])
    ours = np.array(coordinate.values, float)
    with np.errstate(invalid="ignore"):  # inf - inf
        if (exactly := ours == value).any():
            return exactly
        near = np.abs(ours - value) <= TOLERANCE * np.maximum(np.abs(ours), abs(value))
    return np.where(np.isfinite(ours) & np.isfinite(value), near, ours == value)
