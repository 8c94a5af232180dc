"""The command line through its real flags: refusals, exit codes, the run folder, kills and resumption."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from experiments import cli, lr_sweep
from experiments.catalogue import print_list
from jaxreg import results
from jaxreg.config.experiment import Experiment, RunConfig
from jaxreg.errors import Stopped
from jaxreg.runs.folder import open_run_folder
from jaxreg.runs.identity import Identity
from jaxreg.runs.interruption import Interruption
from jaxreg.runs.runner import Runner
from tests.training_run import assert_same_bits, assert_within_tolerance

ROOT = Path(__file__).parents[1]
SMALL = ("--hidden_sizes=4", "--num_steps=20", "--report=false", "--tensorboard=false")


def run(*flags: str) -> int:
    return cli.main(lr_sweep.STUDY, ["lr_sweep", *flags])


# Bad input


REFUSED = [
    # flag, value, what the line must say
    ("learning_rate", "-0.1", "> 0"),
    ("learning_rate", "0", "> 0"),
    ("learning_rate", "nan", "finite"),
    ("learning_rate", "inf", "finite"),
    ("learning_rate", "0.1,1e39", "finite"),
    ("learning_rate", "", "empty"),
    ("learning_rate", "0.1,,1", "empty"),
    ("learning_rate", "0.1,0.1", "twice"),
    ("learning_rate", "fast", "not a value"),
    ("learning_rate", "log:1e-3:1", "log:first:last:count"),
    ("learning_rate", "log:0:1:7", "> 0"),
    ("learning_rate", "lin:0:1:1", "two or more"),
    ("init_variance", "-1", ">= 0"),
    ("momentum", "1", "< 1"),
    ("weight_decay", "-1", ">= 0"),
    ("batch_size", "0", "from 1"),
    ("batch_size", "1198", "1197 examples"),
    ("batch_size", "1.5", "not a value"),
    ("num_steps", "3000000000", "2147483647"),
    ("hidden_sizes", "32x0", ">= 1"),
    ("activation", "relo", "did you mean relu"),
    ("init", "normel", "did you mean normal"),
    ("optimizer", "adm", "did you mean adam"),
    ("loss", "crossentropy", "did you mean cross_entropy"),
    ("schedule", "cosin", "did you mean cosine"),
    ("dataset", "digts", "did you mean digits"),
    ("downsample", "3", "3"),
    ("validation_size", "1500", "below"),
    ("seeds", "0", "from 1"),
    ("first_seed", "-1", "from 0"),
    ("first_seed", "4294967296", "4294967295"),
    ("base_seed", "4294967296", "4294967295"),
    ("zip", "learning_rate,learning_rate", "twice"),
    ("zip", "learning_rate,init_variance", "list"),
    ("zip", "learning_rate", "list"),
    ("zip", "learning_rates,momentum", "did you mean learning_rate"),
    ("eval_every", "-1", "from 0"),
    ("eval_every", "many", "whole number"),
    ("max_minutes", "nan", "finite"),
    ("progress", "maybe", "auto, true, false"),
    ("resume", "true", "--workdir"),
    ("seeds", "", "needs a value"),
    ("seeds", "2000000000", "members"),
    ("hidden_sizes", "3000000000", "GiB"),
    ("dataset", "", "needs a value"),
    ("downsample", "", "needs a value"),
    ("batch_size", "lin:1.5:5:3", "whole"),
    ("learning_rate", "lin:0.1:1:10000000000", "at most"),
    ("layout", "wide", "must give seeds:"),
]


@pytest.fixture
def _nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails a test in which training begins."""

    def forbidden(*_: Any) -> None:
        raise AssertionError("training began")

    monkeypatch.setattr(Runner, "run", forbidden)


@pytest.mark.usefixtures("_nothing_runs")
@pytest.mark.parametrize(("flag", "value", "words"), REFUSED, ids=[f"{flag}={value}" for flag, value, _ in REFUSED])
def test_bad_values_are_refused_in_one_line_before_anything_is_written(
    flag: str, value: str, words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(*SMALL, f"--{flag}={value}") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert f"--{flag}=" in err
    assert words in err
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("_nothing_runs")
def test_unequal_zips_unknown_flags_and_stray_words_are_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jaxreg.processes.host_memory_bytes", lambda: 2**33)
    for flags, words in [
        (
            ["--learning_rate=1,2", "--momentum=0,0.1,0.2", "--zip=learning_rate,momentum"],
            "learning_rate 2, momentum 3",
        ),
        (["--learning_rat=1"], "learning_rate"),
        (["0.1"], "flags begin with --"),
        (["--flagfile=missing.cfg"], "missing.cfg"),
        (["--resume", "--overwrite", "--workdir=x"], "--overwrite"),
        (["--diagnostics=yes"], "--diagnostics=yes: must be true or false"),
        (["--nodiagnostics=3"], "--nodiagnostics=3: takes no value"),
        (["--noreport=true"], "--noreport=true: takes no value"),
        (["--", "--seeds=3"], "--seeds=3: stands after --"),
        (["--seeds"], "--seeds: needs a value"),
        (
            ["--eval_every=1", "--num_steps=2147483647"],
            "--eval_every=1: 2147483648 checks of 1 member(s)",
        ),
        (["--record_every=1", "--num_steps=2147483647"], "--record_every=1: the losses of 2147483647 steps"),
    ]:
        assert run(*SMALL, *flags) == 1
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert words in err


@pytest.mark.usefixtures("_nothing_runs")
def test_a_set_that_cannot_be_had_says_what_to_do(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run("--dataset=mnist", f"--data_dir={tmp_path / 'missing'}") == 1
    assert "--data_dir" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_last_of_a_repeated_flag_wins_and_a_flagfile_can_be_overridden(tmp_path: Path) -> None:
    (tmp_path / "my.cfg").write_text("--learning_rate=0.1\n--seeds=3\n")
    assert run(*SMALL, "--flagfile=my.cfg", "--seeds=2", "--learning_rate=0.5", "--workdir=w") == 0
    written = (tmp_path / "w" / "flags.cfg").read_text().splitlines()
    assert {"--seeds=2", "--learning_rate=0.5"} <= set(written)


def test_a_dry_run_tells_what_it_would_take_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*SMALL, "--learning_rate=0.1,1", "--batch_size=10,20", "--seeds=2", "--dry_run") == 0
    first, *groups, all = capsys.readouterr().out.splitlines()
    assert first == "8 members: 4 settings x 2 seeds, 2 group(s)"
    assert re.fullmatch(r"all: about .*training \d.*; \d+ MiB of memory; .*", all)
    assert len(groups) == 2
    for line in groups:
        assert "2 settings x 2 seeds x 20 steps" in line
        assert "MiB" in line
        assert re.search(r"about \d+ s: (.*)", line)
        assert {part.split()[0] for part in line.rpartition(": ")[2].split(", ")} == {
            "training",
            "checks",
            "compilation",
        }
    assert not list(tmp_path.iterdir())


def test_help_is_grouped_by_subject(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    out = capsys.readouterr().out
    assert out.index("\nmodel") < out.index("--hidden_sizes: ") < out.index("\ntraining") < out.index("--batch_size: ")


# The run folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An axis that is traced and one that is static, with figures, report and TensorBoard."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    flags = ["--learning_rate=0.01,1", "--batch_size=10,100", "--seeds=3", "--hidden_sizes=4"]
    assert run("--dataset=digits", "--num_steps=40", f"--workdir={folder}", *flags) == 0
    return folder


def test_one_dataset_of_the_whole_grid_and_one_program_per_group(tmp_path: Path) -> None:
    flags = ["--learning_rate=log:1e-3:1:7", "--init_variance=0.01,0.1", "--batch_size=10,100", "--seeds=3"]
    assert run(*SMALL, "--dataset=digits", "--workdir=run", *flags) == 0
    dataset = results.load(tmp_path / "run")
    assert dict(dataset["final_test_loss"].sizes) == {
        "init_variance": 2,
        "learning_rate": 7,
        "batch_size": 2,
        "seed": 3,
    }
    meta = json.loads((tmp_path / "run" / "meta.json").read_text())
    assert (meta["train_compilations"], meta["members"], meta["finished"]) == (2, 84, 84)
    assert meta["status"] == "done"


def test_the_run_folder_holds_what_the_interface_names(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    expected = "flags.cfg meta.json results.nc summary.csv checkpoints tensorboard figures report.html log.txt"
    assert set(expected.split()) <= names
    keys = "experiment status command git versions device started ended members finished stopped diverged "
    keys += "train_compilations layout seconds member_steps_per_second peak_memory_bytes"
    assert set(keys.split()) <= set(json.loads((finished / "meta.json").read_text()))
    assert {path.suffix for path in (finished / "figures").iterdir()} == {".png", ".svg"}
    assert len((finished / "summary.csv").read_text().splitlines()) == 1 + 4


def test_flags_cfg_repeats_the_run(finished: Path, tmp_path: Path) -> None:
    assert run(f"--flagfile={finished / 'flags.cfg'}", "--workdir=again", "--report=false") == 0
    assert_same_bits(results.load(tmp_path / "again" / "results.nc"), results.load(finished / "results.nc"))


def test_a_finished_run_resumed_says_so(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (finished / "results.nc").stat().st_mtime_ns
    assert run(f"--flagfile={finished / 'flags.cfg'}", f"--workdir={finished}", "--resume") == 0
    assert "nothing is left to do" in capsys.readouterr().err
    assert (finished / "results.nc").stat().st_mtime_ns == before


@pytest.mark.usefixtures("_nothing_runs")
def test_an_existing_folder_is_refused_unless_asked_for(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    same = [f"--flagfile={finished / 'flags.cfg'}", f"--workdir={finished}"]
    for flags, words in [
        ([], "--resume"),
        (["--seeds=2", "--resume"], "--seeds=3 there, 2 here"),
        (["--seeds=4"], "--seeds=3 there, 4 here"),
    ]:
        assert run(*same, *flags) == 1
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert words in err


@pytest.mark.usefixtures("_nothing_runs")
def test_a_folder_of_something_else_and_a_file_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    (tmp_path / "file").write_text("")
    for workdir in ("mine", "file"):
        for flags in ([], ["--overwrite"], ["--resume"]):
            assert run(*SMALL, f"--workdir={workdir}", *flags) == 1
            assert capsys.readouterr().err.count("\n") == 1
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_diverging_members_are_counted_and_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rates = ["--activation=relu", "--hidden_sizes=32x32x32", "--learning_rate=0.01,1e6", "--seeds=2"]
    assert run(*SMALL, *rates, "--workdir=w") == 0
    assert "2 of 2 diverged" in " ".join(capsys.readouterr().out.split())
    meta = json.loads((tmp_path / "w" / "meta.json").read_text())
    assert (meta["finished"], meta["diverged"]) == (2, 2)


# Stopping and going on; of runs that are killed, in faults_test.py

LONG = (
    *("--learning_rate=0.01,0.1,1", "--batch_size=10,20", "--seeds=2", "--hidden_sizes=8"),
    *("--num_steps=720", "--eval_every=120", "--checkpoint_every=60", "--report=false", "--tensorboard=false"),
)


def test_signals_after_the_last_step_and_while_drawing_leave_a_run_that_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags, train = [*SMALL, "--report=true", "--workdir=run"], Runner.run

    def status() -> str:
        return str(json.loads((tmp_path / "run" / "meta.json").read_text())["status"])

    def train_and_hang_up(*args: Any) -> None:
        train(*args)
        os.kill(os.getpid(), signal.SIGHUP)

    with monkeypatch.context() as patch:
        patch.setattr(Runner, "run", train_and_hang_up)
        assert run(*flags) == 129
    assert status() == "interrupted"
    assert not (tmp_path / "run" / "results.nc").exists()

    def draw(*_: Any, **_named: Any) -> None:
        os.kill(os.getpid(), signal.SIGUSR1)  # nothing is lost: it is ignored
        os.kill(os.getpid(), signal.SIGTERM)
        for _moment in range(1000):  # a thread of XLA's may have got it, which pause() would not be woken by
            time.sleep(0.01)

    monkeypatch.setattr("jaxreg.reporting.assemble.write_report", draw)
    assert run(*flags, "--resume") == 143
    assert status() == "interrupted"
    monkeypatch.setattr("jaxreg.reporting.assemble.write_report", lambda *_, **_named: None)
    assert run(*flags, "--resume") == 0
    assert status() == "done"
    assert results.load(tmp_path / "run")["final_test_loss"].notnull().all()


def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_it_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [*SMALL, "--learning_rate=0.1,1", "--checkpoint_every=5"]
    assert run(*flags, "--workdir=uninterrupted") == 0

    def leave_at_15(_: Interruption, position: Any) -> None:
        if position.step == 15:
            raise Stopped("for the test", 143)

    with monkeypatch.context() as patch:
        patch.setattr(Interruption, "at", leave_at_15)
        assert run(*flags, "--workdir=run") == 143
    newest = max((tmp_path / "run" / "checkpoints").glob("0*"))
    assert newest.name.endswith("15")
    flip_one_bit(max((newest / "state").rglob("*"), key=lambda path: path.stat().st_size))
    capsys.readouterr()
    assert run(*flags, "--workdir=run", "--resume") == 0
    err = capsys.readouterr().err
    assert "set aside" in err
    assert "going on from the checkpoint at step 10" in err
    assert_same_bits(*(results.load(tmp_path / name / "results.nc") for name in ("run", "uninterrupted")))


def flip_one_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(bytes(content))


def test_added_seeds_train_alone_and_join_the_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [*SMALL, "--learning_rate=0.1,1", "--batch_size=10,20", "--tensorboard=true", "--eval_every=5"]
    assert run(*flags, "--seeds=2", "--workdir=run") == 0
    before = results.load(tmp_path / "run")
    capsys.readouterr()

    def leave_in_the_second_group(_: Interruption, position: Any) -> None:
        if position.group == 1:
            raise Stopped("for the test", 143)

    with monkeypatch.context() as patch:
        patch.setattr(Interruption, "at", leave_in_the_second_group)
        assert run(*flags, "--seeds=5", "--workdir=run", "--resume") == 143
    assert "2 settings x 3 seeds" in capsys.readouterr().err
    assert_same_bits(results.load(tmp_path / "run"), before)
    assert run(*flags, "--seeds=5", "--workdir=run", "--resume") == 0

    grown = results.load(tmp_path / "run")
    assert grown["seed"].values.tolist() == [0, 1, 2, 3, 4]
    assert_same_bits(grown.isel(seed=slice(2)), before)
    assert run(*flags, "--seeds=5", "--workdir=uninterrupted") == 0
    uninterrupted = results.load(tmp_path / "uninterrupted")
    assert_within_tolerance(grown, uninterrupted)
    assert {name: grown[name].dims for name in grown.variables} == {
        name: uninterrupted[name].dims for name in uninterrupted.variables
    }
    meta = json.loads((tmp_path / "run" / "meta.json").read_text())
    assert (meta["status"], meta["members"], meta["finished"]) == ("done", 20, 20)
    assert meta["seconds"]["train"] >= float(before["seconds"].max())
    assert "--seeds=5" in (tmp_path / "run" / "flags.cfg").read_text()
    assert len(meta["sessions"]) == 3
    assert all(session["command"] and session["ended"] for session in meta["sessions"])


def test_seeds_whose_last_checkpoint_was_lost_are_trained_again_when_others_are_added(tmp_path: Path) -> None:
    flags = [*SMALL, "--checkpoint_every=10"]
    assert run(*flags, "--seeds=2", "--workdir=run") == 0
    before = results.load(tmp_path / "run")
    shutil.rmtree(max((tmp_path / "run" / "checkpoints").glob("0*")))
    assert run(*flags, "--seeds=3", "--workdir=run", "--resume") == 0
    assert_same_bits(results.load(tmp_path / "run").isel(seed=slice(2)), before)


def test_a_report_of_fewer_seeds_does_not_outlive_them(tmp_path: Path) -> None:
    assert run(*SMALL, "--report=true", "--seeds=2", "--workdir=run") == 0
    assert run(*SMALL, "--seeds=3", "--workdir=run", "--resume") == 0
    assert not (tmp_path / "run" / "report.html").exists()
    assert run(*SMALL, "--seeds=3", "--workdir=run", "--resume", "--report=true") == 0
    assert "3 seeds" in (tmp_path / "run" / "report.html").read_text()


def test_the_time_limit_stops_resumably(tmp_path: Path) -> None:
    assert run(*LONG, "--max_minutes=0.0001", "--workdir=run") == 75
    assert json.loads((tmp_path / "run" / "meta.json").read_text())["status"] == "interrupted"
    assert list((tmp_path / "run" / "checkpoints").glob("0*/manifest.json"))


def test_a_run_in_use_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = Experiment("lr_sweep", run=RunConfig(workdir=str(tmp_path / "run")))
    with open_run_folder(asked, Identity(asked)):
        assert run(*SMALL, "--workdir=run") == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "in use" in err


def test_a_full_disk_ends_in_order_with_the_last_good_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from jaxreg.runs.checkpoints import arrays
    from jaxreg.runs.checkpoints import store as checkpoints

    write = arrays.write_arrays
    calls: list[int] = []

    def full(*args: Any) -> None:
        calls.append(1)
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        write(*args)

    monkeypatch.setattr(checkpoints, "write_arrays", full)
    assert run(*SMALL, "--checkpoint_every=5", "--workdir=run") == 1
    err = capsys.readouterr().err
    assert "the last good one is step 5" in err
    assert json.loads((tmp_path / "run" / "meta.json").read_text())["status"] == "failed"
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert run(*SMALL, "--checkpoint_every=5", "--workdir=run", "--resume") == 0


def test_a_disk_that_is_full_at_the_end_is_one_line_and_the_run_can_be_resumed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(results, "save", full)
        assert run(*SMALL, "--workdir=run") == 1
    err = capsys.readouterr().err
    assert "No space left on device" in err
    assert "--resume" in err
    assert run(*SMALL, "--workdir=run", "--resume") == 0
    assert "compiled" not in capsys.readouterr().err  # the last checkpoint holds all of it


def test_a_foreign_checkpoint_is_refused_and_nothing_touched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, rate in (("a", "0.1"), ("b", "0.2")):
        assert (
            run(*SMALL, f"--learning_rate={rate}", "--max_minutes=1e-9", "--num_steps=4000", f"--workdir={name}") == 75
        )
    shutil.rmtree(tmp_path / "b" / "checkpoints")
    shutil.copytree(tmp_path / "a" / "checkpoints", tmp_path / "b" / "checkpoints")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "b").rglob("*") if path.is_file()}
    capsys.readouterr()
    assert run(*SMALL, "--learning_rate=0.2", "--num_steps=4000", "--workdir=b", "--resume") == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "another configuration" in err
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "b").rglob("*") if path.is_file()}


def test_a_report_left_out_can_be_had_later(tmp_path: Path) -> None:
    assert run(*SMALL, "--workdir=run") == 0
    assert not (tmp_path / "run" / "report.html").exists()
    assert run(*SMALL, "--workdir=run", "--resume", "--report=true") == 0
    assert (tmp_path / "run" / "report.html").exists()


def test_the_list_of_experiments_names_each_with_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert print_list() == 0
    out = capsys.readouterr().out
    assert "lr_sweep" in out
    assert "Which learning rate" in out
