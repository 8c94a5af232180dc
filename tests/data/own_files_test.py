from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jaxreg
from jaxreg.config import DataConfig
from jaxreg.config.flagfile import experiment_from_flags
from jaxreg.data import load, located
from jaxreg.errors import ConfigError, RunFolderError
from tests.training_run import experiment

X, Y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2


def write(path: Path, x: np.ndarray = X) -> None:
    if path.suffix == ".npz":
        np.savez(path, x=x, y=Y)
    else:
        rows = "".join(",".join(map(str, [*values, label])) + "\n" for values, label in zip(x, Y, strict=True))
        path.write_text("a,b,c,label\n" + rows)


@pytest.mark.parametrize("ending", [".npz", ".csv"])
def test_a_run_goes_on_wherever_its_file_is_but_not_once_it_has_changed(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there, run = tmp_path / "my #1 data", tmp_path / "there", tmp_path / "run"
    here.mkdir()
    there.mkdir()
    file = here / f"set{ending}"
    write(file)
    monkeypatch.chdir(here)
    kept = jaxreg.RunConfig(workdir=str(run), report=False, tensorboard=False, progress="false")
    asked = experiment(num_steps=2, batch_size=5, data=DataConfig(file.name), run=kept)
    results = jaxreg.run(asked)
    assert results["dataset"] == file.name

    monkeypatch.chdir(there)
    resumed = dataclasses.replace(kept, resume=True)
    repeated = experiment_from_flags((run / "flags.cfg").read_text(), name=asked.name)
    assert repeated.data.dataset == str(file)
    found = jaxreg.run(dataclasses.replace(repeated, run=resumed))
    np.testing.assert_array_equal(found["test_loss"], results["test_loss"])

    moved = file.rename(there / f"renamed{ending}")
    again = dataclasses.replace(asked, data=DataConfig(moved.name), run=resumed)
    np.testing.assert_array_equal(jaxreg.run(again)["test_loss"], results["test_loss"])
    with pytest.raises(ConfigError, match=r"^--dataset=.*set\.\w+: no such file or folder; if it was moved, name it"):
        jaxreg.run(dataclasses.replace(repeated, run=resumed))

    write(moved, X + (np.arange(40) == 39)[:, None] * 1e-3)
    with pytest.raises(RunFolderError, match="other data: SHA-256"):
        jaxreg.run(again)


def test_a_path_may_be_relative_or_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "set.csv")
    for given in ("set.csv", "./set.csv", "~/set.csv"):
        assert located(DataConfig(given)).dataset == str(tmp_path / "set.csv")
        assert len(load(DataConfig(given)).train.labels) == 32


def test_a_folder_is_taken_where_no_set_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data_dir = tmp_path / "tfds"
    for name in ("photos", "moons", "flowers"):
        (tmp_path / name).mkdir()
    (data_dir / "flowers" / "1.0.0").mkdir(parents=True)
    (data_dir / "flowers" / "1.0.0" / "dataset_info.json").write_text("{}")

    def found(name: str) -> str:
        return located(DataConfig(name, data_dir=str(data_dir))).dataset

    assert found("photos") == str(tmp_path / "photos")
    assert (found("moons"), found("flowers"), found("nothing")) == ("moons", "flowers", "nothing")
    assert found("./moons") == str(tmp_path / "moons")


@pytest.mark.parametrize(
    ("dataset", "options", "refused"),
    [
        ("set.csv", {"num_points": 9}, "--num_points=9: set.csv is no set of points"),
        ("set.csv", {"downsample": 2}, "--downsample=2: set.csv has no images of dtype uint8; leave it out"),
        ("set.npz", {"label": "y"}, "--label=y: set.npz is no table with columns; leave it out"),
        ("set.npz", {"test_size": 0}, "--test_size=0: must be a whole number from 1"),
        ("./none.csv", {}, "none.csv: no such file or folder"),
        ("folder.csv", {}, "folder.csv: must be a .npz, .csv, .parquet file, or a folder of images by class"),
        ("./set.txt", {}, "set.txt: must be a .npz, .csv, .parquet file, or a folder of images by class"),
        (
            "~nobody of that name/set.csv",
            {},
            "~nobody of that name/set.csv: no path, or there is no such home folder",
        ),
        ("nonsense", {}, "a .npz, .csv, .parquet file or a folder of images, or be prepared by tfds"),
        ("digits", {"test_size": 9}, "--test_size=9: digits brings its own test examples; leave it out"),
        ("moons", {"label": "y"}, "--label=y: moons is no table (.csv, .parquet); leave it out"),
    ],
)
def test_what_does_not_fit_is_refused(
    dataset: str, options: dict[str, Any], refused: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "set.csv")
    write(tmp_path / "set.npz")
    (tmp_path / "set.txt").touch()
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ConfigError) as refusal:
        load(DataConfig(dataset, **options))
    assert refused in str(refusal.value)
    assert "\n" not in str(refusal.value)
