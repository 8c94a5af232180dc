from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxreg.claims import Best, Claim, Higher, Judgement, Lower, Measure, Reported, ReportedNumber, Trend, Within, judge
from jaxreg.measures import steps_to_train
from tests.claims.made_up import (
    ACCURACY,
    BEST,
    DRAWS,
    FALLS,
    HIGHER,
    LOSS,
    LOWER,
    MOST_FALSE,
    RISES,
    noisy,
    of,
    rate,
    verdicts,
)
from tests.synthetic import make_results


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
    assert judgement.reason.endswith("in any of 10 seeds: nothing tells them apart.")
    assert {(e.test, e.needed) for e in judgement.evidence} == {("none", None)}
    some = np.full((7, 10), np.inf)
    some[:, 0] = 400
    assert verdicts(claim, of(some)) == "undecided"


tables = st.integers(0, 2**32 - 1).map(
    lambda key: np.random.default_rng(key).normal(0, 1, (4, 6)) + np.random.default_rng(key).uniform(0, 2, (4, 1))
)


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
    assert judgement.reason.endswith(" in all 20 seeds: nothing tells them apart.")


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
            f"Diverged, and counted as the worst since fewer than two pairs are left: {diverged} of 10 at "
            in judgement.reason
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
        (
            Trend("", "train_time", "learning_rate", "rises"),
            "This run does not record what train time is computed from.",
        ),
        (ReportedNumber(Reported("A5", ACCURACY, {"momentum": 3}, 0.853, "test accuracy")), "This run does not record"),
    ],
)
def test_what_the_run_does_not_hold_is_undecided(claim: Claim, reason: str) -> None:
    judgement = claim.judge(of(np.zeros((7, 5))))
    assert (judgement.verdict, judgement.n, judgement.evidence) == ("undecided", 0, ())
    assert judgement.reason.startswith(reason)


def test_a_measure_with_another_dimension_is_refused() -> None:
    with pytest.raises(ValueError, match="test loss"):
        Trend("", "test_loss", "learning_rate", "falls").judge(make_results())


def test_measures_are_read_off_the_results() -> None:
    steps = Measure("steps to train", steps_to_train, better="lower")
    claims = [Trend("fewer steps", steps, "learning_rate", "falls"), Lower("", steps, rate(1), rate(0.1))]
    trend, lower = judge(claims, make_results(seeds=12))
    assert (trend.verdict, lower.verdict) == ("supported", "supported")
    assert trend.units == "steps"


FEW = "this rests on the values being normally distributed, which so few seeds cannot show."


@pytest.mark.parametrize("claim", [RISES, LOWER, BEST], ids=lambda claim: type(claim).__name__)
@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_a_verdict_of_the_t_test_over_few_seeds_says_that_it_rests_on_normality(claim: Claim, n: int) -> None:
    means = [3.0, 2.0, 1.0, 1.5, 0.0, 5.0, 6.0] if claim is BEST else np.arange(7.0).tolist()
    found = claim.judge(of(noisy(means, seeds=n, sd=1e-4)))
    assert found.verdict in ("supported", "contradicted")
    assert (found.n, found.rests_on_normality) == (n, n < 5)
    assert found.reason.endswith(f"With n = {n} {FEW}") == (n < 5)


def test_no_verdict_rests_on_normality_where_none_was_decided_or_none_was_a_t_test() -> None:
    undecided = LOWER.judge(of(np.random.default_rng(0).normal(size=(7, 3))))
    assert (undecided.verdict, undecided.rests_on_normality) == ("undecided", False)
    identical = LOWER.judge(of(np.ones((7, 3))))
    assert (identical.verdict, identical.rests_on_normality) == ("contradicted", False)
    assert FEW not in undecided.reason + identical.reason
