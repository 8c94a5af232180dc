"""How a population is laid out on the hardware: its width, devices and tiles, and the length of a chunk.

A layout follows from the configuration and the hardware alone, so that the same command gives the same bits, and it is
recorded: meta.json and the checkpoint carry it, and a resumed run uses the recorded one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax

from jaxreg import processes
from jaxreg.errors import ConfigError
from jaxreg.nn.regularisers import compiled_terms

# What a chunk of steps should cost: long enough to hide its start, short enough for a signal to be heeded soon.
_CHUNK_SECONDS = 2.0
_LONGEST_CHUNK_SECONDS = 10.0  # of the shortest chunk with which tiles gain: a block is no wider than that
_SHORTEST_CHUNK_STEPS = 32  # with fewer, tiles would be fetched from memory too often
_ASSUMED_FLOPS = {"cpu": 4e10, "gpu": 2e13, "tpu": 5e13}  # per device; only the length of a chunk depends on it
_MAX_CHUNK_STEPS = 1000
_MAX_CHUNK_EXAMPLES = 2**24  # indices per device that a chunk may hold, 64 MiB
_EVAL_FLOATS = 2**24  # activations that an evaluation block may hold
_EVAL_MEMBERS = 8  # whose products on a held-out set are wide enough together
MEMORY_SHARE = 0.6  # of all memory, for the data and the population of one program


@dataclasses.dataclass(frozen=True)
class Layout:
    """The shape of one compiled program: a block of `seeds` x `configs` members.

    Attributes:
      seeds, configs: width of the program over all devices; a block with fewer members is padded to it.
      devices: number of devices that share the members.
      split: which axis the devices divide.
      tile_seeds, tile_configs: the members of a tile. A device trains those of a tile side by side, and one tile after
        another, each through all steps of a chunk, so that what a step touches stays in its cache. They divide the
        seeds and the configs of a device.
      chunk_steps: steps per call.
      eval_seeds: seeds of a device that are evaluated side by side, all their members at once; they divide its seeds.
      eval_block: examples per evaluation block.
      terms: the regularisers that are compiled in, + between, those that any of the members needs; or none.
    """

    seeds: int
    configs: int
    devices: int
    split: Literal["seeds", "configs"]
    tile_seeds: int
    tile_configs: int
    chunk_steps: int
    eval_seeds: int
    eval_block: int
    terms: str = "none"

    @property
    def width(self) -> int:
        """Members that one call trains, padding included."""
        return self.seeds * self.configs

    @property
    def of_device(self) -> tuple[int, int]:
        """Seeds and configs of a device, padding included."""
        return _of_device(self.seeds, self.configs, self.devices, self.split)

    def resized(self, *, seeds: int | None = None, configs: int | None = None, devices: int | None = None) -> Layout:
        """The layout at another width or on other devices; its tiles are as large as before, or as divides these."""
        resized = dataclasses.replace(
            self, seeds=seeds or self.seeds, configs=configs or self.configs, devices=devices or self.devices
        )
        most_seeds, most_configs = resized.of_device
        return dataclasses.replace(
            resized,
            tile_seeds=_largest_divisor(most_seeds, self.tile_seeds),
            tile_configs=_largest_divisor(most_configs, self.tile_configs),
            eval_seeds=_largest_divisor(most_seeds, self.eval_seeds),
        )

    def __str__(self) -> str:
        """As `--layout` takes it: `seeds:2,configs:7,devices:2,split:seeds,tile_seeds:1,tile_configs:7,...`."""
        return ",".join(f"{name}:{value}" for name, value in dataclasses.asdict(self).items())


def layout_from(recorded: Mapping[str, Any]) -> Layout:
    """The layout that a run has recorded.

    Earlier versions knew no tiles: they trained the configs of a device side by side, and its seeds so or one after
    another, as `over_seeds` said.
    """
    fields = dict(recorded)
    if "over_seeds" in fields:
        seeds, configs = _of_device(fields["seeds"], fields["configs"], fields["devices"], fields["split"])
        tile_seeds = seeds if fields.pop("over_seeds") == "vmap" else 1
        fields |= {"tile_seeds": tile_seeds, "tile_configs": configs, "eval_seeds": tile_seeds}
    return Layout(**fields)


def parse_layout(text: str) -> Layout:
    """The layout that `str(layout)` spells, or spelled in an earlier version.

    Raises:
      ConfigError: a field is missing, unknown, or has a value that no layout can have.
    """
    names = [field.name for field in dataclasses.fields(Layout)]
    earlier = [name for name in names if name not in ("tile_configs", "eval_seeds")]
    earlier[earlier.index("tile_seeds")] = "over_seeds"
    choices = {"split": ("seeds", "configs"), "over_seeds": ("map", "vmap")}
    remedy = f"must give {', '.join(f'{name}:...' for name in names)}, as meta.json shows them, whole numbers >= 1"
    parts = dict(part.partition(":")[::2] for part in text.replace(" ", "").split(","))
    terms = parts.get("terms", "").split("+")
    known = terms == ["none"] or terms == [term for term in compiled_terms() if term in terms]
    if list(parts) not in (names, earlier) or not known:
        raise ConfigError("layout", text, f"{remedy}; split:seeds or configs, terms:none or l1+l2+...")
    fields: dict[str, Any] = dict(parts)
    for name, value in parts.items():
        if name in choices and value not in choices[name]:
            raise ConfigError("layout", text, f"{name}:{' or '.join(choices[name])}; {remedy}")
        if name not in (*choices, "terms"):
            if not value.isdecimal() or int(value) < 1:
                raise ConfigError("layout", text, remedy)
            fields[name] = int(value)
    if fields[fields["split"]] % fields["devices"]:
        raise ConfigError("layout", text, f"{fields['devices']} devices must divide the {fields['split']}")
    layout = layout_from(fields)
    seeds, configs = layout.of_device
    if seeds % layout.eval_seeds:
        raise ConfigError("layout", text, f"eval_seeds:{layout.eval_seeds} must divide the {seeds} seeds of a device")
    if seeds % layout.tile_seeds or configs % layout.tile_configs:
        tile = f"a tile of {layout.tile_seeds} x {layout.tile_configs}"
        raise ConfigError("layout", text, f"{tile} must divide the {seeds} seeds x {configs} configs of a device")
    return layout


def choose_layout(
    *,
    num_seeds: int,
    num_configs: int,
    batch_size: int,
    shared_batch: bool,
    num_features: int,
    layer_sizes: tuple[int, ...],
    num_parameters: int,
    state_bytes: int,
    eval_every: int,
    max_members: int,
    data_bytes: int,
    devices: Sequence[jax.Device],
    products: float = 0,
) -> Layout:
    """The layout for a group of num_seeds x num_configs members.

    Devices divide the seeds or the configs, whichever leaves fewer members on the fullest one; `_tile` says what a
    device trains side by side. Where it trains tiles, as on a CPU, a block is narrow enough for chunks of many steps:
    whether members are trained in turn within a program or in further blocks costs the same.

    Args:
      num_seeds, num_configs: what the group holds.
      batch_size, num_features: shape of a batch.
      shared_batch: whether it is the whole training set, the same for all seeds.
      layer_sizes: those of the hidden layers and the output.
      num_parameters: per member.
      state_bytes: of one member's TrainState.
      eval_every: steps between checks.
      max_members: at most so many members at once; 0 for as many as fit in memory.
      data_bytes: the dataset on each device.
      devices: those to use at most.
      products: multiplications for an example, forward; 0 for as many as parameters, as in layers that are dense.

    Raises:
      ConfigError: a single member does not fit in memory.
    """
    platform = devices[0].platform
    activations = 3 * batch_size * sum(layer_sizes)
    member_bytes = state_bytes + 4 * (3 * num_parameters + activations)
    if member_bytes > memory_bytes(devices):
        sizes = "x".join(map(str, layer_sizes[:-1]))
        needed = f"one member needs about {member_bytes / 2**30:.0f} GiB, there are {memory_bytes(devices) / 2**30:.0f}"
        raise ConfigError("hidden_sizes", sizes, f"{needed}; take smaller layers, or a --batch_size below {batch_size}")
    free = MEMORY_SHARE * memory_bytes(devices) - data_bytes * len(devices)
    fit = max(1, int(free / member_bytes))
    in_tiles = platform == "cpu" and not shared_batch
    operations = 6 * batch_size * (products or num_parameters)  # of a step of a member
    seconds = operations / _ASSUMED_FLOPS.get(platform, 1e13)
    if in_tiles:
        fit = min(
            fit, max(len(devices), int(_LONGEST_CHUNK_SECONDS * len(devices) / (_SHORTEST_CHUNK_STEPS * seconds)))
        )
    limit = max_members or fit
    seeds, configs = _block(num_seeds, num_configs, min(limit, num_seeds * num_configs))
    fewest = len(devices) if processes.count() > 1 else 1  # each process takes part in its programs
    num_devices, split = _divide(range(fewest, len(devices) + 1), seeds, configs)
    if split == "seeds":
        seeds = _multiple(seeds, num_devices, math.inf if seeds == num_seeds else limit // configs)
    else:
        configs = _multiple(configs, num_devices, math.inf if configs == num_configs else limit // seeds)

    of_device = _of_device(seeds, configs, num_devices, split)
    tile_seeds, tile_configs = of_device
    if in_tiles:
        touched = state_bytes + 4 * activations  # gradients are as large as the best parameters, which no step touches
        bytes_ = _Bytes(touched, 4 * num_parameters, 4 * batch_size * num_features)
        tile_seeds, tile_configs = _tile(of_device, batch_size, bytes_)

    seconds *= of_device[0] * of_device[1]
    by_time = max(int(_CHUNK_SECONDS / seconds), _SHORTEST_CHUNK_STEPS if in_tiles else 1)
    by_memory = _MAX_CHUNK_EXAMPLES // (batch_size * tile_seeds)
    longest = max(1, min(_MAX_CHUNK_STEPS, by_time, by_memory, eval_every))
    chunk_steps = math.ceil(eval_every / math.ceil(eval_every / longest))

    eval_seeds = max(tile_seeds, _largest_divisor(of_device[0], max(1, _EVAL_MEMBERS // of_device[1])))
    side_by_side = eval_seeds * of_device[1]
    eval_block = min(1024, max(64, _EVAL_FLOATS // (num_features + side_by_side * sum(layer_sizes))))
    return Layout(seeds, configs, num_devices, split, tile_seeds, tile_configs, chunk_steps, eval_seeds, eval_block)


class _Bytes(NamedTuple):
    """What a step reads and writes."""

    touched: int  # of a member: parameters, gradients, state of the optimizer, activations
    parameters: int  # of a member
    batch: int


def _of_device(seeds: int, configs: int, devices: int, split: str) -> tuple[int, int]:
    return (seeds // devices, configs) if split == "seeds" else (seeds, configs // devices)


def _tile(of_device: tuple[int, int], batch_size: int, bytes_: _Bytes) -> tuple[int, int]:
    """The seeds and configs of a tile on a CPU: as many configs of one seed as a core's cache holds what they touch.

    Configs of a seed share its batch, so that XLA makes one product of their first layers, for which it transposes
    their weights. With one example to a batch that is as much work as the product, and each makes its own. Each tile
    fetches the batch again, which costs more than it saves where the batch is larger than the parameters of the tile:
    then all configs make one. A cache that no divisor of the configs fills by half is overfilled. Seeds share nothing.
    """
    _, configs = of_device
    if batch_size == 1:
        return 1, 1
    fit = max(1, cache_bytes() // bytes_.touched)
    tile = _largest_divisor(configs, fit)
    if 2 * tile < min(fit, configs):
        tile = min(divisor for divisor in range(tile + 1, configs + 1) if configs % divisor == 0)
    return 1, configs if bytes_.batch > tile * bytes_.parameters else tile


def _largest_divisor(number: int, most: int) -> int:
    return max(divisor for divisor in range(1, min(number, most) + 1) if number % divisor == 0)


@functools.cache
def cache_bytes() -> int:
    """The second-level cache of a core: what Linux says, elsewhere 1 MiB."""
    with contextlib.suppress(OSError, ValueError):  # there is no such file, or no number in it
        return (
            int(Path("/sys/devices/system/cpu/cpu0/cache/index2/size").read_text(encoding="ascii").strip()[:-1]) * 2**10
        )
    return 2**20


def _divide(counts: Iterable[int], seeds: int, configs: int) -> tuple[int, Literal["seeds", "configs"]]:
    """How many devices share a block, and which axis: fewest members on the fullest device, then fewest devices."""
    candidates: list[tuple[int, int, Literal["seeds", "configs"]]] = []
    for count in counts:
        candidates.append((math.ceil(seeds / count) * configs, count, "seeds"))
        candidates.append((seeds * math.ceil(configs / count), count, "configs"))
    _, count, split = min(candidates, key=lambda c: (c[0], c[1], c[2] == "configs"))
    return count, split


def _block(num_seeds: int, num_configs: int, limit: int) -> tuple[int, int]:
    """Seeds and configs per block of at most `limit` members: all configs of a seed together where that is possible."""
    configs = min(num_configs, limit)
    seeds = min(num_seeds, max(1, limit // configs)) if configs == num_configs else 1
    return _even(num_seeds, seeds), _even(num_configs, configs)


def _even(total: int, most: int) -> int:
    """The block length that cuts `total` into the fewest blocks of at most `most`, as even as can be."""
    return math.ceil(total / math.ceil(total / most))


def _multiple(length: int, devices: int, most: float) -> int:
    """The length as a multiple of the devices: the next longer one, or if that is above `most` the next shorter."""
    longer = -(-length // devices) * devices
    return longer if longer <= most else max(length // devices, 1) * devices


def memory_bytes(devices: Sequence[jax.Device]) -> int:
    """The memory of all devices together. On a CPU those of a process share what its machine has for it.

    The total, not what is free at the moment: the same command shall choose the same layout each time.
    """
    if processes.count() > 1:  # a device of another process does not tell, and they are alike
        devices = [device for device in devices if device.process_index == jax.process_index()]
    stats = [device.memory_stats() for device in devices]
    of_a_process = sum(s["bytes_limit"] for s in stats if s) if all(stats) else processes.host_memory_bytes()
    return of_a_process * processes.count()
