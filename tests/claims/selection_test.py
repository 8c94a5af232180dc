from __future__ import annotations

import numpy as np
import pytest

from jaxreg.claims import Best, Claim, Higher, Lower, Trend, Within
from tests.claims.made_up import (
    CHOSEN_BY,
    DRAWS,
    LOSS,
    grid_of,
    noisy,
    rate,
    verdicts,
)
from tests.synthetic import make_results


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


def test_other_axes_are_held_at_the_best_on_validation() -> None:
    results = make_results(axes={"learning_rate": [0.01, 0.1], "activation": ["relu", "tanh"]})
    results["final_validation_accuracy"][:, 1] += 1
    judgement = Trend("", LOSS, "learning_rate", "falls").judge(results)
    assert judgement.verdict == "supported"
    assert judgement.reason.endswith(
        "Judged at activation=tanh, the best of 2 on validation (averaged over learning_rate); for that choice p is "
        "multiplied by 2. A claim that names activation needs no such factor."
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
        return claim.judge(results).reason.rpartition(" Judged at ")[2].partition("; for that choice")[0]

    def lower(a: float, b: float) -> Claim:
        return Lower("", CHOSEN_BY, rate(a), rate(b))

    over_all, over_some = "the best of 3 on validation (averaged over learning_rate)", "averaged over these values of"
    assert chosen(Trend("", CHOSEN_BY, "learning_rate", "rises")) == f"init_variance=0.1, {over_all}"
    assert chosen(Best("", CHOSEN_BY, rate(0.01), "learning_rate", "higher")) == f"init_variance=0.1, {over_all}"
    assert chosen(Best("", CHOSEN_BY, rate(0.01), [0.001], "higher")).startswith("init_variance=0.01, ")  # 0.5, .45, .5
    assert over_some in chosen(Best("", CHOSEN_BY, rate(0.01), [0.005], "higher"))
    assert chosen(lower(0.005, 0.01)) == "init_variance=1, the best of 3 on validation (averaged over both settings)"
    assert chosen(Within("", CHOSEN_BY, rate(0.001), 0, 1)) == "init_variance=0.01, the best of 3 on validation"


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
