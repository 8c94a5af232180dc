"""`--part=3/16`: dividing a sweep into parts that are trained on their own, and joined by `jaxreg.join`.

A part is a rectangle of the sweep, some settings with some seeds, and follows from the flags alone: not from the
machine that trains it, nor from the other parts.
"""

from __future__ import annotations

import dataclasses
import re
from typing import NamedTuple

from jaxreg.config.sweeps import Group, Sweep
from jaxreg.errors import ConfigError


class Share(NamedTuple):
    """Part `number`, from 1 on, of `of`."""

    number: int
    of: int

    def __str__(self) -> str:
        """As the flag spells it: `3/16`."""
        return f"{self.number}/{self.of}"


def parse_part(text: str) -> Share:
    """`3/16` as a share.

    Raises:
      ConfigError: it is no part of a whole.
    """
    match = re.fullmatch(r"([1-9]\d{0,6})/([1-9]\d{0,6})", text)
    share = Share(*map(int, match.groups())) if match else None
    if share is None or share.number > share.of:
        raise ConfigError("part", text, "must be K/N with K from 1 to N, such as 3/16")
    return share


def part_of(sweep: Sweep, share: Share) -> Sweep:
    """The part of a sweep: the grid as it is, of its groups and seeds those that belong to the part.

    Raises:
      ConfigError: the sweep cannot be divided into so many.
    """
    by_settings, by_seeds = _division(len(sweep.settings), len(sweep.seeds), share)
    setting_part, seed_part = divmod(share.number - 1, by_seeds)
    settings = _stretch(setting_part, by_settings, len(sweep.settings))
    seeds = _stretch(seed_part, by_seeds, len(sweep.seeds))
    groups = [_restricted(group, settings) for group in sweep.groups]
    return dataclasses.replace(
        sweep,
        groups=tuple(group for group in groups if group.settings),
        seeds=tuple(sweep.seeds[i] for i in seeds),
    )


def _division(num_settings: int, num_seeds: int, share: Share) -> tuple[int, int]:
    """Into how many parts the settings and the seeds are divided: the largest part smallest, then fewest of settings.

    Members of a seed see the same batches, which is cheaper together.
    """
    fitting = [
        (-(-num_settings // count) * -(-num_seeds // (share.of // count)), count)
        for count in range(1, min(num_settings, share.of) + 1)
        if share.of % count == 0 and share.of // count <= num_seeds
    ]
    if not fitting:
        nearest = _nearest_division(num_settings, num_seeds, share.of)
        grid = f"{num_settings} settings x {num_seeds} seeds are no {share.of} rectangles"
        raise ConfigError("part", share, f"{grid}; divide by {nearest}, say")
    _, by_settings = min(fitting)
    return by_settings, share.of // by_settings


def _nearest_division(num_settings: int, num_seeds: int, wanted: int) -> int:
    """The largest number of parts up to `wanted` that there can be."""
    seeds = range(1, num_seeds + 1)
    return max(n * min(num_settings, wanted // n) for n in seeds if n <= wanted)


def _stretch(part: int, parts: int, length: int) -> range:
    """The positions of one of several parts of a length, as even as can be."""
    return range(part * length // parts, (part + 1) * length // parts)


def _restricted(group: Group, settings: range) -> Group:
    """The settings of a group that lie in a stretch of the grid."""
    kept = [(i, config) for i, config in zip(group.settings, group.configs, strict=True) if i in settings]
    return dataclasses.replace(group, settings=tuple(i for i, _ in kept), configs=tuple(config for _, config in kept))
