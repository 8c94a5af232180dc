"""Where results come from, in words: the configuration, the machine, and the cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pandas as pd
import xarray as xr

from jaxreg.config import FIELDS, DataConfig, Experiment, RunConfig, describe
from jaxreg.measures import at_check
from jaxreg.reporting.document import counted, grouped, seconds, size

Meta = Mapping[str, Any]  # content of meta.json

# What decides the value of a flag that is not given.
_SET_BY = {
    "init_variance": "set by init, 0.01 for normal",
    "num_steps": "set by num_epochs, else 1000",
    "data_dir": "set by TFDS_DATA_DIR or tfds",
    "validation_size": "set by dataset",
    "num_points": "set by dataset",
    "noise": "set by dataset",
    "label": "the column label, if there is one",
    "test_size": "set by dataset",
}
_NO_BREAK = "\u00a0"


def flag_values(flags: str) -> dict[str, str]:
    """The flags of a flags.cfg by name, as they are written; of a repeated flag all values, semicolons between."""
    values: dict[str, str] = {}
    for line in flags.splitlines():
        if line.startswith("--"):
            name, _, value = line[2:].strip().partition("=")
            values[name] = f"{values[name]}; {value}" if name in values else value
    return values


def defaults() -> dict[str, str]:
    """The default of each flag, as a flagfile spells it; `set by …` where another flag or the dataset decides."""
    fields = list(FIELDS.values())
    fields += [field for part in (Experiment, DataConfig, RunConfig) for field in dataclasses.fields(part)]
    return {
        field.name: _SET_BY.get(field.name, "not set") if field.default is None else describe(field.default)
        for field in fields
        if field.metadata
    } | {"zip": "not set"}


def differences(flags: str) -> list[tuple[str, str, str]]:
    """The flags of a flags.cfg that are not at their default: (name, value, default)."""
    usual = defaults()
    return [
        (name, value, usual.get(name, "not set"))
        for name, value in flag_values(flags).items()
        if value != usual.get(name)
    ]


def wall_seconds(meta: Meta) -> float | None:
    """Seconds from start to end, summed over the sessions; a session that was killed has no end and does not count."""
    *earlier, last = meta.get("sessions") or [meta]
    spans = [(session.get("started"), session.get("ended")) for session in earlier]
    spans.append((last.get("started"), last.get("ended") or meta.get("ended")))
    known = [pd.Timestamp(end) - pd.Timestamp(start) for start, end in spans if start and end]
    return sum(span.total_seconds() for span in known) if known else None


def commands(meta: Meta) -> str:
    """The command lines of the sessions, one a line, without repeats."""
    lines = [session.get("command") for session in meta.get("sessions") or [meta]]
    return "\n".join(dict.fromkeys(filter(None, lines)))


def receipt(results: xr.Dataset, meta: Meta) -> list[tuple[str, str]]:
    """What a run cost, as rows (name, value); quantities that meta.json does not hold are left out."""
    spent = meta.get("seconds") or {}
    lines: list[tuple[str, str]] = []
    if "members" in meta:
        counts = ", ".join(f"{meta[name]} {name}" for name in ("finished", "stopped", "diverged") if name in meta)
        lines.append(("members", f"{grouped(meta['members'])}{f' ({counts})' if counts else ''}"))
    if "num_steps" in results.coords:
        lines.append(("steps of a member", steps(results)))
    elapsed, parts = wall_seconds(meta), meta.get("joined") or ()
    if elapsed is not None:
        lines.append(("wall time of joining" if parts else "wall time", seconds(elapsed)))
    names = {"compile": "compile time", "train": "training", "evaluate": "evaluation", "write": "writing"}
    lines += [(text, seconds(spent[name])) for name, text in names.items() if name in spent]
    if meta.get("member_steps_per_second"):
        lines.append(("speed", f"{grouped(meta['member_steps_per_second'])}{_NO_BREAK}member-steps/s in training"))
    if meta.get("peak_memory_bytes"):
        lines.append(("peak memory", size(meta["peak_memory_bytes"])))
    if parts:
        trained_on = dict.fromkeys(device(part["device"]) for part in parts if part.get("device"))
        lines.append(("parts", f"{len(parts)}, each trained on {', or '.join(trained_on)}"))
    elif meta.get("device"):
        lines.append(("device", device(meta["device"])))
    if meta.get("train_compilations") is not None:
        lines.append(("training programs compiled", str(meta["train_compilations"])))
    groups = meta.get("layout") or ()
    for i, group in enumerate(groups, 1):
        lines.append((f"layout of group {i}" if len(groups) > 1 else "layout", layout(group)))
    return lines


def unfinished(results: xr.Dataset, meta: Mapping[str, Any]) -> str:
    """A warning if the numbers are not those of a finished run, with how far it is; "" of a finished one."""
    status = meta.get("status", "done")
    if status == "done":
        return ""
    words = f"This run is not finished ({status}): the numbers are those measured so far"
    if "checks_done" not in results:
        return f"{words}."
    reached = at_check(results["check_step"], results["checks_done"] - 1).fillna(0)
    least, most = int(reached.min()), int(reached.max())
    where = f"at step {grouped(most)}" if least == most else f"between steps {grouped(least)} and {grouped(most)}"
    begun, members = int((results["checks_done"] > 0).sum()), results["checks_done"].size
    waiting = f"; {begun} of {members} members have begun" if begun < members else ""
    return f"{words}, {where} of {steps(results)}{waiting}."


def steps(results: xr.Dataset) -> str:
    """`10 000`, or `1 000 to 10 000` where settings differ in it."""
    least, most = int(results["num_steps"].min()), int(results["num_steps"].max())
    return grouped(most) if least == most else f"{grouped(least)} to {grouped(most)}"


def device(found: Mapping[str, Any] | str) -> str:
    """`2 CPU devices on x86_64 with 2 cores`, `1 GPU (NVIDIA H100) on x86_64 with 16 cores`."""
    if isinstance(found, str):
        return found
    platform, kind = str(found.get("platform", "")), str(found.get("kind", ""))
    name = f"{platform.upper()} device" if platform == "cpu" else platform.upper() or "device"
    words = counted(int(found.get("count", 1)), name)
    words += f" ({kind})" if kind and kind.lower() != platform else ""
    if found.get("machine"):
        words += f" on {found['machine']}"
    if found.get("cpu_cores"):
        words += f" with {counted(int(found['cpu_cores']), 'core')}"
    return words + (f", {found['processes']} processes" if found.get("processes", 1) > 1 else "")


def layout(group: Mapping[str, Any]) -> str:
    """How the members of a group were laid out: `10 seeds x 7 settings, over seeds by map, …`."""
    known = {"seeds", "configs", "devices", "split", "over_seeds", "chunk_steps", "tile_seeds", "tile_configs"}
    words = []
    if {"seeds", "configs"} <= group.keys():
        words.append(f"{counted(group['seeds'], 'seed')} x {counted(group['configs'], 'setting')}")
    if "devices" in group:
        split = f", split along {group['split']}" if group.get("split") else ""
        words.append(f"{counted(group['devices'], 'device')}{split}")
    if "over_seeds" in group:
        words.append(f"{group['over_seeds']} over seeds")
    if {"tile_seeds", "tile_configs"} <= group.keys():
        words.append(f"tiles of {group['tile_seeds']} x {group['tile_configs']}")
    if "chunk_steps" in group:
        words.append(f"{counted(group['chunk_steps'], 'step')} at a time")
    words += [f"{name.replace('_', ' ')} {value}" for name, value in group.items() if name not in known]
    return ", ".join(words)


def commit(meta: Meta) -> str:
    """The commit of the code, and whether there were uncommitted changes."""
    git = meta.get("git") or {}
    name = git.get("commit") or ""
    return f"{name}{', with uncommitted changes' if git.get('dirty') else ''}" if name else "unknown"
