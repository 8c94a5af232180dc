"""`python -m jaxreg.extract RUN --select learning_rate=0.1,seed=3 --out DIR`: one member of a run by itself.

DIR gets its parameters (an Orbax checkpoint and params.npz), its curve, and a flagfile that trains it alone: at the
width at which it was trained, and so with the same bits.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxreg import command
from jaxreg.config.flagfile import experiment_from_flags
from jaxreg.errors import ConfigError, RunFolderError
from jaxreg.files import user_path
from jaxreg.hardware import require_devices
from jaxreg.measures import setting_label
from jaxreg.results.members import Member, load_member, refuse_taken, save_member
from jaxreg.runs import study_source
from jaxreg.runs.folder import read_finished, read_flags


def parse_select(text: str) -> dict[str, str]:
    """`learning_rate=0.1,seed=3` as a mapping.

    Raises:
      ConfigError: something else than name=value, or a name twice.
    """
    pairs = [part.strip().partition("=") for part in text.split(",") if part.strip()]
    if any(not (name and value) for name, _, value in pairs):
        raise ConfigError("select", text, "give name=value, comma between, such as learning_rate=0.1,seed=3")
    select = {name: value for name, _, value in pairs}
    if len(select) < len(pairs):
        raise ConfigError("select", text, "a name is given twice")
    return select


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns its exit code: 0 done, 1 refused."""
    arguments = list(sys.argv if argv is None else argv)
    return command.run(lambda: _run(arguments))


def _run(argv: Sequence[str]) -> int:
    from absl import flags as absl_flags

    values = absl_flags.FlagValues()
    absl_flags.DEFINE_string("select", "", "The member: learning_rate=0.1,seed=3.", flag_values=values)
    absl_flags.DEFINE_string("out", "", "The folder to write, new or empty.", flag_values=values)
    absl_flags.DEFINE_string(
        "study",
        None,
        "MODULE_OR_FILE that defines parts of the run, if it is not found by itself.",
        flag_values=values,
    )
    command.define_help(values)
    runs = command.words(values, argv)
    of_flags = "\n".join(f"  --{name}: {values[name].help}" for name in ("select", "out", "study"))
    if command.answered(values, lambda: f"{__doc__}\n{of_flags}"):
        return 0
    if len(runs) != 1:
        raise RunFolderError(f"give the folder of one run, not {len(runs)}: python -m jaxreg.extract RUN --out=DIR")
    if not values["out"].value:
        raise ConfigError("out", "", "give a new folder to write to")
    folder = Path(values["out"].value)
    refuse_taken(folder)
    require_devices()
    run = user_path(runs[0])
    meta = read_finished(run)
    _import_parts(run, meta, values["study"].value)
    member = load_member(run, parse_select(values["select"].value or ""))
    _show(member, save_member(member, folder), study_source.command(meta))
    return 0


def _show(member: Member, paths: Sequence[Path], trains: str | None) -> None:
    """Prints what was written, and how the member is trained alone."""
    print(setting_label(member.setting | {"seed": member.seed}))
    for path in paths:
        print(f"  {path}")
    own = [line for line in member.flags.splitlines() if line.startswith("#")]
    bits = "the same bits" if member.exact else f"the same numbers within rounding ({member.changes})"
    if own:
        print(f"Trained alone with the same parts of your own, it has {bits}:", *own, sep="\n  ")
    else:
        print(f"Train it alone, with {bits}:\n  {_training_command(trains, paths[-1])}")


def _import_parts(run: Path, meta: Mapping[str, Any], study: str | None) -> None:
    """Imports the module of the run's study, which may register parts that the flags of the run name."""
    flags, problem = read_flags(run, meta), study_source.import_parts(meta, run, study)
    if problem is None:
        return
    if study is not None:
        raise ConfigError("study", study, f"cannot be imported ({problem})")
    try:
        experiment_from_flags(flags)
    except ConfigError as error:
        raise RunFolderError(
            f"{error}; nor is the module found that may define it ({problem}): give it by --study=MODULE_OR_FILE"
        ) from error


def _training_command(trains: str | None, flagfile: Path) -> str:
    if trains is None:
        return f"jaxreg.run(jaxreg.flagfile.experiment_from_flags(pathlib.Path({str(flagfile)!r}).read_text()))"
    return f"{trains} --flagfile={shlex.quote(str(flagfile))}"


if __name__ == "__main__":
    sys.exit(main())
