from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from experiments import batch_size, cli
from jaxreg.claims import Judgement, judge
from jaxreg.measures import expected_fluctuation, log10_best_value
from jaxreg.results.storage import load
from tests.synthetic import make_results

FLAGFILES = Path(batch_size.__file__).parent / "flagfiles"
SOURCE = {name: value for name, value in batch_size.SOURCE.items() if name not in ("batch_size", "num_steps")}


def by_size(axes: dict[str, list[object]] | None = None, seeds: int = 8) -> xr.Dataset:
    """Made-up results of batch sizes: the noise falls with the size, the accuracy is highest at 1000."""
    axes = {"batch_size": [1, 50, 1000], **(axes or {})}
    results = make_results(axes=axes, seeds=seeds, num_checks=41, eval_every=25).assign_coords(SOURCE)
    rng = np.random.default_rng(0)
    shape = (3, *[1] * (len(axes) + 1))
    for name in ("train_loss", "test_batch_loss", "test_loss"):
        noise = 0.5 * expected_fluctuation([1, 50, 1000], 55_000).reshape(shape)
        results[name][:] = 1 + noise * rng.normal(size=results[name].shape)
    accuracy = np.reshape([0.8, 0.9, 0.95], shape[:-1]) + rng.normal(0, 0.001, results["final_test_accuracy"].shape)
    results["final_test_accuracy"][:] = results["final_validation_accuracy"][:] = accuracy
    results["final_train_loss"] = results["final_test_loss"] - 0.1 * accuracy
    return results.assign_attrs(train_examples=55_000, test_examples=10_000)


def verdicts(results: xr.Dataset) -> dict[str, Judgement]:
    return {judgement.statement: judgement for judgement in judge(batch_size.CLAIMS, results)}


def test_claims_find_what_was_put_in() -> None:
    found = verdicts(by_size())
    assert [found[claim].verdict for claim in batch_size.FLUCTUATION] == ["supported"] * 4
    assert found["Batch size 1000 gives the best accuracy."].verdict == "supported"
    assert found["Generalisation is best at batch size 1: accuracy on the test set."].verdict == "contradicted"
    gap = found["Generalisation is best at batch size 1: gap between test and training loss."]
    assert gap.verdict == "supported"
    rate = found["A small batch wants a small rate."]
    assert (rate.verdict, rate.n) == ("undecided", 0)
    assert rate.reason == "This run does not sweep learning_rate."


def test_a_small_batch_wants_a_small_rate_where_rates_are_swept() -> None:
    rates = [0.01, 0.1, 1.0]
    results = by_size({"learning_rate": list(rates)})
    results["final_validation_accuracy"][:] = 0.5
    for i in range(3):
        results["final_validation_accuracy"][i, i] = 0.9
    np.testing.assert_allclose(log10_best_value(results, "learning_rate"), np.log10(rates)[:, np.newaxis] * np.ones(8))
    found = verdicts(results)
    assert found["A small batch wants a small rate."].verdict == "supported"
    judged = [judgement.n for statement, judgement in found.items() if "accuracy is" not in statement]
    assert len(judged) == len(found) - 2
    assert all(judged[:-1])  # at the best rate; the source's numbers are of MNIST
    assert "0.01 at 1, 0.1 at 50, 1 at 1000" in batch_size.answer(results)
    drawn = {figure.name for figure in batch_size.draw(results)}
    assert {"accuracy_map", "best_rate_against_batch_size"} <= drawn


def test_the_answer_tells_the_noise_of_each_size() -> None:
    told = batch_size.answer(by_size())
    assert told.startswith("batch_size=1000 is best on validation")
    assert "the loss of a training batch fluctuates, in nats, by 0.5" in told
    assert " at 1, " in told
    assert "noise scale" not in told


def test_the_noise_scale_is_told_and_drawn_with_diagnostics() -> None:
    results = by_size()
    results["gradient_variance"] = xr.full_like(results["test_loss"], 6.0)
    results["gradient_square"] = xr.full_like(results["test_loss"], 0.5)
    told = batch_size.answer(results)
    assert "the gradient noise scale is, in examples, 12 in all seeds at 1, 12 in all seeds at 50" in told
    assert "gradient_noise_scale" in {figure.name for figure in batch_size.draw(results)}


@pytest.mark.parametrize("lacking", ["fluctuation", "batch_size", "final_train_loss"])
def test_what_a_run_lacks_is_left_out(lacking: str) -> None:
    results = by_size()
    if lacking == "fluctuation":  # too few steps and checks in the last 1000 steps
        few = {"check": slice(None, None, 40), "step": slice(None, None, 500)}
        results = results.isel(few)
    elif lacking == "batch_size":
        results = results.isel(batch_size=0)
    else:
        results = results.drop_vars(lacking)
    assert batch_size.answer(results)
    drawn = {figure.name for figure in batch_size.draw(results)}
    assert len(drawn) > 1
    assert ("fluctuation" in drawn) == (lacking == "final_train_loss")
    assert ("gap_against_batch_size" in drawn) == (lacking == "fluctuation")
    assert len(judge(batch_size.CLAIMS, results)) == len(batch_size.CLAIMS)


def test_the_small_flagfile_runs_and_leaves_a_report(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    flags = [f"--flagfile={FLAGFILES / 'batch_size_digits.cfg'}", f"--workdir={folder}", "--tensorboard=false"]
    flags += ["--num_steps=400", "--eval_every=20"]
    assert cli.main(batch_size.STUDY, ["batch_size", *flags]) == 0
    results = load(folder)
    assert results["batch_size"].values.tolist() == [1, 30, 1197]
    drawn = {path.stem for path in (folder / "figures").glob("*.png")}
    assert {"fluctuation", "accuracy_three_ways", "gap_against_batch_size", "gradient_noise_scale"} <= drawn
    found = verdicts(results)
    assert found["A larger batch fluctuates less: loss of the training batch."].verdict == "supported"
    assert "Batch size" in (folder / "report.html").read_text(encoding="utf-8")
