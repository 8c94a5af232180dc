"""Parts of a sweep, trained one by one and joined, against the sweep trained by one command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import jaxreg
from experiments import cli, lr_sweep
from jaxreg import join, report, results
from jaxreg.config.experiment import Experiment
from jaxreg.errors import ConfigError
from jaxreg.results.members import load_member
from jaxreg.runs.identity import flag_differences
from tests.training_run import assert_same_bits, assert_within_tolerance

FLAGS = (
    "--dataset=digits",
    "--hidden_sizes=4",
    "--learning_rate=0.1,1",
    "--seeds=8",
    "--num_steps=12",
    "--eval_every=4",
)
PARTS = 16
ALONE = "--members_per_program=1"  # as wide as a part of one member


def train(run: Path, *flags: str) -> int:
    quiet = ("--report=false", "--tensorboard=false", "--quiet")
    return cli.main(lr_sweep.STUDY, ["lr_sweep", f"--workdir={run}", *FLAGS, *quiet, *flags])


def join_parts(parts: list[Path], run: Path, *flags: str) -> int:
    return join.main(["join", *map(str, parts), f"--workdir={run}", "--report=false", "--tensorboard=false", *flags])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sweep")


@pytest.fixture(scope="module")
def parts(folder: Path) -> list[Path]:
    """Sixteen parts of one member each; the third was stopped on its way and went on."""
    found = [folder / f"part{k}" for k in range(1, PARTS + 1)]
    for k, part in enumerate(found, 1):
        if k == 3:
            assert train(part, ALONE, f"--part={k}/{PARTS}", "--max_minutes=1e-9") == 75
            assert train(part, ALONE, f"--part={k}/{PARTS}", "--resume", "--max_minutes=0") == 0
        else:
            assert train(part, ALONE, f"--part={k}/{PARTS}") == 0
    return found


@pytest.fixture(scope="module")
def whole(folder: Path) -> Path:
    assert train(folder / "whole", ALONE) == 0
    return folder / "whole"


@pytest.fixture(scope="module")
def joined(folder: Path, parts: list[Path]) -> Path:
    assert join_parts(parts, folder / "joined") == 0
    return folder / "joined"


def refusal(parts: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert join_parts(parts, tmp_path / "joined") == 1
    assert not (tmp_path / "joined").exists()
    said = capsys.readouterr().err.strip()
    assert "\n" not in said
    return said


def test_sixteen_parts_are_the_whole_bit_for_bit(joined: Path, whole: Path) -> None:
    assert_same_bits(results.load(joined), results.load(whole))
    for seed in (0, 5):
        ours, theirs = (load_member(run, {"learning_rate": 1, "seed": seed}) for run in (joined, whole))
        jax.tree.map(np.testing.assert_array_equal, ours.params, theirs.params)
        jax.tree.map(np.testing.assert_array_equal, ours.best_params, theirs.best_params)
        assert ours.exact
        assert not flag_differences(ours.flags, theirs.flags)


def test_the_joined_run_says_where_its_parts_were_trained(joined: Path, parts: list[Path], whole: Path) -> None:
    meta, of_whole = (json.loads((run / "meta.json").read_text()) for run in (joined, whole))
    assert [entry["part"] for entry in meta["joined"]] == [f"{k}/16" for k in range(1, 17)]
    assert [entry["folder"] for entry in meta["joined"]] == [str(part) for part in parts]
    assert meta["status"] == "done"
    assert meta["layout"] == of_whole["layout"]
    assert meta["members"] == of_whole["members"] == 16
    assert not flag_differences((joined / "flags.cfg").read_text(), (whole / "flags.cfg").read_text())
    seconds = [json.loads((part / "meta.json").read_text())["seconds"]["train"] for part in parts]
    assert meta["seconds"]["train"] == pytest.approx(sum(seconds))


def test_seeds_can_be_added_to_a_joined_run(joined: Path, whole: Path, tmp_path: Path) -> None:
    for run, copy in ((joined, tmp_path / "joined"), (whole, tmp_path / "whole")):
        shutil.copytree(run, copy)
        assert train(copy, ALONE, "--resume", "--seeds=9") == 0
    assert_same_bits(results.load(tmp_path / "joined"), results.load(tmp_path / "whole"))


def test_a_join_that_was_cut_off_is_made_again(
    joined: Path, parts: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "again"
    with monkeypatch.context() as patch:
        patch.setattr(results, "save", fail)
        assert join_parts(parts, run) == 1
    assert "free some space or repair the folder, then go on with --resume" in capsys.readouterr().err
    assert join_parts(parts, run) == 1
    assert "--overwrite to delete it" in capsys.readouterr().err
    assert train(run, ALONE, "--resume") == 0  # its checkpoint is that of the end
    assert_same_bits(results.load(run), results.load(joined))
    assert join_parts(parts, run, "--overwrite") == 0
    assert_same_bits(results.load(run), results.load(joined))


def fail(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_part_by_itself_has_no_results(parts: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert not (parts[0] / "results.nc").exists()
    assert report.main(["report", str(parts[0])]) == 1
    assert "is part 1/16 of a sweep and has no results by itself; join all parts" in capsys.readouterr().err
    assert train(parts[0], ALONE, "--part=1/16", "--resume") == 0
    assert train(parts[0], ALONE, "--part=2/16", "--resume") == 1
    assert "--part=1/16 there, 2/16 here" in capsys.readouterr().err
    assert train(parts[0], ALONE, "--part=1/16", "--resume", "--seeds=9") == 1
    assert "--seeds=8 there, 9 here" in capsys.readouterr().err


def test_a_missing_part_is_named(parts: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal([*parts[:4], *parts[5:15]], tmp_path, capsys)
    assert said == "of the 16 parts of this sweep 2 are missing: 5, 16; give all"


def test_a_part_given_twice_is_named(parts: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(parts[1], tmp_path / "again")
    said = refusal([*parts, tmp_path / "again"], tmp_path, capsys)
    assert said == f"{tmp_path / 'again'}: is part 2/16, as is {parts[1]}; give each part once"


@pytest.mark.parametrize(
    ("flags", "difference"),
    [
        (["--part=4/16", "--momentum=0.5"], "--momentum=0 there, 0.5 here"),
        (["--part=4/8"], "divided into 16 there, 8 here"),
        (["--part=4/16", "--seeds=9"], "--seeds=8 there, 9 here"),
    ],
)
def test_a_part_of_another_sweep_is_named(
    flags: list[str], difference: str, parts: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = tmp_path / "foreign"
    assert train(foreign, ALONE, *flags) == 0
    said = refusal([*parts[:3], foreign, *parts[4:]], tmp_path, capsys)
    assert said.startswith(f"{foreign}: is part of another sweep than {parts[0]} (")
    assert difference in said


def test_a_half_finished_part_is_named(parts: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    half = tmp_path / "half"
    assert train(half, ALONE, "--part=4/16", "--max_minutes=1e-9") == 75
    said = refusal([*parts[:3], half, *parts[4:]], tmp_path, capsys)
    assert said == f"{half}: part 4/16 is not finished (status interrupted); go on with --workdir={half} --resume"


def test_a_damaged_part_is_named(parts: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(parts[3], damaged)
    for manifest in damaged.glob("checkpoints/*/manifest.json"):
        manifest.write_text("{}")
    assert str(damaged) in refusal([*parts[:3], damaged, *parts[4:]], tmp_path, capsys)


def test_a_whole_run_is_no_part(
    parts: list[Path], whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refusal([*parts, whole], tmp_path, capsys).startswith(f"{whole}: is a whole run; give the folders of runs")
    assert "is no run folder" in refusal([*parts, tmp_path], tmp_path, capsys)
    assert "no part given" in refusal([], tmp_path, capsys)


def test_parts_of_unequal_machines_are_joined_and_said_to_be_unlike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train(tmp_path / "whole") == 0
    assert train(tmp_path / "1", "--part=1/2") == 0
    with monkeypatch.context() as patch:
        patch.setattr(jax, "devices", lambda: jax.local_devices()[:1])
        assert train(tmp_path / "2", "--part=2/2") == 0
    assert join_parts([tmp_path / "1", tmp_path / "2"], tmp_path / "joined") == 0
    assert_within_tolerance(results.load(tmp_path / "joined"), results.load(tmp_path / "whole"))
    assert "laid out differently" in load_member(tmp_path / "joined", {"learning_rate": 1, "seed": 7}).changes


def test_groups_halted_members_and_the_first_seed_are_put_in_their_places(tmp_path: Path) -> None:
    flags: list[str] = ["--dataset=moons", "--hidden_sizes=3,4", "--patience=1", "--seeds=3", "--surfaces", ALONE]
    assert train(tmp_path / "whole", *flags) == 0
    for k in range(1, 7):
        assert train(tmp_path / f"{k}", *flags, f"--part={k}/6") == 0
    assert join_parts([tmp_path / f"{k}" for k in range(1, 7)], tmp_path / "joined") == 0
    assert_same_bits(results.load(tmp_path / "joined"), results.load(tmp_path / "whole"))


def test_python_has_no_parts() -> None:
    with pytest.raises(ConfigError, match="--part=1/2: is for the command line"):
        jaxreg.run(Experiment(part="1/2"))


def test_data_that_are_not_those_of_the_parts_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "own.npz"

    def write(seed: int) -> None:
        rng: Any = np.random.default_rng(seed)
        np.savez(file, x=rng.normal(size=(60, 4)), y=np.arange(60) % 3)

    write(0)
    for k in (1, 2):
        assert train(tmp_path / f"{k}", f"--dataset={file}", "--batch_size=10", f"--part={k}/2") == 0
    write(1)
    said = refusal([tmp_path / "1", tmp_path / "2"], tmp_path, capsys)
    assert "holds other data than the parts were trained on" in said
