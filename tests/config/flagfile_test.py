from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.flags import make_flags, read_flags, to_experiment
from jaxreg.config.consistency import validate
from jaxreg.config.experiment import DataConfig, Experiment, RunConfig
from jaxreg.config.flagfile import experiment_from_flags, flag_lines, flags_of, parse_values, with_flagfiles
from jaxreg.config.hparams import Hparams
from jaxreg.errors import ConfigError


def from_flags(*lines: str) -> Experiment:
    values = make_flags()
    read_flags(values, ["program", *lines])
    return to_experiment("run", values)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("learning_rate", "0.1", (0.1,)),
        ("learning_rate", " 0.1 , 1e-3,2", (0.1, 1e-3, 2.0)),
        ("batch_size", "10,20", (10, 20)),
        ("activation", "relu, tanh", ("relu", "tanh")),
        ("hidden_sizes", "32", ((32,),)),
        ("hidden_sizes", "32,64x64,none", ((32,), (64, 64), ())),
        ("learning_rate", "log:1e-3:1:4", (0.001, 0.01, 0.1, 1.0)),
        ("learning_rate", "log:1:1e-3:4", (1.0, 0.1, 0.01, 0.001)),
        ("init_variance", "lin:0:2:9", (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)),
        ("init_variance", "lin:0:0.3:4", (0.0, 0.1, 0.2, 0.3)),
        ("momentum", "lin:0.9:0:4", (0.9, 0.6, 0.3, 0.0)),
        ("batch_size", "log:1:1000:4", (1, 10, 100, 1000)),
        ("num_steps", "lin:100:300:3", (100, 200, 300)),
        ("num_steps", "1e1,2e3", (10, 2000)),
        ("batch_size", "1.0", (1,)),
    ],
)
def test_values_are_read(name: str, text: str, expected: tuple[Any, ...]) -> None:
    values = parse_values(name, text)
    assert values == expected
    assert list(map(type, values)) == list(map(type, expected))


def test_ranges_include_their_ends_and_are_evenly_spaced() -> None:
    logarithmic, linear = parse_values("learning_rate", "log:1e-3:1:7"), parse_values("init_variance", "lin:0:2:9")
    assert (logarithmic[0], logarithmic[-1], len(logarithmic)) == (1e-3, 1.0, 7)
    assert (linear[0], linear[-1], len(linear)) == (0.0, 2.0, 9)
    np.testing.assert_allclose(np.diff(np.log10(logarithmic)), 0.5, rtol=1e-10)
    np.testing.assert_allclose(np.diff(linear), 0.25, rtol=1e-10)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("learning_rate", "", "empty list"),
        ("learning_rate", "  ", "empty list"),
        ("learning_rate", "0.1,,1", "empty value"),
        ("learning_rate", "0.1,", "empty value"),
        ("learning_rate", "fast", "fast is not a value"),
        ("batch_size", "2.5", "2.5 is not a value; must be a whole number"),
        ("hidden_sizes", "32x", "32x is not a value"),
        ("hidden_sizes", "32xx8", "32xx8 is not a value"),
        ("hidden_sizes", "wide", "32,64x64"),
        ("learning_rate", "log", "log:first:last:count"),
        ("learning_rate", "log:", "log:first:last:count"),
        ("learning_rate", "log:1e-3", "log:first:last:count"),
        ("learning_rate", "log:1e-3:1", "log:1e-3:1:7"),
        ("learning_rate", "log:a:1:3", "log:first:last:count"),
        ("learning_rate", "log:1e-3:1:3.5", "log:first:last:count"),
        ("learning_rate", "log:1e-3:1:7:9", "log:first:last:count"),
        ("learning_rate", "log:1e-3:1:1", "two or more"),
        ("learning_rate", "log:1e-3:1:-4", "two or more"),
        ("learning_rate", "log:0:1:3", "must be > 0"),
        ("learning_rate", "log:-1:1:3", "must be > 0"),
        ("learning_rate", "log:1:0:3", "must be > 0"),
        ("learning_rate", "lin:0:inf:3", "lin:first:last:count"),
        ("learning_rate", "lin:nan:1:3", "lin:0:2:9"),
        ("learning_rate", "lin:0:1:0", "two or more"),
        ("learning_rate", "exp:1:2:3", "exp:1:2:3 is not a value"),
        ("learning_rate", "0.1,log:1e-3:1:7", "log:1e-3:1:7 is not a value"),
    ],
)
def test_a_malformed_value_is_refused_in_one_line(name: str, text: str, words: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        parse_values(name, text)
    assert str(refusal.value).startswith(f"--{name}={text}: ")
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


RATES = (0.1, 0.2)
EXPERIMENTS = [
    Experiment(),
    Experiment(
        hparams=Hparams(hidden_sizes=(), activation="relu", init="he", init_variance=0.1 + 0.2, num_steps=7),
        axes={"learning_rate": (1e-45, 0.1 + 0.2, 1 / 3, 3.4e38), "batch_size": (1, 10)},
        seeds=3,
        first_seed=2**32 - 3,
        eval_every=5,
        matmul_precision="highest",
    ),
    Experiment(
        axes={"hidden_sizes": ((), (8,), (64, 32)), "momentum": (0.0, 0.5, 0.9), "init": ("zeros", "normal")},
        zip=(("hidden_sizes", "momentum"),),
        data=DataConfig(dataset="mnist", data_dir="/data/with space", downsample=4, validation_size=10),
        run=RunConfig(tensorboard=False, report=False, progress="false", max_minutes=1.5, checkpoint_every=100),
    ),
    Experiment(
        axes={"learning_rate": RATES, "momentum": RATES, "beta1": RATES, "beta2": RATES},
        zip=(("learning_rate", "momentum"), ("beta1", "beta2")),
    ),
]


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=["defaults", "numbers", "choices", "two zips"])
def test_a_flagfile_repeats_its_experiment(experiment: Experiment, tmp_path: Path) -> None:
    validate(experiment)
    lines = flag_lines(experiment)
    assert from_flags(*lines) == experiment
    (tmp_path / "flags.cfg").write_text("\n".join(lines) + "\n")
    repeated = from_flags(f"--flagfile={tmp_path / 'flags.cfg'}")
    assert repeated == experiment
    assert flag_lines(repeated) == lines


@settings(derandomize=True, max_examples=30, deadline=None)
@given(st.floats(min_value=0, allow_infinity=False, width=32, exclude_min=True), st.floats(1e-300, 1e300))
def test_floats_come_back_to_the_last_bit(single: float, double: float) -> None:
    for value in (single, double):
        experiment = Experiment(hparams=Hparams(learning_rate=value), axes={"init_variance": (value, 0.0)})
        (rate,) = [line for line in flag_lines(experiment) if line.startswith("--learning_rate=")]
        (variances,) = [line for line in flag_lines(experiment) if line.startswith("--init_variance=")]
        assert parse_values("learning_rate", rate.partition("=")[2]) == (value,)
        assert parse_values("init_variance", variances.partition("=")[2]) == (value, 0.0)


def test_where_a_run_is_kept_is_not_written() -> None:
    lines = flag_lines(Experiment(run=RunConfig(workdir="here", resume=True, overwrite=True)))
    assert lines == flag_lines(Experiment())
    assert not {line.partition("=")[0] for line in lines} & {"--workdir", "--resume", "--overwrite"}


def test_one_value_is_shared_and_several_make_an_axis() -> None:
    experiment = from_flags("--learning_rate=0.5", "--batch_size=10,20")
    assert experiment.hparams.learning_rate == 0.5
    assert experiment.axes == {"batch_size": (10, 20)}


def test_the_last_of_a_repeated_flag_wins_over_a_flagfile(tmp_path: Path) -> None:
    (tmp_path / "flags.cfg").write_text("# a comment\n--learning_rate=0.1,0.2\n--seeds=5\n--zip=init,activation\n")
    experiment = from_flags(f"--flagfile={tmp_path / 'flags.cfg'}", "--learning_rate=0.7", "--zip=beta1, beta2")
    assert (experiment.hparams.learning_rate, experiment.axes, experiment.seeds) == (0.7, {}, 5)
    assert experiment.zip == (("init", "activation"), ("beta1", "beta2"))


@pytest.mark.parametrize(
    ("line", "words"),
    [("--learning_rate=", "empty list"), ("--seeds=two", "whole number"), ("--max_minutes=soon", "finite number")],
)
def test_a_malformed_flag_is_refused_in_one_line(line: str, words: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        from_flags(line)
    assert str(refusal.value).startswith(f"{line}: ")
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_lines_of_a_flagfile_are_read_with_their_comments_and_quotation_marks() -> None:
    text = """\ufeff--seeds=3   # three
# a comment
    // another one

--report # a=b
--data_dir=/a#b c\t# and a comment
--workdir="/a #b"  # quoted
'--dataset=a # set'
--tensorboard_max_runs='3'
--progress="\\"a\\\\b\\n"
--layout=
"""
    assert list(flags_of(text)) == [
        *(
            (1, "--seeds=3"),
            (5, "--report"),
            (6, "--data_dir=/a#b c"),
            (7, "--workdir=/a #b"),
            (8, "--dataset=a # set"),
        ),
        *((9, "--tensorboard_max_runs=3"), (10, '--progress="a\\b\n'), (11, "--layout=")),
    ]


@settings(derandomize=True, max_examples=50, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: text == text.strip()))
def test_any_text_comes_back_from_a_flagfile(text: str) -> None:
    experiment = Experiment(data=DataConfig(data_dir=text))
    assert experiment_from_flags("\n".join(flag_lines(experiment))) == experiment


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"seeds=3", "line 1: is no flag"),
        (b"\n--seeds 3", "line 2: gives no value; write --seeds=VALUE"),
        (b'--workdir="a', "line 1: a quotation mark is not closed"),
        (b'--workdir="a" b', "line 1: a quotation mark is not closed, or something else than a comment follows it"),
        (b"--", "line 1: is no flag"),
        (b"--seeds=\xff", "something else than text"),
        (b"\0", "something else than text"),
        (b"#" * (1 << 21), "too large"),
    ],
)
def test_a_flagfile_of_something_else_is_refused(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.cfg").write_bytes(content)
    with pytest.raises(ConfigError, match=r"^--flagfile=a\.cfg: ") as refusal:
        with_flagfiles(["--flagfile=a.cfg"])
    assert words in str(refusal.value)


def test_flagfiles_name_others_from_their_own_folder(tmp_path: Path) -> None:
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "a.cfg").write_text("--seeds=2\n--flagfile=b.cfg\n--flagfile=../c.cfg\n", encoding="utf-8")
    (tmp_path / "sets" / "b.cfg").write_text("\ufeff--init=he\n", encoding="utf-8")
    (tmp_path / "c.cfg").write_text("--noreport\n", encoding="utf-8")
    expected = ["--seeds=1", "--seeds=2", "--init=he", "--noreport", "--seeds=3"]
    assert with_flagfiles(["--seeds=1", "--flagfile=sets/a.cfg", "--seeds=3"]) == expected
    assert with_flagfiles(["--seeds=1", "--flagfile", "sets/a.cfg", "--seeds=3"]) == expected
    assert with_flagfiles(["--", "--flagfile=sets/a.cfg"]) == ["--", "--flagfile=sets/a.cfg"]


def test_flagfiles_that_name_each_other_or_stand_in_a_run_folder_are_refused(tmp_path: Path) -> None:
    others = {"a": "b", "b": "a", "itself": "itself"}
    for name, other in others.items():
        (tmp_path / f"{name}.cfg").write_text(f"--flagfile={other}.cfg\n", encoding="utf-8")
    for name in others:
        with pytest.raises(ConfigError, match="names itself"):
            with_flagfiles([f"--flagfile={name}.cfg"])
    with pytest.raises(ConfigError, match=r"--flagfile=a\.cfg: names itself, by way of b\.cfg"):
        with_flagfiles(["--flagfile=a.cfg"])
    (tmp_path / "flags.cfg").write_text("--flagfile=/etc/passwd\n", encoding="utf-8")
    (tmp_path / "meta.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"passwd: flags\.cfg repeats a run and names no other file"):
        with_flagfiles(["--flagfile=flags.cfg"])


def test_flags_are_read_as_they_are_written() -> None:
    asked = Experiment(
        name="lr_sweep",
        hparams=Hparams(hidden_sizes=(), activation="relu", init_variance=0.02, num_steps=7),
        axes={"learning_rate": (0.1, 1e-3), "momentum": (0.0, 0.9), "optimizer": ("sgd", "nesterov")},
        zip=(("learning_rate", "momentum"),),
        data=DataConfig(data_dir="some where", validation_size=200),
        seeds=3,
        base_seed=2**32 - 1,
        run=RunConfig(report=False, max_minutes=1.5),
    )
    text = "\n".join(["# a remark", "", *flag_lines(asked)])
    assert experiment_from_flags(text, "lr_sweep") == asked
    assert experiment_from_flags("") == Experiment()
    last = experiment_from_flags("--learning_rate=1,2\n--learning_rate=3\n--seeds=2\n--seeds=4")
    assert (dict(last.axes), last.hparams.learning_rate, last.seeds) == ({}, 3.0, 4)


@pytest.mark.parametrize("line", ["--learning_rat=1", "learning=1", "--seeds=many", "--report=perhaps", "--zipp=a,b"])
def test_flags_that_are_none_are_refused(line: str) -> None:
    with pytest.raises(ConfigError, match=line.strip("-").partition("=")[0]):
        experiment_from_flags(line)
