"""What a resumed run takes over from its folder."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from experiments import cli, lr_sweep
from experiments.flags import EXAMPLES, make_flags, read_flags, take_from_run, to_experiment
from jaxreg import extract, report, results
from jaxreg.config.consistency import validate
from jaxreg.config.experiment import Experiment, RunConfig
from jaxreg.runs.commands import resuming
from jaxreg.runs.folder import open_run_folder
from jaxreg.runs.identity import Identity

ZIPPED = (
    *("--learning_rate=0.1,1", "--optimizer=momentum", "--momentum=0.5,0.9", "--zip=learning_rate,momentum"),
    *("--l2_strength=0,1e-3", "--l1_strength=0,1e-3", "--zip=l2_strength,l1_strength", "--seeds=2"),
    *(
        "--dataset=moons",
        "--hidden_sizes=4x3",
        "--num_steps=20",
        "--nocompaction",
        "--report=false",
        "--tensorboard=false",
    ),
)


def asked_for(*flags: str) -> Experiment:
    values = make_flags()
    read_flags(values, ["lr_sweep", *flags])
    take_from_run("lr_sweep", values)
    return to_experiment("lr_sweep", values)


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """The folder of a run that has just begun to train."""
    asked = asked_for(*ZIPPED, f"--workdir={tmp_path / 'run'}")
    with open_run_folder(asked, Identity(asked)) as folder:
        folder.start()
    return folder.path


def trained(experiment: Experiment) -> Experiment:
    """All but how the run is kept and shown."""
    return dataclasses.replace(experiment, run=RunConfig())


@pytest.mark.parametrize(
    "spoil",
    [lambda _: None, lambda flags: flags.unlink(), lambda flags: flags.write_text("--learning_rate=0.2")],
    ids=["as it was left", "without flags.cfg", "with a changed flags.cfg"],
)
def test_a_run_is_resumed_by_its_folder_alone(begun: Path, spoil: Callable[[Path], None]) -> None:
    spoil(begun / "flags.cfg")
    resumed = asked_for(f"--workdir={begun}", "--resume")
    assert trained(resumed) == trained(asked_for(*ZIPPED))
    assert resumed.zip == (("learning_rate", "momentum"), ("l2_strength", "l1_strength"))


def test_what_is_given_counts(begun: Path) -> None:
    of_run, here = [f"--workdir={begun}", "--resume"], ["--seeds=3", "--report", "--max_minutes=5"]
    more = asked_for(*of_run, *here)
    assert (more.seeds, more.run.report, more.run.tensorboard, more.run.max_minutes) == (3, True, False, 5)
    assert asked_for(*of_run, *ZIPPED) == asked_for(*of_run)
    assert asked_for(f"--workdir={begun}") != asked_for(*of_run)  # nothing is taken unless it is asked for


def test_every_subject_of_the_help_has_an_example_that_is_accepted() -> None:
    assert set(EXAMPLES) == set(make_flags().flags_by_module_dict())
    for example in EXAMPLES.values():
        validate(asked_for(*example.split()))


def test_help_lists_what_may_be_given_and_is_as_wide_as_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert cli.main(lr_sweep.STUDY, ["lr_sweep", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 60 + len(max(EXAMPLES.values(), key=len))
    said = " ".join(" ".join(lines).split())
    for words in (
        *("log:1e-3:1:7", "One of sigmoid, tanh, softsign", "A finite number > 0. [0.1]", "One of auto, true, false."),
        *(f"--{name}: " for name in make_flags() if len(name) > 1 and name not in ("help", "helpshort")),
    ):
        assert words in said


@pytest.mark.parametrize("flag", ["-h", "-?", "--help", "--helpshort", "--version"])
def test_every_command_answers_what_is_asked_of_it(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    mains: list[tuple[Callable[[list[str]], int], str]] = [
        (partial(cli.main, lr_sweep.STUDY), "Which learning rate"),
        (report.main, "python -m jaxreg.report RUN"),
        (extract.main, "python -m jaxreg.extract RUN"),
    ]
    for main, words in mains:
        assert main(["", flag]) == 0
        assert ("jaxreg 0." if flag == "--version" else words) in capsys.readouterr().out


def test_a_run_of_another_experiment_and_no_run_are_refused_by_what_is_there(
    begun: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    another = dataclasses.replace(lr_sweep.STUDY, name="another")
    for study, folder, words in [
        (another, begun, "holds a run of lr_sweep, not of another"),
        (lr_sweep.STUDY, tmp_path / "none", "holds nothing to resume"),
    ]:
        assert cli.main(study, ["", f"--workdir={folder}", "--resume", "--dataset=moons"]) == 1
        assert words in capsys.readouterr().err


def test_an_interrupted_run_says_the_command_that_goes_on_and_it_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(lr_sweep.STUDY, ["", *ZIPPED, "--workdir=run", "--max_minutes=1e-9"]) == 75
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.endswith(f"; go on with: {resuming(tmp_path / 'run')}")
    going_on = [word for word in shlex.split(said.partition("go on with: ")[2]) if word.startswith("--")]
    assert going_on == ["--workdir=run", "--resume"]
    assert cli.main(lr_sweep.STUDY, ["", *going_on, "--max_minutes=0"]) == 0
    assert results.load(tmp_path / "run")["final_test_loss"].notnull().all()
