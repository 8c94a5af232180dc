from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.stats
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxreg.claims.judgement import Best, Claim, Higher, Judgement, Lower, Measure, ReportedNumber, Trend, Within, judge
from jaxreg.claims.judgement import _on_reported as on_reported
from jaxreg.claims.reported import Reported, reported_numbers
from jaxreg.measures import steps_to_train
from jaxreg.statistics import prediction_interval
from tests.synthetic import make_results

RATES = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0]
DRAWS, MOST_FALSE = 1000, 67  # P(X > 67) = 0.7 % for X ~ Binomial(1000, 0.05)
ACCURACY, LOSS = "final_test_accuracy", "final_test_loss"
RISES = Trend("it rises", LOSS, "learning_rate", "rises")
FALLS = Trend("it falls", LOSS, "learning_rate", "falls")


def rate(value: float) -> dict[str, float]:
    return {"learning_rate": value}


LOWER = Lower("a is lower", LOSS, rate(0.001), rate(1))
HIGHER = Higher("a is higher", LOSS, rate(0.001), rate(1))
BEST = Best("0.1 is best", LOSS, rate(0.1), "learning_rate", "lower")


def of(values: Any, name: str = LOSS, units: str = "nats") -> xr.Dataset:
    """Results with one measure, [learning_rate, seed], at the first rates; NaN are diverged members."""
    values, dims = np.asarray(values), ("learning_rate", "seed")
    coords = {"learning_rate": np.array(RATES[: len(values)], np.float32), "seed": np.arange(values.shape[1])}
    diverged_step = np.where(np.isnan(values), 9, -1)
    return xr.Dataset({name: (dims, values, {"units": units}), "diverged_step": (dims, diverged_step)}, coords)


def noisy(means: list[float], seeds: int = 10, sd: float = 0.01, key: int = 0) -> np.ndarray:
    """Means with noise that a seed shares (sd 1) and noise of each member."""
    rng = np.random.default_rng(key)
    return np.array(means)[:, None] + rng.normal(0, 1, seeds) + rng.normal(0, sd, (len(means), seeds))


def verdicts(claim: Claim, results: xr.Dataset) -> str:
    return claim.judge(results).verdict


# False positives and power.


def normal(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.normal(0, 2, n) + rng.normal(0, 1, (7, n))


def counted(rng: np.random.Generator, n: int) -> np.ndarray:
    """Accuracies on 300 examples, whose spread is a few of them, shared by seed in part, as float32."""
    right = np.round(285 + rng.normal(0, 1.5, n) + rng.normal(0, 1.5, (7, n)))
    return (right / 300).astype(np.float32)


def shared(rng: np.random.Generator, n: int) -> np.ndarray:
    """Accuracies on 360 examples that differ much from seed to seed and hardly within one: most differences tie."""
    return np.round(324 + rng.normal(0, 10, n) + rng.normal(0, 0.3, (7, n))) / 360


def censored(rng: np.random.Generator, n: int) -> np.ndarray:
    steps = np.ceil(rng.exponential(20, n) + rng.exponential(20, (7, n))) * 50
    steps[steps > 2500] = np.inf
    return steps


def share_decided(claim: Claim, draw: Callable[[np.random.Generator, int], np.ndarray], n: int) -> int:
    rng, results = np.random.default_rng(n), of(np.zeros((7, n)), units="nats" if draw is normal else "1")
    decided = 0
    for _ in range(DRAWS):
        results[LOSS].variable.values = draw(rng, n)
        decided += verdicts(claim, results) != "undecided"
    return decided


@pytest.mark.parametrize("n", [5, 10, 20])
@pytest.mark.parametrize("claim", [RISES, LOWER, BEST, Within("at the bound", LOSS, rate(0.1), 0, np.inf)])
def test_without_an_effect_at_most_one_claim_in_twenty_is_decided(claim: Claim, n: int) -> None:
    assert share_decided(claim, normal, n) <= MOST_FALSE


@pytest.mark.parametrize(("draw", "n"), [(counted, 5), (shared, 2), (censored, 20)])
@pytest.mark.parametrize("claim", [FALLS, HIGHER, BEST])
def test_so_it_is_for_counted_and_for_censored_values(
    claim: Claim, draw: Callable[[np.random.Generator, int], np.ndarray], n: int
) -> None:
    assert share_decided(claim, draw, n) <= MOST_FALSE


VARIANCES = [0.01, 0.1, 1.0, 4.0, *range(5, 17)]


def grid_of(values: np.ndarray) -> xr.Dataset:
    """Results with validation accuracies, [init_variance, learning_rate, seed]."""
    variances, rates, seeds = values.shape
    dims = ("init_variance", "learning_rate", "seed")
    variables = {"final_validation_accuracy": values, "final_validation_loss": -values}
    variables |= {"diverged_step": np.where(np.isnan(values), 9, -1)}
    coords = {"init_variance": VARIANCES[:variances], "learning_rate": RATES[:rates], "seed": np.arange(seeds)}
    return xr.Dataset({name: (dims, array, {"units": "1"}) for name, array in variables.items()}, coords)


CHOSEN_BY = "final_validation_accuracy"


@pytest.mark.parametrize(
    "claim",
    [
        Trend("it rises", CHOSEN_BY, "learning_rate", "rises"),
        Higher("the noisier is higher", CHOSEN_BY, rate(0.01), rate(0.001)),
        Best("the noisiest is best", CHOSEN_BY, rate(0.01), "learning_rate", "higher"),
        Within("at the bound", CHOSEN_BY, rate(0.01), 0, np.inf),
    ],
)
@pytest.mark.parametrize("n", [5, 10])
def test_so_it_is_where_the_measure_itself_chooses_the_unnamed_axis(claim: Claim, n: int) -> None:
    # The choice favours the noisy rate: without the factor of 16, 25 % are decided of Higher at n = 10, 31 % of Within.
    rng, decided = np.random.default_rng(0), 0
    results = grid_of(np.zeros((16, 3, n)))
    for _ in range(DRAWS // 2):
        values = rng.normal(0, 1, (16, 3, n)) * np.array([1, 2, 4])[:, None]
        results[CHOSEN_BY].variable.values = values
        results["final_validation_loss"].variable.values = -values
        decided += verdicts(claim, results) != "undecided"
    assert decided <= 37  # P(X > 37) = 0.7 % for X ~ Binomial(500, 0.05)


@pytest.mark.parametrize("n", [5, 10, 20])
def test_a_number_of_the_same_distribution_is_contradicted_in_at_most_one_case_of_twenty(n: int) -> None:
    draws = xr.DataArray(np.random.default_rng(n).normal(0.9, 0.01, (DRAWS, n + 1)), dims=("draw", "seed"))
    one_run = prediction_interval(draws.isel(seed=slice(n)))
    columns = [one_run[name].values.tolist() for name in ("mean", "sd", "low", "high", "n")]
    reported = draws.isel(seed=n).values.tolist()
    decided = [on_reported(value, *row).verdict for value, *row in zip(reported, *columns, strict=True)]
    assert decided.count("contradicted") <= MOST_FALSE
    assert decided.count("undecided") == 0


@pytest.mark.parametrize("key", range(5))
def test_a_known_effect_is_found_in_both_directions(key: int) -> None:
    falling = noisy([0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0], sd=0.02, key=key)
    results, mirrored = of(falling), of(-falling)
    assert [verdicts(c, results) for c in (FALLS, RISES, HIGHER, LOWER)] == ["supported", "contradicted"] * 2
    assert [verdicts(c, mirrored) for c in (FALLS, RISES, HIGHER, LOWER)] == ["contradicted", "supported"] * 2
    last, first = dataclasses.replace(BEST, setting=rate(1)), dataclasses.replace(BEST, setting=rate(0.001))
    assert [verdicts(last, results), verdicts(first, results)] == ["supported", "contradicted"]
    higher = dataclasses.replace(first, better="higher")
    assert [verdicts(higher, results), verdicts(higher, mirrored)] == ["supported", "contradicted"]


def test_censored_effects_are_found_by_sign_tests() -> None:
    steps = np.array([np.inf, 800.0, 400.0])[:, None] + np.arange(10.0)
    judgement = dataclasses.replace(FALLS, measure=LOSS).judge(of(steps, units="steps"))
    assert judgement.verdict == "supported"
    assert "10 of 10 seeds" in judgement.reason
    slope, first, second = judgement.evidence
    assert [e.test for e in judgement.evidence] == ["sign", "sign", "t"]
    assert slope.p == first.p == second.p == 2.0**-9  # the last by equal differences
    assert np.isnan([slope.difference, first.difference]).all()
    assert second.difference == -400
    assert "lower in 10 of 10 seeds" in first.label


@pytest.mark.parametrize("claim", [FALLS, LOWER, BEST])
def test_never_against_never_is_not_identical(claim: Claim) -> None:
    judgement = claim.judge(of(np.full((7, 10), np.inf)))
    assert judgement.verdict == "undecided"
    assert judgement.reason.startswith("No finite final test loss at ")
    assert judgement.reason.endswith("in any of 10 seeds: nothing to tell them apart by.")
    assert {(e.test, e.needed) for e in judgement.evidence} == {("none", None)}
    some = np.full((7, 10), np.inf)
    some[:, 0] = 400
    assert verdicts(claim, of(some)) == "undecided"


# Invariances.

tables = st.integers(0, 2**32 - 1).map(
    lambda key: np.random.default_rng(key).normal(0, 1, (4, 6)) + np.random.default_rng(key).uniform(0, 2, (4, 1))
)
OPPOSITE = {"supported": "contradicted", "contradicted": "supported", "undecided": "undecided"}


@settings(deadline=None, max_examples=50)
@given(tables)
def test_swapping_a_and_b_flips_sign_and_verdict(values: np.ndarray) -> None:
    results = of(values)
    one = Lower("", LOSS, rate(0.001), rate(0.05)).judge(results)
    other = Lower("", LOSS, rate(0.05), rate(0.001)).judge(results)
    assert other.verdict == OPPOSITE[one.verdict]
    assert other.evidence[0].difference == pytest.approx(-one.evidence[0].difference)
    assert other.evidence[0].low == pytest.approx(-one.evidence[0].high)
    assert other.evidence[0].p == pytest.approx(one.evidence[0].p)


def same(one: Judgement, other: Judgement) -> bool:
    ours, theirs = ([(e.difference, e.low, e.high, e.p_holm) for e in j.evidence] for j in (one, other))
    return one.verdict == other.verdict and np.allclose(ours, theirs, atol=1e-9, equal_nan=True)


@settings(deadline=None, max_examples=50)
@given(tables, st.permutations(range(6)), st.lists(st.floats(-50, 50), min_size=6, max_size=6))
def test_neither_the_order_of_seeds_nor_what_a_seed_adds_to_all_matters(
    values: np.ndarray, order: list[int], added: list[float]
) -> None:
    for claim in (
        RISES,
        Lower("", LOSS, rate(0.001), rate(0.05)),
        Best("", LOSS, rate(0.01), "learning_rate", "lower"),
    ):
        judgement = claim.judge(of(values))
        assert same(judgement, claim.judge(of(values[:, order])))
        assert same(judgement, claim.judge(of(values + np.array(added))))


# The rules, one by one.


def test_a_trend_names_the_stretch_where_it_holds() -> None:
    accuracy = of(noisy([0.1, 0.3, 0.5, 0.6, 0.7, 0.9, 0.8]), ACCURACY, "1")
    judgement = Trend("it rises", ACCURACY, "learning_rate", "rises", source="part 5").judge(accuracy)
    assert (judgement.verdict, judgement.n, judgement.units, judgement.source) == ("contradicted", 10, "1", "part 5")
    assert judgement.reason.startswith("Holds from 0.001 to 0.5, not from 0.5 to 1: ")
    assert " points (95 % interval " in judgement.reason
    assert [e.label for e in judgement.evidence[:2]] == ["slope along learning_rate", "learning_rate 0.001 to 0.005"]
    assert len(judgement.evidence) == 7


def test_neighbouring_stretches_are_joined() -> None:
    judgement = RISES.judge(of(noisy([0.0, 1.0, 4.0, 3.5, 3.0, 2.5, 6.0])))
    assert judgement.reason.startswith(
        "Holds from 0.001 to 0.01 and from 0.5 to 1, not from 0.01 to 0.5: there a fall in final test loss, from "
    )


def test_the_slope_of_a_straight_line_is_its_step() -> None:
    judgement = RISES.judge(of(0.25 * np.arange(5)[:, None] + np.arange(8)))
    assert judgement.evidence[0].difference == pytest.approx(0.25)
    assert judgement.evidence[0].p == 2.0**-7  # equal in all seeds: a sign test, not an infinitely sure t test


def test_numbers_are_ordered_by_value_and_text_as_it_stands() -> None:
    values = noisy([0.0, 1.0, 2.0])
    shuffled = of(values[[2, 0, 1]]).assign_coords(learning_rate=[0.5, 0.1, 0.3])
    assert RISES.judge(shuffled).reason.startswith(
        "A rise in final test loss along learning_rate from 0.1 to 0.5, by 1 nats"
    )
    text = of(values).assign_coords(learning_rate=["9", "10x10", "1"])
    assert "from 9 to 1," in RISES.judge(text).reason


def test_two_values_make_one_comparison() -> None:
    judgement = RISES.judge(of(noisy([0.0, 1.0])))
    assert [e.label for e in judgement.evidence] == ["learning_rate 0.001 to 0.005"]
    assert judgement.evidence[0].p == judgement.evidence[0].p_holm


def test_undecided_says_how_many_seeds_would_be_needed() -> None:
    differences = np.array([2.0, -1.0, 1.0, 0.0, 3.0])  # mean 1, sd sqrt(2.5): d = 0.632 needs 22 pairs
    judgement = Higher("", LOSS, rate(0.001), rate(0.005)).judge(of([differences, np.zeros(5)]))
    assert judgement.verdict == "undecided"
    assert judgement.evidence[0].needed == 22
    assert judgement.reason == (
        "learning_rate=0.001 and learning_rate=0.005 cannot be told apart with n = 5; about n = 22 would be needed."
    )


@pytest.mark.parametrize("claim", [RISES, LOWER, BEST, Within("", LOSS, rate(0.1), 0, 1)])
def test_one_seed_gives_no_interval(claim: Claim) -> None:
    judgement = claim.judge(of(noisy([0.0] * 7, seeds=1)))
    assert (judgement.verdict, judgement.n) == ("undecided", 1)
    assert "one seed gives no interval" in judgement.reason.lower()


@pytest.mark.parametrize("claim", [RISES, FALLS, LOWER, HIGHER, BEST])
def test_identical_members_contradict_a_claim_that_they_differ(claim: Claim) -> None:
    judgement = claim.judge(of(np.tile(noisy([0.0], seeds=3), (7, 1))))
    assert judgement.verdict == "contradicted"
    assert {e.test for e in judgement.evidence} == {"identical"}
    assert judgement.reason.startswith("Identical final test loss at ")
    assert "in all 3 seeds" in judgement.reason
    assert np.isnan(judgement.evidence[0].p)


@pytest.mark.parametrize("claim", [RISES, LOWER, BEST])
def test_identical_counts_may_be_chance(claim: Claim) -> None:
    judgement = claim.judge(of(np.full((7, 20), 0.95), units="1"))
    assert judgement.verdict == "undecided"
    assert judgement.reason.endswith(" in all 20 seeds: nothing to tell them apart by.")


def test_a_slope_of_zero_in_each_seed_is_told() -> None:
    judgement = RISES.judge(of(np.array([[0] * 5, [1, -1, 2, -1, 1], [0] * 5])))
    assert judgement.verdict == "undecided"
    assert judgement.reason == (
        "Neither rise nor fall in final test loss along learning_rate from 0.001 to 0.01 in any of 5 seeds."
    )


def test_a_difference_that_hardly_varies_is_found() -> None:
    loss = np.array([[0.0], [2.3]]) + np.random.default_rng(0).normal(0, 5e-5, (2, 5))
    assert verdicts(Lower("", LOSS, rate(0.001), rate(0.005)), of(loss)) == "supported"


def test_seeds_needed_are_those_at_the_level_that_holm_leaves() -> None:
    # Mean 1, sd sqrt(2.5), and half that mean: p = 0.23 and 0.52, so that the first is tested at 0.05 / 2.
    values = np.array([np.zeros(5), [2.0, -1, 1, 0, 3], [1.5, -1.5, 0.5, -0.5, 2.5]])
    judgement = Best("", LOSS, rate(0.001), "learning_rate", "lower").judge(of(values))
    n, d = np.arange(2, 60), 1 / np.sqrt(2.5)
    power = scipy.stats.nct.sf(scipy.stats.t.ppf(1 - 0.025 / 2, n - 1), n - 1, d * np.sqrt(n))
    assert judgement.evidence[0].needed == n[power >= 0.8][0] == 27


def test_no_verdict_in_favour_of_a_setting_of_which_members_diverged() -> None:
    loss = noisy([0.0, 1.0])
    loss[0, :2] = np.nan  # the lower loss is that of the diverging setting
    for claim in (Lower("", LOSS, rate(0.001), rate(0.005)), Higher("", LOSS, rate(0.001), rate(0.005)), RISES, FALLS):
        judgement = claim.judge(of(loss))
        assert (judgement.verdict, judgement.n, judgement.evidence[0].left_out) == ("undecided", 8, 2)
        assert "Left out because they diverged: 2 of 10 at learning_rate=0.001." in judgement.reason
    for best in (rate(0.001), rate(0.005)):
        assert verdicts(Best("", LOSS, best, "learning_rate", "lower"), of(loss)) == "undecided"


def test_a_verdict_against_the_setting_that_diverges_is_given() -> None:
    loss = noisy([0.0, 1.0])
    loss[1, :2] = np.nan
    results = of(loss)
    assert verdicts(Lower("", LOSS, rate(0.001), rate(0.005)), results) == "supported"
    assert verdicts(FALLS, results) == "contradicted"
    assert verdicts(Best("", LOSS, rate(0.001), "learning_rate", "lower"), results) == "supported"
    assert verdicts(Best("", LOSS, rate(0.005), "learning_rate", "lower"), results) == "contradicted"
    neither_is_better = Measure("fluctuation", lambda results: results[LOSS])
    assert verdicts(Lower("", neither_is_better, rate(0.001), rate(0.005)), results) == "undecided"


@pytest.mark.parametrize("diverged", [9, 10])
def test_a_setting_that_diverges_altogether_ranks_worst(diverged: int) -> None:
    loss = noisy([0.0, 1.0, 2.0])
    loss[2, :diverged] = np.nan
    results = of(loss)
    first, last = rate(0.001), rate(0.01)
    for claim, verdict in (
        (Lower("", LOSS, first, last), "supported"),
        (Higher("", LOSS, first, last), "contradicted"),
        (Best("", LOSS, first, "learning_rate", "lower"), "supported"),
        (Best("", LOSS, last, "learning_rate", "lower"), "contradicted"),
        (RISES, "supported"),
        (FALLS, "contradicted"),
    ):
        judgement = claim.judge(results)
        assert (judgement.verdict, judgement.n) == (verdict, 10)
        assert (
            f"Diverged, and ranked worst where fewer than two pairs are left: {diverged} of 10 at " in judgement.reason
        )
    accuracy = Measure("accuracy", lambda results: results[LOSS], better="higher")
    assert verdicts(Higher("", accuracy, last, first), results) == "contradicted"
    assert verdicts(Lower("", accuracy, last, first), results) == "supported"
    unknown = Lower("", Measure("fluctuation", lambda results: results[LOSS]), first, last).judge(results)
    assert (unknown.verdict, unknown.n) == ("undecided", 10 - diverged)
    assert verdicts(Lower("", LOSS, first, rate(0.005)), of(np.full((2, 10), np.nan))) == "undecided"


def test_what_is_missing_without_divergence_is_not_called_divergence() -> None:
    loss = noisy([0.0, 1.0])
    loss[1, :2] = np.nan
    results = of(loss)
    results["diverged_step"][1, 0] = -1
    for other in (results, results.drop_vars("diverged_step")):
        judgement = Lower("", LOSS, rate(0.001), rate(0.005)).judge(other)
        assert (judgement.verdict, judgement.n) == ("undecided", 8)  # nothing says that what is missing is worse
    assert judgement.reason.endswith("Left out because they have no value: 2 of 10 at learning_rate=0.005.")
    both = RISES.judge(results).reason
    assert "diverged: 1 of 10 at learning_rate=0.005. Left out because they have no value: 1 of 10 at learning" in both


@pytest.mark.parametrize(("at", "verdict"), [(1, "undecided"), (2, "supported"), (3, "supported")])
def test_a_slope_favours_the_half_of_the_axis_where_it_is_better(at: int, verdict: str) -> None:
    loss = noisy([0.0, 1.0, 2.0, 3.0, 4.0])  # better at the beginning
    loss[at, :2] = np.nan
    assert verdicts(RISES, of(loss)) == verdict
    assert verdicts(RISES, of(loss[:, 2:])) == "supported"
    other = {"supported": "undecided", "undecided": "supported"}[verdict] if at != 2 else "supported"
    rising = Trend("", Measure("accuracy", lambda results: results[LOSS], "higher"), "learning_rate", "rises")
    assert verdicts(rising, of(loss)) == other


def test_a_step_against_a_trend_is_not_passed_over_since_members_diverged() -> None:
    loss = noisy([0.0, 5.0, 3.0, 8.0, 9.0])
    assert verdicts(RISES, of(loss)) == "contradicted"
    loss[2, :2] = np.nan
    judgement = RISES.judge(of(loss))
    assert judgement.verdict == "undecided"
    assert "but a fall from 0.005 to 0.01 in the seeds that are left there" in judgement.reason


def test_what_cannot_be_meant_is_refused() -> None:
    for claim in (
        lambda: Trend("", LOSS, "learning_rate", "rise"),  # type: ignore[arg-type]
        lambda: Best("", LOSS, rate(0.1), "learning_rate", "best"),  # type: ignore[arg-type]
        lambda: Measure("loss", lambda results: results[LOSS], "less"),  # type: ignore[arg-type]
        lambda: Within("", LOSS, rate(0.1), 1, 0),
        lambda: Within("", LOSS, rate(0.1), np.nan, 0),
    ):
        with pytest.raises(ValueError, match="must be"):
            claim()


@pytest.mark.parametrize("claim", [RISES, LOWER, BEST, Within("", LOSS, rate(0.1), 0, 1)])
def test_results_without_seeds_are_undecided(claim: Claim) -> None:
    for none in (0, slice(0)):
        judgement = claim.judge(of(np.zeros((7, 5))).isel(seed=none))
        assert (judgement.verdict, judgement.n) == ("undecided", 0)
        assert judgement.reason == "This run has no seeds in final test loss."


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        (Trend("", LOSS, "momentum", "rises"), "This run does not sweep momentum."),
        (Lower("", LOSS, rate(0.1), rate(0.3)), "This run does not hold learning_rate=0.3."),
        (Best("", LOSS, rate(0.3), "learning_rate", "lower"), "This run does not hold learning_rate=0.3."),
        (Best("", LOSS, rate(0.1), [0.1, 0.3], "lower"), "This run does not hold learning_rate=0.3."),
        (Within("", LOSS, {"batch_size": 7}, 0, 1), "This run does not hold batch_size=7."),
        (Trend("", "train_time", "learning_rate", "rises"), "This run does not record what train time is read off."),
        (ReportedNumber(Reported("A5-0.01-test", ACCURACY, {"momentum": 3})), "This run does not record"),
    ],
)
def test_what_the_run_does_not_hold_is_undecided(claim: Claim, reason: str) -> None:
    judgement = claim.judge(of(np.zeros((7, 5))))
    assert (judgement.verdict, judgement.n, judgement.evidence) == ("undecided", 0, ())
    assert judgement.reason.startswith(reason)


def test_a_measure_with_another_dimension_is_refused() -> None:
    with pytest.raises(ValueError, match="test loss"):
        Trend("", "test_loss", "learning_rate", "falls").judge(make_results())


def test_other_axes_are_held_at_the_best_on_validation() -> None:
    results = make_results(axes={"learning_rate": [0.01, 0.1], "activation": ["relu", "tanh"]})
    results["final_validation_accuracy"][:, 1] += 1
    judgement = Trend("", LOSS, "learning_rate", "falls").judge(results)
    assert judgement.verdict == "supported"
    assert judgement.reason.endswith(
        "Judged at activation=tanh, best on validation averaged over learning_rate; p is multiplied by the 2 choices, "
        "which a claim that names activation is spared."
    )
    assert judgement.evidence[0].p_holm == 2 * judgement.evidence[0].p
    change = results[LOSS].sel(activation="tanh").astype(float)
    expected = (change.isel(learning_rate=1) - change.isel(learning_rate=0)).mean()
    assert judgement.evidence[0].difference == pytest.approx(float(expected))
    pinned = Trend("", LOSS, "learning_rate", "falls", {"activation": "relu"}).judge(results)
    assert "validation" not in pinned.reason
    assert pinned.evidence[0].difference != judgement.evidence[0].difference


def test_the_choice_is_that_of_the_average_over_what_is_compared() -> None:
    means = np.array([[0.9, 0.1, 0.1, 0.1], [0.5, 0.5, 0.4, 0.6], [0.2, 0.3, 0.8, 0.1]])
    results = grid_of(means[:, :, None] + noisy([0.0], seeds=6) * 1e-3)

    def chosen(claim: Claim) -> str:
        return claim.judge(results).reason.rpartition(" Judged at ")[2].partition("; p is multiplied")[0]

    def lower(a: float, b: float) -> Claim:
        return Lower("", CHOSEN_BY, rate(a), rate(b))

    over_all, over_some = "best on validation averaged over learning_rate", "averaged over these values of"
    assert chosen(Trend("", CHOSEN_BY, "learning_rate", "rises")) == f"init_variance=0.1, {over_all}"
    assert chosen(Best("", CHOSEN_BY, rate(0.01), "learning_rate", "higher")) == f"init_variance=0.1, {over_all}"
    assert chosen(Best("", CHOSEN_BY, rate(0.01), [0.001], "higher")).startswith("init_variance=0.01, ")  # 0.5, .45, .5
    assert over_some in chosen(Best("", CHOSEN_BY, rate(0.01), [0.005], "higher"))
    assert chosen(lower(0.005, 0.01)) == "init_variance=1, best on validation averaged over both settings"
    assert chosen(Within("", CHOSEN_BY, rate(0.001), 0, 1)) == "init_variance=0.01, best on validation"


def test_where_members_diverged_or_accuracies_tie_the_choice_follows_the_ranking() -> None:
    values = np.array([0.9, 0.5, 0.5])[:, None, None] + np.zeros((3, 2, 6))
    values[0, 1, 0] = np.nan
    results = grid_of(values)
    results["final_validation_loss"][1] = 0.7
    results["final_validation_loss"][2] = 0.6
    claim = Trend("", CHOSEN_BY, "learning_rate", "rises")
    assert "Judged at init_variance=1," in claim.judge(results).reason
    everywhere = grid_of(np.where(np.arange(2)[:, None] == 1, np.nan, values))
    assert "Judged at init_variance=0.01," in claim.judge(everywhere).reason
    nowhere = claim.judge(grid_of(np.full((3, 2, 6), np.nan)))
    assert nowhere.reason == "No setting has a validation accuracy by which init_variance could be chosen."


def test_an_axis_that_one_setting_names_must_be_named_in_the_other() -> None:
    judgement = Lower("", CHOSEN_BY, {**rate(0.001), "init_variance": 1}, rate(0.005)).judge(
        grid_of(np.zeros((3, 2, 6)))
    )
    assert judgement.verdict == "undecided"
    assert judgement.reason == "This run holds learning_rate=0.005 at 3 settings."


def test_a_coordinate_along_two_axes_finds_its_settings() -> None:
    values = np.arange(4.0).reshape(2, 2, 1) + noisy([0.0], seeds=6) * 1e-3
    results = grid_of(values).assign_coords(num_steps=(("learning_rate", "init_variance"), [[100, 200], [200, 400]]))
    judgement = Trend("", CHOSEN_BY, "learning_rate", "falls", {"num_steps": 200}).judge(results)
    assert judgement.verdict == "supported"  # from 2, at variance 0.1, to 1, at variance 0.01
    assert judgement.evidence[0].difference == pytest.approx(-1)


def test_zipped_and_fixed_names_find_their_setting() -> None:
    results = make_results(
        axes={"batch_size": [10, 50, 100]}, zipped={"learning_rate": ("batch_size", [0.1, 0.2, 0.4])}
    )
    by_rate = Best("", LOSS, {"learning_rate": 0.4, "num_steps": 1000}, "learning_rate", "lower").judge(results)
    by_size = Best("", LOSS, {"batch_size": 100}, "batch_size", "lower").judge(results)
    assert by_rate.verdict == by_size.verdict == "supported"
    assert [e.difference for e in by_rate.evidence] == [e.difference for e in by_size.evidence]
    assert verdicts(Trend("", LOSS, "learning_rate", "falls"), results) == "supported"


def test_measures_are_read_off_the_results() -> None:
    steps = Measure("steps to train", steps_to_train, better="lower")
    claims = [Trend("fewer steps", steps, "learning_rate", "falls"), Lower("", steps, rate(1), rate(0.1))]
    trend, lower = judge(claims, make_results(seeds=12))
    assert (trend.verdict, lower.verdict) == ("supported", "supported")
    assert trend.units == "steps"


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0, 4, "supported"), (1.6, 2.4, "undecided"), (3, 9, "contradicted"), (-9, 1, "contradicted")],
)
def test_within_compares_the_interval_of_the_mean(low: float, high: float, verdict: str) -> None:
    # 1, 2, 3: mean 2 with the interval 2 ± 4.303 / sqrt(3) = -0.48 to 4.48; 15 such values: 2 ± 0.47.
    claim = Within("", LOSS, rate(0.001), low, high)
    assert verdicts(claim, of(np.tile([[1.0, 2.0, 3.0]], 5))) == verdict
    assert verdicts(claim, of([[1.0, 2.0, 3.0]])) == "undecided"
    assert verdicts(dataclasses.replace(claim, low=-np.inf, high=np.inf), of([[1.0, 2.0, 3.0]])) == "supported"


@pytest.mark.parametrize(("low", "high"), [(0.5, 1.0), (-10.0, 10.0), (-1e9, 1e9), (0.89999, np.inf)])
def test_wider_bounds_hold_what_narrower_ones_hold(low: float, high: float) -> None:
    values = 0.9 + np.array([[1e-6, -1e-6, 2e-6, 0.0]])
    assert verdicts(Within("", LOSS, rate(0.001), low, high), of(values)) == "supported"


def test_bounds_are_decimals_and_values_float32() -> None:
    values = of(np.full((1, 5), 0.9, np.float32), units="1")  # 0.89999998
    assert verdicts(Within("", LOSS, rate(0.001), 0.9, 1), values) == "supported"
    assert verdicts(Within("", LOSS, rate(0.001), 0.90001, 1), values) == "contradicted"
    tenth = of(np.full((1, 5), 0.1, np.float32), units="1")  # 0.10000000149
    assert verdicts(Within("", LOSS, rate(0.001), 0, 0.1), tenth) == "supported"


def test_equal_values_at_a_bound_are_inside() -> None:
    one_unit = Measure("distinct hidden units", lambda results: results[LOSS])
    claim = Within("", one_unit, rate(0.001), 1, 1)
    assert verdicts(claim, of(np.ones((1, 5)))) == "supported"
    assert verdicts(claim, of(np.full((1, 5), 2.0))) == "contradicted"
    few = claim.judge(of(np.ones((1, 4))))
    assert (few.verdict, few.evidence[0].needed) == ("undecided", 5)


def test_within_judges_censored_values_by_their_median() -> None:
    steps = np.array([[100.0, 200, 300, 400, 500, 600, 700, np.inf]])
    assert verdicts(Within("", LOSS, rate(0.001), 0, 1e4), of(steps)) == "undecided"  # 7 of 8 under the upper bound
    assert verdicts(Within("", LOSS, rate(0.001), 0, np.inf), of(steps)) == "supported"
    assert verdicts(Within("", LOSS, rate(0.001), 0, 50), of(steps)) == "contradicted"
    assert verdicts(Within("", LOSS, rate(0.001), 0, 50), of(np.full((1, 6), np.inf))) == "contradicted"


def test_within_is_not_decided_in_favour_of_a_setting_that_diverges() -> None:
    loss = np.array([[1.0, 1.1, 0.9, 1.05, 0.95, np.nan]])
    assert verdicts(Within("", LOSS, rate(0.001), 0, 2), of(loss)) == "undecided"
    assert verdicts(Within("", LOSS, rate(0.001), 2, 3), of(loss)) == "undecided"
    assert verdicts(Within("", LOSS, rate(0.001), 0, 0.5), of(loss)) == "contradicted"


REPORTED = ReportedNumber(Reported("A5-0.01-test", ACCURACY, {"learning_rate": 0.01}))


def accuracies_around(centre: float, seeds: int = 5) -> xr.Dataset:
    results = make_results(seeds=seeds)
    at = results[ACCURACY].sel(learning_rate=0.01)
    results[ACCURACY] = (results[ACCURACY] + centre - at.mean("seed")).assign_attrs(units="1")
    return results


def test_a_reported_number_is_consistent_with_a_run_or_not() -> None:
    inside, outside = REPORTED.judge(accuracies_around(0.853)), REPORTED.judge(accuracies_around(0.5))
    assert (inside.verdict, outside.verdict) == ("supported", "contradicted")
    assert inside.source == "report 000"
    assert inside.statement == "test accuracy is 0.853 at learning_rate=0.01, batch_size=1000, 10000 steps"
    assert "the source's 85.30 % is consistent with that" in inside.reason
    assert outside.evidence[0].difference == pytest.approx(-0.353, abs=1e-6)
    assert outside.evidence[0].high < 0


@pytest.mark.parametrize("centre", [0.5, 0.853])
def test_fitted_numbers_and_one_seed_decide_nothing(centre: float) -> None:
    fitted = dataclasses.replace(REPORTED, reported=dataclasses.replace(REPORTED.reported, fitted=True))
    judgement = fitted.judge(accuracies_around(centre))
    assert judgement.verdict == "undecided"
    assert "no evidence" in judgement.reason
    alone = REPORTED.judge(accuracies_around(centre, seeds=1))
    assert (alone.verdict, alone.n) == ("undecided", 1)
    assert "one seed gives no interval" in alone.reason


def test_a_reported_number_and_equal_or_diverged_members() -> None:
    value = float(reported_numbers().loc["A5-0.01-test", "value"])  # type: ignore[arg-type]
    few = on_reported(value, 0.8, 0.0, 0.8, 0.8, 6)
    assert (few.verdict, few.needed) == ("undecided", 7)
    assert "n = 7 would be needed" in few.why
    assert on_reported(value, 0.8, 0.0, 0.8, 0.8, 7).verdict == "contradicted"
    assert on_reported(value, value, 0.0, value, value, 2).verdict == "supported"
    assert on_reported(value, 0.8, 0.01, 0.7, 0.84, 5, left_out=1, better="higher").verdict == "contradicted"
    assert on_reported(value, 0.9, 0.01, 0.88, 0.92, 5, left_out=1, better="higher").verdict == "undecided"


def test_a_reported_number_counts_up_to_half_a_unit_of_its_last_digit() -> None:
    for printed in (0.85254, 0.85346):  # 0.853 to three digits
        assert verdicts(REPORTED, accuracies_equal_to(printed)) == "supported"
    for other in (0.85244, 0.85356):
        assert verdicts(REPORTED, accuracies_equal_to(other)) == "contradicted"


def accuracies_equal_to(value: float) -> xr.Dataset:
    return of(np.full((3, 7), value, np.float32), ACCURACY, "1")


def test_a_number_against_the_best_of_many_settings_must_lie_further_out() -> None:
    one_run = (0.853 - 0.04, 0.01, 0.853 - 0.0705, 0.853 - 0.0095, 5)  # p = 0.024 outside mean ± 2.776 sd sqrt(1.2)
    alone, chosen = on_reported(0.853, *one_run), on_reported(0.853, *one_run, choices=4)
    assert (alone.verdict, chosen.verdict) == ("contradicted", "undecided")
    assert chosen.p_chosen == pytest.approx(4 * alone.p)
    assert "4 settings to choose from" in chosen.why


def test_a_reported_number_of_a_grid_is_judged_at_the_best_setting() -> None:
    results = make_results(axes={"learning_rate": [0.01, 0.1], "activation": ["relu", "tanh"]})
    judgement = REPORTED.judge(results)
    assert "Judged at activation=tanh, best on validation; p is multiplied by the 2 choices" in judgement.reason
    assert len(judgement.evidence) == 1
    with pytest.raises(ValueError, match="A0"):
        ReportedNumber(Reported("A0", ACCURACY, {})).judge(results)
