"""The command `jaxreg`: the experiments, an experiment in a file of one's own, and what is done with runs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments import console
from jaxreg import load_results
from tests.tables import restored_tables

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "examples" / "momentum.py"
SMALL = ("--dataset=moons", "--hidden_sizes=4", "--num_steps=20", "--tensorboard=false", "--report=false")
MOMENTUM = ("--optimizer=momentum", "--momentum=0,0.9", "--seeds=2")


def jaxreg(*arguments: str) -> int:
    return console.main(["jaxreg", *arguments])


def test_the_documented_template_is_the_one_that_is_tested() -> None:
    assert TEMPLATE.read_text(encoding="utf-8") in (ROOT / "docs" / "own_experiment.md").read_text(encoding="utf-8")


def test_an_own_experiment_is_run_resumed_reported_and_extracted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(TEMPLATE, tmp_path / "mine.py")
    assert jaxreg("run", "mine.py", *SMALL, *MOMENTUM, "--workdir=run", "--max_minutes=1e-9") == 75
    assert jaxreg("resume", "run", "--max_minutes=0") == 0
    assert "More momentum needs fewer steps." in capsys.readouterr().out
    assert jaxreg("report", "run") == 0
    assert "Does momentum help where the step is small?" in (tmp_path / "run" / "report.html").read_text()
    capsys.readouterr()
    assert jaxreg("extract", "run", "--select=momentum=0.9,seed=1", "--out=member") == 0
    alone = capsys.readouterr().out.strip().splitlines()[-1].strip()
    assert alone == f"jaxreg run {tmp_path / 'mine.py'} --flagfile={tmp_path / 'member' / 'flags.cfg'}"
    (tmp_path / "mine.py").rename(tmp_path / "moved.py")
    del sys.modules["study_of_mine"]  # as in another process
    assert jaxreg("resume", "run") == 1
    assert "go on with  jaxreg run FILE.py --workdir=run --resume" in capsys.readouterr().err
    assert jaxreg("run", "moved.py", "--workdir=run", "--resume") == 0


def test_the_resnet_of_the_examples_is_swept_with_and_without_its_norm(tmp_path: Path) -> None:
    shutil.copy(TEMPLATE.with_name("resnet.py"), tmp_path / "mine.py")
    small = ("--dataset=digits", "--num_steps=2", "--eval_every=2", "--tensorboard=false", "--report=false")
    with restored_tables():
        assert jaxreg("run", "mine.py", *small, "--norm=none,batch", "--learning_rate=0.1,1", "--workdir=run") == 0
    results = load_results(tmp_path / "run")
    assert dict(results["final_test_loss"].sizes) == {"learning_rate": 2, "norm": 2, "seed": 1}
    first = results["train_loss"].isel(step=0, seed=0)
    assert (first.sel(norm="none") != first.sel(norm="batch")).all()


FOCAL, CNN = TEMPLATE.with_name("focal_loss.py"), ROOT / "experiments" / "cnn.py"
FOCUS = ("--loss=focal", "--focus=0,2", "--learning_rate=0.1,0.3", "--seeds=2")


def test_a_loss_of_ones_own_with_its_hyperparameter_is_swept_like_those_that_came_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(FOCAL, tmp_path / "mine.py")
    with restored_tables():
        assert jaxreg("run", "mine.py", "--help") == 0
        told = " ".join(capsys.readouterr().out.split())
        assert "--focus: How much less an example counts that is certain. A finite number >= 0" in told
        assert "sigmoid_cross_entropy, squared_error, focal" in told
        assert jaxreg("run", "mine.py", *SMALL, *FOCUS, "--workdir=run", "--max_minutes=1e-9") == 75
        changed = FOCAL.read_text().replace("** focus * loss", "** (2 * focus) * loss")
        (tmp_path / "mine.py").write_text(changed)
    with restored_tables():
        del sys.modules["study_of_mine"]  # as in another process
        assert jaxreg("resume", "run", "--max_minutes=0") == 1
        assert "another loss focal of your own" in capsys.readouterr().err
        shutil.copy(FOCAL, tmp_path / "mine.py")
    with restored_tables():
        del sys.modules["study_of_mine"]
        assert jaxreg("resume", "run", "--max_minutes=0") == 0
        assert "More focus ends with a higher accuracy." in capsys.readouterr().out
        results = load_results(tmp_path / "run")
        assert results["final_test_accuracy"].dims == ("learning_rate", "focus", "seed")
        assert jaxreg("report", "run") == 0
        assert "focus" in (tmp_path / "run" / "report.html").read_text()
        assert jaxreg("extract", "run", "--select=focus=2,learning_rate=0.1,seed=1", "--out=member") == 0
        assert "the same bits" in capsys.readouterr().out


def test_a_model_of_ones_own_is_found_again_with_its_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(CNN, tmp_path / "mine.py")
    small = ("--dataset=digits", "--num_steps=6", "--tensorboard=false", "--report=false", "--dropout_rate=0,0.5")
    assert jaxreg("run", "mine.py", *small, "--workdir=run", "--max_minutes=1e-9") == 75
    (tmp_path / "mine.py").write_text(CNN.read_text().replace("(8, 12, 16)", "(8, 8, 16)"))
    del sys.modules["study_of_mine"]
    assert jaxreg("resume", "run", "--max_minutes=0") == 1
    assert "another model of your own" in capsys.readouterr().err
    shutil.copy(CNN, tmp_path / "mine.py")
    del sys.modules["study_of_mine"]
    assert jaxreg("resume", "run", "--max_minutes=0") == 0
    assert jaxreg("run", "mine.py", *small, "--activation=tanh,relu", "--workdir=other") == 1
    assert "--activation=tanh,relu: is swept without effect" in capsys.readouterr().err
    assert jaxreg("extract", "run", "--select=dropout_rate=0.5", "--out=member") == 0
    assert (tmp_path / "member" / "params.npz").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rnu"], "jaxreg rnu: no such command; did you mean run?; see jaxreg --help"),
        (["run"], "jaxreg run: give the name of an experiment or a file first; see jaxreg list"),
        (["run", "lr_swep"], "lr_swep: no such experiment; did you mean lr_sweep?; see jaxreg list"),
        (["run", "none.py"], "none.py is missing"),
        (["run", "broken.py"], "broken.py: invalid syntax (broken.py, line 1)"),
        (["run", "empty.py"], "empty.py: study_of_empty has no study STUDY"),
        (["run", "point_cloud", "--digits"], "--digits=true: point_cloud brings no flagfile for digits"),
        (["run", "lr_sweep", "--flagfile=none.cfg"], "--flagfile=none.cfg: cannot be read"),
        (["resume"], "jaxreg resume: give the folder of a run first"),
        (["resume", "--max_minutes", "5", "empty"], "jaxreg resume: give the folder of a run first"),
        (["resume", "empty"], "empty: holds no run"),
        (["report"], "no run folder given"),
        (["extract", "empty"], "--out=: give a new folder to write to"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.py").write_text("STUDY = = 1\n")
    (tmp_path / "empty.py").write_text("")
    (tmp_path / "empty").mkdir()
    assert jaxreg(*arguments) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert words in err


def test_a_run_from_python_is_resumed_from_python(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run").mkdir()
    meta = {"experiment": "run", "status": "interrupted", "study": "default"}
    (tmp_path / "run" / "meta.json").write_text(json.dumps(meta))
    assert jaxreg("resume", "run") == 1
    assert "was begun from Python; run its script again with RunConfig(resume=True)" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flagfile", ["--digits", "--flagfile=quickstart.cfg", "--flagfile=experiments/flagfiles/quickstart.cfg"]
)
def test_flagfiles_that_came_with_it_are_found_from_anywhere(flagfile: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert jaxreg("run", "lr_sweep", flagfile, "--learning_rate=0.1,1", "--num_steps=3", "--dry_run") == 0
    assert "10 members: 2 settings x 5 seeds" in capsys.readouterr().out


def test_a_flagfile_that_is_here_wins_over_the_one_that_came_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "quickstart.cfg").write_text("--seeds=3\n--num_steps=3\n")
    assert jaxreg("run", "lr_sweep", "--flagfile", "quickstart.cfg", "--dry_run") == 0
    assert "3 members: 1 settings x 3 seeds" in capsys.readouterr().out


def test_help_version_and_list_do_not_wait_for_jax() -> None:
    program = "import sys; from experiments import console; console.main(); assert 'jax' not in sys.modules"
    for word, words in [("--help", "jaxreg resume RUN"), ("--version", "jaxreg "), ("list", "lr_sweep")]:
        said = subprocess.run(
            [sys.executable, "-c", program, word], capture_output=True, text=True, cwd=ROOT, check=True
        )
        assert words in said.stdout


def test_the_wheel_alone_does_it_all(tmp_path: Path) -> None:
    """In an empty folder, in an environment that holds the wheel and what it depends on, and nothing of the clone."""
    source = tmp_path / "source"
    for name in ("jaxreg", "experiments"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(tmp_path), str(source)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    own = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "dependencies.pth").write_text("\n".join(own) + "\n")  # the .pth of the clone in there is not read
    subprocess.run(
        [*pip, "--python", str(environment / "bin" / "python"), "install", "--no-deps", str(wheel)], check=True
    )
    shutil.rmtree(source)

    empty = tmp_path / "empty"
    empty.mkdir()
    shutil.copy(TEMPLATE, empty / "mine.py")
    surroundings = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    program = str(environment / "bin" / "jaxreg")

    def begun(*arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [program, *arguments],
            cwd=empty,
            env=surroundings,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    forever = ("--num_steps=100000000", "--eval_every=200", "--learning_rate=0.1,1", "--seeds=2")
    process = begun("run", "lr_sweep", "--digits", *forever, "--checkpoint_every=200", "--workdir=run")
    until = time.monotonic() + 200
    while not list(empty.glob("run/checkpoints/0*/manifest.json")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert "go on with: jaxreg resume run" in process.communicate(timeout=200)[1].splitlines()[-1]
    assert process.returncode == 130
    assert "--num_steps=100000000" in (empty / "run" / "flags.cfg").read_text()
    stopped = begun("resume", "run", "--max_minutes=1e-9")
    assert "going on from the checkpoint" in stopped.communicate(timeout=200)[1]
    assert stopped.returncode == 75

    # One process for the rest, which saves importing everything five times.
    rest = [
        ["run", "mine.py", *SMALL, *MOMENTUM, "--workdir=mine"],
        ["report", "mine"],
        ["extract", "mine", "--select=momentum=0.9,seed=1", "--out=member"],
        ["list"],
    ]
    calls = f"import sys; from experiments.console import main; sys.exit(any(main(['jaxreg', *a]) for a in {rest}))"
    python = str(environment / "bin" / "python")
    ended = subprocess.run(
        [python, "-c", calls], cwd=empty, env=surroundings, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    for words in ("More momentum needs fewer steps.", "report.html", "same bits", "lr_sweep"):
        assert words in ended.stdout
    assert (empty / "mine" / "results.nc").exists()
