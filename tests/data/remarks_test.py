from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jaxreg
from jaxreg.config import DataConfig
from jaxreg.data import Data, from_arrays, load
from jaxreg.data.remarks import remarks_on

RNG = np.random.default_rng(0)


def made(labels: Any, *, held_out: Any = None, scale: float | np.ndarray = 1.0, **options: Any) -> Data:
    """Data with these training labels, and these or the same ones for validation and test."""

    def split(labels: Any) -> tuple[Any, Any]:
        return scale * RNG.uniform(0, 1, (len(labels), 2)), labels

    others = split(labels if held_out is None else held_out)
    return from_arrays(split(labels), others, others, **options)


@pytest.mark.parametrize("config", [DataConfig(), DataConfig("moons"), DataConfig("digits", downsample=2)])
def test_the_sets_that_come_along_need_no_remark(config: DataConfig) -> None:
    assert remarks_on(load(config)) == []


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (made(np.arange(60) % 3), []),
        (made(1 + np.arange(60) % 3), ["no label is 0, so that class 0 is never seen; labels count from 0"]),
        (
            made(np.arange(400) % 3, num_classes=4),
            [f"no {part} example of class 3" for part in ("training", "validation", "test")],
        ),
        (
            made(np.arange(60) % 3, held_out=[0, 1]),
            ["no validation example of class 2; there are 2 examples: take more", "no test"],
        ),
        (made(RNG.integers(25, 347, 354)), ["classes for 354 training examples; a target that is a quantity"]),
        (made(np.arange(60) % 3, scale=255.0), ["training inputs reach 25"]),
        (made(np.arange(60) % 3, scale=np.array([1.0, 1e-5])), ["in feature 1 but 9"]),
        (made(np.arange(60) % 3, scale=np.array([1.0, 0.0])), []),
        (made(np.arange(60) % 50, held_out=[0]), ["50 classes for 60 training examples"]),
        (
            made(np.sort(np.arange(300) % 10), held_out=[8, 9] * 25),
            ["no validation example of class 0, 1, 2, 3, 4 and 3 more; is the set sorted", "no test example"],
        ),
    ],
    ids=str,
)
def test_what_is_most_likely_a_mistake_is_said_in_a_line(data: Data, words: list[str]) -> None:
    lines = remarks_on(data)
    assert len(lines) == len(words), lines
    for line, part in zip(lines, words, strict=True):
        assert line.startswith("own data: ")
        assert part in line
        assert "\n" not in line


def test_splits_of_unequal_scale_are_said() -> None:
    x, y = RNG.uniform(0, 1, (20, 2)), np.arange(20) % 2
    (line,) = remarks_on(from_arrays((x, y), (x, y), (255 * x, y)))
    assert "test inputs reach 2" in line
    assert "scale them alike" in line


def test_remarks_are_said_and_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """On data, on steps and on hyperparameters, each once, from Python, and in log.txt of a run that is kept."""
    hparams = jaxreg.Hparams(
        hidden_sizes=(), dropout_rate=0.5, batch_size=10, num_steps=4, warmup_steps=9.0, l1_strength=0.1, l1_start=1.0
    )
    expected = ["--dropout_rate has no effect", "--warmup_steps=9 is longer", "--l1_start=1: L1 never", "no label is 0"]
    for workdir in (None, str(tmp_path / "run")):
        run = jaxreg.RunConfig(workdir=workdir, report=False, tensorboard=False)
        caplog.clear()
        with caplog.at_level(logging.WARNING, "jaxreg"):
            jaxreg.run(jaxreg.Experiment(hparams=hparams, run=run), data=made(1 + np.arange(60) % 3))
        said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert [sum(words in line for line in said) for words in expected] == [1, 1, 1, 1]
    kept = (tmp_path / "run" / "log.txt").read_text()
    assert [kept.count(words) for words in expected] == [1, 1, 1, 1]
