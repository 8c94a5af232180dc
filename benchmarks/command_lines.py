"""Made-up command lines: `python -m benchmarks.command_lines --lines=2000 --run=50`.

Flags of all experiments with values of the right and the wrong kind, flagfiles of right and wrong syntax, and variables
of the environment. Each line must give a plan (or the help) and exit code 0, or exactly one line on standard error and
exit code 1, with nothing written in both cases. Some lines that give small plans are trained to their end; the others
are planned, not compiled. Prints the counts, and every line that did otherwise.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import importlib
import io
import os
import re
import shlex
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from absl import flags as absl_flags
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from experiments import cli
from jaxreg import session
from jaxreg.config import FIELDS, DataConfig, Experiment, RunConfig
from jaxreg.data.points import POINT_SETS
from jaxreg.hardware import use_all_cores
from jaxreg.study import Study

EXPERIMENTS = (
    *("lr_sweep", "init_variance", "signal_flow", "batch_size"),
    *("early_stopping", "adam_bias", "point_cloud", "regularizers", "output_loss", "cnn"),
)
OPTIONS = {
    field.name: field
    for part in (Experiment, DataConfig, RunConfig)
    for field in dataclasses.fields(part)
    if field.metadata
}
SMALL = ("--hidden_sizes=4", "--num_steps=6")  # before all others, which override them
MOST_TRAINED = 32  # members of a line that is trained


@dataclasses.dataclass(frozen=True)
class CommandLine:
    """What is typed, where.

    Attributes:
      experiment: the module.
      arguments: what follows it.
      files: contents of flagfiles, by name.
      environment: variables.
      encoding: of standard output and standard error.
      usual: whether every value is one that the flag takes, and a small one.
    """

    experiment: str
    arguments: tuple[str, ...]
    files: tuple[tuple[str, bytes], ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    encoding: str = "utf-8"
    usual: bool = True

    def __str__(self) -> str:
        """As a shell takes it."""
        files = "".join(f" [{name}: {content!r}]" for name, content in self.files)
        variables = [f"{name}={value}" for name, value in self.environment]
        return shlex.join([*variables, "python", "-m", f"experiments.{self.experiment}", *self.arguments]) + files


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a command line: its kind, the exit code, and what was printed."""

    kind: str
    exit_code: int | None
    out: str
    err: str


# What is typed --------------------------------------------------------------------------------------------------------

_USUAL: Mapping[str, Sequence[str]] = {
    "num_steps": ("1", "3", "8", "1e1", "2,6"),
    "num_epochs": ("0", "0.1"),
    "batch_size": ("1", "10", "30", "10,20", "lin:10:30:3"),
    "hidden_sizes": ("1", "4", "8x4", "none", "4,2x3"),
    "decay_steps": ("0", "5"),
    "warmup_steps": ("0", "2"),
    "patience": ("0", "1", "1,2"),
    "dataset": ("digits", "digits", *POINT_SETS),
    "downsample": ("1", "2", "4"),
    "validation_size": ("10", "200"),
    "num_points": ("50", "100"),
    "noise": ("0", "0.2"),
    "seeds": ("1", "2", "3"),
    "first_seed": ("0", "5", "4294967290"),
    "base_seed": ("0", "4294967295"),
    "eval_every": ("0", "1", "2", "100", "auto"),
    "record_every": ("0", "1", "3", "auto"),
    "members_per_program": ("0", "1", "3", "auto"),
    "max_minutes": ("0", "5"),
    "checkpoint_every": ("0", "2"),
    "tensorboard_max_runs": ("0", "2"),
    "workdir": ("", "w", "a b", "w\u00e9", "runs/x"),
    "data_dir": ("", "sets"),
    "layout": ("",),
    "max_norm": ("inf", "1", "1,3"),
}
_NUMBERS = ("0", "0.01", "0.1", "0.5", "0.9", "1", "3", "0.1,0.5", "0.05,0.1,0.2", "log:1e-3:0.5:3", "lin:0.1:0.5:2")
_WRONG = (
    *("", " ", "nan", "inf", "-inf", "-1", "-0", "0", "1e400", "1e-400", "9" * 400, "2147483648", "4294967296"),
    *("0x10", "1_000", "1,,2", ",", "0.1,", "0.1,0.1", "log:0:1:3", "log:1e-3:1:3", "lin:0:1:2", "log", "log:", "lin"),
    *(
        "log:1:2:1e3",
        "lin:1:2:100001",
        "lin:-1:1:3",
        "lin:nan:1:2",
        "auto",
        "none",
        "all",
        "true",
        "false",
        "yes",
        "None",
    ),
    *("l1+l1", "l2+kl", "l1+late_l1", "all+l1", "+", "normel", "rel", "digts", "\u0661\u0662", "\u00e9", "\U0001f600"),
    *(
        "a\nb",
        "\t",
        "\r",
        "\x1b[31mred",
        "\udcff",
        "\u2028",
        "a$_$",
        ":fire:",
        "[red]x[/red]",
        "{}",
        "%s",
        "a=b",
        "=",
        "'q'",
    ),
    *(
        '"q',
        "#c",
        "a #c",
        "--seeds=3",
        "x" * 10_000,
        "~",
        "~nobody/x",
        "../x",
        "/dev/null",
        "/dev/null/x",
        "/proc/1",
        ".",
    ),
    *(
        "seeds:1,configs:1,devices:1,split:seeds,tile_seeds:1,tile_configs:1,chunk_steps:1,eval_seeds:1,eval_block:64,terms:none",
        "seeds:1",
        "32x0",
    ),
    *("100000x100000", "1x" * 50 + "1", "learning_rate,momentum", "learning_rate", "learning_rate,learning_rate"),
)
_PATHS = st.sampled_from(["a.cfg", "b.cfg", "missing.cfg", ".", "", "/dev/null", "~/x.cfg", "a b.cfg"])


def _taken(name: str) -> st.SearchStrategy[str]:
    """Values that a flag takes, small ones."""
    if name in _USUAL:
        return st.sampled_from(_USUAL[name])
    metadata = (FIELDS.get(name) or OPTIONS[name]).metadata
    rule = metadata["rule"]
    if metadata["kind"] is bool:
        return st.sampled_from(["true", "false"])
    if rule is not None and rule.table is not None:
        names = sorted(rule.table)
        several = st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True).map(",".join)
        return several | st.sampled_from(names)
    if rule is not None and metadata["kind"] is str:
        return st.sampled_from(rule.allowed.removeprefix("must be one of ").split(", "))
    return st.sampled_from(_NUMBERS)


@st.composite
def _flag(draw: st.DrawFn, usual: bool) -> list[str]:
    """One flag as it may be typed, with its value, as one argument or two."""
    name = draw(st.sampled_from([*FIELDS, *OPTIONS]))
    switch = name in OPTIONS and OPTIONS[name].metadata["kind"] is bool
    if usual:
        if name in ("resume", "overwrite"):
            return []
        if switch and draw(st.booleans()):
            return [draw(st.sampled_from([f"--{name}", f"--no{name}"]))]
        value = draw(_taken(name))
        return (
            draw(st.sampled_from([[f"--{name}={value}"], [f"-{name}={value}"], [f"--{name}", value]]))
            if not switch
            else [f"--{name}={value}"]
        )
    value = draw(st.sampled_from(_WRONG) | _taken(name) | st.text(max_size=8).filter(lambda text: "\0" not in text))
    forms = [
        *(
            [f"--{name}={value}"],
            [f"--{name}={value}"],
            [f"--{name}={value}"],
            [f"-{name}={value}"],
            [f"--{name}", value],
        ),
        *([f"--{name}"], [f"--no{name}"], [f"--no{name}={value}"], [f"--{name[:-2]}={value}"], [f"---{name}={value}"]),
        *([f"--{name.upper()}={value}"], [f"--{name.replace('_', '-')}={value}"], [f"{name}={value}"], [value]),
        *(
            [f"--zip={value}"],
            [f"--zip={name},{value}"],
            ["--"],
            ["--", f"--{name}={value}"],
            ["-"],
            ["--undefok", name],
        ),
        *(
            ["--help"],
            ["-h"],
            ["-?"],
            ["--helpfull"],
            [f"--{name}={value}", f"--{name}={value}"],
            [f"--undefok={value}"],
        ),
    ]
    return draw(st.sampled_from(forms))


def _zips() -> st.SearchStrategy[list[str]]:
    """Two axes that advance together, of equal length or not."""
    right = [
        *("--learning_rate=0.1,0.2", "--init_variance=0.01,0.1", "--zip=learning_rate,init_variance"),
    ]
    wrong = ["--learning_rate=0.1,0.2", "--init_variance=0.01,0.1,1", "--zip=learning_rate, init_variance"]
    return st.sampled_from([right, wrong])


_COMMENTS = st.sampled_from(["", "", "", "  # why", "\t#", " # a=b"])
_NOISE = st.sampled_from(
    [
        b"",
        b"# note",
        b"// note",
        b"seeds=3",
        b"--seeds 3",
        b'--seeds="3',
        b'"--seeds=2"',
        b"--a=\xff",
        b"\0",
        b"--",
        b"'",
    ]
)


@st.composite
def _flagfile(draw: st.DrawFn, usual: bool) -> bytes:
    """The content of a flagfile."""
    lines: list[bytes] = []
    for _ in range(draw(st.integers(0, 4))):
        flag = "=".join(draw(_flag(usual)))
        quote = draw(st.sampled_from(["", "", "'", '"']))
        name, equals, value = flag.partition("=")
        if quote and equals and "'" not in value and '"' not in value:
            flag = f"{name}={quote}{value}{quote}"
        lines.append((flag + draw(_COMMENTS)).encode("utf-8", "surrogatepass"))
        if not usual and draw(st.integers(0, 5)) == 0:
            lines.append(draw(_NOISE))
        if draw(st.integers(0, 9)) == 0:
            lines.append(f"--flagfile={draw(_PATHS)}".encode())
    ends = draw(st.sampled_from([b"\n", b"\r\n"]))
    return draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf"])) + ends.join(lines) + draw(st.sampled_from([b"", ends]))


_VARIABLES: Mapping[str, Sequence[str]] = {
    "HOME": ("/dev/null/x", ""),
    "XDG_CACHE_HOME": ("/dev/null/x", "caches"),
    "JAXREG_CACHE_DIR": ("/dev/null/x", "caches", "~nobody/x"),
    "TFDS_DATA_DIR": ("", "/dev/null", "sets"),
    "MPLBACKEND": ("module://matplotlib_inline.backend_inline", "nonsense", ""),
    "COLUMNS": ("20", "0", "-5", "wide", "100000"),
    "LINES": ("1", "x"),
    "TERM": ("dumb", "", "xterm-256color"),
    "NO_COLOR": ("1",),
    "FORCE_COLOR": ("1",),
    "TZ": ("Asia/Kathmandu", "nowhere"),
    "LC_ALL": ("C", "xx_XX"),
    "PYTHONWARNINGS": ("error",),
}


@st.composite
def command_lines(draw: st.DrawFn) -> CommandLine:
    """Made-up command lines, about half of them with values that every flag takes."""
    usual = draw(st.booleans())
    arguments = list(SMALL) if usual or draw(st.integers(0, 9)) else []
    for _ in range(draw(st.integers(1, 6))):
        arguments += draw(_flag(usual or draw(st.booleans())))
    if draw(st.integers(0, 7)) == 0:
        arguments += draw(_zips())
    files = {}
    if draw(st.integers(0, 3)) == 0:
        files = {
            name: draw(_flagfile(usual))
            for name in draw(st.sampled_from([("a.cfg",), ("a.cfg", "b.cfg"), ("a b.cfg",)]))
        }
        path = draw(st.sampled_from(sorted(files)) if usual else _PATHS)
        arguments += draw(st.sampled_from([[f"--flagfile={path}"], ["--flagfile", path]]))
    environment = {}
    for name in draw(st.lists(st.sampled_from(sorted(_VARIABLES)), max_size=2, unique=True)):
        environment[name] = draw(st.sampled_from(_VARIABLES[name]))
    return CommandLine(
        experiment=draw(st.sampled_from(EXPERIMENTS)),
        arguments=tuple(argument.replace("\0", "") for argument in arguments),
        files=tuple(files.items()),
        environment=tuple(environment.items()),
        encoding=draw(st.sampled_from(["utf-8", "utf-8", "ascii"])),
        usual=usual,
    )


# What comes of it -----------------------------------------------------------------------------------------------------


def dry(line: CommandLine) -> Outcome:
    """What comes of a line with --dry_run, in a folder of its own; nothing is compiled.

    The kind is `plan`, `help` or `refusal`, or else what is wrong in words.
    """
    with tempfile.TemporaryDirectory() as name, mock.patch.object(session, "estimate", _first_line):
        folder = Path(name)
        written = _write_files(line, folder)
        exit_code, out, err, failure = _called(line, folder, ("--dry_run",))
        left = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
        left = [path for path in left if not path.startswith("caches")]
    if failure:
        return Outcome("an exception", exit_code, out, failure)
    if left != written:
        return Outcome(f"files written: {left}", exit_code, out, err)
    return Outcome(_kind(exit_code, out, err), exit_code, out, err)


def trained(line: CommandLine, folder: Path) -> Outcome:
    """What comes of a line that is trained to its end in `folder`; the kind is `done`, or what is wrong in words."""
    from jaxreg import results

    _write_files(line, folder)
    exit_code, out, err, failure = _called(line, folder, ("--nodry_run", "--workdir=run"))
    if failure:
        return Outcome("an exception", exit_code, out, failure)
    if exit_code != 0 or "Traceback" in err:
        return Outcome(f"exit code {exit_code}", exit_code, out, err)
    results.load(folder / "run")
    return Outcome("done", exit_code, out, err)


def num_members(outcome: Outcome) -> int:
    """How many members a plan has, as its first line says."""
    return int(outcome.out.split()[0])


def _kind(exit_code: int | None, out: str, err: str) -> str:
    if exit_code == 0 and out and "Traceback" not in err:
        return "plan" if re.match(r"\d+ members: ", out) else "help"
    if exit_code != 1:
        return f"exit code {exit_code}"
    if out:
        return "a refusal after something was printed"
    one_line = err.endswith("\n") and err[:-1].isprintable()
    return "refusal" if one_line and len(err) < 2000 else "a refusal of more than one line"


def _first_line(plan: Any) -> Iterator[str]:
    """In place of `estimate`, which compiles and trains two chunks."""
    sweep = plan.sweep
    yield f"{sweep.num_members} members: {len(sweep.settings)} settings x {len(sweep.seeds)} seeds"


def _write_files(line: CommandLine, folder: Path) -> list[str]:
    for name, content in line.files:
        (folder / name).write_bytes(content)
    return sorted(name for name, _ in line.files)


def _called(line: CommandLine, folder: Path, last: Sequence[str]) -> tuple[int | None, str, str, str]:
    """Exit code, standard output, standard error, and the traceback of an exception if there was one."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding=line.encoding, errors=errors, newline="") for errors in _ERRORS]
    environment = {"TFDS_DATA_DIR": "/dev/null/sets", "COLUMNS": "200"} | dict(line.environment)
    # What is last must count, whatever a line ends with.
    at = line.arguments.index("--") if "--" in line.arguments else len(line.arguments)
    arguments = [*line.arguments[:at], *(last if _is_complete(line.arguments[:at]) else ()), *line.arguments[at:]]
    exit_code, failure = None, ""
    with (
        contextlib.chdir(folder),
        mock.patch.dict(os.environ, environment),
        contextlib.redirect_stdout(streams[0]),
        contextlib.redirect_stderr(streams[1]),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("error")
        try:
            exit_code = cli.main(study_of(line.experiment), [line.experiment, *arguments])
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            failure = traceback.format_exc()
    texts = []
    for stream in streams:
        stream.flush()
        texts.append(stream.buffer.getvalue().decode(line.encoding))
    return exit_code, texts[0], texts[1], failure


_ERRORS = ("strict", "backslashreplace")  # of standard output and standard error, as Python has them


def _is_complete(arguments: Sequence[str]) -> bool:
    """Whether the last argument is not one that takes the next one as its value."""
    last = arguments[-1] if arguments else ""
    name = last.lstrip("-")
    takes_one = name in FIELDS or name in ("zip", "flagfile", "undefok")
    takes_one |= name in OPTIONS and OPTIONS[name].metadata["kind"] is not bool
    return not (last.startswith("-") and takes_one)


def study_of(experiment: str) -> Study:
    """The study of an experiment's module."""
    study: Study = importlib.import_module(f"experiments.{experiment}").STUDY
    return study


# The command ----------------------------------------------------------------------------------------------------------


def each(count: int, first_seed: int, look: Callable[[CommandLine], None]) -> None:
    """Calls `look` with so many different command lines, the same ones for the same seed."""
    seen: set[CommandLine] = set()

    def look_at_new(line: CommandLine) -> None:
        if line not in seen and len(seen) < count:
            seen.add(line)
            look(line)

    quiet = settings(
        max_examples=4 * count,  # many come twice
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    seed(first_seed)(quiet(given(command_lines())(look_at_new)))()


def main(argv: Sequence[str]) -> int:
    """Prints the counts and every fault; returns 1 if there is one."""
    values = absl_flags.FlagValues()
    absl_flags.DEFINE_integer("lines", 2000, "Command lines that are planned.", 1, flag_values=values)
    absl_flags.DEFINE_integer("run", 50, "Of those that give plans, how many are trained.", 0, flag_values=values)
    absl_flags.DEFINE_integer("seed", 0, "Other seeds make other lines.", 0, flag_values=values)
    values(list(argv))
    use_all_cores()
    counts: collections.Counter[str] = collections.Counter()
    faults: list[str] = []
    small: list[CommandLine] = []

    def look(line: CommandLine) -> None:
        outcome = dry(line)
        counts[outcome.kind] += 1
        if outcome.kind not in ("plan", "help", "refusal"):
            faults.append(f"{outcome.kind}: {line}\n{outcome.err}")
        if outcome.kind == "plan" and line.usual and num_members(outcome) <= MOST_TRAINED:
            small.append(line)
        if sum(counts.values()) % 100 == 0:
            print(f"{sum(counts.values())} lines", file=sys.stderr)

    each(int(values["lines"].value or 0), int(values["seed"].value or 0), look)
    print(f"{sum(counts.values())} command lines: " + ", ".join(f"{n} {kind}" for kind, n in counts.most_common()))
    ends: collections.Counter[str] = collections.Counter()
    for line in small[: int(values["run"].value or 0)]:
        with tempfile.TemporaryDirectory() as folder:
            outcome = trained(line, Path(folder))
        ends[outcome.kind] += 1
        print(f"{sum(ends.values())} trained", file=sys.stderr)
        if outcome.kind != "done":
            faults.append(f"trained, {outcome.kind}: {line}\n{outcome.err}")
    print(f"{sum(ends.values())} trained: " + ", ".join(f"{n} {kind}" for kind, n in ends.most_common()))
    print(*faults, sep="\n\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
