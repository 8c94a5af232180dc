"""Who may use a run folder, what is left in it, and what is noted."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from jaxreg.config.experiment import Experiment, RunConfig
from jaxreg.config.flagfile import experiment_from_flags
from jaxreg.config.hparams import Hparams
from jaxreg.errors import RunFolderError, Stopped
from jaxreg.runs import folder as runfolder
from jaxreg.runs.folder import RunFolder, default_workdir, open_run_folder
from jaxreg.runs.identity import Identity

RUN = Experiment("lr_sweep", Hparams(learning_rate=0.2), seeds=3)


def opened(
    workdir: Path | None,
    asked: Experiment = RUN,
    own: Mapping[str, str] | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    **changed: Any,
) -> RunFolder:
    settings = RunConfig(None if workdir is None else str(workdir), resume, overwrite)
    experiment = dataclasses.replace(asked, run=settings, **changed)
    return open_run_folder(experiment, Identity(experiment, own=own))


def write_run(workdir: Path, error: BaseException | None = None, **options: Any) -> None:
    """A run that writes a result and ends, in order or by `error`."""
    with contextlib.suppress(type(error or KeyError())), opened(workdir, **options) as folder:
        folder.start()
        (folder.path / "results.nc").write_text("results")
        if error:
            raise error


def read_meta(workdir: Path) -> dict[str, Any]:
    meta: dict[str, Any] = json.loads((workdir / "meta.json").read_text())
    return meta


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def refusal(*arguments: Any, **options: Any) -> str:
    with pytest.raises(RunFolderError) as refused:
        opened(*arguments, **options)
    message = str(refused.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("made", [False, True])
def test_fresh_run(tmp_path: Path, made: bool) -> None:
    workdir = tmp_path / "a" / "run"
    if made:
        workdir.mkdir(parents=True)
    with opened(workdir) as folder:
        assert not folder.resumed
        assert names(workdir) == {".lock"}
        folder.start(command="python -m experiments.lr_sweep")
        assert read_meta(workdir)["status"] == "running"
        folder.update(members=21, loss=float("nan"))
    meta = read_meta(workdir)
    started, ended = meta.pop("started"), meta.pop("ended")
    assert started <= ended
    assert started.endswith("Z")
    assert meta == {
        "experiment": "lr_sweep",
        "configuration": Identity(RUN).configuration,
        "identity": Identity(RUN).record(),
        "parts": [[0, 3]],
        "sessions": [
            {"command": "python -m experiments.lr_sweep", "git": None, "started": started, "ended": ended},
        ],
        "command": "python -m experiments.lr_sweep",
        "status": "done",
        "members": 21,
        "loss": None,
    }
    assert experiment_from_flags((workdir / "flags.cfg").read_text(), "lr_sweep") == RUN
    assert names(workdir) == {".lock", "meta.json", "flags.cfg", "log.txt"}


@pytest.mark.parametrize(
    ("error", "status"),
    [(None, "done"), (Stopped("", 75), "interrupted"), (KeyboardInterrupt(), "interrupted"), (OSError(), "failed")],
)
def test_status_at_the_end(tmp_path: Path, error: BaseException | None, status: str) -> None:
    write_run(tmp_path / "run", error)
    assert read_meta(tmp_path / "run")["status"] == status


@pytest.mark.parametrize("made", [False, True])
def test_failure_before_training_leaves_no_trace(tmp_path: Path, made: bool) -> None:
    workdir = tmp_path / "a" / "run"
    if made:
        workdir.mkdir(parents=True)
    with pytest.raises(KeyError), opened(workdir):
        raise KeyError
    assert names(tmp_path) == ({"a"} if made else set())
    assert not made or not names(workdir)


def test_failure_before_training_spares_what_overwrite_would_delete(tmp_path: Path) -> None:
    write_run(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(KeyError), opened(tmp_path, overwrite=True):
        raise KeyError
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_seeds_are_added_to_a_finished_run_part_by_part(tmp_path: Path) -> None:
    write_run(tmp_path)
    for total, parts in [(5, [(0, 3), (3, 2)]), (9, [(0, 3), (3, 2), (5, 4)])]:
        for interrupted in (True, False):
            with contextlib.suppress(KeyError), opened(tmp_path, resume=True, seeds=total) as folder:
                assert (folder.resumed, folder.finished) == (True, False)
                assert folder.parts == parts
                folder.start()
                if interrupted:
                    raise KeyError
        with opened(tmp_path, resume=True, seeds=total) as folder:
            assert folder.finished


def test_seeds_are_not_added_unasked_nor_to_an_unfinished_run_nor_taken_away(tmp_path: Path) -> None:
    write_run(tmp_path, KeyError())
    assert "finished" in refusal(tmp_path, resume=True, seeds=5)
    assert "--seeds=3 first" in refusal(tmp_path, resume=True, seeds=5)
    opened(tmp_path, resume=True).__exit__(None, None, None)
    assert "--resume to add the seeds" in refusal(tmp_path, seeds=5)
    for resume in (False, True):
        assert "--seeds=3 there, 2 here" in refusal(tmp_path, seeds=2, resume=resume)


def test_in_use(tmp_path: Path) -> None:
    with opened(tmp_path / "run") as folder:
        for options in ({}, {"resume": True}, {"overwrite": True}):
            assert "in use" in refusal(folder.path, **options)
        folder.start()
        for options in ({}, {"resume": True}, {"overwrite": True}):
            assert "in use" in refusal(folder.path, **options)
    opened(folder.path, resume=True).__exit__(None, None, None)


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    script = (
        "import os, sys; from jaxreg.runs.folder import open_run_folder; from jaxreg.runs.identity import Identity\n"
        "from jaxreg.config import Experiment, Hparams, RunConfig\n"
        "run = Experiment('lr_sweep', Hparams(learning_rate=0.2), seeds=3, run=RunConfig(sys.argv[1]))\n"
        "open_run_folder(run, Identity(run)).start(); os._exit(9)"
    )
    child = subprocess.run([sys.executable, "-c", script, str(tmp_path)], timeout=120, check=False)
    assert child.returncode == 9
    assert read_meta(tmp_path)["status"] == "running"
    with opened(tmp_path, resume=True) as folder:
        assert folder.resumed
        assert not folder.finished


@pytest.mark.parametrize("options", [{}, {"resume": True}, {"overwrite": True}])
@pytest.mark.parametrize("stranger", ["thesis.tex", "meta.json", "checkpoints/9"])
def test_a_folder_of_something_else_is_never_touched(tmp_path: Path, stranger: str, options: dict[str, bool]) -> None:
    (tmp_path / stranger).parent.mkdir(exist_ok=True)
    (tmp_path / stranger).write_text('{"status": "mine"}')
    assert stranger.partition("/")[0] in refusal(tmp_path, **options)
    assert names(tmp_path) == {stranger.partition("/")[0]}
    assert (tmp_path / stranger).read_text() == '{"status": "mine"}'


def test_same_configuration_needs_a_word(tmp_path: Path) -> None:
    write_run(tmp_path, OSError())
    message = refusal(tmp_path)
    assert "status failed" in message
    assert "--resume" in message
    assert "--overwrite" in message


@pytest.mark.parametrize("resume", [False, True])
def test_another_configuration_is_shown(tmp_path: Path, resume: bool) -> None:
    write_run(tmp_path)
    message = refusal(tmp_path, hparams=Hparams(learning_rate=0.3), resume=resume)
    assert "(--learning_rate=0.2 there, 0.3 here)" in message
    assert "--overwrite" in message
    assert "(model of your own only here)" in refusal(tmp_path, own={"model": "a digest"}, resume=resume)
    assert "a run of lr_sweep, not of batch_size" in refusal(tmp_path, name="batch_size", resume=resume)
    many = dict.fromkeys(("first_seed", "base_seed", "eval_every", "record_every", "members_per_program"), 1)
    other = refusal(tmp_path, **many, hparams=Hparams(), resume=resume)
    assert other.count(" there, ") == 5
    assert "; 1 more)" in other


def test_a_run_from_before_a_flag_was_added_is_resumed_under_its_own_hash(tmp_path: Path) -> None:
    """Such a run knows no `identity`, and lacks the flag in flags.cfg and in its hash, which its checkpoints carry."""
    write_run(tmp_path)
    lines = [line for line in (tmp_path / "flags.cfg").read_text().splitlines() if "--momentum=" not in line]
    shown = {field.name for field in dataclasses.fields(RunConfig)} | {"seeds"}
    compared = [line for line in lines if line[2:].partition("=")[0] not in shown]
    configuration = hashlib.sha256("\n".join(compared).encode()).hexdigest()
    meta = read_meta(tmp_path) | {"configuration": configuration}
    del meta["identity"]
    (tmp_path / "flags.cfg").write_text("\n".join(lines))
    (tmp_path / "meta.json").write_text(json.dumps(meta))

    changed = Hparams(learning_rate=0.2, momentum=0.5)
    assert "(--momentum=0 there, 0.5 here)" in refusal(tmp_path, hparams=changed, resume=True)
    for total in (5, 7):  # the second time it has an identity of its own
        with opened(tmp_path, resume=True, seeds=total) as folder:
            assert folder.configuration == configuration
            folder.start()
        assert read_meta(tmp_path)["configuration"] == configuration
        assert "(--momentum=0 there, 0.5 here)" in refusal(tmp_path, hparams=changed, resume=True, seeds=total)


def test_resume(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_run(tmp_path, Stopped("", 75))
    before = read_meta(tmp_path)
    with caplog.at_level(logging.INFO, "jaxreg"), opened(tmp_path, resume=True) as folder:
        assert folder.resumed
        assert not folder.finished
        folder.start()
        assert "training starts from the beginning" in caplog.text
        first, second = (now := read_meta(tmp_path)).pop("sessions")
        assert [first] == before.pop("sessions")
        assert second["started"] >= first["ended"]
        assert second["ended"] is None
        assert now == before | {"status": "running", "ended": None}
    assert (tmp_path / "results.nc").exists()
    with opened(tmp_path, resume=True) as folder:
        assert folder.finished
    assert read_meta(tmp_path)["status"] == "done"


def test_nothing_to_resume(tmp_path: Path) -> None:
    assert "nothing to resume" in refusal(tmp_path, resume=True)
    assert "nothing to resume" in refusal(tmp_path / "missing", resume=True)
    assert "needs --workdir" in refusal(None, resume=True)
    assert "one of them" in refusal(tmp_path, resume=True, overwrite=True)
    assert not names(tmp_path)


def test_overwrite_deletes_what_a_run_writes_and_no_more(tmp_path: Path) -> None:
    write_run(tmp_path)
    (tmp_path / "checkpoints" / "000000000001").mkdir(parents=True)
    (tmp_path / "notes.txt").write_text("mine")
    with opened(tmp_path, eval_every=7, overwrite=True) as folder:
        assert not folder.resumed
        folder.start()
        assert names(tmp_path) == {".lock", "meta.json", "flags.cfg", "log.txt", "notes.txt"}
    assert read_meta(tmp_path)["identity"]["flags"]["eval_every"] == "7"


def test_unusable_workdirs_are_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    assert "is a file" in refusal(tmp_path / "file")
    assert "not a directory" in refusal(tmp_path / "file" / "run")
    assert "file exists" in refusal(tmp_path / "nowhere")

    def forbid(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:  # permissions do not bind root
        patch.setattr(Path, "open", forbid)
        assert "permission denied" in refusal(tmp_path / "a" / "run")
    assert names(tmp_path) == {"file", "nowhere"}


def test_log_holds_what_was_said_before_and_after_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("jaxreg")
    handlers = list(log.handlers)
    with caplog.at_level(logging.INFO, "jaxreg"), opened(tmp_path) as folder:
        log.info("before")
        folder.start()
        log.warning("after")
    log.warning("too late")
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert [line.partition(" ")[2] for line in lines] == ["INFO before", "WARNING after"]
    assert log.handlers == handlers


def test_default_workdir_never_collides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runfolder, "utc_stamp", lambda: "2031-05-28T09:30:00Z")
    assert default_workdir("lr_sweep") == Path("runs/lr_sweep/20310528T093000Z")
    with opened(None) as first, opened(None) as second:
        assert first.path == tmp_path / "runs/lr_sweep/20310528T093000Z"
        assert second.path.name == "20310528T093000Z-2"
    # Another run makes the folder between the choice of its name and the making of it.
    taken = iter([tmp_path / "taken", tmp_path / "free"])
    (tmp_path / "taken").mkdir()
    monkeypatch.setattr(runfolder, "default_workdir", lambda _: next(taken))
    with opened(None) as third:
        assert third.path == tmp_path / "free"
    assert names(tmp_path) == {"taken"}
