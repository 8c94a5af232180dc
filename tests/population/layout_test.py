from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, cast

import jax
import numpy as np
import pytest

from jaxreg.errors import ConfigError
from jaxreg.population import layout as layouts
from jaxreg.population.blocks import Block, make_blocks
from jaxreg.population.layout import MEMORY_SHARE, Layout, choose_layout, layout_from, memory_bytes, parse_layout
from tests.training_run import assert_same_bits, experiment, runner, train


@dataclasses.dataclass(frozen=True)
class Device:
    """As much of a device as a layout looks at."""

    platform: str = "cpu"
    bytes_limit: int | None = None

    def memory_stats(self) -> dict[str, int] | None:
        return None if self.bytes_limit is None else {"bytes_limit": self.bytes_limit}


def devices(count: int = 1, platform: str = "cpu", gib: int = 16) -> Sequence[jax.Device]:
    return cast(Sequence[jax.Device], [Device(platform, gib * 2**30)] * count)


def layout(num_seeds: int = 1, num_configs: int = 1, num_devices: int = 1, **other: Any) -> Layout:
    """A layout for networks of MNIST's size."""
    asked: dict[str, Any] = {
        "batch_size": 100,
        "shared_batch": False,
        "num_features": 784,
        "layer_sizes": (32, 10),
        "num_parameters": 25_450,
        "state_bytes": 4 * 2 * 25_450,
        "eval_every": 500,
        "max_members": 0,
        "data_bytes": 2**20,
        "devices": devices(num_devices),
    }
    return choose_layout(num_seeds=num_seeds, num_configs=num_configs, **(asked | other))


SIZES = [tuple(map(int, row)) for row in np.random.default_rng(0).integers(1, [14, 14, 9], (150, 3))]


def test_devices_leave_the_fewest_members_on_the_fullest() -> None:
    for num_seeds, num_configs, num_devices in SIZES:
        chosen = layout(num_seeds, num_configs, num_devices)
        fullest = chosen.width / chosen.devices
        counts = range(1, num_devices + 1)
        best = min(min(math.ceil(num_seeds / n) * num_configs, num_seeds * math.ceil(num_configs / n)) for n in counts)
        assert fullest == best, (num_seeds, num_configs, num_devices)
        assert chosen.devices <= num_devices
        assert (chosen.seeds if chosen.split == "seeds" else chosen.configs) % chosen.devices == 0


def test_padding_is_less_than_a_member_of_each_device() -> None:
    for num_seeds, num_configs, num_devices in SIZES:
        chosen = layout(num_seeds, num_configs, num_devices)
        padded = (chosen.seeds - num_seeds, chosen.configs - num_configs)
        assert min(padded) == 0
        assert 0 <= max(padded) < chosen.devices


@pytest.mark.parametrize(
    ("seeds", "configs", "num_devices", "expected"),
    [(4, 3, 2, (2, "seeds")), (1, 6, 2, (2, "configs")), (1, 1, 8, (1, "seeds")), (3, 4, 2, (2, "configs"))],
)
def test_hand_worked_divisions(seeds: int, configs: int, num_devices: int, expected: tuple[int, str]) -> None:
    chosen = layout(seeds, configs, num_devices)
    assert (chosen.devices, chosen.split) == expected
    assert (chosen.seeds, chosen.configs) == (seeds, configs)


@pytest.mark.parametrize(
    ("num_seeds", "num_configs", "max_members", "expected"),
    [
        (5, 4, 1000, (5, 4)),
        (5, 4, 20, (5, 4)),
        (5, 4, 19, (3, 4)),
        (5, 4, 12, (3, 4)),
        (5, 4, 8, (2, 4)),
        (5, 4, 4, (1, 4)),
        (5, 4, 3, (1, 2)),
        (5, 4, 1, (1, 1)),
        (5, 7, 4, (1, 4)),
        (10, 1, 4, (4, 1)),
    ],
)
def test_a_limit_keeps_the_configs_of_a_seed_together_and_blocks_even(
    num_seeds: int, num_configs: int, max_members: int, expected: tuple[int, int]
) -> None:
    chosen = layout(num_seeds, num_configs, max_members=max_members)
    assert (chosen.seeds, chosen.configs) == expected
    assert chosen.width <= max_members


def test_a_program_takes_its_share_of_the_memory() -> None:
    member_bytes = 4 * 2 * 25_450 + 4 * (3 * 25_450 + 3 * 100 * 42)
    for gib in (1, 4):
        chosen = layout(100_000, 1, devices=devices(gib=gib, platform="gpu"))
        free = MEMORY_SHARE * gib * 2**30 - 2**20
        assert chosen.width * member_bytes <= free
        assert 2 * chosen.width * member_bytes > free
    assert layout(5, 1, devices=devices(gib=1), data_bytes=2**40).width == 1


def test_blocks_on_a_cpu_are_narrow_enough_for_chunks_of_many_steps() -> None:
    for batch_size in (1, 32, 100, 1000):
        chosen = layout(10_000, 1, 2, batch_size=batch_size)
        assert chosen.chunk_steps >= 32
        assert 6 * batch_size * 25_450 * chosen.width / 2 * 32 / 4e10 <= 10
    assert layout(10_000, 1, 2).width == 1430  # seven even blocks
    assert layout(300, 1, 2).width == 300


def test_blocks_cover_every_member_exactly_once() -> None:
    for (num_seeds, num_configs, num_devices), limit in zip(SIZES[:60], [0, 1, 2, 5, 11, 30] * 10, strict=True):
        chosen = layout(num_seeds, num_configs, num_devices, max_members=limit)
        times_covered = np.zeros((num_configs, num_seeds), int)
        for block in make_blocks(0, chosen, num_configs, num_seeds):
            assert isinstance(block, Block)
            assert block.size == times_covered[block.members].size > 0
            times_covered[block.members] += 1
        assert (times_covered == 1).all()


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
@pytest.mark.parametrize("num_parameters", [10, 25_450, 10**9])
@pytest.mark.parametrize("batch_size", [1, 100, 55_000])
def test_chunks_fit_a_check_and_waste_less_than_a_step_each(
    platform: str, num_parameters: int, batch_size: int
) -> None:
    for eval_every in (1, 2, 7, 50, 500, 999, 1000, 1001, 12_345):
        chosen = layout(
            10,
            7,
            batch_size=batch_size,
            num_parameters=num_parameters,
            eval_every=eval_every,
            devices=devices(2, platform, gib=10**6),
        )
        assert 1 <= chosen.chunk_steps <= min(eval_every, 1000)
        chunks = math.ceil(eval_every / chosen.chunk_steps)
        assert chunks * chosen.chunk_steps - eval_every < chunks


def test_a_chunk_of_slow_steps_is_shorter() -> None:
    lengths = [layout(1, n, devices=devices(gib=10**5, platform="gpu")).chunk_steps for n in (1, 10**5, 10**7)]
    assert lengths[0] == 500
    assert lengths[0] > lengths[1] > lengths[2] >= 1


def tile(num_seeds: int = 1, num_configs: int = 1, **other: Any) -> tuple[int, int]:
    chosen = layout(num_seeds, num_configs, **other)
    return chosen.tile_seeds, chosen.tile_configs


def test_seeds_are_trained_in_turn_on_a_cpu_and_side_by_side_elsewhere_and_on_the_shared_batch() -> None:
    assert tile(4, 3) == (1, 3)
    assert tile(4, 3, shared_batch=True, batch_size=55_000) == (4, 3)
    for name in ("gpu", "tpu"):
        assert tile(4, 300, devices=devices(platform=name)) == (4, 300)
        assert tile(4, 300, devices=devices(2, platform=name)) == (2, 300)


def test_a_tile_fills_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    touched = 4 * 2 * 25_450 + 4 * 3 * 100 * 42
    monkeypatch.setattr(layouts, "cache_bytes", lambda: 8 * touched)
    assert tile(3, 64) == (1, 8)
    assert tile(3, 10) == (1, 5)  # the largest divisor that fits
    assert tile(3, 26) == (1, 13)  # 2 would leave the cache empty
    assert tile(3, 3) == (1, 3)
    monkeypatch.setattr(layouts, "cache_bytes", lambda: touched // 2)
    assert tile(3, 64, batch_size=10) == (1, 1)  # a member is larger than the cache


def test_a_batch_larger_than_the_parameters_of_a_tile_is_fetched_once() -> None:
    assert tile(1, 64, batch_size=1000) == (1, 64)
    assert tile(1, 64, batch_size=32)[1] < 64


def test_single_examples_are_no_product_to_share() -> None:
    assert tile(3, 64, batch_size=1) == (1, 1)


def test_tiles_divide_the_members_of_a_device() -> None:
    for num_seeds, num_configs, num_devices in SIZES:
        for batch_size in (1, 32, 1000):
            chosen = layout(num_seeds, num_configs, num_devices, batch_size=batch_size)
            seeds, configs = chosen.of_device
            assert seeds * configs * chosen.devices == chosen.width
            assert seeds % chosen.tile_seeds == configs % chosen.tile_configs == seeds % chosen.eval_seeds == 0
            for smaller in (chosen.resized(seeds=chosen.devices * 2), chosen.resized(devices=1)):
                assert parse_layout(str(smaller)) == smaller


def test_a_layout_of_an_earlier_version_trains_configs_side_by_side() -> None:
    earlier = "seeds:4,configs:6,devices:2,split:seeds,over_seeds:{},chunk_steps:10,eval_block:64,terms:none"
    for name, tile_seeds in (("map", 1), ("vmap", 2)):
        chosen = parse_layout(earlier.format(name))
        assert (chosen.tile_seeds, chosen.tile_configs) == (tile_seeds, 6)
        recorded = {part.partition(":")[0]: part.partition(":")[2] for part in earlier.format(name).split(",")}
        numbers = {key: int(value) for key, value in recorded.items() if value.isdecimal()}
        assert layout_from(recorded | numbers) == chosen


def test_members_are_evaluated_some_at_once() -> None:
    assert layout(64, 1).eval_seeds == 8
    assert layout(10, 2, 2).eval_seeds == 1  # 5 on each device
    assert layout(12, 2, 2).eval_seeds == 3
    assert layout(64, 8).eval_seeds == 1
    assert layout(64, 8, devices=devices(platform="gpu")).eval_seeds == 64


def test_evaluation_blocks_shrink_with_the_width() -> None:
    blocks = [layout(10, n, devices=devices(platform="gpu", gib=10**6)).eval_block for n in (1, 100, 10_000)]
    assert blocks[0] == 1024
    assert blocks[0] > blocks[1] > blocks[2] == 64
    assert blocks[1] * 10 * 100 * 42 <= 2**24  # the activations of all members


def test_the_same_request_gets_the_same_layout() -> None:
    for num_seeds, num_configs, num_devices in SIZES[:20]:
        assert layout(num_seeds, num_configs, num_devices) == layout(num_seeds, num_configs, num_devices)


def test_the_memory_of_accelerators_adds_up_and_that_of_a_cpu_is_shared() -> None:
    assert memory_bytes(devices(3, "gpu", gib=16)) == 3 * 16 * 2**30
    ours = memory_bytes(jax.devices())
    assert ours == memory_bytes(jax.devices()[:1]) > 2**28


def test_a_layout_reads_back_from_its_text() -> None:
    for num_seeds, num_configs, num_devices in SIZES[:20]:
        chosen = layout(num_seeds, num_configs, num_devices)
        assert parse_layout(str(chosen)) == chosen


PINNED = "seeds:2,configs:3,devices:2,split:seeds,tile_seeds:1,tile_configs:3,"
PINNED += "chunk_steps:10,eval_seeds:1,eval_block:64,terms:none"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("seeds:2,", ""),
        ("seeds:2", "seeds:3"),
        ("configs:3", "configs:0"),
        ("configs:3", "configs:many"),
        ("split:seeds", "split:layers"),
        ("tile_seeds:1,tile_configs:3", "over_seeds:loop"),
        ("tile_seeds:1", "tile_seeds:2"),
        ("tile_configs:3", "tile_configs:2"),
        ("eval_block", "block"),
        (PINNED, "wide"),
    ],
)
def test_a_text_that_is_no_layout_is_refused(old: str, new: str) -> None:
    with pytest.raises(ConfigError, match="--layout="):
        parse_layout(PINNED.replace(old, new, 1))


def test_a_pinned_layout_is_refused_where_it_cannot_be_used() -> None:
    with pytest.raises(ConfigError, match="needs 64 devices"):
        runner(experiment(layout=PINNED.replace("seeds:2", "seeds:64").replace("devices:2", "devices:64")))
    with pytest.raises(ConfigError, match="this sweep has 2"):
        runner(experiment({"batch_size": [10, 20]}, layout=PINNED))


@pytest.mark.slow  # in promises_test.py and extract_test.py it is tested in any case
def test_a_member_alone_at_the_width_of_its_sweep_has_the_same_bits() -> None:
    asked = experiment({"learning_rate": [0.01, 0.1, 1.0]}, seeds=8)
    recorded = runner(asked, devices=2).plan.layouts[0]
    assert (recorded.tile_seeds, recorded.eval_seeds, recorded.devices) == (1, 2, 2)
    width = str(recorded.resized(seeds=4))
    alone = train(experiment(seeds=1, first_seed=3, learning_rate=0.1, layout=width))
    assert_same_bits(alone, train(asked, devices=2).sel(learning_rate=0.1, seed=[3]))
