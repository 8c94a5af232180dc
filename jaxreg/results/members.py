"""Single members of a finished run: their parameters, their curve, and the flagfile that trains them alone.

A run keeps the last and the best parameters of all its members in its last checkpoint, block by block.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxreg import results
from jaxreg.config.experiment import Experiment
from jaxreg.config.flagfile import experiment_from_flags, flag_lines, parse_values
from jaxreg.config.hparams import FIELDS, Hparams
from jaxreg.config.sweeps import Group, Sweep, make_sweep
from jaxreg.config.validation import describe
from jaxreg.errors import CheckpointError, ConfigError, RunFolderError
from jaxreg.files import new_folder, reason, user_path, write_atomically, write_bytes_atomically
from jaxreg.measures import value_label
from jaxreg.measures.summary import axis_names
from jaxreg.measures.tidy import to_frame
from jaxreg.nn.trees import Params, parameter_name
from jaxreg.population.blocks import block_name, make_blocks
from jaxreg.population.layout import Layout, layout_from
from jaxreg.runs.checkpoints.arrays import save_arrays
from jaxreg.runs.checkpoints.failures import is_disk_error
from jaxreg.runs.checkpoints.failures import reason as disk_reason
from jaxreg.runs.checkpoints.store import Checkpoints, Found
from jaxreg.runs.folder import Part, checkpoint_folder, read_finished, read_flags, refuse_odd_name
from jaxreg.slow_imports import pd, xr

_MOST_LISTED = 20  # values in a refusal
_PARTIAL = ".partial"  # the name, or the end of it, of a folder that is being written


@dataclasses.dataclass(frozen=True)
class Member:
    """One member of a finished run.

    Attributes:
      experiment: the name of the experiment.
      setting: its value along each axis, zipped ones included, as the results label it; empty if nothing was swept.
      seed: its replicate.
      hparams: its hyperparameters, complete.
      params, best_params: after the last step, and at the check with the lowest validation loss: NumPy arrays in the
        tree of the model. Those of a diverged member are the last finite ones.
      curve: its part of the results, without seed and setting dimensions and without padding.
      flags: the flagfile that trains it alone.
      changes: what happened to its program while it trained, in words: halted neighbours were taken out of it, which
        changed the width, or the run went on with fewer devices; empty for nothing.
      input_shape: shape of one example before it was flattened, where the results tell.
    """

    experiment: str
    setting: dict[str, Any]
    seed: int
    hparams: Hparams
    params: Params
    best_params: Params
    curve: xr.Dataset
    flags: str
    changes: str = ""
    input_shape: tuple[int, ...] | None = None

    @property
    def exact(self) -> bool:
        """Whether `flags` give the same bits, on a machine of the same type; else the numbers are only close."""
        return not self.changes


def load_member(
    run: str | Path, select: Mapping[str, Any] | None = None, *, dataset: xr.Dataset | None = None
) -> Member:
    """The member of a finished run that `select` names.

    Args:
      run: folder of the run.
      select: `seed` and hyperparameters by name, values as they are or as flags spell them. Those of which the run has
        one value may be left out. A number is also found by the six digits that tables show.
      dataset: the results of the run, where they are at hand.

    Raises:
      ConfigError: the run does not hold a value, or more than one member is left.
      RunFolderError, CheckpointError: there is no finished run, or it cannot be read.
    """
    run = user_path(run)
    refuse_odd_name(run)
    meta = read_finished(run)
    try:
        return _member(run, meta, select or {}, results.load(run) if dataset is None else dataset)
    except (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError) as error:
        why = " ".join(str(error).split())[:200]
        raise RunFolderError(
            f"{run}: its files do not fit together ({why}); put copies back, or train it again"
        ) from error


def _member(run: Path, meta: Mapping[str, Any], select: Mapping[str, Any], dataset: xr.Dataset) -> Member:
    """As `load_member`; what no run would have written raises one error or another."""
    flags = read_flags(run, meta)
    experiment = experiment_from_flags(flags, str(dataset.attrs["experiment"]))
    parts = [Part(*part) for part in meta.get("parts", ())]
    if not parts:
        raise RunFolderError(f"{run}: meta.json does not tell which seeds were trained together; train the run again")
    num_examples = int(dataset.attrs["train_examples"])
    sweep = make_sweep(dataclasses.replace(experiment, seeds=parts[0].seeds), num_examples)
    setting, seed = _choose(sweep, dataset["seed"].values.tolist(), select)
    number, group = next((i, group) for i, group in enumerate(sweep.groups) if setting in group.settings)
    part = next(i for i, part in enumerate(parts) if part.first_seed <= seed < part.first_seed + part.seeds)
    found = _checkpoint(run, str(meta["configuration"]), parts[: part + 1])
    layout = layout_from(found.about["layouts"][number])
    place = group.settings.index(setting), seed - parts[part].first_seed
    block = _block(layout, number, group, place, parts[part].seeds)
    kept = _kept(found, layout, number, group, block, place, parts[part].seeds)
    changes = []
    if (number, block) in [(entry["group"], entry["block"]) for entry in found.about["compactions"]]:
        changes.append("stopped neighbours were taken out")
    if any(entry["group"] == number and entry["block"] <= block for entry in found.about.get("device_changes", ())):
        changes.append("the run went on with fewer devices")
    if found.about.get("unlike_parts"):
        changes.append("it was joined from parts that were laid out differently")
    curve = _curve(dataset, sweep, setting, seed, group)
    shape = dataset.attrs.get("input_shape")
    remarks = [line for line in flags.splitlines() if line.startswith("#")]
    alone = _alone(experiment, sweep, setting, seed, group, layout)
    return Member(
        experiment=experiment.name,
        setting={name: curve[name].item() for name in axis_names(dataset)},
        seed=seed,
        hparams=sweep.settings[setting],
        params=kept["params"],
        best_params=kept["best_params"],
        curve=curve,
        flags="\n".join([*remarks, *flag_lines(alone)]) + "\n",
        changes=" and ".join(changes),
        input_shape=None if shape is None else tuple(np.atleast_1d(shape).tolist()),
    )


def save_member(member: Member, folder: Path) -> list[Path]:
    """Writes params/ (Orbax), params.npz, curve.nc, curve.csv and flags.cfg into `folder` and returns their paths.

    params/ holds {"params": ..., "best_params": ...}, params.npz the same arrays by the names of `flat_names`, and
    curve.csv a row per check.

    Raises:
      RunFolderError: `folder` is there and not empty, or cannot be written; nothing is left there then.
    """
    folder = user_path(folder).absolute()
    refuse_taken(folder)
    exists = folder.exists()
    partial = folder / _PARTIAL if exists else folder.with_name(f".{folder.name}{_PARTIAL}")
    try:
        with new_folder(partial) as saving:
            names = _write_member(member, saving)
            for name in names if exists else ():
                (saving / name).rename(folder / name)
            if not exists:
                saving.rename(folder)
    except Exception as error:
        if not is_disk_error(error):
            raise
        raise RunFolderError(
            f"--out={folder}: cannot be written ({disk_reason(error)}); free some space, or give another folder"
        ) from error
    return [folder / name for name in names]


def _write_member(member: Member, folder: Path) -> tuple[str, ...]:
    """Writes the files of a member and returns their names."""
    orbax, npz, curve, table, flags = names = ("params", "params.npz", "curve.nc", "curve.csv", "flags.cfg")
    arrays = {"params": member.params, "best_params": member.best_params}
    checks = to_frame(member.curve, [str(name) for name, v in member.curve.data_vars.items() if v.dims == ("check",)])
    labels = pd.DataFrame(member.setting | {"seed": member.seed}, index=checks.index)
    save_arrays(folder / orbax, arrays)
    compressed = io.BytesIO()
    np.savez(compressed, allow_pickle=False, **flat_names(arrays))
    write_bytes_atomically(folder / npz, compressed.getbuffer())
    results.save(member.curve, folder / curve)
    write_atomically(folder / table, labels.join(checks).to_csv(index=False, lineterminator="\n"))
    write_atomically(folder / flags, member.flags)
    return names


def refuse_taken(folder: Path) -> None:
    """Raises RunFolderError where `folder` is there and not empty, or its name is not UTF-8."""
    folder = user_path(folder)
    refuse_odd_name(folder, "--out=")
    try:
        taken = os.path.lexists(folder) and (
            not folder.is_dir() or any(path.name != _PARTIAL for path in folder.iterdir())
        )
    except OSError as error:
        raise RunFolderError(f"--out={folder}: cannot be read ({reason(error)}); give another folder") from error
    if taken:
        raise RunFolderError(f"--out={folder}: is there already and not empty; give a new folder")


def flat_names(arrays: Any) -> dict[str, np.ndarray]:
    """The arrays of a tree by path, layers counted from 1: `params/layer_1/weights`, `params/layer_1/bias`, ..."""
    return {parameter_name(path): np.asarray(leaf) for path, leaf in jax.tree.leaves_with_path(arrays)}


# The run --------------------------------------------------------------------------------------------------------------


def _checkpoint(run: Path, configuration: str, parts: Sequence[Part]) -> Found:
    """The last checkpoint of the seeds that were trained as the last of these parts."""
    found = Checkpoints(checkpoint_folder(run, parts), f"{configuration} {parts[-1]}").latest(repair=False)
    if found is None:
        raise CheckpointError(f"{run}: no checkpoint is left, and with it no parameters; train the run again")
    return found


def _curve(dataset: xr.Dataset, sweep: Sweep, setting: int, seed: int, group: Group) -> xr.Dataset:
    """The member's part of the results, without what fills up a group of fewer steps or checks."""
    names = [dimension.name for dimension in sweep.dimensions]
    others = [name for name, values in dataset.data_vars.items() if "seed" not in values.dims]  # of other members
    curve = (
        dataset.drop_vars(others)
        .isel(dict(zip(names, np.unravel_index(setting, sweep.shape), strict=True)))
        .sel(seed=seed)
    )
    num_recorded = math.ceil(group.num_steps / sweep.record_every)
    curve = curve.isel(check=slice(group.num_checks), step=slice(num_recorded))
    if "layer" in curve.dims and "layer_name" not in curve.coords:
        curve = curve.isel(layer=slice(len(group.shared.hidden_sizes) + 1))
    for name in ("check_step", "examples_seen"):  # floats where NaN fills them up
        curve[name] = curve[name].astype(np.int64)
    return curve


def _block(layout: Layout, number: int, group: Group, place: tuple[int, int], num_seeds: int) -> int:
    """The number of the block of its group in which the member at a place, (config, replicate), was trained."""
    blocks = make_blocks(number, layout, len(group.configs), num_seeds)
    return next(i for i, block in enumerate(blocks) if block.holds(*place))


def _kept(
    found: Found, layout: Layout, number: int, group: Group, block: int, place: tuple[int, int], num_seeds: int
) -> dict[str, Params]:
    """The last and the best parameters of a member: its place in its block."""
    name = block_name(number, block)
    kept = found.restore_tree("params", name).get("params", {})
    if name not in kept:
        newer = f" (newer ones are damaged: {'; '.join(found.skipped)})" if found.skipped else ""
        raise CheckpointError(
            f"{found.folder}: is older than the end of this member{newer}; delete results.nc and --resume the run, "
            "which trains it to its end again"
        )
    config, replicate = place
    members = make_blocks(number, layout, len(group.configs), num_seeds)[block]
    at = members.seeds.index(replicate), members.configs.index(config)
    return jax.tree.map(lambda leaf: np.array(leaf[at]), kept[name])


def _alone(experiment: Experiment, sweep: Sweep, setting: int, seed: int, group: Group, layout: Layout) -> Experiment:
    """The experiment of one member, with everything pinned that the sweep had chosen for itself.

    Bits hang on what is computed side by side. Seeds in turn are no part of it: as many by each device as make whole
    tiles, and whole evaluations, are enough.
    """
    chosen = {name: values[0] for name, values in experiment.axes.items() if len(values) == 1}
    for dimension, i in zip(sweep.dimensions, np.unravel_index(setting, sweep.shape), strict=True):
        chosen |= {name: values[i] for name, values in dimension.values.items()}
    seeds = math.lcm(layout.tile_seeds, layout.eval_seeds)
    layout = layout.resized(seeds=seeds * layout.devices if layout.split == "seeds" else seeds)
    return dataclasses.replace(
        experiment,
        hparams=dataclasses.replace(experiment.hparams, **chosen),
        axes={},
        zip=(),
        seeds=1,
        first_seed=seed,
        eval_every=group.eval_every,
        record_every=sweep.record_every,
        members_per_program=0,
        compaction=False,
        layout=str(layout),
    )


# The selection --------------------------------------------------------------------------------------------------------


def _choose(sweep: Sweep, seeds: Sequence[int], select: Mapping[str, Any]) -> tuple[int, int]:
    """The setting and the seed that are selected, by position in the grid and by value."""

    def refusal(reason: str) -> ConfigError:
        return ConfigError("select", ",".join(f"{name}={_text(value)}" for name, value in select.items()), reason)

    axes = [name for dimension in sweep.dimensions for name in dimension.values]
    left = list(range(len(sweep.settings)))
    for name, value in select.items():
        if name == "seed":
            continue
        if name not in FIELDS:
            raise refusal(f"{name} is no hyperparameter; select by {', '.join([*axes, 'seed'])}")
        held = [getattr(hparams, name) for hparams in sweep.settings]
        asked = _asked(name, value)
        same = {entry for entry in held if describe(entry) == describe(asked)}
        same = same or {entry for entry in held if value_label(entry) == value_label(asked)}
        if not same:
            raise refusal(f"the run holds {name}={_listed(held)}")
        left = [setting for setting in left if held[setting] in same]
    if not left:
        raise refusal("the run holds these values, but in no setting together")
    settings = {name: [getattr(sweep.settings[setting], name) for setting in left] for name in axes}
    still = [f"{name}={_listed(values)}" for name, values in settings.items() if len(set(values)) > 1]
    if still:
        raise refusal(f"{len(left)} settings are left; choose one of {' and of '.join(still)}")

    if "seed" not in select and len(seeds) > 1:
        raise refusal(f"choose one of seed={_listed(seeds)}")
    seed = _text(select.get("seed", seeds[0]))
    if not seed.isdecimal() or int(seed) not in seeds:
        raise refusal(f"the run holds seed={_listed(seeds)}")
    return left[0], int(seed)


def _asked(name: str, value: Any) -> Any:
    """A selected value in the type of its field; text that is none stays text."""
    with contextlib.suppress(ConfigError):
        values = parse_values(name, _text(value))
        if len(values) == 1:
            return values[0]
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else describe(tuple(value) if isinstance(value, list) else value)


def _listed(values: Sequence[Any]) -> str:
    """Each value once, as flags spell them: `0.01, 0.1, 1`."""
    different = list(dict.fromkeys(map(describe, values)))
    more = f", ... ({len(different)} values)" if len(different) > _MOST_LISTED else ""
    return ", ".join(different[:_MOST_LISTED]) + more
