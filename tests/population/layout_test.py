from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, cast

import jax
import numpy as np
import pytest

from jaxreg.errors import ConfigError
from jaxreg.population.blocks import Block, make_blocks
from jaxreg.population.layout import MEMORY_SHARE, Layout, choose_layout, memory_bytes, parse_layout
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
        "full_batch": False,
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
        chosen = layout(100_000, 1, devices=devices(gib=gib))
        free = MEMORY_SHARE * gib * 2**30 - 2**20
        assert chosen.width * member_bytes <= free
        assert 2 * chosen.width * member_bytes > free
    assert layout(5, 1, devices=devices(gib=1), data_bytes=2**40).width == 1


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
    lengths = [layout(1, n, devices=devices(gib=10**4)).chunk_steps for n in (1, 100, 10_000)]
    assert lengths[0] == 500
    assert lengths[0] > lengths[1] > lengths[2] >= 1


def test_seeds_are_mapped_on_a_cpu_and_side_by_side_elsewhere_and_on_the_full_batch() -> None:
    assert layout(4).over_seeds == "map"
    assert layout(4, full_batch=True, batch_size=55_000).over_seeds == "vmap"
    assert {layout(4, devices=devices(platform=name)).over_seeds for name in ("gpu", "tpu")} == {"vmap"}


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


PINNED = "seeds:2,configs:3,devices:2,split:seeds,over_seeds:map,chunk_steps:10,eval_block:64,terms:none"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("seeds:2,", ""),
        ("seeds:2", "seeds:3"),
        ("configs:3", "configs:0"),
        ("configs:3", "configs:many"),
        ("split:seeds", "split:layers"),
        ("over_seeds:map", "over_seeds:loop"),
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


def test_a_member_alone_at_the_width_of_its_sweep_has_the_same_bits() -> None:
    asked = experiment({"learning_rate": [0.01, 0.1, 1.0]}, seeds=4)
    recorded = runner(asked, devices=2).plan.layouts[0]
    width = str(dataclasses.replace(recorded, seeds=recorded.devices))
    alone = train(experiment(seeds=1, first_seed=3, learning_rate=0.1, layout=width))
    assert_same_bits(alone, train(asked, devices=2).sel(learning_rate=0.1, seed=[3]))
