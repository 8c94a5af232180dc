"""Members taken out of real runs: trained alone, loaded, refused."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from experiments import cli, lr_sweep
from jaxreg import extract, results
from jaxreg.config import DataConfig, Hparams
from jaxreg.config.flagfile import experiment_from_flags
from jaxreg.data import load
from jaxreg.errors import CheckpointError, ConfigError, RunFolderError
from jaxreg.files import verified_json
from jaxreg.measures.tidy import to_frame
from jaxreg.nn.trees import Params
from jaxreg.results import members
from jaxreg.training.member import evaluate
from jaxreg.training.models import mlp
from jaxreg.training.problem import Problem
from tests.compiling import compilation_as_users_have_it, quick_compilation
from tests.training_run import assert_same_bits

QUIET = ("--report=false", "--tensorboard=false", "--progress=false")
SMALL = ("--hidden_sizes=5", "--batch_size=40", "--num_epochs=1")  # 30 steps
DIGITS = load(DataConfig())
Train = Callable[..., Path]

SIDE_BY_SIDE = "seeds:2,configs:3,devices:1,split:seeds,tile_seeds:2,tile_configs:3,"
SIDE_BY_SIDE += "chunk_steps:2,eval_seeds:2,eval_block:100,terms:none"

# flags of a sweep, and one of its members
SWEEPS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "settings over devices, in blocks, zipped": (
        (
            *("--optimizer=momentum", "--learning_rate=log:0.1:1:3", "--momentum=0.9,0.5,0", "--init_variance=0,0.1"),
            *("--zip=learning_rate,momentum", "--members_per_program=4", "--first_seed=7"),
        ),
        {"learning_rate": 0.316228, "init_variance": "0.1"},
    ),
    "seeds over devices, in blocks": (
        ("--learning_rate=0.01,0.1,1", "--seeds=5", "--members_per_program=6"),
        {"learning_rate": 0.1, "seed": 3},
    ),
    "seeds side by side": (
        ("--learning_rate=0.01,0.1,1", "--seeds=3", f"--layout={SIDE_BY_SIDE}"),
        {"learning_rate": "1", "seed": "1"},
    ),
    "stopped by patience, beside one that is not": (
        ("--learning_rate=0.1,4,8", "--seeds=2", "--patience=2", "--eval_every=3", "--nocompaction"),
        {"learning_rate": 8, "seed": 1},
    ),
    "groups of other lengths": (
        (
            *("--hidden_sizes=none,6x4", "--batch_size=20,50", "--zip=hidden_sizes,batch_size"),
            *("--init=torch", "--optimizer=adam", "--record_every=3"),
        ),
        {"hidden_sizes": (6, 4)},
    ),
}
MORE = ("seeds side by side", "stopped by patience, beside one that is not")  # tested with -m slow
sweeps = pytest.mark.parametrize(
    "sweep", [pytest.param(name, marks=pytest.mark.slow) if name in MORE else name for name in SWEEPS]
)
BLOCKS = SWEEPS["seeds over devices, in blocks"]
ZIPPED = SWEEPS["settings over devices, in blocks, zipped"]


def compiled(flags: tuple[str, ...]) -> contextlib.AbstractContextManager[None]:
    """How a sweep and its members are compiled: two as users have it, the others quickly."""
    return compilation_as_users_have_it() if flags in (BLOCKS[0], ZIPPED[0]) else quick_compilation()


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Trains once, through the real flags, what is asked for again and again, and returns the run folder."""
    folders: dict[tuple[str, ...], Path] = {}

    def trained(*flags: str) -> Path:
        if flags not in folders:
            folder = folders[flags] = tmp_path_factory.mktemp("run") / "w"
            with compiled(flags):
                assert cli.main(lr_sweep.STUDY, ["lr_sweep", *SMALL, *QUIET, *flags, f"--workdir={folder}"]) == 0
        return folders[flags]

    return trained


def in_sweep(run: Path, select: Mapping[str, Any]) -> xr.Dataset:
    """The member's part of the results, padding included, found without help of the code under test."""
    member = results.load(run / "results.nc")
    for name, value in select.items():
        wanted = member[name].values
        value = "x".join(map(str, value)) if isinstance(value, tuple) else value
        at = np.flatnonzero([v == value if isinstance(v, str) else np.isclose(v, float(value)) for v in wanted])
        assert len(at) == 1
        member = member.isel({str(member[name].dims[0]): at[0]})
    return member.squeeze()


@sweeps
def test_a_member_alone_has_the_bits_that_it_had_in_its_sweep(sweep: str, train: Train, tmp_path: Path) -> None:
    flags, select = SWEEPS[sweep]
    run = train(*flags)
    member = members.load_member(run, select)
    *_, flagfile = members.save_member(member, tmp_path / "member")
    with compiled(flags):
        assert cli.main(lr_sweep.STUDY, ["lr_sweep", f"--flagfile={flagfile}", f"--workdir={tmp_path / 'alone'}"]) == 0
    alone = results.load(tmp_path / "alone" / "results.nc")
    assert alone.sizes["seed"] == 1
    assert_same_bits(alone.isel(seed=0), member.curve)
    swept = in_sweep(run, select)
    assert_same_bits(member.curve, swept.isel(check=slice(alone.sizes["check"]), step=slice(alone.sizes["step"])))
    np.testing.assert_array_equal(alone["check_step"], member.curve["check_step"])
    trained = members.load_member(tmp_path / "alone")
    for mine, theirs in ((trained.params, member.params), (trained.best_params, member.best_params)):
        assert jax.tree.all(jax.tree.map(np.array_equal, mine, theirs))
    assert experiment_from_flags(trained.flags) == experiment_from_flags(member.flags)


def test_a_member_whose_stopped_neighbours_were_taken_out_is_said_to_be_close_only(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train("--learning_rate=0.1,20,50", "--seeds=2", "--patience=2", "--eval_every=3")
    meta = json.loads((run / "meta.json").read_text())
    assert meta["compactions"]
    assert not members.load_member(run, {"learning_rate": 0.1, "seed": 1}).exact
    select = "--select=learning_rate=0.1,seed=1"
    assert extract.main(["extract", str(run), select, f"--out={tmp_path / 'member'}"]) == 0
    assert "within rounding" in capsys.readouterr().out


def measured(params: Params, hparams: Hparams) -> tuple[float, float]:
    """Loss and accuracy on the test set."""
    inputs, labels = map(jnp.asarray, DIGITS.test)
    metrics = evaluate(jax.tree.map(jnp.asarray, params), hparams, Problem(), inputs, labels, 64)
    return float(metrics.loss), float(metrics.accuracy)


@sweeps
def test_loaded_parameters_reproduce_what_was_recorded(sweep: str, train: Train, tmp_path: Path) -> None:
    from jaxreg.runs.checkpoints.arrays import load_arrays

    flags, select = SWEEPS[sweep]
    member = members.load_member(train(*flags), select)
    orbax, npz, *_ = members.save_member(member, tmp_path / "member")
    loaded = load_arrays(orbax)
    with np.load(npz) as names:
        arrays = dict(names)
    for when, tree in (("final", "params"), ("best", "best_params")):
        layers = [
            {part: arrays[f"{tree}/layer_{layer + 1}/{part}"] for part in ("weights", "bias")}
            for layer in range(len(loaded[tree]))
        ]
        for params in (loaded[tree], layers):
            loss, accuracy = measured(params, member.hparams)
            assert abs(loss - float(member.curve[f"{when}_test_loss"])) <= 1e-5
            assert abs(accuracy - float(member.curve[f"{when}_test_accuracy"])) <= 1.001 / len(DIGITS.test.labels)
    assert len(arrays) == len(jax.tree.leaves(loaded))
    logits, _ = mlp().forward(member.params, member.hparams, jnp.asarray(DIGITS.test.inputs))
    hits = np.mean(np.argmax(logits, -1) == DIGITS.test.labels)
    assert abs(hits - float(member.curve["final_test_accuracy"])) <= 1.001 / len(DIGITS.test.labels)


def test_a_table_of_groups_of_other_lengths_has_no_empty_rows(train: Train) -> None:
    results_of_all = results.load(train(*SWEEPS["groups of other lengths"][0]))
    checks, steps = to_frame(results_of_all, ["test_loss"]), to_frame(results_of_all, ["train_loss"])
    assert checks.notna().all(axis=None)
    assert steps.notna().all(axis=None)
    assert checks.groupby("batch_size")["check_step"].max().to_dict() == {20: 60, 50: 24}
    assert steps.groupby("batch_size").size().to_dict() == {20: 20, 50: 8}


def test_members_of_one_run_differ(train: Train) -> None:
    run = train(*BLOCKS[0])
    params = [
        np.asarray(members.load_member(run, {"learning_rate": rate, "seed": seed}).params[0]["weights"])
        for rate in (0.01, 0.1, 1)
        for seed in (0, 1, 4)
    ]
    for i, one in enumerate(params):
        assert all(not np.array_equal(one, other) for other in params[:i])


def test_seeds_that_were_added_are_members_like_any_other(train: Train, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(train(*BLOCKS[0]), run)
    flags = [*SMALL, *QUIET, *BLOCKS[0], "--seeds=7", "--resume", f"--workdir={run}"]
    assert cli.main(lr_sweep.STUDY, ["lr_sweep", *flags]) == 0
    before, added = ({"learning_rate": 0.1, "seed": seed} for seed in (3, 6))
    assert members.load_member(run, before).flags == members.load_member(train(*BLOCKS[0]), before).flags
    for select in (before, added):
        member = members.load_member(run, select)
        loss, _ = measured(member.params, member.hparams)
        assert abs(loss - float(in_sweep(run, select)["final_test_loss"])) <= 1e-5
        assert (member.seed, member.input_shape) == (select["seed"], (8, 8))


def test_the_command_writes_what_it_says_and_says_how_to_train(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(*BLOCKS[0])
    capsys.readouterr()
    out = tmp_path / "a member"
    assert extract.main(["extract", str(run), "--select", "learning_rate=0.1,seed=3", f"--out={out}"]) == 0
    said = capsys.readouterr().out
    assert f"python -m experiments.lr_sweep --flagfile='{out / 'flags.cfg'}'" in said
    assert {path.name for path in out.iterdir()} == {"params", "params.npz", "curve.nc", "curve.csv", "flags.cfg"}
    assert all(str(path) in said for path in out.iterdir())
    curve = results.load(out / "curve.nc")
    header, *rows = (out / "curve.csv").read_text().splitlines()
    assert header.startswith("learning_rate,seed,check,check_step,examples_seen,")
    assert len(rows) == curve.sizes["check"]
    first = dict(zip(header.split(","), rows[-1].split(","), strict=True))
    assert (first["learning_rate"], first["seed"], first["check_step"]) == ("0.1", "3", "30")
    assert float(first["test_loss"]) == pytest.approx(float(curve["final_test_loss"]))


REFUSED = [
    ({"learning_rate": 0.2, "seed": 3}, "the run holds learning_rate=0.01, 0.1, 1"),
    ({"learning_rate": "fast", "seed": 3}, "the run holds learning_rate=0.01, 0.1, 1"),
    ({"learning_rate": 0.1, "seed": 5}, "the run holds seed=0, 1, 2, 3, 4"),
    ({"learning_rate": 0.1, "seed": "x"}, "the run holds seed=0, 1, 2, 3, 4"),
    ({"learning_rate": 0.1}, "choose one of seed=0, 1, 2, 3, 4"),
    ({"seed": 1}, "3 settings are left; choose one of learning_rate=0.01, 0.1, 1"),
    ({"learning_rat": 0.1, "seed": 1}, "learning_rat is no hyperparameter; select by learning_rate, seed"),
    ({"batch_size": 10, "learning_rate": 0.1, "seed": 1}, "the run holds batch_size=40"),
    ({"batch_size": "40,50", "learning_rate": 0.1, "seed": 1}, "the run holds batch_size=40"),
]


@pytest.mark.parametrize(("select", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_a_selection_that_names_no_member_is_refused_with_the_values_there_are(
    select: dict[str, Any], words: str, train: Train
) -> None:
    with pytest.raises(ConfigError) as refused:
        members.load_member(train(*BLOCKS[0]), select)
    assert str(refused.value).startswith("--select=")
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_zipped_values_that_never_meet_are_refused(train: Train) -> None:
    run = train(*ZIPPED[0])
    with pytest.raises(ConfigError, match="in no setting together"):
        members.load_member(run, {"learning_rate": 0.1, "momentum": 0.5, "init_variance": 0})


def test_the_command_refuses_in_one_line(train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(train(*BLOCKS[0]))
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine").touch()
    capsys.readouterr()
    for flags, words in [
        ([run, "--out=new"], "--select"),
        ([run, "--select=learning_rate=0.1,seed=3"], "--out"),
        ([run, "--select=0.1", "--out=new"], "name=value"),
        ([run, "--select=seed=1,seed=2", "--out=new"], "twice"),
        ([run, "--select=learning_rate=0.1,seed=3", f"--out={full}"], "not empty"),
        ([run, "--select=learning_rate=0.1,seed=3", f"--out={full / 'mine'}"], "not empty"),
        ([run, "--select=learning_rate=0.1,seed=3", f"--out={full / 'mine' / 'new'}"], "--out"),
        ([run, run, "--out=new"], "one run"),
        (["--out=new"], "one run"),
        ([str(tmp_path / "missing"), "--out=new"], "meta.json"),
        ([run, "--seed=3", "--out=new"], "seed"),
    ]:
        assert extract.main(["extract", *flags]) == 1, flags
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert words in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full"]


def test_the_module_of_the_study_is_needed_only_for_flags_that_it_defines(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "copy"
    shutil.copytree(train(*BLOCKS[0]), run)
    meta = verified_json((run / "meta.json").read_text())
    assert meta["study"]["module"] == "experiments.lr_sweep"
    del meta["flags_sha256"]  # the flags are edited below
    meta["study"] = {"module": "no_such_module", "attribute": "STUDY", "file": None}
    (run / "meta.json").write_text(json.dumps(meta))
    command = ["extract", str(run), "--select=learning_rate=0.1,seed=3"]
    assert extract.main([*command, f"--out={tmp_path / 'member'}"]) == 0
    capsys.readouterr()
    with (run / "flags.cfg").open("a") as flags:
        flags.write("--my_strength=1\n")
    for more, words in [
        ((), ("--my_strength=1", "No module named 'no_such_module'", "--study=MODULE_OR_FILE")),
        (("--study=also_missing",), ("--study=also_missing", "No module named 'also_missing'")),
        (("--study=experiments.lr_sweep",), ("--my_strength=1",)),
    ]:
        assert extract.main([*command, f"--out={tmp_path / 'new'}", *more]) == 1
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert all(word in err for word in words)
    assert not (tmp_path / "new").exists()


def test_unfinished_runs_and_lost_checkpoints_are_refused(train: Train, tmp_path: Path) -> None:
    run = tmp_path / "copy"
    shutil.copytree(train(*ZIPPED[0]), run)
    select = ZIPPED[1]
    members.load_member(run, select)
    (run / "results.nc").rename(tmp_path / "results.nc")
    with pytest.raises(RunFolderError, match="no results"):
        members.load_member(run, select)
    (tmp_path / "results.nc").rename(run / "results.nc")
    for manifest in sorted((run / "checkpoints").glob("0*/manifest.json"))[-1:]:
        manifest.unlink()
    with pytest.raises(CheckpointError, match=r"older than the end|only damaged"):
        members.load_member(run, select)
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(CheckpointError, match="no checkpoint"):
        members.load_member(run, select)
