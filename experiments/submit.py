"""`--submit`: the parts of a sweep as an array of jobs, handed to SLURM by submitit, or printed as a script."""

from __future__ import annotations

import dataclasses
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxreg.errors import ConfigError, JaxregError
from jaxreg.files import user_path
from jaxreg.runs.commands import program

WAYS = ("slurm", "local", "sbatch")
OF_THE_ARRAY = ("submit", "parts", "submit_options", "workdir", "resume")  # flags that a job gets otherwise, or not
_SAVED = (75, 128 + signal.SIGTERM)  # exit codes of a run that stopped with a checkpoint


@dataclasses.dataclass(frozen=True)
class Array:
    """An array of jobs, each of which trains one part.

    Attributes:
      name: of the experiment.
      parts: how many.
      workdir: the folder of the joined run; part K goes to `<workdir>.parts/K`.
      command: what trains a part, without `--part` and `--workdir`.
      options: of sbatch, by name.
    """

    name: str
    parts: int
    workdir: Path
    command: tuple[str, ...]
    options: Mapping[str, str]

    @property
    def folder(self) -> Path:
        """Where the parts go."""
        return self.workdir.with_name(f"{self.workdir.name}.parts")

    @property
    def joining(self) -> str:
        """The command that joins the parts, once all are trained."""
        return (
            f"python -m jaxreg.join {shlex.quote(str(self.folder))}/[0-9]* --workdir={shlex.quote(str(self.workdir))}"
        )


def make_array(name: str, values: Any, argv: Sequence[str]) -> Array:
    """The array that the parsed flags `values` of a command line ask for.

    Raises:
      ConfigError: something is missing, or cannot be.
    """
    how, parts = values["submit"].value, values["parts"].value or ""
    if how not in WAYS:
        raise ConfigError("submit", how, f"must be one of {', '.join(WAYS)}")
    if not parts.isdecimal() or not 1 <= int(parts) <= 100_000:
        raise ConfigError("parts", parts, "must be a whole number from 1 to 100000: into how many parts to divide")
    if not values["workdir"].value:
        raise ConfigError("submit", how, "needs --workdir, where the parts are joined")
    for flag in ("overwrite", "dry_run", "distributed"):
        if values[flag].value:
            raise ConfigError(flag, "true", "contradicts --submit, which trains nothing here; give one of them")
    if values["part"].value:
        raise ConfigError("part", values["part"].value, "is for one part; --submit trains all")
    command = _without(OF_THE_ARRAY, argv)
    return Array(name, int(parts), user_path(values["workdir"].value).absolute(), command, _options(values))


def _options(values: Any) -> dict[str, str]:
    text = values["submit_options"].value or ""
    pairs = [part.strip().partition("=") for part in text.split(",") if part.strip()]
    if any(not (name and value) for name, _, value in pairs):
        raise ConfigError("submit_options", text, "give NAME=VALUE of sbatch, comma between: partition=gpu,time=120")
    if text and values["submit"].value == "local":
        raise ConfigError("submit_options", text, "are for sbatch; leave them out with --submit=local")
    return {name: value for name, _, value in pairs}


def _without(flags: Sequence[str], argv: Sequence[str]) -> tuple[str, ...]:
    """The command line of this process without some flags.

    Raises:
      ConfigError: one of them stands in a flagfile, from where a job would take it.
    """
    left, found, skip = [], set(), False
    for argument in argv:
        name, equals, _ = argument.lstrip("-").partition("=")
        if skip:
            skip = False
        elif argument.startswith("-") and name in flags:
            found.add(name)
            skip = not equals and name != "resume"
        else:
            left.append(argument)
    for name in ("submit", "parts"):
        if name not in found:
            raise ConfigError(name, "...", "must be given on the command line, not in a flagfile")
    words = program()
    words = [sys.executable, *words[1:]] if words[0] == "python" else words
    return (*words, *left)


def script(array: Array) -> str:
    """A script for sbatch: an array of jobs that save when their time runs out, are queued again, and go on."""
    options = {"job-name": array.name, "array": f"1-{array.parts}", "output": f"{array.folder}/%a.log"}
    options |= {"requeue": "", "signal": "B:TERM@120"} | dict(array.options)
    lines = [f"#SBATCH --{name}={value}" if value else f"#SBATCH --{name}" for name, value in options.items()]
    return "\n".join(
        [
            "#!/bin/bash",
            *lines,
            f"# Give it to sbatch. When all jobs are done: {array.joining}",
            "set -u",
            f'folder={shlex.quote(str(array.folder))}/"$SLURM_ARRAY_TASK_ID"',
            "resume=()",
            'if [ -f "$folder/meta.json" ]; then resume=(--resume); fi',
            f'part="$SLURM_ARRAY_TASK_ID/{array.parts}"',
            f'{shlex.join(array.command)} --part="$part" --workdir="$folder" "${{resume[@]}}" &',
            "child=$!",
            "trap 'kill -TERM \"$child\"' TERM",
            "code=0",
            'wait "$child" || code=$?',
            'while kill -0 "$child" 2>/dev/null; do code=0; wait "$child" || code=$?; done',
            f'if [ "$code" -eq {_SAVED[0]} ] || [ "$code" -eq {_SAVED[1]} ]; then',
            '  scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"',
            "fi",
            'exit "$code"',
            "",
        ]
    )


class Job:
    """Trains one part, in a process of its own; submitit calls it, and calls `checkpoint` when its time runs out."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None

    def __call__(self, command: Sequence[str], folder: str) -> int:
        """Begins the part, or goes on with it.

        Raises:
          RuntimeError: it failed.
        """
        resume = ["--resume"] if (Path(folder) / "meta.json").exists() else []
        self._child = subprocess.Popen([*command, *resume], start_new_session=True)  # signals come through checkpoint
        if (code := self._child.wait()) != 0:
            raise RuntimeError(f"the part in {folder} ended with exit code {code}")
        return code

    def checkpoint(self, command: Sequence[str], folder: str) -> Any:
        """Has the part saved and queued again."""
        import submitit

        if self._child is not None:
            self._child.terminate()
            self._child.wait()
        return submitit.helpers.DelayedSubmission(Job(), command, folder)


def submit(array: Array, how: str) -> None:
    """Hands the array to submitit, or prints its script, and prints how it goes on.

    Raises:
      JaxregError: submitit is not installed, or cannot submit; a part failed.
    """
    if how == "sbatch":
        array.folder.mkdir(parents=True, exist_ok=True)  # for the logs
        print(script(array), end="")
        return
    try:
        import submitit
    except ImportError as error:
        raise JaxregError(
            f"--submit={how}: needs submitit (pip install 'jaxreg[submit]'); --submit=sbatch prints a script without it"
        ) from error
    executor = submitit.AutoExecutor(folder=array.folder / "log", cluster=how)
    executor.update_parameters(name=array.name)
    if array.options:
        executor.update_parameters(slurm_additional_parameters=dict(array.options))
    folders = [str(array.folder / str(k)) for k in range(1, array.parts + 1)]
    commands = [[*array.command, f"--part={k}/{array.parts}", f"--workdir={f}"] for k, f in enumerate(folders, 1)]
    try:
        jobs = executor.map_array(Job(), commands, folders)
    except Exception as error:  # submitit raises many types for a scheduler that refuses
        raise JaxregError(f"--submit={how}: {' '.join(str(error).split())[:300]}") from error
    print(f"{array.parts} jobs: {jobs[0].job_id} ... {jobs[-1].job_id}; their logs are in {array.folder / 'log'}")
    if how == "local":
        _wait(jobs, array)
    print(f"when all are done: {array.joining}")


def _wait(jobs: Sequence[Any], array: Array) -> None:
    failed = [k for k, job in enumerate(jobs, 1) if job.exception() is not None]
    if failed:
        raise JaxregError(
            f"--submit=local: part {', '.join(map(str, failed))} failed; see {array.folder / 'log'}, then submit again"
        )
