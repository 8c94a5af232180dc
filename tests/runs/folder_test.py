"""Who may use a run folder, what is left in it, and what is noted."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import resource
import shutil
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
from jaxreg.files import sha256_of_text, verified_json
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
    """meta.json without its digest."""
    return verified_json((workdir / "meta.json").read_text())


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
        "flags_sha256": sha256_of_text((workdir / "flags.cfg").read_text()),
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
        patch.setattr(os, "open", forbid)
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


PLACES = (
    *("checkpoints", "tensorboard", "figures", "profile"),
    *("flags.cfg", "meta.json", "results.nc", "log.txt", "report.html"),
)


@pytest.mark.parametrize("name", [*PLACES, ".lock", "checkpoints/000000000001/manifest.json"])
@pytest.mark.parametrize("kind", ["a link", "a pipe"])
def test_nothing_is_followed_out_of_the_folder(tmp_path: Path, name: str, kind: str) -> None:
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    write_run(run)
    elsewhere.mkdir()
    (elsewhere / "000000000009").mkdir()
    (elsewhere / "file").write_text((run / "meta.json").read_text())
    place = run / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    if kind == "a pipe":
        os.mkfifo(place)
    else:
        place.symlink_to(elsewhere if name in PLACES[:4] else elsewhere / "file")
    before = sorted(path.name for path in elsewhere.rglob("*"))
    for options in ({}, {"resume": True}, {"overwrite": True}):
        message = refusal(run, **options)
        assert message.startswith(f"{place}: is {kind}")
    with pytest.raises(RunFolderError, match=f"is {kind}"):
        runfolder.read_finished(run)
    assert sorted(path.name for path in elsewhere.rglob("*")) == before


def test_the_folder_itself_may_be_a_link_and_hold_links_of_the_users_own(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    (tmp_path / "link").symlink_to(tmp_path / "run")
    (tmp_path / "run" / "data").symlink_to(tmp_path)
    with opened(tmp_path / "link", resume=True) as folder:
        assert folder.finished
    assert runfolder.read_finished(tmp_path / "link")["status"] == "done"


def test_a_file_in_place_of_a_folder_and_the_other_way_round_are_refused(tmp_path: Path) -> None:
    write_run(tmp_path / "a")
    (tmp_path / "a" / "checkpoints").touch()
    assert "checkpoints: is a file" in refusal(tmp_path / "a", resume=True)
    write_run(tmp_path / "b")
    (tmp_path / "b" / "log.txt").unlink()
    (tmp_path / "b" / "log.txt").mkdir()
    assert "log.txt: is a folder" in refusal(tmp_path / "b", resume=True)


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"\xff\xfe", b"[]" * 50_000, b"[" * 100_000, "a value", "a digit of the digest"]
)
def test_a_damaged_meta_json_is_refused_in_one_line(tmp_path: Path, damage: bytes | str) -> None:
    write_run(tmp_path)
    path = tmp_path / "meta.json"
    match damage:
        case "a value":
            path.write_text(path.read_text().replace('"running"', '"done"').replace("lr_sweep", "lr_sweeq"))
        case "a digit of the digest":
            path.write_text(path.read_text().replace('"sha256": "', '"sha256": "0'))
        case bytes():
            path.write_bytes(damage)
    for options in ({}, {"resume": True}, {"overwrite": True}):
        assert refusal(tmp_path, **options).startswith(f"{path}: cannot be used (")
    with pytest.raises(RunFolderError, match=r"meta\.json: cannot be used"):
        runfolder.read_finished(tmp_path)


@pytest.mark.parametrize("damage", ["half", "not text", "missing"])
def test_damaged_flags_are_refused_and_written_anew(tmp_path: Path, damage: str) -> None:
    write_run(tmp_path)
    path, meta = tmp_path / "flags.cfg", read_meta(tmp_path)
    written = path.read_text()
    assert runfolder.read_flags(tmp_path, meta) == written
    match damage:
        case "half":
            path.write_text(written[: len(written) // 2])
        case "not text":
            path.write_bytes(b"\xff" + written.encode())
        case "missing":
            path.unlink()
    with pytest.raises(RunFolderError, match=r"flags\.cfg: cannot be used .*--resume writes it anew") as refused:
        runfolder.read_flags(tmp_path, runfolder.read_finished(tmp_path))
    assert "\n" not in str(refused.value)
    with opened(tmp_path, resume=True) as folder:
        folder.repair_flags()
    assert path.read_text() == written
    assert runfolder.read_flags(tmp_path, read_meta(tmp_path)) == written


def test_a_folder_that_was_being_deleted_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill in the middle of --overwrite leaves all of the old checkpoints or nothing under their name."""
    write_run(tmp_path)
    (tmp_path / "checkpoints" / "000000000001" / "state").mkdir(parents=True)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        with opened(tmp_path, overwrite=True) as folder:
            folder.start()
    assert not (tmp_path / "checkpoints").exists()
    with opened(tmp_path, resume=True, seeds=4) as folder:
        folder.start()
    assert not list(tmp_path.glob(".checkpoints*"))


def test_the_home_folder_is_where_a_tilde_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with opened(Path("~/run")) as folder:
        assert folder.path == tmp_path / "run"
    assert "no such home folder" in refusal(Path("~nobody_of_that_name/run"))


def test_names_that_are_not_text_and_too_few_open_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "its name is not UTF-8" in refusal(tmp_path / os.fsdecode(b"\xff"))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (24, 24))
    assert "ulimit -n 64" in refusal(tmp_path / "run")
    assert not names(tmp_path)


def test_a_log_that_cannot_be_written_is_no_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("jaxreg"), "propagate", False)  # pytest cannot hand the record on
    with opened(tmp_path) as folder:
        folder.start()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
        try:
            logging.getLogger("jaxreg").warning("nobody reads this %s", os.fsdecode(b"\xff"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "Traceback" not in capsys.readouterr().err
