from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from experiments import cli, regularizers
from experiments.flags import make_flags, to_experiment
from jaxreg.claims import Judgement, ReportedNumber, compare, judge
from jaxreg.config.sweeps import make_sweep
from jaxreg.measures import leaves_out_a_class
from jaxreg.results.storage import load
from tests.reporting.figures.reading import words
from tests.synthetic import make_results

FLAGFILES = Path(regularizers.__file__).parent / "flagfiles"
METHODS = [regularizers.NONE, *regularizers.METHODS]
ERRORS = dict(zip(METHODS, (0.05, 0.056, 0.35, 0.061, 0.046, 0.08, 0.07), strict=True))
OBJECTIVES = dict(zip(METHODS, (1.50, 1.54, 3.0, 1.60, 1.51, 1.75, 1.57), strict=True))
L1_START = 0.8


def made(seeds: int = 8, errors: Mapping[str, float] = ERRORS) -> xr.Dataset:
    """A run of 20 epochs that finds what the source says; `errors` are test errors by method."""
    results = make_results(axes={"method": METHODS}, seeds=seeds, num_checks=21, eval_every=50).copy(deep=True)
    results["train_loss"] = results["train_loss"].copy(deep=True)  # which shares its numbers with the objective
    rng = np.random.default_rng(0)
    late = (results["step"] >= L1_START * int(results["num_steps"])).values
    for place, method in enumerate(METHODS):
        error = errors[method]
        results["final_test_accuracy"][place] = 1 - error + rng.normal(0, 0.001, seeds)
        sets_in = late if method == regularizers.L2_L1 else np.ones_like(late)
        level = np.where(sets_in, OBJECTIVES[method], 1.55)
        rough = rng.normal(0, 0.003 if method == regularizers.L2_KL else 0.02, (seeds, 20))  # one per epoch
        noise = np.repeat(rough, 50, axis=1) + rng.normal(0, 0.002, (seeds, late.size))
        results["train_objective"][place] = level + noise
        grown = 0.3 * late if method == regularizers.L2_L1 else 0 * late
        results["train_loss"][place] = 1.5 + grown + noise
        checks = np.where(results["check_step"] > L1_START * int(results["num_steps"]), 1.0, 0.0)
        jump = checks if method == regularizers.L2_L1 else 0 * checks
        results["validation_loss"][place] = 1.5 + 0.1 * place + jump + rng.normal(0, 0.002, (seeds, 21))
        results["final_validation_loss"][place] = results["validation_loss"][place, :, -1]
    peak = results["train_objective"]
    peak[METHODS.index(regularizers.L2_L1), :, int(L1_START * 1000)] = 5.0
    return results.assign_coords(regularizers.SOURCE | {"l1_start": L1_START})


def verdicts(results: xr.Dataset) -> dict[str, Judgement]:
    return {judgement.statement: judgement for judgement in judge(regularizers.CLAIMS, results)}


def test_claims_find_what_was_put_in() -> None:
    found = verdicts(made())
    claimed = [judgement for statement, judgement in found.items() if statement.endswith(".")]
    assert {judgement.verdict for judgement in claimed if judgement.source} == {"supported"}
    assert len(claimed) == len(regularizers.CLAIMS) - len(regularizers.REPORTED)
    control = {judgement.statement.split()[0]: judgement.verdict for judgement in claimed if not judgement.source}
    lower = {method: "supported" if ERRORS[method] < ERRORS["none"] else "contradicted" for method in METHODS[1:]}
    assert control == lower
    numbers = {r.id: r.fitted for r in regularizers.REPORTED}
    told = compare(made(), regularizers.REPORTED).set_index("id")
    assert set(told.index) == set(numbers)
    assert told["fitted"].to_dict() == numbers
    assert told.loc["B3-l2-kl", "inside"]


def test_claims_are_contradicted_by_a_run_that_finds_otherwise() -> None:
    found = verdicts(made(errors=ERRORS | {"l2+late_l1": 0.05, "max_norm": 0.2, "dropout+l2": 0.03}))
    otherwise = [
        "L2 with late L1 is worst in test error.",
        "Max-norm alone is best in test error.",
        "Dropout with L2 is worse in test error than L2.",
        "Dropout with max-norm beats dropout with L2 in test error.",
    ]
    assert {found[claim].verdict for claim in otherwise} == {"contradicted"}


def test_members_that_never_predict_a_class_are_told() -> None:
    results = made(seeds=3)
    confusion = np.ones((7, 3, 4, 4), np.int32)
    confusion[METHODS.index("max_norm"), :2, :, 3] = 0
    results = results.assign(test_confusion=(("method", "seed", "label", "prediction"), confusion))
    assert int(leaves_out_a_class(results).sum()) == 2
    assert "Of 3 seeds so many never predict one of the classes: 2 with max_norm." in regularizers.answer(results)


def test_the_answer_tells_the_error_of_each_method() -> None:
    told = regularizers.answer(made())
    errors = dict(re.findall(r"([a-z_0-9+]+) ([0-9.]+) ± [0-9.]+ \(", told.partition("the median: ")[2]))
    assert list(errors) == METHODS
    told_errors = [float(error) / 100 for error in errors.values()]
    np.testing.assert_allclose(told_errors, list(ERRORS.values()), atol=0.002)


def levels(seeds: int = 3) -> xr.Dataset:
    """Two methods by four strengths, the second one best for both."""
    strengths: dict[str, list[Any]] = {"method": ["l2", "dropout"], "l2_strength": [0.0, 1e-4, 1e-3, 1e-2]}
    results = make_results(axes=strengths, zipped={"dropout_rate": ("l2_strength", [0.0, 0.1, 0.5, 0.7])}, seeds=seeds)
    results["final_validation_accuracy"][:] = np.array([0.9, 0.95, 0.9, 0.8])[None, :, None]
    return results.assign_coords(regularizers.SOURCE)


def test_of_strengths_those_best_on_validation_are_told() -> None:
    told = regularizers.answer(levels())
    assert "Best on validation: l2 at l2_strength=0.0001 (95.00 %); dropout at dropout_rate=0.1 (95.00 %)." in told
    names = [figure.name for figure in regularizers.draw(levels())]
    assert names[0] == "error_against_strength"


def plane(errors: Mapping[float, float], seeds: int = 5) -> xr.Dataset:
    """L2 with late L1 over two strengths of each: at one L1 for each L2 the peak is the source's; errors as given."""
    axes: dict[str, list[Any]] = {"l2_strength": list(errors), "l1_strength": [0.004, 0.006]}
    results = make_results(axes=axes, seeds=seeds, num_checks=21).copy(deep=True)
    results = results.assign_coords(regularizers.SOURCE | {"l1_start": L1_START, "method": "l2+late_l1"})
    rng = np.random.default_rng(0)
    results["train_objective"][..., 850] = np.array([[5.0, 7.0], [3.0, 5.0]])[..., None] + rng.normal(
        0, 0.1, (2, 2, seeds)
    )
    accuracy = 1 - np.array(list(errors.values()))[:, None, None]
    results["final_test_accuracy"][:] = accuracy + rng.normal(0, 0.01, (2, 2, seeds))
    confusion = np.ones((2, 2, seeds, 4, 4), np.int32)
    confusion[1, ..., 3] = 0
    return results.assign(test_confusion=(("l2_strength", "l1_strength", "seed", "label", "prediction"), confusion))


def test_of_both_strengths_the_peak_fixes_one_and_the_error_depends_on_the_other() -> None:
    results = plane({0.001: 0.2, 0.003: 0.35})
    told = regularizers.answer(results)
    assert re.search(r"the test error is [12]\d\.\d % \(of one run .* at l2_strength=0.001, l1_strength=0.004; ", told)
    assert re.search(
        r"3[456]\.\d % \(of one run .* at l2_strength=0.003, l1_strength=0.006\. The source has 35 %", told
    )
    (judgement,) = judge([ReportedNumber(regularizers.REPORTED[1])], results)
    assert judgement.verdict == "undecided"
    assert "is consistent with 2 of them (l2_strength=0.003" in judgement.reason
    drawn = {figure.name: figure.figure for figure in regularizers.draw(results)}
    assert list(drawn)[:3] == ["late_l1_final_test_error", "late_l1_peak_objective", "late_l1_classes_predicted"]
    for name, framed in (
        ("late_l1_final_test_error", 2),
        ("late_l1_peak_objective", 2),
        ("late_l1_classes_predicted", 0),
    ):
        assert len([patch for patch in drawn[name].axes[0].patches if patch.get_label() == "met"]) == framed
    assert "of one run" not in words(drawn["late_l1_classes_predicted"])


def test_strengths_of_l1_that_acts_from_the_start_are_shown_as_any_others() -> None:
    results = plane({0.001: 0.2, 0.003: 0.35}).assign_coords(l1_start=0.0)
    assert not regularizers.is_plane(results)
    assert not [figure for figure in regularizers.draw(results) if figure.name.startswith("late_l1")]
    elsewhere = plane({0.001: 0.2, 0.003: 0.35}).assign_coords(dataset="digits")
    assert not regularizers.answer(elsewhere).endswith("\n")


def test_medians_and_seeds_of_each_method_stand_beside_the_means() -> None:
    results = made()
    results["final_test_accuracy"][0, :3] = 0.8  # of eight seeds of the control three lose a class
    assert re.search(r"none [\d.]+ ± [\d.]+ \(5\.\d\d\)", regularizers.answer(results))
    (figure,) = (figure.figure for figure in regularizers.draw(results) if figure.name == "fig23_test_error")
    (medians,) = (line for line in figure.axes[0].get_lines() if line.get_label() == "_medians")
    assert np.asarray(medians.get_xdata())[0] == pytest.approx(0.05, abs=0.002)
    assert "upright stroke: median" in words(figure)


def test_the_error_of_one_strength_is_drawn_beside_the_number_of_the_source() -> None:
    results = make_results(axes={"kl_strength": [0.001, 0.01, 0.1]}, seeds=3)
    results = results.assign_coords(regularizers.SOURCE | {"method": "l2+kl"})
    assert regularizers.draw(results)[0].name == "error_against_kl_strength"
    assert "numbers that the source prints" in regularizers.draw(results)[0].caption


def test_a_run_of_one_method_is_shown_as_any_other() -> None:
    results = made(seeds=2).isel(method=0, drop=True)
    assert regularizers.draw(results)
    assert regularizers.answer(results)


@pytest.mark.parametrize("name", sorted(path.stem for path in FLAGFILES.glob("regularizers*.cfg")))
def test_every_flagfile_is_one_program(name: str) -> None:
    values = make_flags()
    values(["regularizers", f"--flagfile={FLAGFILES / name}.cfg"])
    experiment = to_experiment("regularizers", values)
    sweep = make_sweep(experiment, 55_000)
    assert len(sweep.groups) == 1
    assert "method" in experiment.axes or experiment.hparams.method in METHODS
    if experiment.data.dataset == "mnist" and experiment.hparams.num_epochs == 50:
        expected = {"regularizers_late_l1": (16, 5), "regularizers_kl": (5, 5)}.get(name, (7, 10))
        assert (sweep.groups[0].num_steps, len(sweep.settings), len(sweep.seeds)) == (85_938, *expected)


def test_from_the_flagfile_to_the_figures(tmp_path: Path) -> None:
    argv = ["regularizers", f"--flagfile={FLAGFILES / 'regularizers_digits.cfg'}", f"--workdir={tmp_path / 'run'}"]
    argv += ["--num_epochs=4", "--seeds=2", "--eval_every=38", "--max_norm=1", "--notensorboard", "--noreport"]
    assert cli.main(regularizers.STUDY, argv) == 0
    results = load(tmp_path / "run")
    assert dict(results["final_test_accuracy"].sizes) == {"method": 7, "seed": 2}
    assert results["method"].values.tolist() == METHODS
    late = results["step"] >= 0.8 * int(results["num_steps"])
    penalty = (results["train_objective"] - results["train_loss"]).mean("seed")
    assert (abs(penalty.sel({"method": "none"})) == 0).all()
    l2, l1 = penalty.sel({"method": "l2"}), penalty.sel({"method": "l2+late_l1"})
    np.testing.assert_allclose(l1[~late], l2[~late], rtol=1e-4)
    assert (l1[late] > 1.5 * l2[late]).all()
    bound = results["at_bound_fraction"].max(["check", "layer", "seed"])
    assert bound.sel({"method": "max_norm"}) > 0
    assert bound.sel({"method": "l2"}) == 0
    drawn = {figure.name for figure in regularizers.draw(results)}
    assert {"fig22_training_loss", "fig22_validation_loss", "fig23_test_error", "fig4_21_each_method"} <= drawn
    assert {"read_outs", "units_at_bound"} <= drawn
