from __future__ import annotations

import itertools
from typing import Any

import pytest

from jaxreg.config.division import Share, parse_part, part_of
from jaxreg.config.experiment import Experiment
from jaxreg.config.hparams import Hparams
from jaxreg.config.sweeps import Sweep, make_sweep
from jaxreg.errors import ConfigError


def sweep(rates: int, widths: int, seeds: int) -> Sweep:
    axes: dict[str, list[Any]] = {"learning_rate": [0.1 * (i + 1) for i in range(rates)]}
    axes |= {"hidden_sizes": [(4 + i,) for i in range(widths)]}
    return make_sweep(Experiment(hparams=Hparams(num_steps=10), axes=axes, seeds=seeds, first_seed=3), 200)


def members(part: Sweep) -> list[tuple[int, int]]:
    return [(setting, seed) for group in part.groups for setting in group.settings for seed in part.seeds]


@pytest.mark.parametrize(
    ("shape", "parts"),
    [((1, 1, 5), 5), ((3, 2, 4), 6), ((7, 1, 10), 16), ((3, 2, 1), 6), ((5, 2, 3), 7), ((2, 1, 2), 1)],
)
def test_parts_hold_every_member_once_and_are_even(shape: tuple[int, int, int], parts: int) -> None:
    whole = sweep(*shape)
    found = [part_of(whole, Share(k, parts)) for k in range(1, parts + 1)]
    assert sorted(itertools.chain.from_iterable(map(members, found))) == sorted(members(whole))
    sizes = [part.num_members for part in found]
    assert sum(sizes) == whole.num_members
    assert min(sizes) > 0
    assert all(part.record_every == whole.record_every and part.settings == whole.settings for part in found)


def test_seeds_are_divided_before_settings() -> None:
    part = part_of(sweep(3, 2, 4), Share(2, 4))
    assert part.seeds == (4,)
    assert sorted(setting for group in part.groups for setting in group.settings) == list(range(6))


def test_what_cannot_be_divided_is_refused_with_what_can() -> None:
    with pytest.raises(
        ConfigError, match=r"--part=1/11: 6 settings x 4 seeds are no 11 rectangles; divide by 10"
    ) as no:
        part_of(sweep(3, 2, 4), Share(1, 11))
    assert part_of(sweep(3, 2, 4), Share(1, 8)).num_members == 3
    assert "\n" not in str(no.value)


@pytest.mark.parametrize("text", ["", "3", "0/4", "5/4", "1/0", "-1/4", "1 / 4", "a/b", "1/4/2", "1.0/2"])
def test_what_is_no_part_of_a_whole_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="must be K/N with K from 1 to N"):
        parse_part(text)
