"""The answer of a run: the best setting, what it cannot be told apart from, and the ends of the grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

import jaxreg
from jaxreg.reporting.defaults import answer_of, default_answer
from jaxreg.study import Study
from tests.synthetic import make_results

VALIDATION, TEST = "final_validation_accuracy", "final_test_accuracy"
RATES = [0.001, 0.01, 0.1, 1.0]


def reaching(means: Any, *, spread: float = 0.001, seeds: int = 5, **options: Any) -> xr.Dataset:
    """Results whose settings reach these accuracies on validation and test, give or take the spread over seeds."""
    results = make_results(seeds=seeds, num_checks=3, **options)
    noise = np.random.default_rng(0).normal(0, spread, results[VALIDATION].shape)
    for name in (VALIDATION, TEST):
        values = np.asarray(means)[..., None] + noise
        results[name].variable.values = np.where(results["diverged_step"] >= 0, np.nan, values)
    return results


def test_the_best_setting_is_named_with_its_interval_and_told_apart() -> None:
    found = jaxreg.answer(reaching([0.5, 0.7, 0.9, 0.8]))
    assert found.best == {"learning_rate": 0.1}
    mean, low, high = found.test
    assert found.sentences == [
        f"learning_rate=0.1 is best on validation; its test accuracy is {100 * mean:.2f} % (95 % interval "
        f"{100 * low:.2f} to {100 * high:.2f} %, 5 seeds).",
        "With 5 seeds it is told apart from each of the 3 other settings.",
    ]
    assert (found.alike, found.worse, found.edges) == ((), 3, ())


def test_what_it_cannot_be_told_apart_from_is_named() -> None:
    results = reaching([0.5, 0.86, 0.9, 0.7], spread=0.02)
    assert jaxreg.answer(results).sentences[1] == (
        "With 5 seeds it cannot be told apart from learning_rate=0.01; the other 2 are worse."
    )
    level = jaxreg.answer(reaching([0.9, 0.9, 0.9, 0.9], spread=0.02))
    assert level.sentences[1] == "With 5 seeds it cannot be told apart from any of the 3 other settings."
    many = reaching(np.full(12, 0.9), spread=0.02, axes={"learning_rate": [0.1 * i for i in range(1, 13)]})
    many[VALIDATION][0] = 0.1
    assert jaxreg.answer(many).sentences[1].endswith(" and 6 more; the other one is worse.")


@pytest.mark.parametrize("seeds", [2, 5])
def test_without_an_effect_the_best_of_many_is_told_from_none_in_19_of_20_runs(seeds: int) -> None:
    told, runs = 0, 60
    results = reaching(np.full(8, 0.5), seeds=seeds, axes={"learning_rate": [float(i) for i in range(1, 9)]})
    rng = np.random.default_rng(1)
    for _ in range(runs):
        results[VALIDATION].variable.values = rng.normal(0.5, 0.02, seeds) + rng.normal(0, 0.01, (8, seeds))
        told += jaxreg.answer(results).worse > 0
    assert told <= 8  # P(X > 8) = 0.3 % for X ~ Binomial(60, 0.05)


def test_equal_members_cannot_be_told_apart() -> None:
    results = reaching([0.5, 0.9, 0.9, 0.6])
    results[VALIDATION][2] = results[VALIDATION][1]
    results["final_validation_loss"][2] = 1.0
    results[TEST][:] = 0.9
    found = jaxreg.answer(results)
    assert found.best == {"learning_rate": 0.01}
    assert (found.alike, found.test) == (("learning_rate=0.1",), (0.9, 0.9, 0.9))
    assert found.sentences[0].endswith("its test accuracy is 90.00 % in all 5 seeds.")


@pytest.mark.parametrize(
    ("means", "said"),
    [
        ([0.5, 0.6, 0.7, 0.9], "learning_rate=1 is the largest value tried: extend the range."),
        ([0.9, 0.6, 0.7, 0.5], "learning_rate=0.001 is the smallest value tried: extend the range."),
    ],
)
def test_a_setting_at_the_end_of_the_grid_says_so(means: list[float], said: str) -> None:
    assert jaxreg.answer(reaching(means)).sentences[-1] == said


@pytest.mark.parametrize(
    ("axis", "values", "means"),
    [
        ("learning_rate", [0.1, 1.0], [0.5, 0.9]),  # of two values one is always best
        ("l2_strength", [0.0, 0.1, 1.0], [0.9, 0.5, 0.4]),  # nothing is allowed below 0
        ("max_norm", [1.0, 2.0, np.inf], [0.5, 0.6, 0.9]),  # nor above infinity
        ("method", ["none", "l1", "l2"], [0.5, 0.6, 0.9]),  # and names have no ends
    ],
)
def test_no_range_is_extended_where_there_is_nothing_beyond(axis: str, values: list[Any], means: list[float]) -> None:
    assert not jaxreg.answer(reaching(means, axes={axis: values})).edges


def test_a_batch_cannot_be_larger_than_the_training_set() -> None:
    results = reaching([0.5, 0.6, 0.9], axes={"batch_size": [1, 30, 1197]})
    assert jaxreg.answer(results).edges
    assert not jaxreg.answer(results.assign_attrs(train_examples=1197)).edges


def test_both_ends_of_a_grid_are_named() -> None:
    means = np.add.outer([0.7, 0.6, 0.5], [0.0, 0.1, 0.2])
    axes = {"init_variance": [0.01, 0.1, 1.0], "learning_rate": [0.1, 1.0, 10.0]}
    assert jaxreg.answer(reaching(means, axes=axes)).sentences[-1] == (
        "init_variance=0.01 is the smallest and learning_rate=10 is the largest value tried: extend the ranges."
    )


def test_settings_that_diverge_rank_behind_and_are_counted() -> None:
    results = reaching([0.5, 0.7, 0.8, 0.9], diverged=2)
    found = jaxreg.answer(results)
    assert found.best == {"learning_rate": 0.1}
    assert (found.worse, found.diverged) == (2, 1)
    assert found.sentences[1].endswith(" 1 setting has members that diverged and ranks behind.")
    assert str(found).startswith("4 settings x 5 seeds of digits, 100 steps, 2 members diverged.\n")


def test_one_seed_says_that_it_cannot_tell() -> None:
    first, second, *_ = jaxreg.answer(reaching([0.5, 0.7, 0.9, 0.8], seeds=1)).sentences
    assert first.endswith(" % (one seed, no interval).")
    assert second == "One seed cannot tell settings apart: give more, such as --seeds=5."


def test_an_interval_of_shares_ends_at_0_and_100_per_cent() -> None:
    results = reaching([0.1, 0.07], spread=0, seeds=2, axes={"learning_rate": [0.1, 1.0]})
    results[VALIDATION][1] = 0.9
    results[TEST][1] = [0.04, 0.10]
    said = jaxreg.answer(results).sentences[0]
    assert "its test accuracy is 7.00 % (95 % interval 0 to 45.12 %, 2 seeds, if values are normally" in said


def test_settings_that_differ_only_in_a_strength_that_does_not_act_are_one() -> None:
    axes = {"method": ["none", "l2"], "l2_strength": [0.001, 0.01, 0.1]}
    results = reaching([[0.9] * 3, [0.7, 0.6, 0.5]], axes=axes)
    results[VALIDATION][0, 1:] = results[VALIDATION][0, 0]
    found = jaxreg.answer(results)
    assert (found.label, found.best) == ("method=none", {"method": "none", "l2_strength": 0.001})
    assert (found.alike, found.worse, found.edges) == ((), 3, ())
    assert found.run.startswith("4 settings x 5 seeds")


def test_a_run_of_one_setting_has_an_accuracy_and_nothing_to_choose() -> None:
    (said,) = jaxreg.answer(reaching(0.9, axes={})).sentences
    assert said.startswith("The test accuracy is 90.")


def test_a_run_of_which_every_member_diverged_says_so() -> None:
    results = make_results()
    results[VALIDATION][:] = np.nan
    found = jaxreg.answer(results)
    assert (found.best, found.n) == (None, 0)
    assert found.sentences == ["No member has a validation accuracy: all of them diverged."]
    assert default_answer(results) in found._repr_html_()


def test_a_notebook_shows_it_as_html_in_which_nothing_is_markup() -> None:
    shown = jaxreg.answer(reaching([0.5, 0.9, 0.6], axes={"method": ["a", "<b>&", "c"]}))._repr_html_()
    assert "method=&lt;b&gt;&amp; is best on validation" in shown
    assert "<b>" not in shown


def test_a_study_answers_for_itself_or_leaves_it_to_the_run() -> None:
    results = reaching([0.5, 0.7, 0.9, 0.8])
    assert answer_of(Study(), results) == " ".join(jaxreg.answer(results).sentences)
    assert answer_of(Study(answer=lambda _: "42."), results) == "42."
