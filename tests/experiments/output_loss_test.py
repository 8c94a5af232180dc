from __future__ import annotations

from pathlib import Path

import pytest

import jaxreg
from experiments import output_loss
from experiments.catalogue import on_digits
from experiments.cli import main
from jaxreg.claims import judge


def test_the_diagnosis_names_outputs_that_are_stuck(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flagfile = f"--flagfile={on_digits('output_loss')}"
    small = ("--init_variance=0.01,100", "--num_steps=200", "--eval_every=100", "--tensorboard=false")
    assert main(output_loss.STUDY, ["output_loss", flagfile, *small, f"--workdir={tmp_path / 'run'}"]) == 0
    assert "under squared error" in capsys.readouterr().out
    results = jaxreg.load_results(tmp_path / "run")
    verdicts = {judgement.statement: judgement.verdict for judgement in judge(output_loss.STUDY.claims, results)}
    assert set(verdicts.values()) == {"supported"}
    assert (tmp_path / "run" / "figures" / "stuck_outputs.png").exists()
    assert results["test_loss"].attrs["units"] == "1"  # nats beside squares
