"""How a population is laid out on the hardware: its width, its devices, how long a compiled chunk of steps is.

A layout follows from the configuration and the hardware alone, so that the same command gives the same bits, and it is
recorded: meta.json and the checkpoint carry it, and a resumed run uses the recorded one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import jax
import psutil

from jaxreg.errors import ConfigError
from jaxreg.nn.regularisers import compiled_terms

# What a chunk of steps should cost: long enough to hide its start, short enough for a signal to be heeded soon.
_CHUNK_SECONDS = 2.0
_ASSUMED_FLOPS = {"cpu": 4e10, "gpu": 2e13, "tpu": 5e13}  # per device; only the length of a chunk depends on it
_MAX_CHUNK_STEPS = 1000
_MAX_CHUNK_EXAMPLES = 2**24  # indices per device that a chunk may hold, 64 MiB
_EVAL_FLOATS = 2**24  # activations that an evaluation block may hold
MEMORY_SHARE = 0.6  # of all memory, for the data and the population of one program


@dataclasses.dataclass(frozen=True)
class Layout:
    """The shape of one compiled program: a block of `seeds` x `configs` members.

    Attributes:
      seeds, configs: width of the program over all devices; a block with fewer members is padded to it.
      devices: number of devices that share the members.
      split: which axis the devices divide.
      over_seeds: "vmap" trains the seeds of a device side by side, "map" one after another within the program.
      chunk_steps: steps per call.
      eval_block: examples per evaluation block.
      terms: the regularisers that are compiled in, + between, those that any of the members needs; or none.
    """

    seeds: int
    configs: int
    devices: int
    split: Literal["seeds", "configs"]
    over_seeds: Literal["vmap", "map"]
    chunk_steps: int
    eval_block: int
    terms: str = "none"

    @property
    def width(self) -> int:
        """Members that one call trains, padding included."""
        return self.seeds * self.configs

    def __str__(self) -> str:
        """As `--layout` takes it: `seeds:2,configs:7,devices:2,split:seeds,over_seeds:map,...`."""
        return ",".join(f"{name}:{value}" for name, value in dataclasses.asdict(self).items())


def parse_layout(text: str) -> Layout:
    """The layout that `str(layout)` spells.

    Raises:
      ConfigError: a field is missing, unknown, or has a value that no layout can have.
    """
    names = [field.name for field in dataclasses.fields(Layout)]
    choices = {"split": ("seeds", "configs"), "over_seeds": ("map", "vmap")}
    remedy = f"must give {', '.join(f'{name}:...' for name in names)}, as meta.json shows them, whole numbers >= 1"
    parts = dict(part.partition(":")[::2] for part in text.replace(" ", "").split(","))
    terms = parts.get("terms", "").split("+")
    known = terms == ["none"] or terms == [term for term in compiled_terms() if term in terms]
    if list(parts) != names or not known or any(parts[name] not in allowed for name, allowed in choices.items()):
        raise ConfigError(
            "layout", text, f"{remedy}; split:seeds or configs, over_seeds:map or vmap, terms:none or l1+l2+..."
        )
    numbers = {name: int(value) for name, value in parts.items() if value.isdecimal()}
    if len(numbers) + len(choices) + 1 < len(names) or min(numbers.values()) < 1:
        raise ConfigError("layout", text, remedy)
    layout = Layout(**(parts | numbers))  # type: ignore[arg-type]  # checked above
    if (layout.seeds if layout.split == "seeds" else layout.configs) % layout.devices:
        raise ConfigError("layout", text, f"{layout.devices} devices must divide the {layout.split}")
    return layout


def choose_layout(
    *,
    num_seeds: int,
    num_configs: int,
    batch_size: int,
    full_batch: bool,
    num_features: int,
    layer_sizes: tuple[int, ...],
    num_parameters: int,
    state_bytes: int,
    eval_every: int,
    max_members: int,
    data_bytes: int,
    devices: Sequence[jax.Device],
) -> Layout:
    """The layout for a group of num_seeds x num_configs members.

    Devices divide the seeds or the configs, whichever leaves fewer members on the fullest one. On a CPU the seeds of a
    device are trained one after another (small working sets stay in its cache), except on the full batch, which fits
    in no cache and is read once for all of them; on accelerators side by side.

    Args:
      num_seeds, num_configs: what the group holds.
      batch_size, num_features: shape of a batch.
      full_batch: whether it is the whole training set, which all seeds share.
      layer_sizes: those of the hidden layers and the output.
      num_parameters: per member.
      state_bytes: of one member's TrainState.
      eval_every: steps between checks.
      max_members: at most so many members at once; 0 for as many as fit in memory.
      data_bytes: the dataset on each device.
      devices: those to use at most.

    Raises:
      ConfigError: a single member does not fit in memory.
    """
    platform = devices[0].platform
    over_seeds: Literal["vmap", "map"] = "map" if platform == "cpu" and not full_batch else "vmap"

    activations = 3 * batch_size * sum(layer_sizes)
    member_bytes = state_bytes + 4 * (3 * num_parameters + activations)
    if member_bytes > memory_bytes(devices):
        sizes = "x".join(map(str, layer_sizes[:-1]))
        needed = f"one member needs about {member_bytes / 2**30:.0f} GiB, there are {memory_bytes(devices) / 2**30:.0f}"
        raise ConfigError("hidden_sizes", sizes, f"{needed}; take smaller layers, or a --batch_size below {batch_size}")
    free = MEMORY_SHARE * memory_bytes(devices) - data_bytes * len(devices)
    fit = max(1, int(free / member_bytes))
    seeds, configs = _block(num_seeds, num_configs, min(max_members or fit, num_seeds * num_configs))
    num_devices, split = _divide(len(devices), seeds, configs)
    if split == "seeds":
        seeds = _multiple(seeds, num_devices, padded=seeds == num_seeds)
    else:
        configs = _multiple(configs, num_devices, padded=configs == num_configs)

    operations = 6 * batch_size * num_parameters * seeds * configs / num_devices
    seconds = operations / _ASSUMED_FLOPS.get(platform, 1e13)
    per_device_seeds = seeds // num_devices if split == "seeds" else seeds
    by_memory = _MAX_CHUNK_EXAMPLES // (batch_size * (per_device_seeds if over_seeds == "vmap" else 1))
    longest = max(1, min(_MAX_CHUNK_STEPS, int(_CHUNK_SECONDS / seconds), by_memory, eval_every))
    chunk_steps = math.ceil(eval_every / math.ceil(eval_every / longest))

    side_by_side = (seeds if over_seeds == "vmap" else 1) * configs
    eval_block = min(1024, max(64, _EVAL_FLOATS // (num_features + side_by_side * sum(layer_sizes))))
    return Layout(seeds, configs, num_devices, split, over_seeds, chunk_steps, eval_block)


def _divide(num_devices: int, seeds: int, configs: int) -> tuple[int, Literal["seeds", "configs"]]:
    """How many devices share a block, and which axis: fewest members on the fullest device, then fewest devices."""
    candidates: list[tuple[int, int, Literal["seeds", "configs"]]] = []
    for count in range(1, num_devices + 1):
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


def _multiple(length: int, devices: int, *, padded: bool) -> int:
    """The length as a multiple of the devices: padded where nobody is left to fill it, else shorter."""
    return (-(-length // devices) if padded else length // devices) * devices


def memory_bytes(devices: Sequence[jax.Device]) -> int:
    """The memory of all devices together. On a CPU they share the machine's, or its control group's.

    The total, not what is free at the moment: the same command shall choose the same layout each time.
    """
    stats = [device.memory_stats() for device in devices]
    return sum(s["bytes_limit"] for s in stats if s) if all(stats) else host_memory_bytes()


def host_memory_bytes() -> int:
    """The memory of this machine, or of its control group."""
    limits = [psutil.virtual_memory().total]
    with contextlib.suppress(OSError, ValueError):  # absent, or "max"
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return min(limits)
