"""Parts of a sweep that were trained on their own (`--part`), joined: what a run has that trained all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxreg.config.division import Share, parse_part, part_of
from jaxreg.config.sweeps import Group, Sweep
from jaxreg.errors import RunFolderError
from jaxreg.files import user_path
from jaxreg.population.blocks import Block, block_name, make_blocks
from jaxreg.population.layout import layout_from
from jaxreg.population.planning import Plan
from jaxreg.runs.checkpoints.store import Checkpoints
from jaxreg.runs.folder import Part, checkpoint_folder, part_in
from jaxreg.runs.history import History
from jaxreg.runs.meta import read_meta
from jaxreg.runs.record import Record

_MOST_NAMED = 20  # parts in a refusal


@dataclasses.dataclass(frozen=True)
class TrainedPart:
    """The folder of a part that has been trained to its end.

    Attributes:
      folder: where it is.
      share: which part it is.
      meta: its meta.json.
    """

    folder: Path
    share: Share
    meta: Mapping[str, Any]

    def about(self) -> dict[str, Any]:
        """What the joined run keeps of it: where it was trained, on what, and for how long."""
        kept = {name: self.meta.get(name) for name in ("device", "versions", "layout", "seconds", "started", "ended")}
        return {"part": str(self.share), "folder": str(self.folder.absolute()), **kept}


def read_parts(folders: Sequence[Path]) -> list[TrainedPart]:
    """The parts in these folders, in their order, once they are all the parts of one sweep.

    Raises:
      RunFolderError: a folder is no part; a part is not finished, of another sweep, given twice, or missing.
    """
    parts = [_read_part(user_path(folder)) for folder in folders]
    first = parts[0]
    for part in parts[1:]:
        if differing := _differences(first.meta, part.meta):
            raise RunFolderError(
                f"{part.folder}: is part of another sweep than {first.folder} ({differing[0]}); leave it out"
            )
    found: dict[int, TrainedPart] = {}
    for part in parts:
        if part.share.number in found:
            other = found[part.share.number].folder
            raise RunFolderError(f"{part.folder}: is part {part.share}, as is {other}; give each part once")
        found[part.share.number] = part
    if missing := [str(number) for number in range(1, first.share.of + 1) if number not in found]:
        named = ", ".join(missing[:_MOST_NAMED]) + (", ..." if len(missing) > _MOST_NAMED else "")
        raise RunFolderError(
            f"of the {first.share.of} parts of this sweep {len(missing)} are missing: {named}; give all"
        )
    return [found[number] for number in sorted(found)]


def _read_part(folder: Path) -> TrainedPart:
    meta = read_meta(folder)
    text = None if meta is None else part_in(meta)
    if meta is None or text is None:
        what = "no run folder" if meta is None else "a whole run"
        raise RunFolderError(f"{folder}: is {what}; give the folders of runs with --part")
    if meta["status"] != "done":
        raise RunFolderError(
            f"{folder}: part {text} is not finished (status {meta['status']}); go on with --workdir={folder} --resume"
        )
    return TrainedPart(folder, parse_part(text), meta)


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """How the sweeps of two parts differ, in words."""
    there, here = one["identity"], other["identity"]
    flags = {name: (there["flags"].get(name), here["flags"].get(name)) for name in {**there["flags"], **here["flags"]}}
    flags["part"] = (parse_part(there["flags"]["part"]).of, parse_part(here["flags"]["part"]).of)
    words = [] if one["experiment"] == other["experiment"] else [f"of {one['experiment']}, not {other['experiment']}"]
    if flags["part"][0] != flags["part"][1]:
        words.append("divided into {} there, {} here".format(*flags["part"]))
    del flags["part"]
    words += [f"--{name}={a} there, {b} here" for name, (a, b) in flags.items() if a != b]
    words += [f"--seeds={one['parts'][0][1]} there, {other['parts'][0][1]} here"] * (one["parts"] != other["parts"])
    words += ["other data"] * (there["data"] != here["data"])
    words += ["other parts of your own"] * (there["own"] != here["own"])
    return words + ["other settings of JAX"] * (there["jax"] != here["jax"])


def joined_record(plan: Plan, parts: Sequence[TrainedPart]) -> Record:
    """What a run of the whole sweep has once it is trained, from the checkpoints of its parts.

    Where all parts laid a group out alike the joined run has that layout, and with it the bits of a run that trained
    the sweep at once in that layout.

    Raises:
      RunFolderError, CheckpointError: a part cannot be read.
    """
    record = Record.of(plan)
    record.layouts, record.unlike_parts = _common_layouts(plan, parts, record)
    for part in parts:
        _add(record, part)
    for number in range(len(plan.sweep.groups)):
        for i, block in enumerate(record.blocks(number)):
            _fill_up(record.params[block_name(number, i)], block)
    return record


def _common_layouts(plan: Plan, parts: Sequence[TrainedPart], record: Record) -> tuple[list[Any], bool]:
    """The layout of each group that all parts have, or as planned here where they do not; and whether that is so."""
    found: dict[int, list[Any]] = {number: [] for number in range(len(plan.sweep.groups))}
    for part in parts:
        sweep = part_of(plan.sweep, part.share)
        for group, layout in zip(sweep.groups, part.meta["layout"], strict=True):
            found[_number_in(plan.sweep, group)].append(layout_from(layout))
    common = [set(found[number]) for number in found]
    layouts = [next(iter(same)) if len(same) == 1 else record.layouts[i] for i, same in enumerate(common)]
    changed = any(part.meta.get("device_changes") for part in parts)
    return layouts, changed or any(len(same) > 1 for same in common)


def _add(record: Record, part: TrainedPart) -> None:
    """Writes what a part has measured, its parameters and its cost into the record of the whole."""
    plan = record.plan
    sweep = part_of(plan.sweep, part.share)
    trained = [Part(*seeds) for seeds in part.meta["parts"]]
    configuration = f"{part.meta['configuration']} {trained[-1]}"
    found = Checkpoints(checkpoint_folder(part.folder, trained), configuration).latest(repair=False)
    if found is None or found.about["position"]["group"] != len(sweep.groups):
        raise RunFolderError(
            f"{part.folder}: the checkpoint of its end is missing; go on with --workdir={part.folder} --resume"
        )
    kept = found.restore_tree()
    seeds = [plan.sweep.seeds.index(seed) for seed in sweep.seeds]
    layouts = [layout_from(layout) for layout in found.about["layouts"]]
    places = {}  # of the blocks of the part: their members, by position in the whole group
    for number, group in enumerate(sweep.groups):
        of_whole = _number_in(plan.sweep, group)
        place_of = {setting: i for i, setting in enumerate(plan.sweep.groups[of_whole].settings)}
        configs = [place_of[setting] for setting in group.settings]
        _add_history(record.histories[of_whole], kept["histories"][number], configs, seeds, _of_first_seed(plan))
        for i, block in enumerate(make_blocks(number, layouts[number], len(configs), len(seeds))):
            place = Block(of_whole, tuple(configs[c] for c in block.configs), tuple(seeds[s] for s in block.seeds))
            places[number, i] = place
            _add_params(record, place, kept["params"][block_name(number, i)])
    for name, seconds in found.about["seconds"].items():
        record.cost.seconds[name] += seconds
    record.member_steps += found.about["member_steps"]
    for kept_list, entries in (
        (record.compactions, found.about["compactions"]),
        (record.device_changes, found.about["device_changes"]),
    ):
        for entry in entries:
            place = places[entry["group"], entry["block"]]
            block_number = next(i for i, block in enumerate(record.blocks(place.group)) if _common(block, place))
            kept_list.append(entry | {"group": place.group, "block": block_number})


def _number_in(sweep: Sweep, group: Group) -> int:
    """The number, in the whole sweep, of the group of which a part holds some settings."""
    return next(number for number, whole in enumerate(sweep.groups) if group.settings[0] in whole.settings)


def _of_first_seed(plan: Plan) -> set[str]:
    return {name for watch in plan.watches if watch.first_seed_only for name in watch.variables}


def _add_history(
    history: History, arrays: Mapping[str, Any], configs: list[int], seeds: list[int], of_first_seed: set[str]
) -> None:
    for name, values in arrays.items():
        if name == "seconds":
            history.arrays[name] += values
        elif name in of_first_seed:
            if seeds[0] == 0:
                history.arrays[name][configs] = values
        else:
            history.arrays[name][np.ix_(configs, seeds)] = values


def _add_params(record: Record, place: Block, params: Any) -> None:
    """Parameters of a block of a part, [seeds, configs, ...], into those blocks of the whole that hold its members."""
    layout = record.layouts[place.group]
    for number, block in enumerate(record.blocks(place.group)):
        if not _common(block, place):
            continue
        name = block_name(place.group, number)
        if name not in record.params:
            record.params[name] = jax.tree.map(
                lambda leaf: np.zeros((layout.seeds, layout.configs, *leaf.shape[2:]), leaf.dtype), params
            )
        of_block, of_part = zip(*_pairs(block.seeds, place.seeds), strict=True)
        configs_of_block, configs_of_part = zip(*_pairs(block.configs, place.configs), strict=True)
        to, from_ = np.ix_(of_block, configs_of_block), np.ix_(of_part, configs_of_part)
        for whole, leaf in zip(jax.tree.leaves(record.params[name]), jax.tree.leaves(params), strict=True):
            whole[to] = leaf[from_]


def _common(block: Block, place: Block) -> bool:
    return not set(block.seeds).isdisjoint(place.seeds) and not set(block.configs).isdisjoint(place.configs)


def _pairs(one: Sequence[int], other: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The positions, in both, of what both hold."""
    places = {value: i for i, value in enumerate(other)}
    return ((i, places[value]) for i, value in enumerate(one) if value in places)


def _fill_up(params: Any, block: Block) -> None:
    """The last seed and the last config fill a block up to its width, as where it is trained at once."""
    configs, seeds = block.shape
    for leaf in jax.tree.leaves(params):
        leaf[:seeds, configs:] = leaf[:seeds, configs - 1 : configs]
        leaf[seeds:] = leaf[seeds - 1]
