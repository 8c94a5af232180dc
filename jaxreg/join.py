"""`python -m jaxreg.join PART… --workdir=RUN`: makes one run of the parts of a sweep that were trained on their own.

Each PART is the folder of a run with --part=K/N. RUN becomes the folder that one command for the whole sweep would have
left: its checkpoint, results.nc, summary, TensorBoard and report; bit for bit where the parts were laid out as that
command would have laid out the sweep.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from jaxreg import command
from jaxreg.config.experiment import RunConfig
from jaxreg.errors import ConfigError, RunFolderError
from jaxreg.hardware import keep_compilations, use_all_cores
from jaxreg.session import join


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns its exit code: 0 done, 1 refused."""
    arguments = list(sys.argv if argv is None else argv)
    return command.run(lambda: _run(arguments))


def _run(argv: Sequence[str]) -> int:
    from absl import flags as absl_flags

    values = absl_flags.FlagValues()
    absl_flags.DEFINE_string("workdir", None, "The folder to write, new or empty.", flag_values=values)
    absl_flags.DEFINE_string("data_dir", None, "Folder of tensorflow-datasets, as of a run.", flag_values=values)
    absl_flags.DEFINE_string(
        "study", None, "MODULE_OR_FILE[:ATTRIBUTE] of the study, if it is not found by itself.", flag_values=values
    )
    for name, default, help in (
        ("overwrite", False, "Delete the run that is in the folder."),
        ("report", True, "Draw the figures and write report.html."),
        ("tensorboard", True, "Write TensorBoard scalars."),
    ):
        absl_flags.DEFINE_flag(command.switch(name, default, help), values)
    command.define_help(values)
    folders = [Path(folder) for folder in command.words(values, argv)]
    named = ("workdir", "overwrite", "report", "tensorboard", "data_dir", "study")
    of_flags = "\n".join(f"  --{name}: {values[name].help}" for name in named)
    if command.answered(values, lambda: f"{__doc__}\n{of_flags}"):
        return 0
    if not folders:
        raise RunFolderError("no part given: python -m jaxreg.join PART [PART ...] --workdir=RUN")
    if not values["workdir"].value:
        raise ConfigError("workdir", "", "give a new folder to write to")
    use_all_cores()
    keep_compilations()
    settings = RunConfig(
        workdir=values["workdir"].value,
        overwrite=bool(values["overwrite"].value),
        report=bool(values["report"].value),
        tensorboard=bool(values["tensorboard"].value),
    )
    outcome = join(folders, settings, study=values["study"].value, data_dir=values["data_dir"].value)
    print(f"{len(folders)} parts joined: {outcome.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
