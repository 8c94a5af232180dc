"""The experiment on initial variances: through its real flags on digits, claims and words on made-up results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from experiments import cli, init_variance
from experiments.flags import make_flags, to_experiment
from experiments.init_variance import AXIS, GAUSSIAN, STUDY, above_zero, answer, draw, reading_of
from jaxreg import results as labelled
from jaxreg.claims import Judgement, judge
from jaxreg.config import Experiment
from tests.experiments.watched import watched
from tests.synthetic import make_results

FLAGFILES = Path(init_variance.__file__).parent / "flagfiles"
ZERO, BEST, TEST_FALLS, TRAIN_FALLS = range(4)


def flags_of(name: str) -> Experiment:
    values = make_flags()
    values(["init_variance", f"--flagfile={FLAGFILES / name}.cfg"])
    return to_experiment("init_variance", values)


def with_accuracy(results: xr.Dataset, accuracy: dict[float, float]) -> xr.Dataset:
    """The final accuracies of training and test set, by variance, with a little noise between seeds."""
    means = xr.DataArray([accuracy[value] for value in results[AXIS].values], dims=AXIS)
    noise = np.random.default_rng(1).normal(0, 0.002, results["train_accuracy"].shape)
    values = xr.zeros_like(results["train_accuracy"]) + means + noise
    return results.assign(final_test_accuracy=values, train_accuracy=values, final_validation_accuracy=values)


def judged(results: xr.Dataset) -> list[Judgement]:
    return judge(STUDY.claims, results)


# Through the flags


def test_a_run_on_digits_shows_symmetry_and_judges_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    flags = [f"--flagfile={FLAGFILES / 'init_variance_digits.cfg'}", "--tensorboard=false", "--report=false"]
    assert cli.main(STUDY, ["init_variance", *flags, "--num_steps=200", f"--workdir={tmp_path / 'run'}"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "supported Zero weights keep all hidden units identical." in out
    results = labelled.load(tmp_path / "run")
    assert results.sizes[AXIS] == 6
    units = results["distinct_units"].sel(layer=1)
    np.testing.assert_array_equal(units.sel({AXIS: 0}), 1)
    np.testing.assert_array_equal(units.isel({AXIS: units[AXIS] > 0}), 11)
    assert "with one distinct hidden unit at every check" in answer(results)
    assert "distinct_units" in [figure.name for figure in draw(results)]


def test_the_two_readings_differ_in_nothing_but_the_variances() -> None:
    variances, deviations = flags_of("init_variance"), flags_of("init_variance_std")
    assert variances.axes == {AXIS: (0.0, *GAUSSIAN)}
    np.testing.assert_allclose(deviations.axes[AXIS], np.square((0.0, *GAUSSIAN)))
    assert (variances.hparams, variances.seeds, variances.data) == (deviations.hparams, 10, deviations.data)
    assert variances.diagnostics
    assert deviations.diagnostics


# Claims


@pytest.mark.parametrize(
    ("values", "reading"),
    [
        ([0, *GAUSSIAN], "variances"),
        ([0, 0.01, 0.04, 0.09, 1, 4], "standard deviations"),
        ([0.1, 0.2, 0.04], "variances"),
        ([0.01, 0.04, 0.1], "standard deviations"),
        ([0.01, 7.0], None),
    ],
)
def test_a_run_says_by_its_values_what_it_takes_the_numbers_for(values: list[float], reading: str | None) -> None:
    found = reading_of(make_results(axes={AXIS: [float(value) for value in values]}))
    assert (found.name if found else None) == reading
    of_he = make_results(axes={AXIS: [float(value) for value in values]}).assign_coords(init="he")
    assert reading_of(of_he) is None  # there the values are factors


@pytest.mark.parametrize("squared", [False, True])
def test_the_best_and_the_fall_are_judged_among_gaussian_weights_in_either_reading(squared: bool) -> None:
    values = [number**2 if squared else number for number in GAUSSIAN]
    results = make_results(axes={AXIS: [0.0, *values]}, seeds=6)
    falling = dict(zip(values, [0.9, 0.88, 0.86, 0.8, 0.7], strict=True))
    zero_wins = judged(with_accuracy(results, {0.0: 0.99, **falling}))
    assert [judgement.verdict for judgement in zero_wins[BEST:]] == ["supported"] * 3
    assert f"{AXIS}={values[0]:g} than at each of the 4 others" in zero_wins[BEST].reason
    rising = dict(zip(values, [0.7, 0.8, 0.86, 0.88, 0.9], strict=True))
    assert [j.verdict for j in judged(with_accuracy(results, {0.0: 0.1, **rising}))[BEST:]] == ["contradicted"] * 3


def test_zero_weights_are_judged_by_all_checks_and_layers() -> None:
    results = watched(layers=3, seeds=6)
    assert judged(results)[ZERO].verdict == "supported"
    split = results["distinct_units"].copy()
    split.loc[{AXIS: 0, "check": 2, "layer": 2}] = 2  # for one check only
    judgement = judged(results.assign(distinct_units=split))[ZERO]
    assert (judgement.verdict, judgement.n) == ("contradicted", 6)
    assert "2 in all 6 seeds" in judgement.reason


def test_what_a_run_does_not_hold_is_undecided() -> None:
    bare = judged(make_results(axes={AXIS: [0.0, *GAUSSIAN]}))
    assert "does not record" in bare[ZERO].reason
    assert [judgement.n for judgement in judged(make_results())] == [0, 0, 0, 0]
    he = judged(watched(init="he"))
    assert all("does not hold init=normal" in judgement.reason for judgement in he)


# Words and figures


def test_the_answer_tells_best_fall_symmetry_and_reading() -> None:
    results = with_accuracy(watched(), dict(zip([0.0, *GAUSSIAN], [0.3, 0.9, 0.88, 0.86, 0.8, 0.7], strict=True)))
    said = answer(results)
    assert said.startswith("init_variance=0.1 is best on validation; its test accuracy is 90")
    assert "reach 9" in said or "reach 8" in said
    assert "at variance 0.1, " in said
    assert " at 2. " in said
    assert said.endswith(
        "with one distinct hidden unit at every check. The source's numbers are read as variances here."
    )
    assert "distinct" not in answer(with_accuracy(make_results(axes={AXIS: [0.0, 1.0]}), {0.0: 0.3, 1.0: 0.8}))
    assert "Zero" not in answer(above_zero(results))
    assert "Gaussian" not in answer(make_results())


def test_figures_follow_what_was_recorded_and_further_axes_do_not_break_them() -> None:
    names = [figure.name for figure in draw(watched(seeds=2, histograms=False))]
    assert names == [
        "fig3_4_test_accuracy",
        "fig3_4_test_loss",
        "accuracy_against_init_variance",
        "distinct_units",
        "fig2_4_each_variance",
    ]
    assert "distinct_units" not in [figure.name for figure in draw(make_results(axes={AXIS: [0.0, 1.0]}))]
    assert next(figure.name for figure in draw(make_results())) == "test_loss"
    axes: dict[str, list[Any]] = {"init": ["normal", "he"], AXIS: [2.0, 0.0, 0.5], "hidden_sizes": ["11", "32x32"]}
    wide = watched(axes, layers=3, seeds=2, histograms=False)
    assert [figure.name for figure in draw(wide)] == names
    assert "at init=" in answer(wide)


def test_zero_has_a_place_on_the_axis_of_variances() -> None:
    drawn = {figure.name: figure.figure for figure in draw(watched({AXIS: [2.0, 0.0, 0.1]}, seeds=2, histograms=False))}
    axes = drawn["accuracy_against_init_variance"].axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0", "0.1", "2"]
    np.testing.assert_allclose(np.diff(axes.get_xticks()), 1)
