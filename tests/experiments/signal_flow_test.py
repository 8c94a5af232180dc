"""The experiment on signals: through its real flags on digits, measures, claims and figures on made-up results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from experiments import cli, signal_flow
from experiments.flags import make_flags, to_experiment
from experiments.init_variance import AXIS
from experiments.signal_flow import (
    DEEP,
    STUDY,
    answer,
    draw,
)
from jaxreg import results as labelled
from jaxreg.claims import Judgement, judge
from jaxreg.reporting import figures
from tests.experiments.watched import watched
from tests.synthetic import make_results

FLAGFILES = Path(signal_flow.__file__).parent / "flagfiles"


def judged(results: xr.Dataset) -> dict[str, Judgement]:
    return {judgement.statement: judgement for judgement in judge(STUDY.claims, results)}


def names(results: xr.Dataset) -> list[str]:
    return [figure.name for figure in draw(results)]


# Through the flags


def test_a_run_on_digits_is_watched_and_judged(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    flags = [f"--flagfile={FLAGFILES / 'signal_flow_digits.cfg'}", "--tensorboard=false", "--num_steps=200"]
    flags += ["--init_variance=0,0.1,2"]  # a figure of histograms each
    assert cli.main(STUDY, ["signal_flow", *flags, f"--workdir={tmp_path / 'run'}"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "supported The saturated share of layer 1 rises with the variance, before the first step." in out
    results = labelled.load(tmp_path / "run")
    claims = judged(results)
    assert claims["The weights of layer 1 do not change at 0."].verdict == "contradicted"
    assert claims["Layer 1 saturates at 0.1."].n == 5
    counted = results["pre_activations_histogram"].sel(layer=1).sum("bin")
    np.testing.assert_array_equal(counted, 1000 * 11)  # the probe x the units
    shown = {path.name for path in (tmp_path / "run/figures").iterdir()}
    assert {f"fig{numbers}_histograms.png" for numbers in ("5_7", "8_10", "20_22")} <= shown
    assert {"verdicts.png", "signal_propagation.png", "fig9_13_16_saturation.png"} <= shown
    page = (tmp_path / "run/report.html").read_text(encoding="utf-8")
    assert all(f" at {value}" in page for value in ("0,", "0.1,", "2."))


def test_flagfiles_sweep_what_the_source_and_the_claims_name() -> None:
    def axes(name: str) -> dict[str, Sequence[Any]]:
        values = make_flags()
        values(["signal_flow", f"--flagfile={FLAGFILES / name}.cfg"])
        experiment = to_experiment("signal_flow", values)
        assert experiment.histograms
        return {**experiment.axes, "init": (experiment.hparams.init,)}

    assert axes("signal_flow") == {AXIS: (0.0, 0.1, 0.2, 0.3, 1.0, 2.0), "init": ("normal",)}
    depth = axes("signal_flow_depth")
    assert "x".join(map(str, depth["hidden_sizes"][-1])) == DEEP["hidden_sizes"]
    assert depth["init"] == (DEEP["init"],)
    assert DEEP[AXIS] in depth[AXIS]
    assert {"sigmoid", "relu"} <= set(depth["activation"])


# Claims


def test_saturation_is_judged_by_one_half_at_each_number_of_the_source() -> None:
    claims = judged(watched())  # variance / (0.2 + variance): a third at 0.1, one half at 0.2, 0.6 at 0.3
    verdicts = [claims[f"Layer 1 saturates at {number}."].verdict for number in (0.1, 0.2, 0.3)]
    assert verdicts == ["contradicted", "undecided", "supported"]
    squared = judged(watched({AXIS: [0.0, 0.01, 0.04, 0.09, 1.0, 4.0]}))
    assert squared["Layer 1 saturates at 0.3."].verdict == "contradicted"
    assert "init_variance=0.09" in squared["Layer 1 saturates at 0.3."].reason
    for when in ("before the first step", "at the end"):
        assert claims[f"The saturated share of layer 1 rises with the variance, {when}."].verdict == "supported"


@pytest.mark.parametrize(("scale", "verdict"), [(1.0, "contradicted"), (1e-3, "supported")])
def test_weights_change_by_numbers_or_by_eye(scale: float, verdict: str) -> None:
    results = watched()
    results["relative_change"] = results["relative_change"].where(
        results[AXIS] == 0, scale * results["relative_change"]
    )
    counts = results["weights_histogram"].astype(float)
    first = counts.isel(check=0)
    results["weights_histogram"] = (first + scale * (counts - first)).assign_attrs(results["weights_histogram"].attrs)
    claims = judged(results)
    for number in (1, 2):
        assert claims[f"The weights of layer 1 do not change at {number}."].verdict == verdict
        assert (
            claims[f"The histogram of the weights of layer 1 looks at the end as at the start at {number}."].verdict
            == verdict
        )
    assert claims["The weights of layer 1 do not change at 0."].verdict == "contradicted"


def deep(ratios: dict[tuple[str, str], float]) -> xr.Dataset:
    """Gradient ratios by activation and hidden sizes, with a little noise between seeds."""
    axes: dict[str, list[Any]] = {
        "activation": ["sigmoid", "relu"],
        "hidden_sizes": ["32", str(DEEP["hidden_sizes"])],
        AXIS: [0.5, 1.0],
    }
    results = watched(axes, layers=9, init="he", histograms=False)
    ratio = results["gradient_ratio"].copy()
    for (activation, hidden), value in ratios.items():
        ratio.loc[{"activation": activation, "hidden_sizes": hidden}] *= value
    return results.assign(gradient_ratio=ratio)


def test_deep_stacks_are_judged_by_the_gradient_ratio() -> None:
    shallow, stack = "32", str(DEEP["hidden_sizes"])
    lost = deep({("sigmoid", shallow): 0.3, ("sigmoid", stack): 1e-4, ("relu", shallow): 0.8, ("relu", stack): 0.5})
    statements = list(judged(lost))[-3:]
    assert [judged(lost)[statement].verdict for statement in statements] == ["supported"] * 3
    assert "decades" in judged(lost)[statements[2]].reason
    kept = deep({("sigmoid", shallow): 1.0, ("sigmoid", stack): 4.0, ("relu", shallow): 1.0, ("relu", stack): 1e-3})
    assert [judged(kept)[statement].verdict for statement in statements] == ["contradicted"] * 3


def test_a_run_without_diagnostics_is_undecided_and_still_drawn() -> None:
    bare = make_results(axes={AXIS: [0.0, 0.1, 1.0, 2.0]})
    claims = judged(bare)
    assert {judgement.verdict for judgement in claims.values()} == {"undecided"}
    assert "does not record" in claims["Layer 1 saturates at 0.1."].reason
    assert "run with --diagnostics" in answer(bare)
    assert names(bare)[0] == "test_loss"


# Words and figures


def test_the_answer_prints_the_saturated_share_of_every_variance_and_counts_verdicts() -> None:
    said = answer(watched())
    for value in ("0,", "0.1,", "0.2,", "0.3,", "1,", "2."):
        assert f" at {value}" in said
    assert "33." in said  # a third at 0.1
    assert "Of 60 layers in all members" in said
    assert "by init_variance: " in answer(watched({"learning_rate": [0.1, 1.0]}))


def test_each_variance_has_its_histograms_named_after_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    assert names(watched({AXIS: [0.0, 0.3]}, seeds=2)) == [
        "verdicts",
        "signal_propagation",
        "fig9_13_16_saturation",
        "fig7_18_20_weight_change",
        "histograms_0",
        "histograms_0.3",
        "fig5_22_losses",
    ]

    for drawn in ("verdict_map", "signal_propagation", "layer_histograms", "curves", "panels"):
        monkeypatch.setattr(figures, drawn, lambda *_, **__: Figure())  # only their names matter from here on

    def histograms(values: list[float], **fixed: Any) -> list[str]:
        return [name for name in names(watched({AXIS: values}, seeds=2, **fixed)) if "histograms" in name]

    assert histograms([0.1, 2.0]) == ["fig8_10_histograms", "fig20_22_histograms"]
    assert histograms([0.01, 4.0]) == ["fig8_10_histograms", "fig20_22_histograms"]
    assert histograms([0.1, 2.0], init="he") == ["histograms_0.1", "histograms_2"]
    monkeypatch.setattr(signal_flow, "MAX_WATCHED", 2)
    assert histograms([3.0, 4.0, 5.0]) == ["histograms_3", "histograms_5"]
    assert not any("histograms" in name for name in names(watched({AXIS: [0.1, 2.0]}, seeds=2, histograms=False)))


def test_further_axes_are_held_or_become_rows() -> None:
    axes: dict[str, list[Any]] = {"activation": ["sigmoid", "relu"], "hidden_sizes": ["32", "32x32"], AXIS: [2.0, 0.5]}
    results = watched(axes, layers=3, seeds=2, histograms=False)
    figures = {figure.name: figure for figure in draw(results)}
    verdicts = figures["verdicts"].figure
    assert [axes.get_title() for axes in verdicts.axes] == ["sigmoid", "relu"]
    assert len(verdicts.axes[0].get_yticks()) == 4
    assert "at hidden_sizes=32x32," in figures["signal_propagation"].caption  # the deepest
    assert figures["gradient_ratio"].figure.axes[0].get_xlabel() == "hidden sizes (units)"
    assert "at activation=" in answer(results)
    two = {figure.name: figure.figure for figure in draw(results.isel(hidden_sizes=0))}
    assert [tick.get_text() for tick in two["verdicts"].axes[0].get_yticklabels()] == ["2", "0.5"]
    alone = names(watched({"learning_rate": [0.1, 1.0]}, seeds=2))
    assert alone == ["verdicts", "signal_propagation", "histograms_0.01"]
